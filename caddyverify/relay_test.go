package caddyverify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// receiver is an application that takes webhooks.
type receiver struct {
	*httptest.Server
	secret string
	fails  bool // the first time

	mu  sync.Mutex
	got chan string // bodies
	ids map[string]bool
}

func newReceiver(t *testing.T, secret string) *receiver {
	t.Helper()
	r := &receiver{secret: secret, got: make(chan string, 100), ids: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fails {
			r.fails = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if why := r.refuses(in, body); why != "" {
			t.Errorf("a webhook %s: %s", in.Header.Get("Authorization"), why)
		}
		r.got <- string(body)
	}))
	t.Cleanup(r.Close)
	return r
}

// gets waits for a webhook.
func (r *receiver) gets(t *testing.T, body string) {
	t.Helper()
	select {
	case got := <-r.got:
		if got != body {
			t.Errorf("the application gets %s", got)
		}
	case <-t.Context().Done():
		t.Fatal("the application gets nothing")
	}
}

// refuses checks a webhook as the provider's SDKs do.
func (r *receiver) refuses(in *http.Request, body []byte) string {
	parts := strings.Split(strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return "no token"
	}
	mac := hmac.New(sha256.New, []byte(r.secret))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if parts[2] != base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) {
		return "signed by another"
	}
	var claims struct {
		Jti  string
		Hash string `json:"payload_hash"`
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if err := json.Unmarshal(text, &claims); err != nil || claims.Hash != fmt.Sprintf("%x", sha256.Sum256(body)) || claims.Jti == "" || r.ids[claims.Jti] {
		return "claims " + string(text)
	}
	r.ids[claims.Jti] = true
	return ""
}

