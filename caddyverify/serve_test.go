package caddyverify

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// ways are the ways in which real SDKs send a call.
var ways = map[string]func(t *testing.T, url, form string) *http.Request{
	"GET with a query": func(t *testing.T, url, form string) *http.Request {
		return request(t, http.MethodGet, url+"?"+form, "", "")
	},
	"POST with a form": func(t *testing.T, url, form string) *http.Request {
		return request(t, http.MethodPost, url, "application/x-www-form-urlencoded", form)
	},
	"POST with JSON": func(t *testing.T, url, form string) *http.Request {
		body := `{"` + strings.NewReplacer("=", `":"`, "&", `","`).Replace(form) + `"}`
		return request(t, http.MethodPost, url, "application/json", body)
	},
}

// dummies are what clients take for credentials.
var dummies = map[string]func(r *http.Request){
	"no credentials":       func(*http.Request) {},
	"credentials in query": func(r *http.Request) { r.URL.RawQuery += "&api_key=dummy&api_secret=dummy-secret" },
	"a signed query":       func(r *http.Request) { r.URL.RawQuery += "&api_key=dummy&sig=dummy-secret&timestamp=1" },
	"a JWT":                func(r *http.Request) { r.Header.Set("Authorization", "Bearer dummy-secret") },
	"HTTP Basic":           func(r *http.Request) { r.SetBasicAuth("dummy", "dummy-secret") },
}

// forms is a call of each operation.
var forms = map[wire.Operation]string{
	wire.Request: "number=" + testNumber + "&brand=Acme",
	wire.Check:   "request_id=cc121958d8fb4368aa3bb762bb9a0f74&code=1234",
	wire.Search:  "request_id=cc121958d8fb4368aa3bb762bb9a0f74",
	wire.Control: "request_id=cc121958d8fb4368aa3bb762bb9a0f74&cmd=cancel",
	wire.PSD2:    "number=" + testNumber + "&payee=Acme&amount=48.00",
}

// operations are found by their names.
var operations = map[string]wire.Operation{"request": wire.Request, "check": wire.Check, "search": wire.Search, "control": wire.Control, "psd2": wire.PSD2}

