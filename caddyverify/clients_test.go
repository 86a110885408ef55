package caddyverify

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// client is one shape in which a public application calls the API.
type client struct {
	method, target string
	header         string // lines
	body           string
}

func (c client) request(t *testing.T, gateway string) *http.Request {
	t.Helper()
	r := request(t, c.method, gateway, "", c.body)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(c.target, "?")
	for line := range strings.Lines(c.header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Add(name, value)
	}
	return r
}

const (
	aForm = "Content-Type: application/x-www-form-urlencoded"
	aJSON = "Content-Type: application/json"
)

// TestClients is what works against the API itself today, in the words of those who
// do it. Each call arrives as the one that is meant, and with nothing else.
func TestClients(t *testing.T) {
	const number, check = "number=447700900000&brand=Acme", "request_id=cc121958d8fb4368aa3bb762bb9a0f74&code=1234"
	const search, cancel = "request_id=cc121958d8fb4368aa3bb762bb9a0f74", "request_id=cc121958d8fb4368aa3bb762bb9a0f74&cmd=cancel"
	for name, test := range map[string]struct {
		client
		want string // what arrives, sorted by name
	}{
		"curl -d":                       {client{"POST", "/verify/json", aForm, number + "&api_key=a&api_secret=b"}, "brand=Acme&number=447700900000"},
		"curl -G":                       {client{"GET", "/verify/check/json?api_key=a&api_secret=b&" + check, "", ""}, "code=1234&" + search},
		"jQuery with cache: false":      {client{"GET", "/verify/json?" + number + "&_=1700000000000", "", ""}, "brand=Acme&number=447700900000"},
		"params of the request again":   {client{"POST", "/verify/check/json", aForm, number + "&" + check}, "code=1234&" + search},
		"a parameter of the app":        {client{"POST", "/verify/json", aForm, number + "&action_type=login"}, "brand=Acme&number=447700900000"},
		"Laravel, key and secret":       {client{"POST", "/verify/json", aJSON, `{"key":"a","secret":"b","number":"447700900000","brand":"Acme"}`}, "brand=Acme&number=447700900000"},
		"Laravel, Http::post($url)":     {client{"POST", "/verify/json?" + number, aJSON, "[]"}, "brand=Acme&number=447700900000"},
		"axios.post(url, null)":         {client{"POST", "/verify/control/json?" + cancel, aForm, ""}, "cmd=cancel&" + search},
		"JSON.stringify(null)":          {client{"POST", "/verify/control/json?" + cancel, aJSON, "null"}, "cmd=cancel&" + search},
		"JSON.stringify('')":            {client{"POST", "/verify/control/json?" + cancel, aJSON, `""`}, "cmd=cancel&" + search},
		"an empty object as text":       {client{"POST", "/verify/control/json?" + cancel, "Content-Type: text/plain", "{}"}, "cmd=cancel&" + search},
		"Apache HttpClient":             {client{"POST", "/verify/json", aForm + "; charset=ISO-8859-1", "number=447700900000&brand=Caf%E9"}, "brand=Café&number=447700900000"},
		"OkHttp":                        {client{"POST", "/verify/json", aJSON + "; charset=utf-8", `{"number":447700900000,"brand":"Acme"}`}, "brand=Acme&number=447700900000"},
		"charset=utf8":                  {client{"POST", "/verify/json", aForm + ";charset=utf8", number}, "brand=Acme&number=447700900000"},
		"the type twice":                {client{"POST", "/verify/json", aJSON + "\n" + aJSON, `{"number":"447700900000","brand":"Acme"}`}, "brand=Acme&number=447700900000"},
		"Content-Encoding: identity":    {client{"POST", "/verify/json", aForm + "\nContent-Encoding: identity", number}, "brand=Acme&number=447700900000"},
		"Content-Encoding: utf-8":       {client{"POST", "/verify/json", aJSON + "\nContent-Encoding: utf-8", `{"number":"447700900000","brand":"Acme"}`}, "brand=Acme&number=447700900000"},
		"PowerShell's BOM":              {client{"POST", "/verify/json", aJSON, "\ufeff" + `{"number":"447700900000","brand":"Acme"}`}, "brand=Acme&number=447700900000"},
		"half an emoji":                 {client{"POST", "/verify/json", aJSON, `{"number":"447700900000","brand":"Acme \ud83d"}`}, "brand=Acme \ufffd&number=447700900000"},
		"GET with a JSON body":          {client{"GET", "/verify/search/json", aJSON, `{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74"}`}, search},
		"GET with a form":               {client{"GET", "/verify/search/json", aForm, search}, search},
		"nexmo 2.9.1":                   {client{"GET", "/verify/search/json?" + search, aForm + "\nAccept: application/json", ""}, search},
		"Node's fetch":                  {client{"GET", "/verify/search/json?" + search, "Sec-Fetch-Mode: cors\nAccept-Language: *", ""}, search},
		".NET, ending in &":             {client{"POST", "/verify/json", aForm, number + "&"}, "brand=Acme&number=447700900000"},
		"? and & to begin with":         {client{"GET", "/verify/search/json?&" + search, "", ""}, search},
		"the id in query and form":      {client{"POST", "/verify/check/json?" + search, aForm, check}, "code=1234&" + search},
		"an option left empty":          {client{"POST", "/verify/json", aForm, number + "&sender_id=&sender_id=ACME&country="}, "brand=Acme&number=447700900000&sender_id=ACME"},
		"a base URL that ends in /":     {client{"POST", "//verify/json", aForm, number}, "brand=Acme&number=447700900000"},
		"one that ends in /verify/":     {client{"POST", "/verify//check/json", aForm, check}, "code=1234&" + search},
		"a number as people write them": {client{"POST", "/verify/json", aForm, "number=%2B44+(0)7700-900.000&brand=Acme"}, "brand=Acme&number=+44 (0)7700-900.000"},
		"server-sdk's psd2":             {client{"POST", "/verify/psd2/json", aJSON, `{"number":"447700900000","payee":"Acme","amount":48.05,"workflow_id":1}`}, "amount=48.05&number=447700900000&payee=Acme&workflow_id=1"},
		"nexmo's psd2":                  {client{"GET", "/verify/psd2/json?number=447700900000&payee=Acme&amount=48.00", "", ""}, "amount=48.00&number=447700900000&payee=Acme"},
		"behind two proxies":            {client{"POST", "/verify/check/json", aForm, check + "&ip_address=2001:db8::1%25eth0,+192.0.2.1"}, "code=1234&ip_address=2001:db8::1%eth0, 192.0.2.1&" + search},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
			got := do(t, test.request(t, gateway.URL))
			calls := u.Calls()
			if got.StatusCode != http.StatusOK || got.Header.Get("Proxy-Status") != "" || len(calls) != 1 {
				t.Fatalf("got %d %s; %d calls went upstream", got.StatusCode, got.body, len(calls))
			}
			if arrived, err := url.QueryUnescape(strings.ReplaceAll(calls[0].Params.Encode(), "+", "%20")); err != nil || arrived != test.want {
				t.Errorf("%s arrived, want %s", arrived, test.want)
			}
			test.fromV2(t, cmp.Or(differsFromV2[name], got.field("status")), calls[0].Params.Get("brand"))
		})
	}
}

