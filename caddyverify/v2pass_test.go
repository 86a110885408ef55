package caddyverify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const pathV2 = "/v2/verify"

// newUpstreamV2 is a sandbox of version 2.
func newUpstreamV2(t *testing.T, secret string) *testUpstream {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{API: sandbox.V2, APIKey: testKey, APISecret: secret, Code: testCode, AllowPinCode: true, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	u := &testUpstream{Sandbox: api}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Server.Close)
	return u
}

// newGatewayV2 serves a handler of an account at u.
func newGatewayV2(t *testing.T, u *testUpstream, h *Handler) *httptest.Server {
	t.Helper()
	h.API, h.Upstream = apiV2, u.URL
	return newGateway(t, h)
}

// startV2 is the body of a request by messages, each a channel and who it goes to.
func startV2(messages ...string) string {
	var steps []string
	for _, m := range messages {
		channel, to, _ := strings.Cut(m, " ")
		from := map[string]string{"email": `,"from":"sender@example.com"`}[channel]
		steps = append(steps, fmt.Sprintf(`{"channel":%q,"to":%q%s}`, channel, to, from))
	}
	return `{"brand":"Acme","workflow":[` + strings.Join(steps, ",") + `]}`
}

func callV2(t *testing.T, method, url, body string) reply {
	t.Helper()
	return do(t, request(t, method, url, "application/json", body))
}

// TestV2 has a client of version 2 do all that it can.
func TestV2(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	g := newGatewayV2(t, u, &Handler{})
	begin := func(messages ...string) string {
		t.Helper()
		got := callV2(t, http.MethodPost, g.URL+pathV2, startV2(messages...))
		if got.StatusCode != http.StatusAccepted || got.body != u.lastBody() {
			t.Fatalf("%s %s", got.Status, got.body)
		}
		return got.field("request_id")
	}
	id := begin("sms "+testNumber, "voice "+testNumber)
	undashed := strings.ReplaceAll(id, "-", "")
	silent := callV2(t, http.MethodPost, g.URL+pathV2+"/", startV2("silent_auth 447700900001", "sms 447700900001"))
	if want := "/" + silent.field("request_id") + "/silent-auth/redirect"; !strings.HasSuffix(silent.field("check_url"), want) || silent.body != u.lastBody() {
		t.Errorf("silent authentication: %s", silent.body)
	}
	for _, test := range []struct {
		name, method, path, body string
		code                     int
		media                    string
	}{
		{"one that runs already", http.MethodPost, "", startV2("sms " + testNumber), 409, "application/problem+json"},
		{"a wrong code", http.MethodPost, "/" + id, `{"code":"9999"}`, 400, "application/problem+json"},
		{"a cancel that is too early", http.MethodDelete, "/" + id, "", 404, "application/problem+json"},
		{"the next message", http.MethodPost, "/" + id + "/next_workflow", "", 200, ""},
		{"another one", http.MethodPost, "/" + id + "/next_workflow", "{}", 409, "application/problem+json"},
		{"a number for a text, and the id without dashes", http.MethodPost, "/" + undashed, `{"code":` + testCode + `}`, 200, "application/json"},
		{"one that is over", http.MethodPost, "/" + id, `{"code":"1234"}`, 404, "application/problem+json"},
		{"a token", http.MethodPost, "/" + silent.field("request_id"), `{"token":"abc"}`, 400, "application/problem+json"},
		{"what the provider finds wrong", http.MethodPost, "", `{"brand":"A/B","workflow":[{"channel":"sms","to":"447700900009"}]}`, 422, "application/problem+json"},
	} {
		before := len(u.Calls())
		got := callV2(t, test.method, g.URL+pathV2+test.path, test.body)
		if got.StatusCode != test.code || got.body != u.lastBody() || got.Header.Get("Content-Type") != test.media || len(u.Calls()) != before+1 {
			t.Errorf("%s: %s %q %s, and the provider said %s", test.name, got.Status, got.Header, got.body, u.lastBody())
		}
		if got.Header.Get("Proxy-Status") != "" {
			t.Errorf("%s: it is the gateway's own", test.name)
		}
	}
	// It is the same verification for a client of version 1.
	for _, spelt := range []string{id, undashed} {
		if got := get(t, g.URL+"/verify/search/json?request_id="+spelt); !strings.Contains(got.body, `"status":"SUCCESS"`) {
			t.Errorf("the search says %s", got.body)
		}
	}
	mail := begin("email someone@example.com")
	if got := get(t, g.URL+"/verify/search/json?request_id="+mail); got.field("status") != "IN PROGRESS" {
		t.Errorf("a search of one by e-mail says %s", got.body)
	}
}

