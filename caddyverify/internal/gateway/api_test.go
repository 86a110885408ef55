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

// Where version 2 has a key, each of both is changed by itself, and what is known of the other stays.
func TestDrainUsesNewSecretBesideKey(t *testing.T) {
	var used string
	transport := provider(func(r *http.Request) (int, string) {
		used = r.Header.Get("Authorization")
		if strings.HasPrefix(r.URL.Path, "/verify/") {
			_, used, _ = r.BasicAuth()
			return http.StatusOK, `{"status":"16","error_text":"The code provided does not match the expected value"}`
		}
		return http.StatusNotFound, `{"title":"Not Found"}`
	})
	a := newAccount(t)
	drained := ofVersion1(transport)
	signed := drained
	signed.Secret = newPrivateKey(t)
	g := newGatewayAtV2(t, a, signed, &drained)
	t.Cleanup(g.Close)
	check := func() string {
		call(g, "/verify/check/json", "request_id="+strings.Repeat("ab", 16)+"&code=1234")
		return used
	}
	request := func() string {
		call(g, "/verify/json", "number=447700900000&brand=Acme")
		return used
	}
	replaced := 0
	a.Subscribe(func(e Event) {
		if _, is := e.Detail.(SecretReplaced); is {
			replaced++
		}
	})
	token, known := request(), g.way.Load().secrets
	for _, secret := range []string{testSecret, testSecret + "2", testSecret + "2"} {
		if err := g.UseDrained(upstream.NewSecret(secret)); err != nil {
			t.Fatal(err)
		}
		if got := check(); got != secret {
			t.Error("version 1 is called with another secret")
		}
		if !a.live.In([]byte(secret)) {
			t.Error("answers with the secret would be passed on")
		}
	}
	if replaced != 1 || request() != token || g.way.Load().secrets != known {
		t.Errorf("secrets were replaced %d times, and version 2's is the same: %t", replaced, request() == token)
	}
	if err := g.Use(newPrivateKey(t), upstream.Secret{}); err != nil {
		t.Fatal(err)
	}
	if check() != testSecret+"2" || request() == token || replaced != 2 {
		t.Errorf("a new key is not in use, or with another secret of version 1: %d", replaced)
	}
}

// ofVersion1 is how calls of version 1 are made.
func ofVersion1(transport http.RoundTripper) upstream.Config {
	return upstream.Config{
		URL: "https://provider.example", Key: testKey, Secret: upstream.NewSecret(testSecret),
		Auth: upstream.Basic, Method: upstream.Auto, Transport: transport,
	}
}

// newPrivateKey is an application's.
func newPrivateKey(t *testing.T) upstream.Secret {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return upstream.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

// newGatewayAtV2 signs its calls. It is to be closed.
func newGatewayAtV2(t *testing.T, a *Account, signed upstream.Config, drained *upstream.Config) *Gateway {
	t.Helper()
	g, err := New(Config{
		Account: a, Upstream: signed, V2: &V2{Application: "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", Drain: drained}, Timeout: time.Second,
		Caller: func(*http.Request) (*caller.Caller, bool) { return new(caller.Caller), true },
		Logger: slog.New(slog.DiscardHandler), Running: new(Running),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// However many sites an account has, and however often it is reloaded, it signs once in ten
// minutes. What nobody uses any more is forgotten.
func TestOneSignatureOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := map[string]int{}
		transport := provider(func(r *http.Request) (int, string) {
			used[r.Header.Get("Authorization")]++
			return http.StatusNotFound, `{"title":"Not Found"}`
		})
		a := newAccount(t)
		signed := upstream.Config{URL: "https://provider.example", Key: testKey, Secret: newPrivateKey(t), Transport: transport}
		site := func() *Gateway { return newGatewayAtV2(t, a, signed, nil) }
		ask := func(g *Gateway) { call(g, "/verify/check/json", "request_id="+strings.Repeat("ab", 16)+"&code=1234") }
		first, second := site(), site()
		ask(first)
		ask(second)
		for range 3 {
			next := site()
			first.Close()
			first = next
			ask(first)
			time.Sleep(3 * time.Minute)
		}
		second.Close()
		if ask(first); len(used) != 1 {
			t.Errorf("%d tokens were used", len(used))
		}
		time.Sleep(time.Minute + time.Second)
		if ask(first); len(used) != 2 {
			t.Errorf("%d tokens were used in more than ten minutes", len(used))
		}
		first.Close()
		last := site()
		defer last.Close()
		if ask(last); len(used) != 3 || len(a.signers.all) != 1 {
			t.Errorf("after the last has gone %d tokens were used, and %d sign", len(used), len(a.signers.all))
		}
	})
}

// The secret of what is drained is in no answer either.
func TestDrainHidesSecret(t *testing.T) {
	transport := provider(func(*http.Request) (int, string) {
		return http.StatusOK, `{"status":"3","error_text":"Invalid value for ` + testSecret + `"}`
	})
	a := newAccount(t)
	drained := ofVersion1(transport)
	signed := drained
	signed.Secret = newPrivateKey(t)
	g := newGatewayAtV2(t, a, signed, &drained)
	t.Cleanup(g.Close)
	if body := call(g, "/verify/check/json", "request_id="+strings.Repeat("ab", 16)+"&code=1234"); strings.Contains(body, testSecret) || !strings.Contains(body, "caddy-verify: ") {
		t.Errorf("the client reads %q", body)
	}
}