// differsFromV2 are the statuses that are others where the gateway answers from version 2; docs/v2.md.
var differsFromV2 = map[string]string{
	"server-sdk's psd2": "3", "nexmo's psd2": "3", // there is none
	"a number as people write them": "0", // read by the gateway, and no longer by the provider
}

// fromV2 has a gateway answer the client from version 2, with that status, and of a verification with that brand.
func (c client) fromV2(t *testing.T, status, brand string) {
	t.Helper()
	u := newProviderV2(t, "", "")
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, API: apiV2}})
	got := do(t, c.request(t, gateway.URL))
	if got.StatusCode != http.StatusOK || got.field("status") != status {
		t.Errorf("from version 2 it is answered %d %s, want status %s", got.StatusCode, got.body, status)
	}
	for _, call := range u.Calls() {
		if call.API != sandbox.V2 {
			t.Errorf("a call of version 1: %+v", call)
		}
	}
	all := u.Verifications()
	switch begun := brand != ""; {
	case begun != (len(all) == 1):
		t.Errorf("version 2 has begun %+v", all)
	case begun && (all[0].Number != testNumber || all[0].Brand != brand):
		t.Errorf("version 2 has begun one of %s and %s", all[0].Number, all[0].Brand)
	}
}

// TestPaths is what becomes of a path, however it is spelt: a call, an answer that
// there is no such call, or nothing of the gateway's business.
func TestPaths(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	for target, want := range map[string]struct {
		code int
		text string
	}{
		"/verify/json":                       {200, ""},
		"//verify/json":                      {200, ""},
		"/verify//json":                      {200, ""},
		"/verify/check//json":                {200, ""},
		"///verify//check///xml":             {200, ""},
		"/":                                  {418, ""},
		"/sms/json":                          {418, ""},
		"/v2/verify":                         {418, ""},
		"/x/verify/json":                     {418, ""},
		"/verifyx":                           {418, ""},
		"/verify":                            {404, "the paths are /verify/{format}"},
		"/verify/":                           {404, "the paths are /verify/{format}"},
		"/verify/request/json":               {404, "the paths are /verify/{format}"},
		"/verify/%2e%2e/account/get-balance": {404, "the paths are /verify/{format}"},
		"/verify/../account/get-balance":     {404, "the paths are /verify/{format}"},
		"/Verify/json":                       {404, "its path is /verify/json;"},
		"/VERIFY/CHECK/XML":                  {404, "its path is /verify/check/xml;"},
		"//Verify//json":                     {404, "its path is /verify/json;"},
		"/verify/json/":                      {404, "its path is /verify/json;"},
		"/verify/JSON":                       {404, "its path is /verify/json;"},
		"/x/../verify/json":                  {404, "its path is /verify/json;"},
		"/./verify/json":                     {404, "its path is /verify/json;"},
		"/verify/psd2/json":                  {200, ""},
		"/verify/psd2/xml":                   {404, "its path is /verify/psd2/json;"},
		"/verify/PSD2/json":                  {404, "its path is /verify/psd2/json;"},
		"/verify/network-unblock":            {404, "guard against fraud"},
		"//verify/Network-Unblock/":          {404, "guard against fraud"},
		"/verify/%6Ason":                     {404, "its path is /verify/json;"},
		"/%76erify/json":                     {404, "its path is /verify/json;"},
		"/verify/check%2Fjson":               {404, "its path is /verify/check/json;"},
		"/verify/check/json%20":              {404, "its path is /verify/check/json;"},
	} {
		r := request(t, http.MethodGet, gateway.URL, "", "")
		r.URL.Opaque = gateway.URL + target // sent as it stands
		got := do(t, r)
		if got.StatusCode != want.code || !strings.Contains(got.body, want.text) {
			t.Errorf("%s: got %d %s, want %d, %s", target, got.StatusCode, got.body, want.code, want.text)
		}
		if want.code == http.StatusNotFound {
			format := wire.JSON
			if strings.HasPrefix(got.body, "<") {
				format = wire.XML
			}
			if reading, err := wire.Read(wire.Request, format, []byte(got.body)); err != nil || reading.Status == wire.Success {
				t.Errorf("%s: it is answered by %s", target, got.body)
			}
		}
	}
	if calls := u.Calls(); len(calls) != 0 { // none has parameters
		t.Errorf("%d calls went upstream", len(calls))
	}
}

