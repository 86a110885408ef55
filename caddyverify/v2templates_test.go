package caddyverify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

const (
	templatesV2 = pathV2 + "/templates"
	nobodysV2   = "/390f7296-aeff-45ba-8931-84a13f3f76d7"
	fragmentsV2 = "/template_fragments"
	fragmentV2  = `{"channel":"sms","locale":"en-us","text":"Your code is ${code}\n@example.com #${code}"}`
)

// TestTemplates has a client do all that there is to do with templates, and gets the provider's words for it.
func TestTemplates(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	g := newGatewayV2(t, u, &Handler{Account: Account{Templates: &Templates{Callers: []string{"*"}}}})
	ask := func(what, method, path, body string, code int) reply {
		t.Helper()
		before := len(u.Calls())
		got := callV2(t, method, g.URL+path, body)
		if got.StatusCode != code || got.body != u.lastBody() || len(u.Calls()) != before+1 || got.Header.Get("Proxy-Status") != "" {
			t.Errorf("%s: %s %q %s, and the provider said %s", what, got.Status, got.Header, got.body, u.lastBody())
		}
		last := u.Calls()[len(u.Calls())-1]
		if _, query, _ := strings.Cut(last.URI, "?"); last.Method != method || strings.Join(last.Credentials, " ") != "basic" || strings.Contains(query, "x") {
			t.Errorf("%s: the provider gets %+v", what, last)
		}
		return got
	}
	one := templatesV2 + "/" + ask("a new one", "POST", templatesV2, `{"name":"first"}`, 201).field("template_id")
	ask("the same name", "POST", templatesV2, `{"name":"first"}`, 409)
	ask("what the provider finds wrong", "POST", templatesV2, `{}`, 422)
	ask("it", "GET", one, "", 200)
	ask("it without dashes", "GET", templatesV2+"/"+strings.ReplaceAll(one[len(templatesV2)+1:], "-", ""), "", 200)
	ask("it, changed", "PATCH", one, `{"name":"renamed","is_default":true}`, 200)
	part := one + fragmentsV2 + "/" + ask("a text", "POST", one+fragmentsV2, fragmentV2, 201).field("template_fragment_id")
	ask("the texts", "GET", one+fragmentsV2, "", 200)
	if got := ask("a page of texts", "GET", one+fragmentsV2+"?page_size=007&x=1&page=1&api_secret=x", "", 200); !strings.Contains(got.body, `"page_size":7`) {
		t.Errorf("a page: %s", got.body)
	}
	if got := ask("a text", "GET", part+"?page=x", "", 200); !strings.Contains(got.body, `"text":"Your code is ${code}\n@example.com #${code}"`) {
		t.Errorf("a text: %s", got.body)
	}
	ask("another text", "PATCH", part, `{"text":"It is ${code}"}`, 200)
	ask("one with texts", "DELETE", one, "", 409)
	if got := ask("a text's end", "DELETE", part, "", 204); got.body != "" || got.Header.Get("Content-Type") != "" {
		t.Errorf("%q %s", got.Header, got.body)
	}
	ask("a text that is gone", "GET", part, "", 404)
	ask("one's end", "DELETE", one, "", 204)
	if got := ask("all", "GET", templatesV2, "", 200); !strings.Contains(got.body, "https://api.nexmo.com/v2/verify/templates?page=1") {
		t.Errorf("the links are not as they came: %s", got.body)
	}
	if n := len(u.Verifications()); n != 0 {
		t.Errorf("%d verifications", n)
	}
}