func TestOperations(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	wantAuth := "Basic " + base64.StdEncoding.EncodeToString([]byte(testKey+":"+testSecret))
	for way, build := range ways {
		for credentials, add := range dummies {
			for _, format := range wire.Formats {
				t.Run(way+", "+credentials+", "+format.String(), func(t *testing.T) {
					u.Reset()
					call := func(o wire.Operation, form, wantStatus string) reply {
						t.Helper()
						r := build(t, gateway.URL+wire.Path(o, format), form)
						r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
						r.Header.Set("Cookie", "session=1")
						r.Header.Set("Idempotency-Key", rand.Text())
						add(r)
						got := do(t, r)
						if got.StatusCode != http.StatusOK || got.body != u.lastBody() {
							t.Errorf("%v: got %d %q, the upstream sent %q", o, got.StatusCode, got.body, u.lastBody())
						}
						if got.Header.Get("Content-Type") != format.ContentType() {
							t.Errorf("%v: Content-Type is %q", o, got.Header.Get("Content-Type"))
						}
						reading, err := wire.Read(o, format, []byte(got.body))
						if err != nil || string(reading.Status) != wantStatus {
							t.Fatalf("%v: status is %q (%v), want %s: %s", o, reading.Status, err, wantStatus, got.body)
						}
						return got
					}
					call(wire.Request, "number="+testNumber+"&brand=Acme&country=GB&sender_id=ACME&code_length=4&lg=en-gb&pin_expiry=300&next_event_wait=100&workflow_id=1", "0")
					id := u.Verifications()[0].RequestID
					call(wire.Search, "request_id="+id, "IN PROGRESS")
					call(wire.Check, "request_id="+id+"&code=9999&ip_address=192.0.2.1", "16")
					call(wire.Check, "request_id="+id+"&code="+testCode, "0")
					call(wire.Control, "request_id="+id+"&cmd=cancel", "6")
					if format == wire.JSON {
						call(wire.PSD2, "number="+testNumber+"&payee=Acme&amount=48.00&country=GB&code_length=4&lg=en-gb&pin_expiry=300&next_event_wait=100&workflow_id=1", "0")
					}

					for _, seen := range u.Calls() {
						method, query := http.MethodPost, ""
						if seen.Operation == "search" {
							method, query = http.MethodGet, "?request_id="+id
						}
						if want := wire.Path(operations[seen.Operation], format) + query; seen.Method != method || seen.URI != want {
							t.Errorf("%s went upstream as %s %s, want %s %s", seen.Operation, seen.Method, seen.URI, method, want)
						}
						if got := seen.Header.Get("Authorization"); got != wantAuth {
							t.Errorf("%s: Authorization is %q", seen.Operation, got)
						}
						for name := range seen.Header {
							switch name {
							case "Accept", "Accept-Encoding", "Authorization", "User-Agent":
							case "Content-Length", "Content-Type":
								if method == http.MethodGet {
									t.Errorf("%s: a GET with a %s", seen.Operation, name)
								}
							default:
								t.Errorf("%s: header %s went upstream", seen.Operation, name)
							}
						}
						for name := range seen.Params {
							if name == "api_key" || name == "api_secret" || name == "sig" || name == "timestamp" {
								t.Errorf("%s: parameter %s went upstream", seen.Operation, name)
							}
						}
					}
				})
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	asHTTP := newGateway(t, &Handler{Account: Account{Upstream: u.URL}, Errors: "http"})
	tests := []struct {
		name, method, target, contentType, body string
		code, codeHTTP                          int
		status, text                            string
	}{
		{name: "method", method: http.MethodPut, target: "/verify/json", code: 405, codeHTTP: 405, status: "3", text: "PUT"},
		{name: "HEAD", method: http.MethodHead, target: "/verify/json?number=1&brand=x", code: 405, codeHTTP: 405},
		{name: "missing", target: "/verify/json?number=1", code: 200, codeHTTP: 400, status: "2", text: "brand"},
		{name: "misspelt", target: "/verify/json?number=1&Brand=x", code: 200, codeHTTP: 400, status: "2", text: "brand (one of nearly that name was left out)"},
		{name: "code with a tag", target: "/verify/check/json?request_id=a&code=%3Cb%3E", code: 200, codeHTTP: 400, status: "3", text: "param: code"},
		{name: "no id", target: "/verify/search/json", code: 200, codeHTTP: 400, status: "6", text: "The Nexmo platform was unable to process this message"},
		{name: "control alone", target: "/verify/control/json", code: 200, codeHTTP: 400, status: "2", text: "Missing mandatory parameter"},
		{name: "JSON as a form", method: http.MethodPost, target: "/verify/json", contentType: "application/x-www-form-urlencoded", body: `{"number":"1","brand":"x"}`, code: 400, codeHTTP: 400, status: "3", text: "JSON but sent as a form"},
		{name: "repeated", target: "/verify/check/json?request_id=a&request_id=b&code=1", code: 200, codeHTTP: 400, status: "3", text: "request_id"},
		{name: "invalid", target: "/verify/check/json?request_id=a%00b&code=1", code: 200, codeHTTP: 400, status: "3", text: "request_id"},
		{name: "eleven ids", target: "/verify/search/json?request_ids=" + strings.Join(strings.Split("abcdefghijk", ""), "&request_ids="), code: 200, codeHTTP: 400, status: "18", text: "request_ids"},
		{name: "undecodable", target: "/verify/json?number=%zz", code: 400, codeHTTP: 400, status: "3", text: "%"},
		{name: "long query", target: "/verify/json?number=" + strings.Repeat("1", wire.MaxQuery), code: 414, codeHTTP: 414, status: "3", text: "8 KiB"},
		{name: "many parameters", target: "/verify/json?" + strings.Repeat("api_key=1&", 65), code: 413, codeHTTP: 413, status: "3", text: "64"},
		{name: "large body", method: http.MethodPost, target: "/verify/json", contentType: "application/x-www-form-urlencoded", body: "number=" + strings.Repeat("1", wire.MaxBody), code: 413, codeHTTP: 413, status: "3", text: "16 KiB"},
		{name: "media type", method: http.MethodPost, target: "/verify/json", contentType: "text/plain", body: "number=1", code: 415, codeHTTP: 415, status: "3", text: "application/json"},
	}
	for _, test := range tests {
		for _, format := range []string{"json", "xml"} {
			t.Run(test.name+" "+format, func(t *testing.T) {
				method := test.method
				if method == "" {
					method = http.MethodGet
				}
				target := strings.Replace(test.target, "/json", "/"+format, 1)
				got := do(t, request(t, method, gateway.URL+target, test.contentType, test.body))
				if got.StatusCode != test.code {
					t.Errorf("got %d, want %d", got.StatusCode, test.code)
				}
				if !strings.HasPrefix(got.Header.Get("Proxy-Status"), "caddy-verify; error=http_request_error; details=") {
					t.Errorf("Proxy-Status is %q", got.Header.Get("Proxy-Status"))
				}
				if allow := got.Header.Get("Allow"); (allow == "GET, POST") != (test.code == 405) {
					t.Errorf("Allow is %q", allow)
				}
				if method != http.MethodHead {
					operation, f, _ := wire.ParsePath(strings.SplitN(target, "?", 2)[0])
					reading, err := wire.Read(operation, f, []byte(got.body))
					if err != nil || string(reading.Status) != test.status {
						t.Errorf("status is %q (%v), want %s: %s", reading.Status, err, test.status, got.body)
					}
					if !strings.Contains(got.body, test.text) || !strings.Contains(got.body, "nothing was sent") {
						t.Errorf("the text does not say what is wrong: %s", got.body)
					}
				}
				if got := do(t, request(t, method, asHTTP.URL+target, test.contentType, test.body)); got.StatusCode != test.codeHTTP {
					t.Errorf("errors http: got %d, want %d", got.StatusCode, test.codeHTTP)
				}
			})
		}
	}
	if calls := u.Calls(); len(calls) != 0 {
		t.Errorf("%d calls went upstream", len(calls))
	}
}

// Go's transport sends a GET again when a kept-alive connection dies under it.
// A message must not be sent twice for that, nor a try used up.
func TestOneDelivery(t *testing.T) {
	for _, method := range []string{"auto", "get", "post"} {
		for _, o := range wire.Operations {
			for way, build := range ways {
				t.Run(method+", "+o.String()+", "+way, func(t *testing.T) {
					u := newUpstream(t)
					gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Method: method, Cache: &Cache{Off: true}}})
					call := func() reply {
						r := build(t, gateway.URL+wire.Path(o, wire.JSON), forms[o])
						r.Header.Set("Idempotency-Key", rand.Text()) // would make Go send a POST again
						return do(t, r)
					}
					call() // leaves a connection behind that is kept alive
					u.Reset()
					u.fail(t, "* reset_after")
					got := call()
					want := 1
					if o == wire.Search {
						want = 2 // it changes nothing, and is tried again
					}
					if calls := u.Calls(); len(calls) != want {
						t.Fatalf("it was delivered %d times, want %d", len(calls), want)
					}
					if got.field("status") != "5" || !strings.Contains(got.body, "may have been sent") {
						t.Errorf("the client reads %s", got.body)
					}
				})
			}
		}
	}
}

