package caddyverify

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// canaryV2 is a gateway at version 2 and all that comes out of it.
type canaryV2 struct {
	t                 *testing.T
	folder            string
	provider          *providerV2
	site, hooks, back string // addresses
	answers           strings.Builder
	headers           strings.Builder
	told              strings.Builder // what webhooks are answered
	tokens            []string        // of webhooks
	relay             *everyOther
	calls, webhooks   int
}

func (c *canaryV2) file(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *canaryV2) log() string {
	c.t.Helper()
	content, err := os.ReadFile(filepath.Join(c.folder, "log"))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(content)
}

// caddyfile is Caddyfile.example with an account at version 2.
func (c *canaryV2) caddyfile() string {
	c.t.Helper()
	logger := "{\nimport without_numbers\nlevel DEBUG\noutput file " + c.folder + "/log\n}\n"
	account := "account shop {\nupstream " + c.provider.URL + "\napi v2 {\ndrain v1\ntemplates *\n}\napplication " + testApplication + "\n" +
		"private_key {file." + c.folder + "/private_key}\nsignature_secret {file." + c.folder + "/signature_secret}\n" +
		"credentials " + testKey + " {file." + c.folder + "/vonage_api_secret}\n" +
		"limit off\nbreaker off\ntimeout 2s\nsettle\nguard {\nrecommended monitor\nrecord " + c.folder + "/starts.jsonl\n}\n}\n"
	text, _, found := strings.Cut(shippedText(c.t), "\tverify {\n\t\t# The base URL")
	if !found {
		c.t.Fatal("Caddyfile.example has no such line any more")
	}
	text = replaced(c.t, text, map[string]string{
		":8080 {": strings.TrimPrefix(c.site, "127.0.0.1") + " {\nbind 127.0.0.1\nhandle_errors {\nrespond 500\n}\nerror /boom* 500\n" +
			"rewrite /rewritten* /elsewhere?{query}\nredir /moved* /elsewhere?{query}",
		"# not path /v2/verify /v2/verify/*": "not path /v2/verify /v2/verify/*",
		"# otlp":                             "otlp", "# verify_live": "verify_live",
		"# tracing /verify/* {":                     "tracing /verify/* {\nspan verify\n}",
		"log default {\n\t\timport without_numbers": "admin " + c.back + "\nlog default {\nimport without_numbers\nlevel DEBUG\noutput file " + c.folder + "/log",
		"log {\n\t\timport without_numbers\n\t}":    "log " + logger,
		"\tservers {":                               "verify {\nstore redis {\naddress " + freeAddress(c.t) + "\nencryption_key {file." + c.folder + "/store_key}\n}\n" + account + "}\n\tservers {\ntrace",
	})
	return text + "verify {\naccount shop\n}\n}\nhttp://" + c.hooks + " {\nlog " + logger +
		"tracing {\nspan hook\n}\nverify_webhook /webhooks/verify {\naccount shop\nrelay * " + c.relay.URL + "/hooks {file." + c.folder + "/relay_secret}\n}\n}\n"
}

// everyOther is an application that webhooks are passed on to, and that takes every other one.
type everyOther struct {
	*httptest.Server
	mu     sync.Mutex
	tokens []string
}

