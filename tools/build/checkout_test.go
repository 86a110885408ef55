package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/xcaddy"
	"golang.org/x/mod/semver"
)

func TestVersion(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	folder := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", folder, "-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(folder), "GIT_CONFIG_GLOBAL="+os.DevNull,
			"GIT_AUTHOR_DATE=2026-05-04T03:02:01Z", "GIT_COMMITTER_DATE=2026-05-04T03:02:01Z")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	expect := func(when, want string) {
		t.Helper()
		got := version(t.Context(), folder)
		if got != want {
			t.Errorf("%s: version %q, want %q", when, got, want)
		}
		if got != "" && semver.Canonical(got) != got {
			t.Errorf("%s: Go would not take %q for a version", when, got)
		}
	}
	commit := func() string {
		git("commit", "--quiet", "--allow-empty", "--message=m")
		return git("rev-parse", "HEAD")[:12]
	}

	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(folder))
	expect("not in git", "")
	git("init", "--quiet")
	expect("no commit", "")
	first := commit()
	expect("no tag", "v0.0.0-20260504030201-"+first)
	write(t, filepath.Join(folder, "f"), "")
	expect("a new file", "v0.0.0-20260504030201-"+first+".dirty")
	git("add", ".")
	second := commit()
	git("tag", "release-7")
	expect("a tag that is no version", "v0.0.0-20260504030201-"+second)
	git("tag", "v0.3.1")
	expect("at a tag", "v0.3.1")
	write(t, filepath.Join(folder, "f"), "changed")
	expect("changed at a tag", "v0.3.1-0.dirty")
	git("add", ".")
	third := commit()
	expect("after a tag", "v0.3.2-0.20260504030201-"+third)
}

func TestPrepare(t *testing.T) {
	checkout := t.TempDir()
	write(t, filepath.Join(checkout, "go.mod"), "module example.com/a\n")
	tests := []struct {
		name    string
		plugins []string
		cache   bool // whether Go is told to look nowhere else
	}{
		{"all from the checkout", []string{"example.com/a", "example.com/a/plugin"}, true},
		{"one from elsewhere", []string{"example.com/a/plugin", "example.com/ab"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"GOPROXY", "GONOPROXY", "GOSUMDB"} {
				t.Setenv(name, "")
			}
			t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(checkout))
			builder := &xcaddy.Builder{Replacements: []xcaddy.Replace{xcaddy.NewReplace("example.com/a", checkout)}}
			for _, path := range tt.plugins {
				builder.Plugins = append(builder.Plugins, xcaddy.Dependency{PackagePath: path})
			}
			if err := prepare(t.Context(), builder); err != nil {
				t.Fatal(err)
			}
			if proxy := os.Getenv("GOPROXY"); strings.HasPrefix(proxy, "file:///") != tt.cache || proxy != "" && !tt.cache {
				t.Errorf("GOPROXY is %q", proxy)
			}
			if old := builder.Replacements[0].Old; old != "example.com/a" {
				t.Errorf("a checkout that is in no git replaces %q", old)
			}
		})
	}
}