// TestV2Cancel: a cancel is answered by 204 and nothing else, with a JWT and while version 1 drains, and both versions
// know of it.
func TestV2Cancel(t *testing.T) {
	for _, drained := range []string{"", apiV1} {
		synctest.Test(t, func(t *testing.T) {
			d := atV2(t, Account{Drain: drained, Credentials: &Credentials{APIKey: sandboxConfig.APIKey, APISecret: sandboxConfig.APISecret}})
			defer d.close(t)
			call := func(method, path, body string) *httptest.ResponseRecorder {
				w, r := httptest.NewRecorder(), httptest.NewRequest(method, pathV2+path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				_ = d.ServeHTTP(w, r, nil)
				return w
			}
			var begun struct {
				ID string `json:"request_id"`
			}
			if err := json.Unmarshal(call(http.MethodPost, "", startV2("sms 447700900000", "voice 447700900000")).Body.Bytes(), &begun); err != nil {
				t.Fatal(err)
			}
			time.Sleep(31 * time.Second)
			w := call(http.MethodDelete, "/"+begun.ID, "")
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 || w.Header().Get("Content-Length")+w.Header().Get("Content-Type") != "" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			search := d.call(wire.Search, "request_id="+strings.ReplaceAll(begun.ID, "-", ""))
			if got, _ := outcomeOf(t, wire.Search, search); got != wire.Cancelled {
				t.Errorf("the search says %s", search.Body)
			}
			if w := call(http.MethodPost, "/"+begun.ID, `{"code":"1234"}`); w.Code != http.StatusNotFound {
				t.Errorf("a check afterwards: %d %s", w.Code, w.Body)
			}
			for _, c := range d.api.Calls() {
				if c.API != sandbox.V2 {
					t.Errorf("a call of version 1: %+v", c)
				}
			}
		})
	}
}

// TestV2Upstream: of a client's call no more goes upstream than its parameters.
func TestV2Upstream(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	var sent *http.Request
	var body []byte
	u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r
		body = make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"request_id":"390f7296-aeff-45ba-8931-84a13f3f76d7","extra":[1]}`))
	})
	g := newGatewayV2(t, u, &Handler{})
	r := request(t, http.MethodPost, g.URL+pathV2+"?api_secret=x", "application/json; charset=utf-8", ` {
		"workflow": [ {"to":"+44 7700 900000","channel":"sms","reuse_code":true,"unknown":{"a":[1]}}, {"from":"a@b.c","to":"x@y.z","channel":"email"} ],
		"brand": "\u0041cme \"&\"", "channel_timeout": "60", "fraud_check": false, "client_ref": null, "api_key": "x", "code_length": 6 }`)
	r.Header.Set("Authorization", "Bearer of.a.client")
	r.Header.Set("Cookie", "a=b")
	r.Header.Set("User-Agent", "a client")
	got := do(t, r)
	if got.StatusCode != http.StatusAccepted || got.field("request_id") == "" {
		t.Fatalf("%s %s", got.Status, got.body)
	}
	want := `{"brand":"Acme \"&\"","workflow":[{"channel":"sms","to":"447700900000","reuse_code":true},{"channel":"email","to":"x@y.z","from":"a@b.c"}],` +
		`"channel_timeout":60,"code_length":6,"fraud_check":false}`
	if string(body) != want {
		t.Errorf("the provider gets %s, want %s", body, want)
	}
	key, secret, _ := sent.BasicAuth()
	if key != testKey || secret != testSecret || sent.URL.RawQuery != "" || sent.Header.Get("Cookie") != "" || strings.Contains(sent.UserAgent(), "client") {
		t.Errorf("the provider gets %s %v", sent.URL, sent.Header)
	}
}

// TestV2Refused: what the gateway says itself is a problem, with a code of its own whatever
// `errors` is, and nothing is sent.
func TestV2Refused(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	g := newGatewayV2(t, u, &Handler{Strict: true})
	const id = "/390f7296-aeff-45ba-8931-84a13f3f76d7"
	start := startV2("sms " + testNumber)
	for _, test := range []struct {
		name, method, path, body string
		code                     int
		cause, says              string
	}{
		{"GET of the start", "GET", "", "", 405, "method_not_allowed", "GET is not allowed"},
		{"DELETE of the start", "DELETE", "", "", 405, "method_not_allowed", ""},
		{"GET of one", "GET", id, "", 405, "method_not_allowed", ""},
		{"PUT of the next", "PUT", id + "/next_workflow", "", 405, "method_not_allowed", ""},
		{"no id", "POST", "/447700900000", `{"code":"1234"}`, 404, "unknown_path", "POST and DELETE /v2/verify/{request_id}"},
		{"a dash", "POST", id + "/next-workflow", "", 404, "misspelled_path", "/v2/verify/{request_id}/next_workflow"},
		{"another case", "POST", "/../Verify" + id, `{"code":"1234"}`, 404, "misspelled_path", "its path is /v2/verify/{request_id}"},
		{"an encoded path", "POST", strings.Replace(id, "3", "%33", 1), `{"code":"1234"}`, 404, "unknown_path", ""},
		{"a slash at the end", "POST", id + "/", `{"code":"1234"}`, 404, "misspelled_path", ""},
		{"templates", "GET", "/templates", "", 404, "templates_off", "owner"},
		{"a template", "PATCH", "/templates" + id, "{}", 404, "templates_off", ""},
		{"network-unblock", "POST", "/network-unblock", "{}", 404, "network_unblock_off", "owner"},
		{"silent authentication", "GET", id + "/silent-auth/redirect", "", 404, "silent_auth_redirect", "handset"},
		{"no JSON", "POST", "", "brand=Acme", 422, "undecodable", "not valid JSON"},
		{"a list", "POST", "", "[]", 422, "undecodable", "not a JSON object"},
		{"more than one", "POST", "", start + start, 422, "undecodable", "more than a JSON object"},
		{"Latin-1", "POST", "", strings.Replace(start, "Acme", "\xe9", 1), 422, "undecodable", "UTF-8"},
		{"a name twice", "POST", "", `{"brand":"A",` + start[1:], 422, "repeated_parameter", "More than one value for param: brand"},
		{"a name twice inside", "POST", "", strings.Replace(start, `"to"`, `"to":"1","to"`, 1), 422, "repeated_parameter", "param: to"},
		{"an unknown name", "POST", "", `{"x":1,` + start[1:], 422, "unknown_parameter", "Unknown param: x"},
		{"no workflow", "POST", "", `{"brand":"Acme"}`, 422, "missing_parameter", "workflow"},
		{"no brand", "POST", "", strings.Replace(start, "Acme", "", 1), 422, "missing_parameter", "brand"},
		{"an empty workflow", "POST", "", `{"brand":"Acme","workflow":[]}`, 422, "invalid_parameter", "workflow"},
		{"nobody", "POST", "", `{"brand":"Acme","workflow":[{"channel":"sms"}]}`, 422, "missing_parameter", ": to"},
		{"a national number", "POST", "", startV2("sms 07700900000"), 422, "invalid_parameter", ": to"},
		{"an address for a number", "POST", "", startV2("sms a@b.c"), 422, "invalid_parameter", ": to"},
		{"two numbers in one", "POST", "", startV2("sms 447700900000,447700900001"), 422, "invalid_parameter", ": to"},
		{"a list for a text", "POST", "", strings.Replace(start, `"Acme"`, `["Acme"]`, 1), 422, "invalid_parameter", "brand"},
		{"no code", "POST", id, "{}", 422, "missing_parameter", "code"},
		{"too large", "POST", "", start[:len(start)-1] + strings.Repeat(" ", 64<<10) + "}", 413, "body_too_large", "64 KiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := callV2(t, test.method, g.URL+pathV2+test.path, test.body)
			var problem struct{ Type, Title, Detail string }
			if err := json.Unmarshal([]byte(got.body), &problem); err != nil {
				t.Fatalf("%s %s: %v", got.Status, got.body, err)
			}
			if got.StatusCode != test.code || !strings.HasSuffix(problem.Type, "#"+test.cause) || problem.Title == "" ||
				!strings.Contains(problem.Detail, test.says) || !strings.Contains(problem.Detail, "nothing was sent (caddy-verify: "+test.cause+")") {
				t.Errorf("%s %s", got.Status, got.body)
			}
			if got.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.Header.Get("Proxy-Status"), test.cause) {
				t.Errorf("the header is %v", got.Header)
			}
			if allow := got.Header.Get("Allow"); (test.code == 405) != strings.HasPrefix(allow, "POST") {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
	media := do(t, request(t, http.MethodPost, g.URL+pathV2, "application/x-www-form-urlencoded", "brand=Acme"))
	browser := request(t, http.MethodPost, g.URL+pathV2, "application/json", start)
	browser.Header.Set("Origin", "null")
	if from := do(t, browser); media.StatusCode != http.StatusUnsupportedMediaType || from.StatusCode != http.StatusForbidden {
		t.Errorf("a form gets %s, a browser %s", media.Status, from.Status)
	}
	if n := len(u.Calls()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}

// TestV2IsAnAccounts: at an account of version 1 the paths are not the gateway's.
func TestV2IsAnAccounts(t *testing.T) {
	u := newUpstream(t)
	g := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	if got := callV2(t, http.MethodPost, g.URL+pathV2, startV2("sms "+testNumber)); got.StatusCode != http.StatusTeapot {
		t.Errorf("%s %s", got.Status, got.body)
	}
}

// TestV2Failures: what is no answer of the API is a problem of the gateway's, and one of the
// provider's own is passed on.
func TestV2Failures(t *testing.T) {
	for fault, want := range map[string]struct {
		code  int
		cause string
	}{
		"request http 502":  {502, "upstream_error"},
		"request html":      {502, "answer_unreadable"},
		"request close":     {502, "connection_lost"},
		"request garbage":   {502, "answer_unreadable"},
		"request echo":      {502, "answer_with_secret"},
		"request status 5":  {500, ""},
		"request status 1":  {429, ""},
		"request status 9":  {401, ""}, // quota-exceeded
		"request status 10": {409, ""},
	} {
		t.Run(fault, func(t *testing.T) {
			u := newUpstreamV2(t, testSecret)
			g := newGatewayV2(t, u, &Handler{})
			u.fail(t, fault)
			got := callV2(t, http.MethodPost, g.URL+pathV2, startV2("sms "+testNumber))
			proxy := got.Header.Get("Proxy-Status")
			if got.StatusCode != want.code || want.cause == "" && (proxy != "" || got.body != u.lastBody()) || !strings.Contains(proxy, want.cause) {
				t.Errorf("%s %q %s", got.Status, proxy, got.body)
			}
			expectAbsent(t, "answer", got.body, testSecret)
			if n := len(u.Calls()); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// TestV2Delivery: each call is sent once, whoever leaves, and its repetition gets its answer.
func TestV2Delivery(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	g := newGatewayV2(t, u, &Handler{})
	u.fail(t, "* delay 100ms")
	ask := func(method, path, body, key string) *http.Request {
		r := request(t, method, g.URL+pathV2+path, "application/json", body)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		return r
	}
	again := func(name, method, path, body, key string) reply {
		t.Helper()
		before := len(u.Calls())
		<-leaving(t, u, g, ask(method, path, body, key), func() bool { return len(u.Calls()) > before })
		got := do(t, ask(method, path, body, key))
		if n := len(u.Calls()) - before; n != 1 || got.StatusCode/100 != 2 {
			t.Errorf("%s: sent %d times, %s %s", name, n, got.Status, got.body)
		}
		return got
	}
	id := again("a start", http.MethodPost, "", startV2("sms "+testNumber, "voice "+testNumber), "").field("request_id")
	again("a next message with a key", http.MethodPost, "/"+id+"/next_workflow", "", "next-1")
	again("a right code", http.MethodPost, "/"+id, `{"code":"`+testCode+`"}`, "")

	// What says something else is another call.
	u.fail(t)
	one := do(t, ask(http.MethodPost, "", startV2("sms 447700900001"), "same"))
	other := do(t, ask(http.MethodPost, "", startV2("sms 447700900002"), "same"))
	if one.StatusCode != http.StatusAccepted || other.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(other.body, "idempotency_key_reused") {
		t.Errorf("two calls of one key: %s %s, %s %s", one.Status, one.body, other.Status, other.body)
	}
	// A client of version 1 gets no answer of version 2.
	v1 := postForm(t, g.URL+"/verify/check/json", "request_id="+id+"&code="+testCode)
	if v1.StatusCode != http.StatusOK || v1.field("status") != "6" {
		t.Errorf("a check of version 1: %s %s", v1.Status, v1.body)
	}
}

// TestV2Guard: the guard sees each number that a workflow goes to.
func TestV2Guard(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	h := &Handler{Account: Account{Guard: &Guard{DenyPrefix: &GuardRule{Mode: "enforce", Values: []string{"4477009"}}, PerNumber: &GuardRule{Mode: "enforce", Values: []string{"1/1h"}}}}}
	g := newGatewayV2(t, u, h)
	for _, test := range []struct {
		name string
		to   []string
		code int
	}{
		{"a denied one", []string{"sms 447700900000"}, 403},
		{"a denied one at the end", []string{"email a@b.cd", "sms 491711234567", "voice +44 7700 900000"}, 403},
		{"that refused the first one too", []string{"sms 491711234567", "voice 491711234568"}, 202},
		{"the second one again", []string{"sms 491711234568"}, 409},
		{"e-mail alone", []string{"email a@b.cd"}, 202},
	} {
		if got := callV2(t, http.MethodPost, g.URL+pathV2, startV2(test.to...)); got.StatusCode != test.code || len(got.field("request_id"))%36 != 0 {
			t.Errorf("%s: %s %s", test.name, got.Status, got.body)
		}
	}
	if n := len(u.Verifications()); n != 2 {
		t.Errorf("%d verifications were started", n)
	}
}

// TestV2Failover: a call of version 2 goes to no account that is at version 1.
func TestV2Failover(t *testing.T) {
	u, backup := newUpstreamV2(t, testSecret), newUpstreamV2(t, testSecret)
	v1, old := newProvider(t, "oldoldk1")
	site := freeAddress(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nverify {\n" +
		"account shop {\napi v2\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\nfailover old backup\n}\n" +
		"account old {\nupstream " + old.URL + "\ncredentials oldoldk1 " + testSecret + "\n}\n" +
		"account backup {\napi v2\nupstream " + backup.URL + "\ncredentials " + testKey + " " + testSecret + "\n}\n}\n}\n" +
		"http://" + site + " {\nverify {\naccount shop\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	u.fail(t, "request status 9")
	url := "http://" + site + pathV2
	if got := callV2(t, http.MethodPost, url, startV2("sms "+testNumber)); got.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%s %s", got.Status, got.body)
	}
	got := callV2(t, http.MethodPost, url, startV2("sms "+testNumber))
	if got.StatusCode != http.StatusAccepted || len(backup.Verifications()) != 1 {
		t.Errorf("%s %s", got.Status, got.body)
	}
	if got := callV2(t, http.MethodPost, url+"/"+got.field("request_id"), `{"code":"`+testCode+`"}`); got.StatusCode != http.StatusOK {
		t.Errorf("the check: %s %s", got.Status, got.body)
	}
	begun := postForm(t, "http://"+site+"/verify/json", "number=447700900009&brand=Acme") // goes to the first that takes it
	if begun.field("status") != "0" || len(v1.Verifications()) != 1 {
		t.Fatalf("a request of version 1: %s", begun.body)
	}
	if got := callV2(t, http.MethodPost, url+"/"+begun.field("request_id"), `{"code":"`+testCode+`"}`); got.StatusCode != http.StatusNotFound || len(v1.Calls()) != 1 {
		t.Errorf("a check of one of version 1: %s %s", got.Status, got.body)
	}
}

// sitesV2 runs a gateway with callers shop and login, each by its name as password. api is what
// `api v2` has.
func sitesV2(t *testing.T, u *testUpstream, log string, api ...string) (site string, call func(user, method, path, body string) reply) {
	t.Helper()
	const hash = "$2a$04$Zkzs1FLR6SSk0EMfrN6kFu9XHaD4jX3JBFqLKwUIvHs12IKw71Kii" // of "password", cheaply
	site = freeAddress(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + log + "verify {\n" +
		"account shop {\napi v2 {\n" + strings.Join(api, "\n") + "\n}\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\nguard {\ndeny_prefix enforce 4479999\n}\n}\n" +
		"callers {\ncaller shop {http.auth.user.id} shop\ncaller login {http.auth.user.id} login\n}\n}\n}\n" +
		"http://" + site + " {\nmetrics /metrics\ntracing\nroute /v2/* {\nbasic_auth {\nshop " + hash + "\nlogin " + hash + "\n}\nverify {\naccount shop\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	return site, func(user, method, path, body string) reply {
		t.Helper()
		r := request(t, method, "http://"+site+path, "application/json", body)
		r.SetBasicAuth(user, "password")
		return do(t, r)
	}
}

// TestV2Isolation: a caller's verification is, to another one, as if nobody had it.
func TestV2Isolation(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	_, call := sitesV2(t, u, "")
	id := call("shop", http.MethodPost, pathV2, startV2("sms "+testNumber, "voice "+testNumber)).field("request_id")
	const nobodys = "390f7296-aeff-45ba-8931-84a13f3f76d7"
	for _, test := range []struct{ method, path, body string }{
		{http.MethodPost, "", `{"code":"` + testCode + `"}`},
		{http.MethodPost, "/next_workflow", ""},
		{http.MethodDelete, "", ""},
	} {
		got := call("login", test.method, pathV2+"/"+id+test.path, test.body)
		unknown := call("login", test.method, pathV2+"/"+nobodys+test.path, test.body)
		if got.StatusCode != http.StatusNotFound || strings.ReplaceAll(got.field("detail"), id, nobodys) != unknown.field("detail") || !strings.Contains(got.body, id) {
			t.Errorf("%s %s: %s %s, and of one that nobody has %s", test.method, test.path, got.Status, got.body, unknown.body)
		}
	}
	// Nor is he told which one is under way; its owner is.
	for user, told := range map[string]bool{"login": false, "shop": true} {
		got := call(user, http.MethodPost, pathV2, startV2("sms "+testNumber))
		if got.StatusCode != http.StatusConflict || strings.Contains(got.body, id) != told {
			t.Errorf("%s: %s %s", user, got.Status, got.body)
		}
	}
	if got := call("shop", http.MethodPost, pathV2+"/"+id, `{"code":"`+testCode+`"}`); got.StatusCode != http.StatusOK {
		t.Errorf("its owner: %s %s", got.Status, got.body)
	}
}

// TestCanaryV2: what clients of version 2 send, and a check_url, is in no log, metric or span.
func TestCanaryV2(t *testing.T) {
	const canaryMail, canaryPath = "canary-of-mail@example.com", "silent-auth/redirect"
	u := newUpstreamV2(t, testSecret)
	exported := collect(t)
	option, logged := logFile(t)
	site, call := sitesV2(t, u, strings.Replace(option, "{\n", "{\nlevel DEBUG\n", 1), "templates shop")
	full := `{"brand":"Acme","client_ref":"CanaryRef","code":"` + canaryCode + `","workflow":[` +
		`{"channel":"silent_auth","to":"` + canaryNumber + `","redirect_url":"https://canary.example/?n=1"},` +
		`{"channel":"email","to":"` + canaryMail + `","from":"a@b.cd"},{"channel":"sms","to":"+` + canaryNumber + `"}]}`
	started := call("shop", http.MethodPost, pathV2, full)
	id := started.field("request_id")
	if started.StatusCode != http.StatusAccepted || started.field("check_url") == "" {
		t.Fatal(started.Status, started.body)
	}
	calls := 1
	every := func() {
		for _, user := range []string{"shop", "login"} {
			for _, c := range []struct{ method, path, body string }{
				{http.MethodPost, "", full},
				{http.MethodPost, "", full[:len(full)-1] + `,"` + canaryNumber + `":"` + canaryCode + `"}`},
				{http.MethodPost, "", strings.Replace(full, canaryNumber, "4479999"+canaryNumber[7:], 1)}, // the guard's
				{http.MethodPost, "", full + full},
				{http.MethodPost, "", strings.Replace(full, `"to"`, `"`+canaryCode+`":1,"`+canaryCode+`":2,"to"`, 1)},
				{http.MethodPost, "", strings.Replace(full, "email", canaryNumber, 1)},
				{http.MethodPost, "", canaryNumber + canaryMail},
				{http.MethodPost, "/" + id, `{"code":"` + canaryCode + `1"}`},
				{http.MethodPost, "/" + id, `{"token":"CanaryToken"}`},
				{http.MethodPost, "/" + id + "/next_workflow", `{"code":"` + canaryCode + `"}`},
				{http.MethodDelete, "/" + id, ""},
				{http.MethodPost, "/" + canaryNumber, `{"code":"` + canaryCode + `"}`},
				{http.MethodPost, "/" + canaryMail + "/next_workflow?to=" + canaryNumber, ""},
				{http.MethodPost, "?to=" + canaryNumber + "&" + canaryMail, full},
				{http.MethodGet, "/" + id + "/" + canaryPath + "?code=" + canaryCode, ""},
				{http.MethodPost, "/network-unblock", `{"network":"` + canaryNumber + `"}`},
				{http.MethodPatch, "/templates/" + canaryNumber, `{"text":"` + canaryNumber + `"}`},
				{http.MethodGet, "/templates?page=" + canaryNumber + "&" + canaryMail, ""},
				{http.MethodGet, "/templates?page=1&page_size=" + canaryNumber, ""},
				{http.MethodPost, "/templates?x=" + canaryNumber, `{"name":"CanaryRef","` + canaryNumber + `":"` + canaryCode + `"}`},
				{http.MethodPatch, "/templates/" + id, `{"name":"` + canaryNumber + `"}`},
				{http.MethodPost, "/templates/" + id + "/template_fragments", `{"channel":"sms","locale":"` + canaryMail + `","text":"CanaryToken ` + canaryNumber + `"}`},
				{http.MethodDelete, "/templates/" + id + "/template_fragments/" + id, ""},
				{http.MethodPost, "/%34479" + canaryNumber, ""},
			} {
				call(user, c.method, pathV2+c.path, c.body)
				calls++
			}
		}
	}
	every()
	for _, fault := range []string{"close", "garbage", "html", "truncate", "redirect http://127.0.0.1/" + canaryNumber, "echo", "no_content_type", "http 502", "status 3", "status 5", "status 9"} {
		u.fail(t, "* "+fault)
		every()
	}
	metrics := get(t, "http://"+site+"/metrics").body
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	spans := exported("/v1/traces")
	for where, told := range map[string]bool{
		"log":     strings.Contains(logged(), `"operation":"check"`) && strings.Count(logged(), `"msg":"call"`) >= calls,
		"spans":   strings.Contains(spans, "POST /v2/verify/{request_id}") && strings.Contains(spans, "DELETE /v2/verify/templates/{template_id}/template_fragments/{template_fragment_id}"),
		"metrics": strings.Contains(metrics, `verify_v2_answers_total{account="ef01@127.0.0.1:`),
	} {
		if !told {
			t.Errorf("the test does not see what is told in the %s", where)
		}
	}
	for where, text := range map[string]string{"log": logged(), "metrics": metrics, "spans": spans} {
		for _, canary := range []string{
			testSecret, canaryNumber, canaryNumber[3:], canaryCode, canaryMail, "canary-of-mail", "canary.example", "CanaryRef", "CanaryToken",
		} {
			expectAbsent(t, where, text, canary)
		}
		if where != "spans" || strings.Contains(text, canaryPath+"?") {
			expectAbsent(t, where, text, id+"/"+canaryPath)
		}
	}
}
