package caddyverify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"
)

// A signature secret is in use as soon as it is in its file; what is none changes nothing.
func TestWebhookSecretInItsFile(t *testing.T) {
	const another, third = "another-secret-of-the-account", "the-third-secret-of-the-account"
	path := filepath.Join(t.TempDir(), "secret")
	put(t, path, testSignatureSecret)
	option, read := logFile(t)
	site := freeAddress(t)
	config, err := adaptCaddyfile(fmt.Sprintf("{\nadmin off\npersist_config off\n%sverify {\naccount shop {\napi v2\ncredentials %s a-secret-of-tests\nsignature_secret {file.%s}\n}\n}\n}\n"+
		"http://%s {\nverify_webhook /hooks {\naccount shop\n}\n}\n", option, testKey, path, site))
	if err != nil {
		t.Fatal(err)
	}
	defer leavesNothing(t, goleak.IgnoreAnyFunction("github.com/DeRuina/timberjack.(*Logger).millRun"))() // the log file
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	n := 0
	deliver := func(secret string) int {
		n++
		return do(t, signed(t, "http://"+site+"/hooks", secret, fmt.Sprint(n), summary("00000000000040008000000000000000", "failed"))).StatusCode
	}
	until := func(is func() bool) {
		for t.Context().Err() == nil && !is() {
		}
	}
	const warning = "the secret of before stays in use"
	put(t, path, another)
	until(func() bool { return deliver(another) == 204 })
	if code := deliver(testSignatureSecret); code != 401 {
		t.Errorf("signed by the one of before: %d", code)
	}
	put(t, path, "VALUE")
	until(func() bool { return strings.Contains(read(), warning) })
	if code := deliver(another); code != 204 {
		t.Errorf("what is no secret is in use: %d", code)
	}
	put(t, path, "VALUE")
	put(t, path, third)
	until(func() bool { return deliver(third) == 204 })
	if text := read(); strings.Count(text, warning) != 1 || strings.Contains(text, "VALUE") || strings.Contains(text, "of-the-account") {
		t.Errorf("the log:\n%s", text)
	}
}

// The same of a secret that webhooks are passed on with; what is wrong with one is nothing to the other.
func TestRelaySecretInItsFile(t *testing.T) {
	secrets := []string{strings.Repeat("first-of-a-relay", 3), strings.Repeat("another-of-a-relay", 3), strings.Repeat("third-of-a-relay", 3)}
	first, another, third := secrets[0], secrets[1], secrets[2]
	path := filepath.Join(t.TempDir(), "secret")
	put(t, path, first)
	by := make(chan string, 1)
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		for _, secret := range append(secrets, "") {
			if (&receiver{secret: secret, ids: map[string]bool{}}).refuses(in, body) == "" || secret == "" {
				by <- secret
				return
			}
		}
	}))
	t.Cleanup(application.Close)
	j := newJourney(t)
	j.relays = "relay * " + application.URL + " {file." + path + "}\n"
	j.load()
	id, n := j.start(0), 0
	deliver := func() (secret string) {
		t.Helper()
		n++
		if code := do(t, signed(t, "http://"+j.hooks+"/webhooks/verify", canarySigned, fmt.Sprint(n), summary(id, "failed"))).StatusCode; code != 204 {
			t.Fatalf("a webhook is answered %d", code)
		}
		select {
		case secret = <-by:
		case <-t.Context().Done():
		}
		return secret
	}
	until := func(is func() bool) {
		for t.Context().Err() == nil && !is() {
		}
	}
	const warning = "the secret of before stays in use"
	if by := deliver(); by != first {
		t.Errorf("the first webhook is signed by %q", by)
	}
	put(t, path, another)
	until(func() bool { return deliver() == another })
	put(t, path, "VALUE")
	until(func() bool { return strings.Contains(j.logged(), warning) })
	if by := deliver(); by != another {
		t.Errorf("with what is no secret it is signed by %q", by)
	}
	put(t, path, third)
	until(func() bool { return deliver() == third })
	text := j.logged()
	if strings.Count(text, warning) != 1 || !strings.Contains(text, "relay *: the secret, from {file."+path+"}, has fewer than 32 characters") ||
		strings.Contains(text, "VALUE") || strings.Contains(text, "-of-a-relay") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestRelaySecretsDiffer: a secret that is put into the file of another one later is not taken either.
func TestRelaySecretsDiffer(t *testing.T) {
	own := strings.Repeat("signature-of-the-account", 2)
	first, second := strings.Repeat("first-of-a-relay", 3), strings.Repeat("second-of-a-relay", 3)
	h := &Webhook{secret: own, Relays: []*Relay{{Caller: "login", URL: "https://login.internal", secret: first}, {Caller: "*", URL: "https://all.internal"}}}
	for _, test := range []struct{ secret, want string }{{first, "that of relay login"}, {own, "the account's signature_secret"}, {second, ""}} {
		h.Relays[1].Secret = test.secret
		if _, err := h.Relays[1].target(new(App)); err != nil {
			t.Fatal(err)
		}
		h.Relays[1].secret = ""
		err := h.rereadRelay(h.Relays[1])
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) || err == nil && h.Relays[1].secret != test.secret {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	if err := h.ownSecret(second, nil); err == nil || !strings.Contains(err.Error(), "that of relay *") {
		t.Errorf("as the account's own: %v", err)
	}
}