// TestTemplatesRefused: only what is one of the calls goes through, where it is let through.
func TestTemplatesRefused(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	on := newGatewayV2(t, u, &Handler{Strict: true, Account: Account{Templates: &Templates{Callers: []string{"*"}}}})
	off := newGatewayV2(t, newUpstreamV2(t, testSecret), &Handler{})
	many, one := []string{"GET", "POST"}, []string{"GET", "PATCH", "DELETE"}
	for path, allowed := range map[string][]string{
		"": many, nobodysV2: one, nobodysV2 + fragmentsV2: many, nobodysV2 + fragmentsV2 + nobodysV2: one,
	} {
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"} {
			before := len(u.Calls())
			got := callV2(t, method, on.URL+templatesV2+path, "{}")
			sent, may := len(u.Calls())-before, false
			for _, m := range allowed {
				may = may || m == method
			}
			if (sent == 1) != may || may && got.Header.Get("Proxy-Status") != "" || !may && (got.StatusCode != 405 || got.Header.Get("Allow") != strings.Join(allowed, ", ")) {
				t.Errorf("%s %s: sent %d times, %s %q", method, path, sent, got.Status, got.Header)
			}
			if got := callV2(t, method, off.URL+templatesV2+path, "{}"); got.StatusCode != 404 || !strings.Contains(got.Header.Get("Proxy-Status"), "templates_off") {
				t.Errorf("%s %s where they are off: %s %q", method, path, got.Status, got.Header)
			}
		}
	}
	before := len(u.Calls())
	for _, test := range []struct {
		name, method, path, body string
		code                     int
		cause                    string
	}{
		{"no id", "GET", "/first", "", 404, "unknown_path"},
		{"an id that is longer", "DELETE", nobodysV2 + "0", "", 404, "unknown_path"},
		{"another list", "GET", nobodysV2 + "/fragments", "", 404, "unknown_path"},
		{"no fragment's id", "GET", nobodysV2 + fragmentsV2 + "/447700900000", "", 404, "unknown_path"},
		{"deeper", "GET", nobodysV2 + fragmentsV2 + nobodysV2 + "/x", "", 404, "unknown_path"},
		{"a slash at the end", "GET", "/", "", 404, "misspelled_path"},
		{"capitals", "GET", nobodysV2 + "/Template_Fragments", "", 404, "misspelled_path"},
		{"an encoded path", "GET", strings.Replace(nobodysV2, "3", "%33", 1), "", 404, "unknown_path"},
		{"an unknown member", "POST", "", `{"name":"a","is_default":true}`, 422, "unknown_parameter"},
		{"an unknown member of a change", "PATCH", nobodysV2 + fragmentsV2 + nobodysV2, `{"text":"a","locale":"en-us"}`, 422, "unknown_parameter"},
		{"a member twice", "PATCH", nobodysV2, `{"name":"a","name":"b"}`, 422, "repeated_parameter"},
		{"a list for a text", "PATCH", nobodysV2, `{"name":["a"]}`, 422, "invalid_parameter"},
		{"a text for a yes or no", "PATCH", nobodysV2, `{"is_default":"yes"}`, 422, "invalid_parameter"},
		{"a control character", "POST", nobodysV2 + fragmentsV2, `{"text":"a\u0000"}`, 422, "invalid_parameter"},
		{"no JSON", "POST", "", `name=a`, 422, "undecodable"},
		{"no body", "POST", "", ``, 422, "undecodable"},
		{"too large", "POST", "", `{"name":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "body_too_large"},
		{"an unknown parameter", "GET", "?sort=name", "", 422, "unknown_parameter"},
		{"no number", "GET", "?page=447700900000", "", 422, "invalid_parameter"},
		{"a negative number", "GET", "?page_size=-1", "", 422, "invalid_parameter"},
		{"two pages", "GET", "?page=1&page=2", "", 422, "repeated_parameter"},
		{"half an escape", "GET", "?page=%3", "", 422, "undecodable"},
		{"a long query", "GET", "?page=" + strings.Repeat("0", 8<<10) + "1", "", 414, "query_too_long"},
	} {
		got := callV2(t, test.method, on.URL+templatesV2+test.path, test.body)
		if got.StatusCode != test.code || !strings.Contains(got.Header.Get("Proxy-Status"), test.cause) || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %q %s", test.name, got.Status, got.Header, got.body)
		}
	}
	browser := request(t, "GET", on.URL+templatesV2, "", "")
	browser.Header.Set("Origin", "null")
	if got := do(t, browser); got.StatusCode != http.StatusForbidden {
		t.Errorf("a browser: %s", got.Status)
	}
	if sent := len(u.Calls()) - before; sent != 0 {
		t.Errorf("%d calls were sent", sent)
	}
}

// TestTemplatesTrouble: what is refused about templates is nobody's trouble, and no call is sent twice.
func TestTemplatesTrouble(t *testing.T) {
	for _, test := range []struct {
		fault string
		code  int
		cause string
	}{
		{"forbidden", 403, ""},
		{"status 8", 403, ""},
		{"status 9", 401, ""}, // quota-exceeded
		{"status 1", 429, ""},
		{"status 10", 409, ""},
		{"status 5", 500, ""},
		{"status 4", 502, "upstream_unauthorized"},
		{"jwt_expired", 502, "upstream_unauthorized"},
		{"http 403", 502, "upstream_unauthorized"},
		{"http 502", 502, "upstream_error"},
		{"html", 502, "answer_unreadable"},
		{"garbage", 502, "answer_unreadable"},
		{"close", 502, "connection_lost"},
		{"reset_after", 502, "connection_lost"},
		{"big", 502, "http_"}, // answer_too_large, or of a 4xx upstream_error
		{"echo", 502, "answer_with_secret"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			u := newUpstreamV2(t, testSecret)
			g := newGatewayV2(t, u, &Handler{Account: Account{Templates: &Templates{Callers: []string{"*"}}}})
			for _, call := range [][3]string{{"GET", "", ""}, {"POST", "", `{"name":"a"}`}, {"PATCH", nobodysV2, `{"name":"b"}`}, {"DELETE", nobodysV2 + fragmentsV2 + nobodysV2, ""}} {
				u.fail(t, "templates "+test.fault)
				got := callV2(t, call[0], g.URL+templatesV2+call[1], call[2])
				u.fail(t)
				proxy := got.Header.Get("Proxy-Status")
				if got.StatusCode != test.code || test.cause == "" && (proxy != "" || got.body != u.lastBody()) || !strings.Contains(proxy, test.cause) {
					t.Errorf("%s: %s %q %s", call[0], got.Status, proxy, got.body)
				}
				expectAbsent(t, "answer", got.body, testSecret)
				expectAbsent(t, "header", got.Header.Get("X-Echo"), testSecret)
				if n := u.templates(); n != 1 {
					t.Errorf("%s: it was sent %d times", call[0], n)
				}
				u.Reset()
			}
			if got := callV2(t, "POST", g.URL+pathV2, startV2("sms "+testNumber)); got.StatusCode != http.StatusAccepted {
				t.Errorf("a start afterwards: %s %s", got.Status, got.body)
			}
		})
	}
}

// templates is how many calls about them have come.
func (u *testUpstream) templates() (n int) {
	for _, c := range u.Calls() {
		if c.Operation == "templates" {
			n++
		}
	}
	return n
}

// TestTemplatesOnce: a client's leaving neither ends a call nor has it made again.
func TestTemplatesOnce(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	g := newGatewayV2(t, u, &Handler{Account: Account{Templates: &Templates{Callers: []string{"*"}}}})
	u.fail(t, "* delay 50ms")
	<-leaving(t, u, g, request(t, "POST", g.URL+templatesV2, "application/json", `{"name":"a"}`), func() bool { return u.templates() > 0 })
	if got := callV2(t, "GET", g.URL+templatesV2, ""); !strings.Contains(got.body, `"total_items":1`) || u.templates() != 2 {
		t.Errorf("%d calls, %s", u.templates(), got.body)
	}
}

// TestTemplatesGoOn: the provider's answer is waited for when the client has left.
func TestTemplatesGoOn(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	asked := 0
	h := newGatewayWith(t, &Handler{Account: Account{
		API: apiV2, Upstream: "http://127.0.0.1:1", Credentials: &Credentials{APIKey: testKey, APISecret: testSecret}, Templates: &Templates{Callers: []string{"*"}},
	}, roundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked++
		if leave(); r.Context().Err() != nil {
			t.Error("the call ends with its client")
		}
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody}, nil
	})})
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, templatesV2+nobodysV2, nil).WithContext(ctx), nil); err != nil || w.Code != http.StatusNoContent || asked != 1 {
		t.Errorf("%v, %d %s, asked %d times", err, w.Code, w.Body, asked)
	}
}

// TestTemplatesOfCallers: where callers are named, nobody else may.
func TestTemplatesOfCallers(t *testing.T) {
	u := newUpstreamV2(t, testSecret)
	for line, allowed := range map[string]string{"templates *": "shop login", "templates shop": "shop", "templates shop login": "shop login"} {
		_, call := sitesV2(t, u, "", line)
		for _, user := range []string{"shop", "login"} {
			before := len(u.Calls())
			got := call(user, "GET", templatesV2, "")
			want := 403
			if strings.Contains(allowed, user) {
				want = 200
			}
			if got.StatusCode != want || (len(u.Calls()) > before) != (want == 200) || (want == 403) != strings.Contains(got.body, "templates_denied") {
				t.Errorf("%s: %s: %s %s", line, user, got.Status, got.body)
			}
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTemplatesConfigured tells what cannot be.
func TestTemplatesConfigured(t *testing.T) {
	site := func(api, global string) string {
		return "{\nverify {\naccount shop {\n" + api + "\ncredentials abcd1234 aBcDeF123456\n}\n" + global + "}\n}\nhttp://127.0.0.1:1 {\nverify {\naccount shop\n}\n}\n"
	}
	const callers = "callers {\ncaller shop {http.auth.user.id} shop\n}\n"
	for name, test := range map[string]struct{ caddyfile, says string }{
		"nobody":             {site("api v2 {\ntemplates\n}", ""), "nobody is named"},
		"version 1":          {site("api v1 {\ntemplates *\n}", ""), "version 1 has none"},
		"twice":              {site("api v2 {\ntemplates a\ntemplates b\n}", ""), "given more than once"},
		"nobody has callers": {site("api v2 {\ntemplates shop\n}", ""), "add `callers` to the global option verify"},
		"all, and one":       {site("api v2 {\ntemplates * shop\n}", ""), "`*` stands alone"},
		"an unknown caller":  {site("api v2 {\ntemplates shop login\n}", callers), "there is no caller named login; write one of [\"shop\"], or * for all"},
		"a caller twice":     {site("api v2 {\ntemplates shop other shop\n}", strings.Replace(callers, "shop\n}", "shop\nunknown shared\n}", 1)), "named twice"},
		"others, refused":    {site("api v2 {\ntemplates other\n}", callers), "there is no caller named other"},
		"others":             {site("api v2 {\ntemplates other\n}", strings.Replace(callers, "shop\n}", "shop\nunknown shared\n}", 1)), ""},
	} {
		config, err := adaptCaddyfile(test.caddyfile)
		if err == nil {
			var c caddy.Config
			if err := json.Unmarshal(config, &c); err != nil {
				t.Fatal(err)
			}
			err = caddy.Validate(&c)
		}
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
