package caddyverify

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// provisionSandbox does what loading a configuration does, up to and without its
// start; the caller cleans up.
func provisionSandbox(t *testing.T, s *Sandbox) *Sandbox {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := s.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func cleanUp(t *testing.T, s *Sandbox) {
	t.Helper()
	if err := s.Cleanup(); err != nil {
		t.Error(err)
	}
}

// askSandbox asks the handler itself with credentials of the account.
func askSandbox(t *testing.T, s *Sandbox, target, form string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(testKey, testSecret)
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	if err := s.ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	return w.Body.String()
}

// A reload keeps the verifications whatever settings it changes, and one that is
// rejected leaves no trace.
func TestSandboxOverReloads(t *testing.T) {
	credentials := &Credentials{APIKey: testKey, APISecret: testSecret}
	first := provisionSandbox(t, &Sandbox{Credentials: credentials, Code: "1111"})
	id := reply{body: askSandbox(t, first, "/verify/json", "number=447700900000&brand=Acme")}.field("request_id")
	askSandbox(t, first, "/sandbox/faults", "limit=off")

	rejected := provisionSandbox(t, &Sandbox{Credentials: credentials, Speed: 3600, Limit: 0.001, Faults: []string{"* status 5"}})
	cleanUp(t, rejected)
	for range 40 {
		if got := askSandbox(t, first, "/verify/search/json", "request_id="+id); !strings.Contains(got, "IN PROGRESS") {
			t.Fatalf("with a configuration that was rejected: %s", got)
		}
	}

	second := provisionSandbox(t, &Sandbox{Credentials: credentials, Code: "2222", Faults: []string{"search status 5"}})
	cleanUp(t, first)
	defer cleanUp(t, second)
	for _, try := range []struct{ code, want string }{{"2222", `"status":"16"`}, {"1111", `"status":"0"`}} {
		if got := askSandbox(t, second, "/verify/check/json", "code="+try.code+"&request_id="+id); !strings.Contains(got, try.want) {
			t.Errorf("after a reload with code 2222, the code %s of a verification from before: %s", try.code, got)
		}
	}
	if got := askSandbox(t, second, "/verify/search/json", "request_id="+id); !strings.Contains(got, `"status":"5"`) {
		t.Errorf("the new configuration's fault is not on: %s", got)
	}

	other := provisionSandbox(t, &Sandbox{})
	defer cleanUp(t, other)
	if got := askSandbox(t, other, "/verify/search/json", "request_id="+id); !strings.Contains(got, `"101"`) {
		t.Errorf("another account knows the verification: %s", got)
	}
}