func newRelay(t *testing.T) *everyOther {
	t.Helper()
	r := new(everyOther)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tokens = append(r.tokens, strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer "))
		if len(r.tokens)%2 == 0 {
			http.Error(w, canaryNumber, http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *everyOther) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tokens)
}

// ask makes a call of an application.
func (c *canaryV2) ask(r *http.Request) reply {
	r.SetBasicAuth("client", canaryClient)
	r.Header.Set("Referer", "http://app.internal/?number="+canaryNumber)
	got := do(c.t, r)
	fmt.Fprintln(&c.answers, got.Status, got.Header, got.body)
	fmt.Fprintln(&c.headers, got.Status, got.Header)
	c.calls++
	return got
}

func (c *canaryV2) post(path, form string) reply {
	return c.ask(request(c.t, http.MethodPost, "http://"+c.site+"/verify/"+path, "application/x-www-form-urlencoded", form))
}

// everyWay makes each call in each way.
func (c *canaryV2) everyWay() {
	for _, call := range [][3]string{
		{http.MethodGet, "?page=" + canaryNumber, ""},
		{http.MethodPost, "", `{"name":"` + canaryNumber + `","` + canaryNumber + `":"` + canaryCode + `"}`},
		{http.MethodPatch, nobodysV2 + fragmentsV2 + nobodysV2, `{"text":"` + canaryNumber + ` ` + canaryCode + `"}`},
	} {
		c.ask(request(c.t, call[0], "http://"+c.site+templatesV2+call[1], "application/json", call[2]))
	}
	c.startV2("447911654329")
	c.checkV2(nobodysV2[1:])
	for _, o := range wire.Operations {
		for _, format := range o.Formats() {
			for _, build := range ways {
				id := "cc121958d8fb4368aa3bb762bb9a0f74"
				if all := c.provider.Verifications(); len(all) > 0 {
					id = strings.ReplaceAll(all[len(all)-1].RequestID, "-", "")
				}
				form := strings.ReplaceAll(canaryCalls[o], "%s", id) + "&api_key=client&api_secret=" + canaryClient
				c.ask(build(c.t, "http://"+c.site+wire.Path(o, format), form))
			}
		}
	}
}

// startV2 starts a verification as a client of version 2, to several numbers and an e-mail address, of which nothing is to be shown.
func (c *canaryV2) startV2(number string) reply {
	return c.ask(request(c.t, http.MethodPost, "http://"+c.site+pathV2, "application/json",
		`{"brand":"Acme","code":"`+canaryCode+`","workflow":[{"channel":"sms","to":"`+number+`"},{"channel":"voice","to":"`+canaryNumber+`"},{"channel":"email","to":"`+canaryNumber+`@example.com"}]}`))
}

func (c *canaryV2) checkV2(id string) reply {
	return c.ask(request(c.t, http.MethodPost, "http://"+c.site+pathV2+"/"+id, "application/json", `{"code":"`+canaryCode+`"}`))
}

// tell delivers a webhook and wants that answer.
func (c *canaryV2) tell(what string, r *http.Request, want int) {
	c.t.Helper()
	got := do(c.t, r)
	fmt.Fprintln(&c.told, got.Status, got.Header, got.body)
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token != "" {
		c.tokens = append(c.tokens, token)
	}
	if got.StatusCode != want {
		c.t.Errorf("a webhook %s is answered %d %s, want %d", what, got.StatusCode, got.body, want)
	}
	c.webhooks++
}

// tellAll delivers what is taken and what is refused, all of it with what must not be shown.
func (c *canaryV2) tellAll(id string) {
	url := "http://" + c.hooks + "/webhooks/verify"
	body := strings.Replace(summary(id, "completed"), `"type"`, `"client_ref":"`+canaryNumber+`","to":"`+canaryNumber+`","code":"`+canaryCode+`","type"`, 1)
	sign := func(secret, body string, claims map[string]any) *http.Request {
		return hook(c.t, url, signature(secret, body, claims), body)
	}
	numbered := map[string]any{"iss": canaryNumber, "sub": canaryCode, "jti": canaryNumber + canaryCode}
	c.tell("that is in order", sign(canarySigned, body, numbered), 204)
	c.tell("that came before", sign(canarySigned, body, numbered), 204)
	c.tell("that is not signed", hook(c.t, url, "", body), 503)
	c.tell("signed with another secret", sign(canaryNext+canaryNext, body, numbered), 401)
	c.tell("of another account", sign(canarySigned, body, map[string]any{"api_key": canaryNumber}), 401)
	c.tell("of long ago", sign(canarySigned, body, map[string]any{"iat": 1, "sub": canaryNumber}), 401)
	c.tell("of another body", hook(c.t, url, signature(canarySigned, body+" ", nil), body), 401)
	c.tell("signed with the secret as it is", hook(c.t, url, canarySigned, body), 401)
	c.tell("signed with a number", hook(c.t, url, canaryNumber+"."+canaryCode+"."+canaryNumber, body), 401)
	unknown := strings.ReplaceAll(body, dashed(id), "00000000-0000-4000-8000-000000000000")
	// The store is away, and cannot say whose these are.
	c.tell("of an unknown verification", sign(canarySigned, unknown, nil), 503)
	numbers := strings.ReplaceAll(body, dashed(id), canaryNumber)
	c.tell("of a number in place of an id", sign(canarySigned, numbers, nil), 503)
	large := strings.Replace(body, `"type"`, `"padding":"`+strings.Repeat(canaryNumber, webhook.MaxBody/len(canaryNumber))+`","type"`, 1)
	c.tell("that is too large", sign(canarySigned, large, nil), 413)
	c.tell("that is none", sign(canarySigned, `{"`+canaryNumber+`":`+canaryCode, nil), 400)
	for _, status := range []string{canaryNumber, "blocked"} {
		odd := strings.ReplaceAll(strings.ReplaceAll(body, `"completed"`, `"`+status+`"`), "}]", `,"reason":"network [ `+canaryNumber+` ]"}]`)
		c.tell("of a status "+status, sign(canarySigned, odd, nil), 204)
	}
	c.tell("with a kind "+canaryNumber, sign(canarySigned, strings.Replace(body, `"summary"`, `"`+canaryNumber+`"`, 1), nil), 204)
	queried := sign(canarySigned, body, nil)
	queried.URL.RawQuery = "number=" + canaryNumber + "&code=" + canaryCode + "&secret=" + canaryClient
	c.tell("with a query", queried, 204)
	got := do(c.t, request(c.t, http.MethodGet, url+"?number="+canaryNumber+"&code="+canaryCode, "", ""))
	fmt.Fprintln(&c.told, got.Status, got.Header, got.body)
}

// expectSearch wants a verification to be told of.
func (c *canaryV2) expectSearch(id, status string) {
	c.t.Helper()
	if got := c.post("search/json", "request_id="+id); got.field("status") != status {
		c.t.Errorf("a search is answered %s, want %s", got.body, status)
	}
}

// await waits for a line of the log.
func (c *canaryV2) await(line string) {
	c.t.Helper()
	for !strings.Contains(c.log(), line) {
		if c.t.Context().Err() != nil {
			c.t.Fatalf("no line %s", line)
		}
	}
}

// examine has the doctor look at a Caddyfile while the provider has a fault.
func (c *canaryV2) examine(caddyfile, fault string) string {
	c.t.Helper()
	c.provider.fail(c.t, fault)
	c.file("Caddyfile", caddyfile)
	e := examination{config: filepath.Join(c.folder, "Caddyfile"), autosave: filepath.Join(c.folder, "autosave.json"), getenv: func(string) string { return "" }}
	if err := quietCaddy(); err != nil {
		c.t.Fatal(err)
	}
	e.run(c.t.Context())
	var printed strings.Builder
	if err := errors.Join(e.report.WriteText(&printed), e.report.WriteJSON(&printed)); err != nil {
		c.t.Fatal(err)
	}
	return printed.String()
}

// expectAll wants each output to be there.
func (c *canaryV2) expectAll(outputs map[string]string) {
	c.t.Helper()
	for where, lines := range map[string][]string{
		"logs":             {"/boom?number=REDACTED", "http.log.error", `"secret replaced"`, `"store is away, going on alone"`, "a library printed a line", "Unsolicited response received on idle HTTP channel"},
		"spans":            {"POST /verify/check/{format}", "/v2/verify/{request_id}"},
		"exported metrics": {"verify_requests_total", "verify_webhooks"},
		"scrape":           {"verify_webhooks", `operation="check",source="gateway",status="5"`, `operation="templates",source="upstream",status="3"`},
		"admin API":        {"signature_secret}", "private_key}"},
		"errors":           {"private_key, from {file."},
		"doctor":           {"access"},
		"record of starts": {`"outcome":"success"`},
	} {
		for _, line := range lines {
			if !strings.Contains(outputs[where], line) {
				c.t.Errorf("%q is not in the %s: the test does not see what it should", line, where)
			}
		}
	}
	if n := strings.Count(outputs["logs"], `"handled request"`); n < c.calls+c.webhooks {
		c.t.Errorf("only %d of %d calls and webhooks are in the access log", n, c.calls+c.webhooks)
	}
}
