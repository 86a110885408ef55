package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const (
	testKey    = "abcdef01"
	testSecret = "s3cr3t-of-the-sandbox"
	testNumber = "447700900000"
	unknownID  = "cc121958d8fb4368aa3bb762bb9a0f74"
)

// newSandbox has the test account, code 4321 and no rate limit, unless cfg says otherwise.
func newSandbox(t *testing.T, cfg Config) *Sandbox {
	t.Helper()
	cfg.APIKey, cfg.APISecret = testKey, testSecret
	if cfg.Code == "" {
		cfg.Code = "4321"
	}
	if cfg.Limit == 0 {
		cfg.Limit = -1
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve sends one request to the sandbox itself, without a network.
func serve(s *Sandbox, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// ask asks by GET with HTTP Basic and returns the body without the newline that
// ends each. The query may hold any parameters; operation is a path below /verify/
// such as check/json.
func ask(t *testing.T, s *Sandbox, operation, query string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/verify/"+operation+"?"+query, nil)
	r.SetBasicAuth(testKey, testSecret)
	w := serve(s, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s?%s: HTTP %d %s", operation, query, w.Code, w.Body)
	}
	body, ended := strings.CutSuffix(w.Body.String(), "\n")
	if !ended {
		t.Errorf("%s: the answer does not end its line: %s", operation, body)
	}
	return body
}

// fields are the members of a JSON answer that are texts.
func fields(t *testing.T, body string) map[string]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	texts := map[string]string{}
	for name, value := range all {
		if text, ok := value.(string); ok {
			texts[name] = text
		}
	}
	return texts
}

func statusOf(t *testing.T, body string) string {
	t.Helper()
	return fields(t, body)["status"]
}

// begin starts a verification and returns its request_id. More parameters may
// be given as a query.
func begin(t *testing.T, s *Sandbox, more ...string) string {
	t.Helper()
	query := strings.Join(append(more, "brand=Acme"), "&")
	if !strings.Contains(query, "number=") {
		query += "&number=" + testNumber
	}
	body := ask(t, s, "json", query)
	f := fields(t, body)
	if f["status"] != "0" || f["request_id"] == "" {
		t.Fatalf("no verification for %q: %s", query, body)
	}
	return f["request_id"]
}

func search(t *testing.T, s *Sandbox, id string) map[string]string {
	t.Helper()
	return fields(t, ask(t, s, "search/json", "request_id="+id))
}

func lookUp(t *testing.T, s *Sandbox, id string) Verification {
	t.Helper()
	v, ok := s.Verification(id)
	if !ok {
		t.Fatalf("verification %s is not there", id)
	}
	return v
}

var (
	idPattern   = regexp.MustCompile(`[0-9a-f]{32}`)
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// plain puts fixed texts for what is random in an answer.
func plain(body string) string {
	body = strings.TrimSuffix(body, "\n")
	return idPattern.ReplaceAllString(uuidPattern.ReplaceAllString(body, "EVENT"), "ID")
}

func TestNew(t *testing.T) {
	good := func() Config { return Config{APIKey: testKey, APISecret: testSecret} }
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; "" for none
	}{
		{"defaults", func(c *Config) {}, ""},
		{"all set", func(c *Config) { c.Code, c.Speed, c.Limit, c.Record = "AKFG-3424", 60, 0.5, 1 }, ""},
		{"no limit, no record", func(c *Config) { c.Limit, c.Record = -1, -1 }, ""},
		{"no key", func(c *Config) { c.APIKey = "" }, "api_key"},
		{"key with colon", func(c *Config) { c.APIKey = "a:b" }, "api_key"},
		{"no secret", func(c *Config) { c.APISecret = "" }, "api_secret"},
		{"short code", func(c *Config) { c.Code = "123" }, "code"},
		{"long code", func(c *Config) { c.Code = "12345678901" }, "code"},
		{"backwards", func(c *Config) { c.Speed = -1 }, "speed"},
		{"too fast", func(c *Config) { c.Speed = 1e9 }, "speed"},
		{"limit too high", func(c *Config) { c.Limit = 1e9 }, "limit"},
		{"limit too low", func(c *Config) { c.Limit = 1e-9 }, "limit"},
		{"bad fault", func(c *Config) { c.Faults = []Fault{{Kind: "flood"}} }, `"flood"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := good()
			test.change(&cfg)
			s, err := New(cfg)
			switch {
			case test.want == "" && (err != nil || s == nil):
				t.Fatalf("New: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("New: error %v does not name %s", err, test.want)
			case err != nil && strings.Contains(err.Error(), testSecret):
				t.Fatalf("the error has the secret: %v", err)
			}
		})
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newSandbox(t, Config{})
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/verify/json", 200},
		{"POST", "/verify/xml", 200},
		{"GET", "/verify/check/json", 200},
		{"POST", "/verify/search/xml", 200},
		{"GET", "/verify/control/json", 200},
		{"GET", "/verify/psd2/json", 200},
		{"POST", "/verify/psd2/json", 200},
		{"HEAD", "/verify/json", 405},
		{"PUT", "/verify/check/json", 405},
		{"OPTIONS", "/verify/search/json", 405},
		{"GET", "/", 404},
		{"GET", "/verify", 404},
		{"GET", "/verify/", 404},
		{"GET", "/verify/json/", 404},
		{"GET", "/verify/yaml", 404},
		{"GET", "/verify/JSON", 404},
		{"GET", "/verify/request/json", 404},
		{"GET", "/verify/check", 404},
		{"GET", "/verify/check/json/x", 404},
		{"GET", "/verify//json", 404},
		{"GET", "/verify/%6ason", 404},
		{"GET", "/verify/psd2/xml", 404},
		{"POST", "/verify/network-unblock", 404},
		{"GET", "/v2/verify", 404},
		{"DELETE", "/elsewhere", 404},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			w := serve(s, httptest.NewRequest(test.method, test.path, nil))
			if w.Code != test.want {
				t.Fatalf("HTTP %d, want %d", w.Code, test.want)
			}
			if test.want == 405 && w.Header().Get("Allow") != "GET, POST" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
		})
	}
	if s.Accepted() != 0 {
		t.Errorf("%d verifications came of it", s.Accepted())
	}
}

func TestContentType(t *testing.T) {
	s := newSandbox(t, Config{})
	for path, want := range map[string]string{"/verify/json": "application/json", "/verify/search/xml": "text/xml"} {
		if got := serve(s, httptest.NewRequest("GET", path, nil)).Header().Get("Content-Type"); got != want {
			t.Errorf("%s: Content-Type %q, want %q", path, got, want)
		}
	}
}

func TestWaysToCall(t *testing.T) {
	form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	asJSON := func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }
	basic := func(r *http.Request) { r.SetBasicAuth(testKey, testSecret) }
	const keys = "api_key=" + testKey + "&api_secret=" + testSecret
	const jsonKeys = `"api_key":"` + testKey + `","api_secret":"` + testSecret + `",`
	for _, test := range []struct {
		name, method, query, body string
		header                    []func(*http.Request)
		places                    string
	}{
		{"query", "GET", keys + "&number=447700900000&brand=Acme", "", nil, "query"},
		{"query and basic", "GET", "number=447700900000&brand=Acme", "", []func(*http.Request){basic, form}, "basic"},
		{"form", "POST", "", keys + "&number=447700900000&brand=Acme&", []func(*http.Request){form}, "form"},
		{"form and basic", "POST", "", "number=%2B447700900000&brand=Acme", []func(*http.Request){basic, form}, "basic"},
		{"form of no type", "POST", "", "number=447700900000&brand=Acme", []func(*http.Request){basic}, "basic"},
		{"JSON", "POST", "", `{` + jsonKeys + `"number":"447700900000","brand":"Acme"}`, []func(*http.Request){asJSON}, "json"},
		{"JSON numbers", "POST", "", `{"number":447700900000,"brand":"Acme","code_length":6,"lg":null}`, []func(*http.Request){basic, asJSON}, "basic"},
		{"POST with query", "POST", keys + "&number=447700900000", "brand=Acme", []func(*http.Request){form}, "query"},
		{"everywhere", "POST", keys, keys + "&number=447700900000&brand=Acme", []func(*http.Request){basic, form}, "basic query form"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{})
			r := httptest.NewRequest(test.method, "/verify/json?"+test.query, strings.NewReader(test.body))
			for _, set := range test.header {
				set(r)
			}
			w := serve(s, r)
			f := fields(t, w.Body.String())
			if f["status"] != "0" || !idPattern.MatchString(f["request_id"]) {
				t.Fatalf("answer %s", w.Body)
			}
			if v := lookUp(t, s, f["request_id"]); v.Number != testNumber || v.Brand != "Acme" {
				t.Errorf("verification %+v", v)
			}
			if got := s.Calls()[0]; strings.Join(got.Credentials, " ") != test.places || got.APIKey != testKey {
				t.Errorf("credentials of %q found in %q, want %q", got.APIKey, got.Credentials, test.places)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	for _, test := range []struct {
		name, query, user, pass string
		status, text            string // for request
		otherText               string // for the other operations, if another
	}{
		{"none", "", "", "", "2", "Missing api_key", ""},
		{"secret only", "api_secret=x", "", "", "2", "Missing api_key", ""},
		{"key only", "api_key=" + testKey, "", "", "2", "Missing api_secret", ""},
		{"signed", "api_key=" + testKey + "&timestamp=1&sig=abc", "", "", "2", "Missing api_secret", ""},
		{"wrong secret", "api_key=" + testKey + "&api_secret=x", "", "", "4", "Invalid credentials were provided", "Bad credentials"},
		{"wrong key", "api_key=x&api_secret=" + testSecret, "", "", "4", "Invalid credentials were provided", "Bad credentials"},
		{"wrong basic", "", testKey, "x", "4", "Invalid credentials were provided", "Bad credentials"},
		{"wrong basic before right query", "api_key=" + testKey + "&api_secret=" + testSecret, testKey, "x", "4", "Invalid credentials were provided", "Bad credentials"},
	} {
		for _, operation := range []string{"json", "check/json", "search/json", "control/json"} {
			t.Run(test.name+" "+operation, func(t *testing.T) {
				s := newSandbox(t, Config{})
				r := httptest.NewRequest("GET", "/verify/"+operation+"?number=447700900000&brand=Acme&"+test.query, nil)
				if test.user != "" {
					r.SetBasicAuth(test.user, test.pass)
				}
				text := test.text
				if operation != "json" && test.otherText != "" {
					text = test.otherText
				}
				want := `{"status":"` + test.status + `","error_text":"` + text + `"}` + "\n"
				if got := serve(s, r).Body.String(); got != want {
					t.Errorf("answer %s, want %s", got, want)
				}
				if s.Accepted() != 0 {
					t.Error("a verification came of it")
				}
			})
		}
	}
}

func TestBadBodies(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		want                    int
	}{
		{"cut JSON", "application/json", `{"number":"4477`, 200},
		{"JSON list", "application/json", `[1,2]`, 200},
		{"deep JSON", "application/json", strings.Repeat("[", 60_000), 200},
		{"deep value", "application/json", `{"number":{"a":[1]}}`, 200},
		{"bad form", "application/x-www-form-urlencoded", "%zz&;=&number=%", 200},
		{"unknown type", "multipart/form-data; boundary=", "--", 200},
		{"too long", "application/json", strings.Repeat(" ", maxBody+1), 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{})
			r := httptest.NewRequest("POST", "/verify/json", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			r.SetBasicAuth(testKey, testSecret)
			w := serve(s, r)
			if w.Code != test.want {
				t.Fatalf("HTTP %d, want %d", w.Code, test.want)
			}
			if w.Code == 200 && statusOf(t, w.Body.String()) != "2" {
				t.Errorf("answer %s, want status 2", w.Body)
			}
		})
	}
}

// FuzzServeHTTP finds input on which the sandbox panics or writes what cannot be read.
func FuzzServeHTTP(f *testing.F) {
	f.Add("json", "number=447700900000&brand=Acme", "", false)
	f.Add("check/json", "", `{"request_id":"x","code":[1234,{}]}`, true)
	f.Add("search/json", "request_ids=a&request_ids=b", "request_ids=c", false)
	f.Add("control/json", "cmd=cancel&request_id=%00", "\xff\xfe", true)
	f.Fuzz(func(t *testing.T, operation, query, body string, asJSON bool) {
		s, err := New(Config{APIKey: testKey, APISecret: testSecret})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/", io.NopCloser(strings.NewReader(body)))
		r.URL = &url.URL{Path: "/verify/" + operation, RawQuery: query}
		if asJSON {
			r.Header.Set("Content-Type", "application/json")
		}
		r.SetBasicAuth(testKey, testSecret)
		w := serve(s, r)
		if w.Code == 200 && w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %q", w.Body)
		}
	})
}
