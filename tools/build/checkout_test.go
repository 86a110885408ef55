package main

import (
	"net/http"
	"net/http/httptest"
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
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(checkout))
	t.Setenv("GONOPROXY", "example.org/private")
	t.Setenv("GOVCS", "")
	builder := &xcaddy.Builder{Replacements: []xcaddy.Replace{
		xcaddy.NewReplace("example.com/a", checkout),
		xcaddy.NewReplace("example.com/b", "example.com/c v1.2.3"),
	}}
	if err := prepare(t.Context(), builder); err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv("GONOPROXY"); got != "example.com/a,example.org/private" {
		t.Errorf("GONOPROXY is %q", got)
	}
	if got := os.Getenv("GOVCS"); got != "example.com/a:off" {
		t.Errorf("GOVCS is %q", got)
	}
	if old := builder.Replacements[0].Old; old != "example.com/a" {
		t.Errorf("a checkout that is in no git replaces %q", old)
	}
}

// TestRefusingProxy has Go look for a package of a checkout, as xcaddy does, behind a proxy that answers 403.
func TestRefusingProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "This module version is not available.", http.StatusForbidden)
	}))
	defer proxy.Close()
	checkout := t.TempDir()
	write(t, filepath.Join(checkout, "go.mod"), "module github.com/example-of-caddy-verify/a\n")
	write(t, filepath.Join(checkout, "plugin", "plugin.go"), "package plugin\n")
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(checkout))
	for name, value := range map[string]string{
		"GOPROXY": proxy.URL, "GOPRIVATE": "", "GONOPROXY": "", "GOVCS": "", "GOSUMDB": "off", "GOFLAGS": "-mod=mod",
	} {
		t.Setenv(name, value)
	}
	get := func() error {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "go.mod"), "module b\n\nreplace github.com/example-of-caddy-verify/a => "+checkout+"\n")
		write(t, filepath.Join(folder, "b.go"), "package b\n\nimport _ \"github.com/example-of-caddy-verify/a/plugin\"\n")
		_, err := run(t.Context(), folder, "go", "get")
		return err
	}
	if err := get(); err == nil || !strings.Contains(err.Error(), "403") {
		t.Fatalf("without preparation: %v, and this test shows nothing", err)
	}
	builder := &xcaddy.Builder{Replacements: []xcaddy.Replace{xcaddy.NewReplace("github.com/example-of-caddy-verify/a", checkout)}}
	if err := prepare(t.Context(), builder); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil {
		t.Error(err)
	}
}
