package caddyverify

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A sandbox of v2 answers at its path, by a JWT too, tells of verifications by webhooks,
// and goes on over a reload; what it is not configured for is the next handler's.
func TestSandboxV2(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.pub")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SIGNATURE", "signature-secret")
	told := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	t.Cleanup(receiver.Close)
	configured := Sandbox{
		API: []string{"v2"}, Credentials: &Credentials{APIKey: testKey, APISecret: testSecret}, Code: "1234",
		Application: "app-id", PublicKey: "{file." + file + "}", Webhook: receiver.URL, SignatureSecret: "{env.TEST_SIGNATURE}",
	}
	first, second := configured, configured
	provisionSandbox(t, &first)
	ask := func(s *Sandbox, method, path, authorization, body string) reply {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusTeapot)
			return nil
		})
		if err := s.ServeHTTP(w, r, next); err != nil {
			t.Fatal(err)
		}
		return reply{w.Result(), w.Body.String()}
	}
	now := time.Now().Unix()
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"application_id":"app-id","iat":%d,"exp":%d,"jti":"1"}`, now-5, now+900))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + signed + "." + base64.RawURLEncoding.EncodeToString(signature)

	started := ask(&first, "POST", "/v2/verify", bearer, `{"brand":"Acme","workflow":[{"channel":"sms","to":"447700900000"}]}`)
	if started.StatusCode != http.StatusAccepted {
		t.Fatalf("start: %+v", started)
	}
	for path, want := range map[string]int{"/verify/json": 404, "/v2/verify": 401, "/v2/verify/templates": 401, "/v2/verifying": 418, "/v2": 418} {
		if got := ask(&first, "POST", path, "", ""); got.StatusCode != want {
			t.Errorf("%s: got %+v, want %d", path, got, want)
		}
	}
	v1 := provisionSandbox(t, &Sandbox{Credentials: configured.Credentials})
	defer cleanUp(t, v1)
	if got := ask(v1, "POST", "/v2/verify", bearer, "{}"); got.StatusCode != http.StatusTeapot {
		t.Errorf("v2 of a sandbox of v1: %+v", got)
	}

	provisionSandbox(t, &second)
	cleanUp(t, &first)
	defer cleanUp(t, &second)
	if got := ask(&second, "POST", "/v2/verify/"+started.field("request_id"), bearer, `{"code":"1234"}`); got.StatusCode != http.StatusOK {
		t.Fatalf("check after a reload: %+v", got)
	}
	for _, want := range []string{`"type":"event"`, `"type":"summary"`} {
		if got := <-told; !strings.Contains(got, want) || !strings.Contains(got, `"status":"completed"`) {
			t.Errorf("told %s, want %s", got, want)
		}
	}
}
