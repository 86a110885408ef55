package caddyverify

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/codes"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestMethodAndAuth is what leaves the gateway, for all ways of passing credentials
// by all methods.
func TestMethodAndAuth(t *testing.T) {
	credentials := "api_key=" + testKey + "&api_secret=" + url.QueryEscape(testSecret)
	for _, test := range []struct {
		auth, method string
		get          []wire.Operation // what goes by GET
		place        map[string]string
	}{
		{"", "", []wire.Operation{wire.Search}, map[string]string{"GET": "basic", "POST": "basic"}},
		{"basic", "auto", []wire.Operation{wire.Search}, map[string]string{"GET": "basic", "POST": "basic"}},
		{"basic", "get", wire.Operations[:], map[string]string{"GET": "basic"}},
		{"basic", "post", nil, map[string]string{"POST": "basic"}},
		{"query", "", wire.Operations[:], map[string]string{"GET": "query"}},
		{"query", "auto", []wire.Operation{wire.Search}, map[string]string{"GET": "query", "POST": "query"}},
		{"query", "post", nil, map[string]string{"POST": "query"}},
		{"body", "", []wire.Operation{wire.Search}, map[string]string{"GET": "query", "POST": "form"}},
		{"body", "get", wire.Operations[:], map[string]string{"GET": "query"}},
		{"body", "post", nil, map[string]string{"POST": "form"}},
	} {
		for _, o := range wire.Operations {
			for _, format := range o.Formats() {
				t.Run("auth "+test.auth+", method "+test.method+", "+o.String()+" "+format.String(), func(t *testing.T) {
					var seen *http.Request
					var form string
					u := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						var b bytes.Buffer
						_, _ = b.ReadFrom(r.Body)
						seen, form = r, b.String()
					}))
					defer u.Close()
					gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Auth: test.auth, Method: test.method, Cache: &Cache{Off: true}}})
					params := strings.Replace(forms[o], "brand=Acme", "brand=%C3%96l+%26+Co", 1)
					get(t, gateway.URL+wire.Path(o, format)+"?"+params)

					method := http.MethodPost
					if slices.Contains(test.get, o) {
						method = http.MethodGet
					}
					wantQuery, wantForm, place := "", "", test.place[method]
					if method == http.MethodGet {
						wantQuery = params
					} else {
						wantForm = params
					}
					switch place {
					case "query":
						wantQuery = strings.TrimPrefix(wantQuery+"&"+credentials, "&")
					case "form":
						wantForm += "&" + credentials
					}
					if seen.Method != method || seen.URL.Path != wire.Path(o, format) || seen.URL.RawQuery != wantQuery || form != wantForm {
						t.Errorf("got %s %s with the body %q, want %s %s?%s with %q", seen.Method, seen.URL, form, method, wire.Path(o, format), wantQuery, wantForm)
					}
					if user, _, ok := seen.BasicAuth(); ok != (place == "basic") || ok && user != testKey {
						t.Errorf("Authorization is %q", seen.Header.Get("Authorization"))
					}
					if method == http.MethodGet && (seen.ContentLength != 0 || len(seen.TransferEncoding) != 0 || seen.Header["Content-Type"] != nil || seen.Header["Content-Length"] != nil) {
						t.Errorf("a GET with a body: %d bytes, %q, %v", seen.ContentLength, seen.TransferEncoding, seen.Header)
					}
				})
			}
		}
	}
}

// oldUpstream is a sandbox behind a server that knows some methods only, and tells
// the calls that came in as "POST check".
type oldUpstream struct {
	*testUpstream
	url  string
	mu   sync.Mutex
	knew []string
	code int
	body func(w http.ResponseWriter) // of a refusal
	seen []string
}

func newOldUpstream(t *testing.T, code int, knows ...string) *oldUpstream {
	o := &oldUpstream{testUpstream: newUpstream(t), code: code, knew: knows}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *oldUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, _, _ := wire.ParsePath(r.URL.Path)
	o.mu.Lock()
	o.seen = append(o.seen, r.Method+" "+operation.String())
	code, body, known := o.code, o.body, slices.Contains(o.knew, r.Method)
	o.mu.Unlock()
	switch {
	case known:
		o.Sandbox.ServeHTTP(w, r)
	case body != nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		body(w)
	default:
		http.Error(w, "<h1>Nothing here</h1>", code)
	}
}

