package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	tests := []struct {
		name   string
		config string
		err    string
	}{
		{"complete", `{"caddy_version":"v1","plugins":[{"module_path":"a/b"}],"replacements":[{"old":"a","new":"./m"}]}`, ""},
		{"module for module", `{"caddy_version":"v1","plugins":[{"module_path":"a/b"}],"replacements":[{"old":"a","new":"c v1.2.3"}]}`, ""},
		{"metadata beside it", `{"name":"n","caddy_version":"v1","plugins":[{"module_path":"a/b"}]}`, ""},
		{"not JSON", `caddy_version: v1`, "invalid character"},
		{"no Caddy version", `{"plugins":[{"module_path":"a/b"}]}`, "caddy_version is missing"},
		{"no plugin", `{"caddy_version":"v1"}`, "plugins is empty"},
		{"half a replacement", `{"caddy_version":"v1","plugins":[{"module_path":"a/b"}],"replacements":[{"old":"a"}]}`, "needs old and new"},
		{"replacement by nothing", `{"caddy_version":"v1","plugins":[{"module_path":"a/b"}],"replacements":[{"old":"a","new":"./x"}]}`, "no Go module in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			config := filepath.Join(folder, "xcaddy.json")
			write(t, config, tt.config)
			write(t, filepath.Join(folder, "m", "go.mod"), "module a\n")
			builder, err := read(config)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), config) {
					t.Fatalf("error %v, want %q and the file's name", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range builder.Replacements {
				if r.New != "c v1.2.3" && r.New.String() != filepath.Join(folder, "m") {
					t.Errorf("replaced by %q", r.New)
				}
			}
		})
	}
}

func TestReadOwn(t *testing.T) {
	builder, err := read(filepath.Join("..", "..", "xcaddy.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(builder.Replacements) != 1 {
		t.Errorf("replacements %v, want the checkout in place of the published plugin", builder.Replacements)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