// TestRelay has three callers start verifications, whose webhooks go to each one's own application.
func TestRelay(t *testing.T) {
	secrets := map[string]string{"CHECKOUT": canaryRelay, "OTHER": strings.Repeat("another-secret-", 3)}
	for name, secret := range secrets {
		t.Setenv("VERIFY_TEST_RELAY_"+name, secret)
	}
	checkout, other := newReceiver(t, secrets["CHECKOUT"]), newReceiver(t, secrets["OTHER"])
	j := newJourney(t)
	j.callers = "callers {\ncaller checkout {http.request.header.X-App} checkout\ncaller support {http.request.header.X-App} support\ncaller login {http.request.header.X-App} login\n}\n"
	j.relays = "relay checkout " + checkout.URL + "/hooks?token=of-the-url {env.VERIFY_TEST_RELAY_CHECKOUT}\nrelay * " + other.URL + " {env.VERIFY_TEST_RELAY_OTHER}\n"
	j.load()
	checkout.fails = true
	for i, test := range []struct {
		app string
		to  *receiver
	}{{"checkout", checkout}, {"support", other}, {"login", other}, {"checkout", checkout}} {
		r := request(t, http.MethodPost, "http://"+j.site+"/verify/json", "application/x-www-form-urlencoded", fmt.Sprintf("number=44770090030%d&brand=Acme&workflow_id=6", i))
		r.Header.Set("X-App", test.app)
		id := do(t, r).field("request_id")
		j.elsewhere(id, testCode, http.StatusOK)
		for range 2 { // an event and the end
			select {
			case body := <-test.to.got:
				if !strings.Contains(body, dashed(id)) {
					t.Errorf("%s gets %s", test.app, body)
				}
			case <-t.Context().Done():
				t.Fatal("there is no webhook")
			}
		}
	}
	if n := len(checkout.got) + len(other.got); n != 0 {
		t.Errorf("there are %d webhooks more", n)
	}
	scrape := func() string { return do(t, request(t, http.MethodGet, "http://"+j.site+"/metrics", "", "")).body }
	metrics := scrape()
	for !strings.Contains(metrics, `result="delivered"} 8`) && t.Context().Err() == nil { // which is counted once it is answered
		metrics = scrape()
	}
	for _, want := range []string{`result="retried"} 1`, `result="gave_up"} 0`, `result="dropped"} 0`} {
		if !strings.Contains(metrics, "verify_webhook_relays_total{") || !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	logged := j.logged()
	place := `"to":"` + strings.TrimPrefix(checkout.URL, "http://") + `/hooks"`
	for _, want := range []string{
		`"level":"warn"[^\n]*"msg":"webhook not relayed yet, trying again"[^\n]*` + place + `[^\n]*"caller":"checkout","why":"it answered 503`,
		`"level":"info"[^\n]*"msg":"webhooks are relayed again"[^\n]*` + place,
		`"level":"debug"[^\n]*"msg":"webhook relayed"`,
	} {
		if !regexp.MustCompile(want).MatchString(logged) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for line := range strings.Lines(logged + metrics) {
		for _, word := range []string{canaryRelay, "another-secret", "4477009003"} {
			if strings.Contains(line, word) {
				t.Errorf("%s is in the log or the metrics: %.300s", word, line)
			}
		}
		if strings.Contains(line, `relayed`) && strings.Contains(line, "of-the-url") {
			t.Errorf("the log has the URL: %s", line)
		}
	}
}

// TestRelayOnceOverReload has a webhook come again after a reload: the application gets it once.
func TestRelayOnceOverReload(t *testing.T) {
	t.Setenv("VERIFY_TEST_RELAY", canaryRelay)
	apps := newReceiver(t, canaryRelay)
	j := newJourney(t)
	j.relays = "relay * " + apps.URL + " {env.VERIFY_TEST_RELAY}\n"
	j.load()
	body := `{"request_id":"` + dashed(j.start(0)) + `","type":"summary","status":"failed"}`
	hooks := "http://" + j.hooks + "/webhooks/verify"
	for i := range 2 {
		r := signed(t, hooks, canarySigned, "one", body)
		r.Close = true // a reload ends the connection
		if got := do(t, r); got.StatusCode != http.StatusNoContent {
			t.Errorf("time %d is answered %d", i+1, got.StatusCode)
		}
		if i == 0 {
			j.relays += "relay nobody " + apps.URL + " " + strings.Repeat("another-secret-", 4) + "\n"
			j.load()
		}
	}
	metrics := do(t, request(t, http.MethodGet, "http://"+j.site+"/metrics", "", "")).body
	for _, want := range []string{`result="taken"} 1`, `result="repeated"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	apps.gets(t, body)
	if err := caddy.Stop(); err != nil { // which ends what is under way
		t.Fatal(err)
	}
	if len(apps.got) != 0 {
		t.Error("the application gets it again")
	}
}

// TestRelayGoesWhereReloadSays has a reload mend the URL and the secret of a relay while a webhook waits for its next try.
func TestRelayGoesWhereReloadSays(t *testing.T) {
	secrets := []string{canaryRelay, strings.Repeat("another-secret-", 3)}
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(down.Close)
	apps := newReceiver(t, secrets[1])
	j := newJourney(t)
	j.relays = "relay * " + down.URL + " " + secrets[0] + "\n"
	j.load()
	body := `{"request_id":"` + dashed(j.start(0)) + `","type":"summary","status":"failed"}`
	r := signed(t, "http://"+j.hooks+"/webhooks/verify", canarySigned, "one", body)
	r.Close = true // a reload ends the connection
	if got := do(t, r); got.StatusCode != http.StatusNoContent {
		t.Fatalf("it is answered %d", got.StatusCode)
	}
	for !strings.Contains(j.logged(), "webhook not relayed yet") && t.Context().Err() == nil {
		runtime.Gosched()
	}
	j.relays = "relay * " + apps.URL + " " + secrets[1] + "\n"
	j.load()
	apps.gets(t, body)
}

// Errors of relays name what is wrong, and nothing of the secret.
func TestSettingsOfRelays(t *testing.T) {
	private, _ := applicationKey()
	t.Setenv("VERIFY_TEST_PRIVATE_KEY", private)
	const long, provider = "CANARY0123456789abcdef0123456789abcdef", "CANARY-of-the-provider-0123456789abcdef"
	for name, test := range map[string]struct{ lines, want string }{
		"a word too few":     {"relay checkout https://a.internal/", "relay takes three arguments"},
		"no URL":             {"relay checkout a.internal " + long, "relay checkout: it is not an https URL"},
		"in clear":           {"relay checkout http://a.internal " + long, "relay checkout: http would send phone numbers in clear"},
		"a placeholder":      {"relay checkout https://{env.X}/ " + long, "placeholders are read in the secret alone"},
		"nobody":             {"relay chekout https://a.internal " + long, `relay chekout: there is no such caller; write one of ["checkout"], or * for all`},
		"twice":              {"relay * https://a.internal " + long + "\nrelay * https://b.internal " + long, "relay *: it is there twice"},
		"an empty secret":    {"relay * https://a.internal \"\"", "relay *: the secret is empty; write a placeholder, such as {file./path}, and mind that {$NAME}"},
		"a short secret":     {"relay * https://a.internal CANARY", "relay *: the secret has fewer than 32 characters"},
		"a secret of two":    {"relay checkout https://a.internal " + long + "\nrelay * https://b.internal " + long, "relay *: its secret is that of relay checkout, and whoever has one secret"},
		"the account's":      {"relay * https://a.internal " + provider, "relay *: its secret is the account's signature_secret"},
		"a secret of nobody": {"relay * https://a.internal {env.VERIFY_TEST_NOBODY}", "VERIFY_TEST_NOBODY"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nlog default {\noutput discard\n}\nverify {\naccount shop {\napi v2\napplication " + testApplication +
				"\nprivate_key {env.VERIFY_TEST_PRIVATE_KEY}\nsignature_secret " + provider + "\n}\ncallers {\ncaller checkout {http.request.header.X-App} checkout\n}\n}\n}\n" +
				"http://" + freeAddress(t) + " {\nverify_webhook {\naccount shop\n" + test.lines + "\n}\n}\n")
			if err == nil {
				err = loadConfig(config)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("it says %v", err)
			}
			_ = caddy.Stop()
		})
	}
}

// TestNullInJSON: what a template of a configuration may leave empty is an error, and no panic.
func TestNullInJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"http":{"servers":{"s":{"listen":["` + freeAddress(t) + `"],"routes":[{"handle":[{"handler":"verify_webhook","account":"shop","relays":[null]}]}]}}},` +
			`"verify":{"accounts":{"shop":{"api":"v2","credentials":{"api_key":"` + testKey + `","api_secret":"` + testSecret + `"},"signature_secret":"` + testSignatureSecret + `"}}}}`: "relays[0]: it is null",
		`{"verify":{"callers":{"known":[null]}}}`: "known[0]: it is null",
		`{"verify":{"callers":{"known":[null]},"accounts":{"shop":{"api":"v2","templates":{"callers":["a"]},"credentials":{"api_key":"` + testKey + `","api_secret":"` + testSecret + `"}}}}}`: "null",
		`{"verify":{"accounts":{"shop":{"api":"v2","templates":{},"credentials":{"api_key":"` + testKey + `","api_secret":"` + testSecret + `"}}}}}`:                                           "templates: nobody is named",
	} {
		err := loadConfig([]byte(`{"admin":{"disabled":true},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":` + text + `}`))
		if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "no caller named a") {
			t.Errorf("it says %v, want %s", err, want)
		}
		_ = caddy.Stop()
	}
}