// takeSeen returns what has come in since the last time.
func (o *oldUpstream) takeSeen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}

func (o *oldUpstream) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// callAll starts a verification, checks a wrong code, cancels too early and
// searches.
func callAll(t *testing.T, gateway, number string, format wire.Format) {
	t.Helper()
	call := func(o wire.Operation, form, want string) string {
		t.Helper()
		got := postForm(t, gateway+wire.Path(o, format), form)
		reading, err := wire.Read(o, format, []byte(got.body))
		if err != nil || string(reading.Status) != want {
			t.Errorf("%s: got %s", o, got.body)
		}
		return reading.RequestID
	}
	id := call(wire.Request, "number="+number+"&brand=Acme", "0")
	call(wire.Check, "request_id="+id+"&code=9999", "16")
	call(wire.Control, "request_id="+id+"&cmd=cancel", "19")
	call(wire.Search, "request_id="+id, "IN PROGRESS")
}

// An upstream of the API's first document knows GET alone: each operation shows it
// once, and nobody else notices. It holds over a reload.
func TestUpstreamThatKnowsOnlyGET(t *testing.T) {
	for _, code := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented} {
		for _, format := range wire.Formats {
			for _, auth := range []string{"basic", "body"} {
				t.Run(strconv.Itoa(code)+" "+format.String()+" "+auth, func(t *testing.T) {
					u := newOldUpstream(t, code, http.MethodGet)
					h := &Handler{Account: Account{Upstream: u.url, Auth: auth}}
					gateway := newGateway(t, h)
					var logged bytes.Buffer
					h.gateway.Logger = slog.New(slog.NewJSONHandler(&logged, nil))

					callAll(t, gateway.URL, "447700900001", format)
					first := []string{"POST request", "GET request", "POST check", "GET check", "POST control", "GET control", "GET search"}
					if seen := u.takeSeen(); !slices.Equal(seen, first) {
						t.Errorf("at first, %q came in, want %q", seen, first)
					}
					then := []string{"GET request", "GET check", "GET control", "GET search"}
					callAll(t, gateway.URL, "447700900002", format)
					if seen := u.takeSeen(); !slices.Equal(seen, then) {
						t.Errorf("then, %q came in, want %q", seen, then)
					}
					for _, o := range []string{"request", "check", "control"} {
						line := `"level":"WARN","msg":"method changed","operation":"` + o + `","method":"GET","upstream_code":` + strconv.Itoa(code) + `,`
						if n := strings.Count(logged.String(), line); n != 1 {
							t.Errorf("the log says %d times that the method of %s changed:\n%s", n, o, &logged)
						}
					}

					reloaded := newGateway(t, &Handler{Account: Account{Upstream: u.url, Auth: auth, Credentials: &Credentials{APIKey: testKey, APISecret: testSecret}, Timeout: 9e9}})
					if err := h.Cleanup(); err != nil {
						t.Fatal(err)
					}
					callAll(t, reloaded.URL, "447700900003", format)
					if seen := u.takeSeen(); !slices.Equal(seen, then) {
						t.Errorf("after a reload, %q came in, want %q", seen, then)
					}
				})
			}
		}
	}
}