// TestOutcomes is what becomes of a call, whatever the upstream does: what the
// client reads, whether the call is tried again, and what the breaker counts.
func TestOutcomes(t *testing.T) { //nolint:tparallel // others set the environment
	tests := []struct {
		fault       string
		status      string
		code        int // under errors http
		mayHaveSent bool
		proxyError  string
		// retried tells that a search is tried again; nothing else ever is.
		retried bool
		verdict breaker.Verdict
	}{
		{fault: "close", status: "5", code: 502, mayHaveSent: true, proxyError: "connection_terminated", retried: true, verdict: breaker.Failure},
		{fault: "reset_after", status: "5", code: 502, mayHaveSent: true, proxyError: "connection_terminated", retried: true, verdict: breaker.Failure},
		{fault: "hang", status: "5", code: 504, mayHaveSent: true, proxyError: "http_response_timeout", verdict: breaker.Failure},
		{fault: "drip 10s", status: "5", code: 504, mayHaveSent: true, proxyError: "http_response_timeout", verdict: breaker.Failure},
		{fault: "garbage", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "html", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "truncate", status: "5", code: 502, mayHaveSent: true, proxyError: "connection_terminated", retried: true, verdict: breaker.Failure},
		{fault: "big", status: "5", code: 502, mayHaveSent: true, proxyError: "http_response_body_size", verdict: breaker.Failure},
		{fault: "bomb", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "deep", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "dtd", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "duplicate_status", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "redirect", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "echo", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", verdict: breaker.Failure},
		{fault: "http 502", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", retried: true, verdict: breaker.Failure},
		{fault: "http 404", status: "5", code: 502, mayHaveSent: true, proxyError: "http_protocol_error", verdict: breaker.Alive},
		{fault: "http 429", status: "1", code: 429, proxyError: "connection_limit_reached"},
		{fault: "http 401", status: "4", code: 502, proxyError: "http_protocol_error"},
		{fault: "status 1", status: "1"},
		{fault: "status 2", status: "2", verdict: breaker.Alive},
		{fault: "status 3", status: "3", verdict: breaker.Alive},
		{fault: "status 4", status: "4"},
		{fault: "status 5", status: "5", retried: true, verdict: breaker.Failure},
		{fault: "status 6", status: "6", verdict: breaker.Alive},
		{fault: "status 8", status: "8"},
		{fault: "status 9", status: "9"},
		{fault: "status 101", status: "101", verdict: breaker.Alive},
	}
	for _, test := range tests {
		for _, o := range wire.Operations {
			for _, format := range o.Formats() {
				t.Run(test.fault+", "+o.String()+" "+format.String(), func(t *testing.T) {
					t.Parallel()
					var u *testUpstream
					var got, gotHTTP reply
					var n int
					try := func(timeout time.Duration) (came bool) {
						u = newUpstream(t)
						gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Timeout: caddy.Duration(timeout)}})
						asHTTP := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Timeout: caddy.Duration(timeout)}, Errors: "http"})
						u.fail(t, "* "+test.fault)
						got = postForm(t, gateway.URL+wire.Path(o, format), forms[o])
						if n = u.sent(); test.proxyError != "" {
							gotHTTP = postForm(t, asHTTP.URL+wire.Path(o, format), forms[o])
						}
						return n > 0 && u.sent() > n
					}
					if test.code != http.StatusGatewayTimeout {
						try(0) // the default
					} else {
						// Nothing else ends these. A slow machine may need longer for a call to come to the upstream at all.
						for timeout := 100 * time.Millisecond; !try(timeout) && timeout < time.Minute; timeout *= 4 {
						}
					}
					want := 1
					if test.retried && o == wire.Search || test.fault == "http 404" && o != wire.Search {
						want = 2 // the latter by POST, then by GET
					}
					if n != want {
						t.Errorf("it was sent %d times, want %d", n, want)
					}
					reading, err := wire.Read(o, format, []byte(got.body))
					if got.StatusCode != http.StatusOK || err != nil || string(reading.Status) != test.status {
						t.Errorf("the client reads %d %q (%v)", got.StatusCode, got.body, err)
					}
					if strings.Contains(got.body, "may have been sent") != test.mayHaveSent {
						t.Errorf("may have been sent: want %v: %s", test.mayHaveSent, got.body)
					}
					answer := wire.Answer{Reading: reading}
					proxy := got.Header.Get("Proxy-Status")
					if test.proxyError == "" { // the upstream's own answer
						if proxy != "" || got.body != u.lastBody() {
							t.Errorf("got %q, Proxy-Status %q; the upstream sent %q", got.body, proxy, u.lastBody())
						}
					} else {
						if !strings.HasPrefix(proxy, "caddy-verify; error="+test.proxyError+";") {
							t.Errorf("Proxy-Status is %q", proxy)
						}
						_, cause, _ := strings.Cut(strings.TrimSuffix(proxy, `"`), `details="`)
						code, _ := strconv.Atoi(strings.TrimPrefix(test.fault, "http ")) // 0 for other faults
						answer = (&wire.Fault{Cause: wire.Cause(cause), UpstreamCode: code}).Answer()
						if gotHTTP.StatusCode != test.code {
							t.Errorf("errors http: got %d, want %d", gotHTTP.StatusCode, test.code)
						}
					}
					if verdict := breaker.Classify(answer).Verdict; verdict != test.verdict {
						t.Errorf("to the breaker it is %v, want %v", verdict, test.verdict)
					}
				})
			}
		}
	}
}

