package caddyverify

import (
	"fmt"
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
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/DeRuina/timberjack.(*Logger).millRun")) // the log file
	if err := caddy.Load(config, true); err != nil {
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