func TestNoOtherMethod(t *testing.T) {
	verify := func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"status":"3","error_text":"no"}`)) }
	for _, test := range []struct {
		name, method string
		code         int
		body         func(http.ResponseWriter)
		knows        []string
		want         []string // seen of two requests
		status       string
	}{
		{name: "it knows neither", method: "auto", code: 404, want: []string{"POST request", "GET request", "POST request", "GET request"}, status: "5"},
		{name: "it says so in Verify's own words", method: "auto", code: 404, body: verify, want: []string{"POST request", "POST request"}, status: "3"},
		{name: "another code", method: "auto", code: 400, want: []string{"POST request", "POST request"}},
		{name: "an error of the server", method: "auto", code: 500, want: []string{"POST request", "POST request"}, status: "5"},
		{name: "part of an answer", method: "auto", code: 404, body: func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, want: []string{"POST request", "POST request"}, status: "5"},
		{name: "post is post", method: "post", code: 405, knows: []string{"GET"}, want: []string{"POST request", "POST request"}},
		{name: "get is get", method: "get", code: 405, knows: []string{"POST"}, want: []string{"GET request", "GET request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newOldUpstream(t, test.code, test.knows...)
			u.body = test.body
			gateway := newGateway(t, &Handler{Account: Account{Upstream: u.url, Method: test.method}})
			for range 2 {
				got := postForm(t, gateway.URL+"/verify/json", forms[wire.Request])
				if test.status != "" && got.field("status") != test.status {
					t.Errorf("got %s", got.body)
				}
			}
			if seen := u.takeSeen(); !slices.Equal(seen, test.want) {
				t.Errorf("%q came in, want %q", seen, test.want)
			}
		})
	}
}

// An upstream that learns POST and forgets GET is no dead end.
func TestUpstreamThatChanges(t *testing.T) {
	u := newOldUpstream(t, http.StatusNotFound, http.MethodGet)
	h := &Handler{Account: Account{Upstream: u.url}}
	gateway := newGateway(t, h)
	check := func(want ...string) {
		t.Helper()
		postForm(t, gateway.URL+"/verify/check/json", forms[wire.Check])
		if seen := u.takeSeen(); !slices.Equal(seen, want) {
			t.Errorf("%q came in, want %q", seen, want)
		}
	}
	check("POST check", "GET check")
	u.set(func() { u.knew = []string{http.MethodPost} })
	check("GET check", "POST check")
	check("POST check")
}

// Both calls are the provider's to count, so both wait for their turn.
func TestSecondMethodTakesATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: 1}}, sandboxConfig)
		defer d.close(t)
		var seen []string
		d.network.RoundTripper = roundTrip(func(r *http.Request) (*http.Response, error) {
			if seen = append(seen, r.Method); r.Method == http.MethodPost {
				return notFound(r), nil
			}
			return d.RoundTrip(r)
		})
		got := d.call(wire.Request, forms[wire.Request])
		if !slices.Equal(seen, []string{http.MethodPost}) {
			t.Errorf("%q came in within a second", seen)
		}
		if statusOf(got) != "1" || !strings.Contains(got.Body.String(), "nothing was sent") || d.api.Accepted() != 0 {
			t.Errorf("got %s, and %d messages went out", got.Body, d.api.Accepted())
		}
	})
}

// Caddy's transport takes GET over HTTP/2 as it takes POST.
func TestMethodsOverHTTP2(t *testing.T) {
	for _, method := range []string{"auto", "get", "post"} {
		t.Run(method, func(t *testing.T) {
			u := newUpstream(t)
			var mu sync.Mutex
			seen := map[string]int{}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen[r.Proto]++
				mu.Unlock()
				u.Sandbox.ServeHTTP(w, r)
			}))
			server.EnableHTTP2 = true
			server.StartTLS()
			t.Cleanup(server.Close)
			gateway := newGateway(t, &Handler{
				Account: Account{
					Upstream: server.URL, Method: method,
					TransportRaw: []byte(`{"protocol":"http","versions":["2"],"tls":{"insecure_skip_verify":true}}`),
				},
			})
			callAll(t, gateway.URL, testNumber, wire.JSON)
			mu.Lock()
			defer mu.Unlock()
			if seen["HTTP/2.0"] != 4 || len(seen) != 1 {
				t.Errorf("the calls came by %v", seen)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func notFound(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	http.NotFound(w, r)
	return w.Result()
}

// A trace shows both calls, each by its method.
func TestSpansOfBothMethods(t *testing.T) {
	d := newTraced(t, &Handler{Account: Account{Limit: -1}})
	defer d.close(t)
	d.network.RoundTripper = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			return notFound(r), nil
		}
		return d.RoundTrip(r)
	})
	_, server, clients := d.call(wire.Check, forms[wire.Check])
	if len(clients) != 2 {
		t.Fatalf("there are %d upstream spans", len(clients))
	}
	for i, want := range []map[string]string{
		{"http.request.method": "POST", "http.response.status_code": "404", "http.request.resend_count": ""},
		{"http.request.method": "GET", "http.response.status_code": "200", "http.request.resend_count": "1"},
	} {
		want["url.full"] = "https://sandbox.invalid/verify/check/json"
		expectAttributes(t, clients[i], want)
		if name := want["http.request.method"] + " /verify/check/{format}"; clients[i].Name() != name {
			t.Errorf("the upstream span is %q, want %q", clients[i].Name(), name)
		}
	}
	if server.Status().Code != codes.Unset {
		t.Errorf("the server span's status is %v", server.Status())
	}
}