func TestUnreachableUpstream(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	for url, want := range map[string]string{
		closed.URL:   "caddy-verify; error=destination_unavailable; details=\"connect_failed\"",
		stranger.URL: "caddy-verify; error=tls_protocol_error; details=\"tls_failed\"",
	} {
		gateway := newGateway(t, &Handler{Account: Account{Upstream: url}})
		got := postForm(t, gateway.URL+"/verify/json", "number="+testNumber+"&brand=Acme")
		if got.field("status") != "5" || !strings.Contains(got.body, "nothing was sent") || got.Header.Get("Proxy-Status") != want {
			t.Errorf("got %s, Proxy-Status %s", got.body, got.Header.Get("Proxy-Status"))
		}
	}
}

// A client that leaves ends its search, but not what may cost money.
func TestClientLeaves(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	u.fail(t, "* delay 100ms")
	r := request(t, http.MethodPost, gateway.URL+"/verify/json", "application/x-www-form-urlencoded", "number="+testNumber+"&brand=Acme")
	leaving(t, u, gateway, r, func() bool { return len(u.Calls()) == 1 })
	gateway.Close() // waits for the handler
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.bodies) != 1 || !strings.Contains(u.bodies[0], `"status":"0"`) {
		t.Errorf("the upstream's answer was cut off: %q", u.bodies)
	}
}