// Whatever Caddy's own matcher hands to the handler is answered there.
func TestPathsAsCaddyMatches(t *testing.T) {
	matcher := caddyhttp.MatchPath{"/verify", "/verify/*"}
	rapid.Check(t, func(t *rapid.T) {
		var path strings.Builder
		for _, part := range rapid.SliceOfN(rapid.SampledFrom([]string{
			"/", "/", "//", ".", "..", "verify", "Verify", "check", "JSON", "json", "%2e", `\`, " ", "x", ";",
		}), 1, 8).Draw(t, "parts") {
			path.WriteString(part)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
		r.URL.Path = "/" + path.String()
		matched, err := matcher.MatchWithError(r)
		if err != nil {
			t.Fatal(err)
		}
		if matched && !wire.IsOurs(r.URL.Path) {
			t.Errorf("%s gets an empty 200 from nobody", r.URL.Path)
		}
	})
}

func TestBrowsers(t *testing.T) {
	u := newUpstream(t)
	refuse := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	asHTTP := newGateway(t, &Handler{Account: Account{Upstream: u.URL}, Errors: "http", Browsers: "refuse"})
	allow := newGateway(t, &Handler{Account: Account{Upstream: u.URL}, Browsers: "allow"})
	for header, refused := range map[string]bool{
		"Origin: https://evil.example":                          true,
		"Origin: null":                                          true,
		"Origin: http://verify.internal:8080":                   true,
		"Sec-Fetch-Site: cross-site":                            true,
		"Sec-Fetch-Site: same-site":                             true,
		"Sec-Fetch-Site: Cross-Site":                            true,
		"Sec-Fetch-Site: none\nSec-Fetch-Site: cross-site":      true,
		"Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors":   true, // an <img>
		"Origin: https://evil.example\nSec-Fetch-Site: none":    true,
		"Sec-Fetch-Site: none":                                  false,
		"Sec-Fetch-Site: same-origin":                           false,
		"Sec-Fetch-Mode: cors":                                  false, // Node's fetch
		"Referer: https://app.internal/\nUser-Agent: Mozilla/5": false,
	} {
		for _, c := range []client{
			{"GET", "/verify/json?number=447700900000&brand=Acme", header, ""},
			{"POST", "/verify/xml", header + "\n" + aForm, "number=447700900000&brand=Acme"},
			{"GET", "/verify/search/json?request_id=cc121958d8fb4368aa3bb762bb9a0f74", header, ""},
			{"OPTIONS", "/verify/json", header, ""},
		} {
			for _, gateway := range []*httptest.Server{refuse, asHTTP, allow} {
				u.Reset()
				got := do(t, c.request(t, gateway.URL))
				is := refused && gateway != allow
				if (got.StatusCode == http.StatusForbidden) != is || strings.Contains(got.body, "Calls of browsers are not taken; nothing was sent") != is {
					t.Errorf("%s %s with %q: got %d %s", c.method, c.target, header, got.StatusCode, got.body)
				}
				if is && len(u.Calls()) != 0 {
					t.Errorf("%s %s with %q went upstream", c.method, c.target, header)
				}
			}
		}
	}
}

func TestStrict(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}, Strict: true})
	got := get(t, gateway.URL+"/verify/json?number=447700900000&brand=Acme&action_type=login&api_key=a")
	if got.field("status") != "3" || !strings.Contains(got.body, "Unknown param: action_type;") || len(u.Calls()) != 0 {
		t.Errorf("got %s, and %d calls went upstream", got.body, len(u.Calls()))
	}
}

// Parameters that are left out are counted, and named where debugging is on, unless
// they could be anything.
func TestIgnoredParameters(t *testing.T) {
	u := newUpstream(t)
	h := &Handler{Account: Account{Upstream: u.URL}}
	gateway := newGateway(t, h)
	var log bytes.Buffer
	h.gateway.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	before := gather(t)
	get(t, gateway.URL+"/verify/check/json?request_id=cc121958d8fb4368aa3bb762bb9a0f74&code=1234&action_type=login&447700900000=1&api_key=a")
	get(t, gateway.URL+"/verify/search/json?requestId=cc121958d8fb4368aa3bb762bb9a0f74")
	for series, want := range map[string]float64{
		`verify_parameters_ignored_total{operation=check}`:   2,
		`verify_parameters_ignored_total{operation=search}`:  1,
		`verify_parameters_ignored_total{operation=request}`: 0,
	} {
		if got := gather(t)[series] - before[series]; got != want {
			t.Errorf("%s grew by %v, want %v", series, got, want)
		}
	}
	for _, line := range []string{`operation=check names="[action_type other]"`, "operation=search names=[requestId]"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no %s: %s", line, &log)
		}
	}
	if strings.Contains(log.String(), "4477") {
		t.Errorf("a number is in the log: %s", &log)
	}
}
