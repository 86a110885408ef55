package caddyverify

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
)

func TestVersionCommand(t *testing.T) {
	cmd, out := versionCommand(), new(strings.Builder)
	cmd.SetOut(out)
	cmd.SetArgs(nil)
	if err := cmd.Execute(); err != nil || out.String() != version.String()+"\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
}

// flagsOf reads a command's arguments.
func flagsOf(t *testing.T, cmd *cobra.Command, args ...string) caddycmd.Flags {
	t.Helper()
	cmd.SetOut(io.Discard)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return caddycmd.Flags{FlagSet: cmd.Flags()}
}

func TestHealthCommand(t *testing.T) {
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	defer server.Close()
	for _, test := range []struct {
		name string
		code int
		url  string
		exit int
	}{
		{"ready", http.StatusOK, server.URL, 0},
		{"not ready", http.StatusServiceUnavailable, server.URL, 1},
		{"no verify_health", http.StatusNotFound, server.URL, 1},
		{"no Caddy", http.StatusOK, "http://" + freeAddress(t), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			code = test.code
			if exit, err := cmdHealth(flagsOf(t, healthCommand(), "--url", test.url)); exit != test.exit || (err != nil) != (exit != 0) {
				t.Errorf("it exits with %d, %v", exit, err)
			}
		})
	}
}

func TestTrafficCommand(t *testing.T) {
	for wrong, args := range map[string][]string{
		"--rate":     {"--code", "1234", "--rate", "off"},
		"right code": {"--gateway", "http://localhost:8080"},
		"gateway":    {"--code", "1234", "--gateway", "localhost"},
	} {
		if exit, err := cmdTraffic(flagsOf(t, trafficCommand(), args...)); exit == 0 || err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: it exits with %d, %v; want %q", args, exit, err, wrong)
		}
	}
}
