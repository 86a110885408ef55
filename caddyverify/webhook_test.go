package caddyverify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const testSignatureSecret = "0123456789abcdefghij"

// signed is a webhook as the provider signs it.
func signed(t *testing.T, url, secret, id, body string) *http.Request {
	t.Helper()
	return hook(t, url, signature(secret, body, map[string]any{"jti": id}), body)
}

// A webhook tells a search of version 1 what the provider has done by itself.
func TestWebhook(t *testing.T) {
	private, public := applicationKey()
	api, err := sandbox.New(sandbox.Config{API: "v2", Application: testApplication, PublicKey: public, Code: testCode, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(api)
	defer upstream.Close()
	dir := t.TempDir()
	for name, content := range map[string]string{"key": private, "secret": testSignatureSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	option, read := logFile(t)
	site := freeAddress(t)
	config, err := adaptCaddyfile(fmt.Sprintf("{\nadmin off\npersist_config off\n%sverify {\naccount shop {\nupstream %s\napi v2\napplication %s\nprivate_key {file.%s}\nsignature_secret {file.%s}\n}\n}\n}\n"+
		"http://%s {\nverify {\naccount shop\n}\nverify_webhook /hooks {\naccount shop\n}\n}\n",
		option, upstream.URL, testApplication, filepath.Join(dir, "key"), filepath.Join(dir, "secret"), site))
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	gateway, hooks := "http://"+site, "http://"+site+"/hooks"
	start := func(number string) (id, uuid string) {
		id = postForm(t, gateway+"/verify/json", "brand=Acme&number="+number).field("request_id")
		return id, dashed(id)
	}
	id, uuid := start("447700900000")
	summary := func(uuid, status string) string {
		return fmt.Sprintf(`{"request_id":%q,"type":"summary","status":%q,"submitted_at":"2026-01-01T10:00:00.000Z","finalized_at":"2026-01-01T10:01:00.000Z","channel_timeout":180,"workflow":[{"channel":"sms","initiated_at":"2026-01-01T10:00:00.000Z","status":%q}]}`, uuid, status, status)
	}
	unsigned := request(t, http.MethodPost, hooks, "application/json", summary(uuid, "failed"))
	for _, tt := range []struct {
		name string
		r    *http.Request
		code int
		then string // what a search says
	}{
		{"by GET", request(t, http.MethodGet, hooks, "", ""), 405, "IN PROGRESS"},
		{"unsigned", unsigned, 503, "IN PROGRESS"},
		{"signed by another", signed(t, hooks, "another-secret-of-somebody", "1", summary(uuid, "failed")), 401, "IN PROGRESS"},
		{"of another application", hook(t, hooks, signature(testSignatureSecret, summary(uuid, "failed"), map[string]any{"jti": "0", "application_id": "00000000-0000-4000-8000-000000000000"}), summary(uuid, "failed")), 401, "IN PROGRESS"},
		{"unreadable", signed(t, hooks, testSignatureSecret, "2", "[]"), 400, "IN PROGRESS"},
		{"of nobody's", signed(t, hooks, testSignatureSecret, "3", summary("00000000-0000-4000-8000-000000000000", "failed")), 204, "IN PROGRESS"},
		{"of this one", signed(t, hooks, testSignatureSecret, "4", summary(uuid, "failed")), 204, "FAILED"},
		{"once more", signed(t, hooks, testSignatureSecret, "4", summary(uuid, "failed")), 204, "FAILED"},
		{"that it was not so", signed(t, hooks, testSignatureSecret, "5", summary(uuid, "completed")), 204, "SUCCESS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := do(t, tt.r); got.StatusCode != tt.code {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if got := get(t, gateway+"/verify/search/json?request_id="+id).field("status"); got != tt.then {
				t.Errorf("then a search says %s", got)
			}
		})
	}
	barred, err := sandbox.ParseFault("request status 8")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.SetFaults(barred); err != nil {
		t.Fatal(err)
	}
	postForm(t, gateway+"/verify/json", "brand=Acme&number=447700900001")
	// The account's lines have one logger, whichever handler has opened the account.
	if want := regexp.MustCompile(`"logger":"http.handlers.verify",[^\n]*"msg":"account trouble changed"`); !want.MatchString(read()) {
		t.Errorf("the log lacks %s: %s", want, read())
	}
	for _, word := range []string{testSignatureSecret, "447700900000", "00000000-0000"} {
		if strings.Contains(read(), word) {
			t.Errorf("the log has %s", word)
		}
	}
}

// Errors of the settings name what is missing, and how to put it right.
func TestSettingsOfV2(t *testing.T) {
	const key = "private_key {file./nowhere/VALUE.key}\n"
	const id = "application " + testApplication + "\n"
	for _, tt := range []struct{ name, account, site, want string }{
		{"no such version", "api v3", "", `api: it must be one of ["v1" "v2"]`},
		{"draining what", "api v2 {\ndrain v2\n}\n" + id + key, "", `drain: it must be one of ["v1"]`},
		{"draining without v2", "api v1 {\ndrain v1\n}\ncredentials key VALUE-secret", "", "there is nothing to drain"},
		{"draining without credentials", "api v2 {\ndrain v1\n}\n" + id + key, "", "drain: verifications of v1 are checked with the account's credentials"},
		{"no credentials", "api v2", "", "credentials: they are missing; add them, for example " + exampleCredentials + ", or " + applicationExample + " with " + privateKeyExample},
		{"an application of v1", id + key + "credentials key VALUE-secret", "", "only calls of version 2 are signed by an application"},
		{"an application without a key", "api v2\n" + id, "", "private_key: it is missing beside application"},
		{"a key without an application", "api v2\n" + key, "", "application: it is missing beside private_key"},
		{"no application's id", "api v2\napplication VALUE\n" + key, "", "application: it is no application's id"},
		{"no file", "api v2\n" + id + key, "", "private_key, from {file./nowhere/VALUE.key}, has no value: there is no such file"},
		{"no key", "api v2\n" + id + "private_key VALUE", "", "private_key: it is no key in PEM; if it is where the key is, write a placeholder"},
		{"a path for a key", "api v2\n" + id + "private_key /nowhere/VALUE.key", "", "private_key: it is the path of a file, and no key; write {file./nowhere/VALUE.key}"},
		{"a path of here for a key", "api v2\n" + id + "private_key ./nowhere/VALUE.key", "", "private_key: it is the path of a file, and no key; write {file../nowhere/VALUE.key}"},
		{"two keys", "api v2\n" + id + key + "next_credentials key VALUE-secret", "", "next_credentials: calls are signed with the private_key"},
		{"webhooks without a secret", "api v2\ncredentials key VALUE-secret", "shop", "signature_secret: it is missing"},
		{"webhooks with a short secret", "api v2\ncredentials key VALUE-secret\nsignature_secret VALUE", "shop", "signature_secret: it is shorter than 16 characters, which no signature secret is; copy it from the API settings"},
		{"a short secret of no webhooks", "api v2\ncredentials key VALUE-secret\nsignature_secret VALUE", "", "signature_secret: it is shorter than 16 characters"},
		{"a secret of no webhooks in no file", "api v2\ncredentials key VALUE-secret\nsignature_secret {file./nowhere/VALUE}", "", "signature_secret: it, from {file./nowhere/VALUE}, has no value: there is no such file"},
		{"a secret of a shell", "api v2\ncredentials key VALUE-secret\nsignature_secret ${VERIFY_SECRET}", "", "signature_secret: it has a variable in the form of a shell"},
		{"a signature secret of v1", "credentials key VALUE-secret\nsignature_secret VALUE-0123456789ab", "", "signature_secret: only webhooks of version 2 are signed with it; add `api v2`, or leave it out"},
		{"a private key of v1", "credentials key VALUE-secret\n" + key, "", "private_key: only calls of version 2 are signed with it; add `api v2` and `application`, or leave it out"},
		{"webhooks of v1", "credentials key VALUE-secret", "shop", "only version 2 of the API has webhooks"},
		{"two versions for one account", "api v2\ncredentials key VALUE-secret", "shop\n}\nverify {\ncredentials key VALUE-secret", "api: it is v1 here and v2 in another handler of this account"},
		{"webhooks of nobody", "credentials key VALUE-secret", "login", "there is none named login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site := "verify {\naccount shop\n}"
			if tt.site != "" {
				site += "\nverify_webhook /hooks {\naccount " + tt.site + "\n}"
			}
			err := load("{\nverify {\naccount shop {\n" + tt.account + "\n}\n}\n}\n:0 {\n" + site + "\n}\n")
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(strings.ReplaceAll(err.Error(), "/nowhere/VALUE", ""), "VALUE") {
				t.Errorf("the error is: %v\nwant: %s", err, tt.want)
			}
		})
	}
}
