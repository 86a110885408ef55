package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// Version 2 has other waits than version 1: what those say of IN PROGRESS is not of its verifications.
func TestUnchangedAtV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := *a.inForce.Load()
		s.Cache = search.Settings{InProgress: 2 * time.Second, Scheduled: true}
		t.Cleanup(a.Configure(&s))
		api := newSandbox(t)
		g := newGateway(t, a, direct(api), "https://provider.example")
		call(g, "/verify/json", "number=447700900000&brand=Acme")
		id := api.Verifications()[0].RequestID
		if _, ok := a.unchanged(id, 0); !ok {
			t.Error("nothing is known of one of version 1")
		}
		a.states.Began(t.Context(), id, state.Start{Number: "447700900000", Channels: []string{"sms", "tts"}, Wait: 3 * time.Minute})
		if d, ok := a.unchanged(id, 0); ok {
			t.Errorf("one of version 2 is unchanged for %v", d)
		}
	})
}

// Where both versions have the same secret, a new one is for what is drained as well.
func TestDrainUsesNewSecret(t *testing.T) {
	const newer = "Another-S3cret-of-the-gateway"
	var used []string
	transport := provider(func(r *http.Request) (int, string) {
		_, secret, _ := r.BasicAuth()
		if strings.HasPrefix(r.URL.Path, "/verify/") {
			used = append(used, secret)
		}
		return http.StatusOK, `{"status":"16","error_text":"The code provided does not match the expected value"}`
	})
	g := newGateway(t, newAccount(t), transport, "https://provider.example")
	drained := g.Upstream
	g.V2 = &V2{Drain: &drained}
	for _, secret := range []string{testSecret + "2", newer} {
		if err := g.Use(upstream.NewSecret(secret), upstream.Secret{}); err != nil {
			t.Fatal(err)
		}
		call(g, "/verify/check/json", "request_id="+strings.Repeat("ab", 16)+"&code=1234")
	}
	if len(used) != 2 || used[1] != newer {
		t.Errorf("version 1 was called with %d secrets, last with the new one: %t", len(used), len(used) > 1 && used[1] == newer)
	}
}

// The secret of what is drained is in no answer either.
func TestDrainHidesSecret(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	transport := provider(func(*http.Request) (int, string) {
		return http.StatusOK, `{"status":"3","error_text":"Invalid value for ` + testSecret + `"}`
	})
	a := newAccount(t)
	drained := upstream.Config{
		URL: "https://provider.example", Key: testKey, Secret: upstream.NewSecret(testSecret),
		Auth: upstream.Basic, Method: upstream.Auto, Transport: transport,
	}
	signed := drained
	signed.Secret = upstream.NewSecret(string(private))
	g, err := New(Config{
		Account: a, Upstream: signed, V2: &V2{Application: "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", Drain: &drained}, Timeout: time.Second,
		Caller: func(*http.Request) (*caller.Caller, bool) { return new(caller.Caller), true },
		Logger: slog.New(slog.DiscardHandler), Running: new(Running),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	if body := call(g, "/verify/check/json", "request_id="+strings.Repeat("ab", 16)+"&code=1234"); strings.Contains(body, testSecret) || !strings.Contains(body, "caddy-verify: ") {
		t.Errorf("the client reads %q", body)
	}
}
