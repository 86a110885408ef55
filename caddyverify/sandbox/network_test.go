package sandbox

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// client asks a server for a new verification. It follows no redirect, unpacks
// nothing and uses a new connection for each call.
func client(t *testing.T, server *httptest.Server) func(ctx context.Context) (*http.Response, string, error) {
	c := server.Client()
	transport := c.Transport.(*http.Transport)
	transport.DisableCompression, transport.DisableKeepAlives = true, true
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context) (*http.Response, string, error) {
		form := url.Values{"number": {testNumber}, "brand": {"Acme"}}.Encode()
		r, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/verify/json", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(testKey, testSecret)
		resp, err := c.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp, string(body), err
	}
}

// Each fault does over a network what it says.
func TestFaultsOverTheNetwork(t *testing.T) {
	ok := func(t *testing.T, resp *http.Response, body string, err error) {
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%+v %v", resp, err)
		}
	}
	page := func(code int, media, text string) func(*testing.T, *http.Response, string, error) {
		return func(t *testing.T, resp *http.Response, body string, err error) {
			if err != nil || resp.StatusCode != code || resp.Header.Get("Content-Type") != media || !strings.Contains(body, text) {
				t.Errorf("%+v %q %v", resp, body, err)
			}
		}
	}
	for _, test := range []struct {
		fault string
		done  bool // the work is
		seen  func(t *testing.T, resp *http.Response, body string, err error)
	}{
		{"* delay 20ms", true, ok},
		{"* drip 1ns", true, func(t *testing.T, resp *http.Response, body string, err error) {
			ok(t, resp, body, err)
			if statusOf(t, body) != "0" {
				t.Errorf("body %q", body)
			}
		}},
		{"* status 5", false, page(200, "application/json", `"status":"5"`)},
		{"* http 502", false, page(502, "text/html", "<h1>502 Bad Gateway</h1>")},
		{"* http 499", false, page(499, "text/html", "<h1>499</h1>")},
		{"* http 401", false, page(401, "application/problem+json", `"title":"Unauthorized"`)},
		{"* http 429", false, page(429, "text/plain", "Too Many Requests")},
		{"* html", false, page(200, "text/html; charset=utf-8", "<html>")},
		{"* garbage", false, page(200, "application/json", "neither JSON nor XML")},
		{"* close", false, func(t *testing.T, resp *http.Response, body string, err error) {
			if !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want an EOF", err)
			}
		}},
		{"* reset_after", true, func(t *testing.T, resp *http.Response, body string, err error) {
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v, want a reset", err)
			}
		}},
		{"* truncate", true, func(t *testing.T, resp *http.Response, body string, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) || resp.ContentLength != 63 || len(body) != 31 {
				t.Errorf("%d of %d bytes, error %v", len(body), resp.ContentLength, err)
			}
		}},
		{"* big 3000000", true, func(t *testing.T, resp *http.Response, body string, err error) {
			ok(t, resp, body, err)
			if len(body) < 3_000_000 || statusOf(t, body) != "0" {
				t.Errorf("%d bytes", len(body))
			}
		}},
		{"* bomb", true, func(t *testing.T, resp *http.Response, body string, err error) {
			ok(t, resp, body, err)
			if resp.Header.Get("Content-Encoding") != "gzip" || len(body) > 1<<20 {
				t.Errorf("%d bytes, Content-Encoding %q", len(body), resp.Header.Get("Content-Encoding"))
			}
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, z); n <= bombSize || err != nil {
				t.Errorf("%d bytes unpacked, %v", n, err)
			}
		}},
		{"* redirect", false, func(t *testing.T, resp *http.Response, body string, err error) {
			if err != nil || resp.StatusCode != 302 || resp.Header.Get("Location") != "https://example.com/" {
				t.Errorf("%+v %v", resp, err)
			}
		}},
		{"* redirect http://127.0.0.1:1/x", false, func(t *testing.T, resp *http.Response, body string, err error) {
			if err != nil || resp.Header.Get("Location") != "http://127.0.0.1:1/x" {
				t.Errorf("%+v %v", resp, err)
			}
		}},
		{"* echo", true, func(t *testing.T, resp *http.Response, body string, err error) {
			ok(t, resp, body, err)
			authorization := resp.Request.Header.Get("Authorization")
			f := fields(t, body)
			if f["authorization"] != authorization || f["api_secret"] != testSecret || resp.Header.Get("X-Echo") != authorization+" "+testSecret {
				t.Errorf("%v %v", f, resp.Header)
			}
		}},
		{"* no_content_type", true, func(t *testing.T, resp *http.Response, body string, err error) {
			ok(t, resp, body, err)
			if _, has := resp.Header["Content-Type"]; has || statusOf(t, body) != "0" {
				t.Errorf("%v %s", resp.Header, body)
			}
		}},
		{"* deep", true, ok},
		{"* dtd", true, ok},
		{"* duplicate_status", true, ok},
		{"check close", true, ok},
	} {
		t.Run(test.fault, func(t *testing.T) {
			fault, err := ParseFault(test.fault)
			if err != nil {
				t.Fatal(err)
			}
			s := newSandbox(t, Config{Faults: []Fault{fault}})
			server := httptest.NewServer(s)
			defer server.Close()
			resp, body, err := client(t, server)(t.Context())
			test.seen(t, resp, body, err)
			if done := s.Accepted() == 1; done != test.done {
				t.Errorf("work done: %t", done)
			}
			c := s.Calls()[0]
			if want := fault.Kind; c.Fault != want && fault.Operation == "*" {
				t.Errorf("recorded fault %q", c.Fault)
			}
			if answered := err == nil || resp != nil; answered && c.HTTPStatus != resp.StatusCode || !answered && c.HTTPStatus != 0 {
				t.Errorf("recorded HTTP status %d", c.HTTPStatus)
			}
		})
	}
}

func TestHang(t *testing.T) {
	s := newSandbox(t, Config{Faults: []Fault{{Kind: "hang"}}})
	server := httptest.NewServer(s)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := client(t, server)(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	server.Close() // returns once the handler has noticed that the client left
	if s.Accepted() != 0 {
		t.Error("work was done")
	}
}

// Over HTTP/2 and TLS the connection faults still leave the client without an answer.
func TestConnectionFaultsOverTLS(t *testing.T) {
	for _, kind := range []string{"close", "reset_after", "truncate"} {
		for _, http2 := range []bool{false, true} {
			name := kind + " HTTP/1.1"
			if http2 {
				name = kind + " HTTP/2"
			}
			t.Run(name, func(t *testing.T) {
				s := newSandbox(t, Config{Faults: []Fault{{Kind: kind}}})
				server := httptest.NewUnstartedServer(s)
				server.EnableHTTP2 = http2
				server.StartTLS()
				defer server.Close()
				resp, body, err := client(t, server)(t.Context())
				if err == nil {
					t.Errorf("%+v %q", resp, body)
				}
				if worked := s.Accepted() == 1; worked != (kind != "close") {
					t.Errorf("work done: %t", worked)
				}
				if resp != nil && (resp.ProtoMajor == 2) != http2 {
					t.Errorf("it was %s", resp.Proto)
				}
			})
		}
	}
}

// A connection that is reset serves no further call, the sandbox does.
func TestAfterAFault(t *testing.T) {
	s := newSandbox(t, Config{Faults: []Fault{{Kind: "reset_after", Share: 50}}})
	server := httptest.NewServer(s)
	defer server.Close()
	call := client(t, server)
	if _, body, err := call(t.Context()); err != nil || statusOf(t, body) != "0" {
		t.Fatalf("%s %v", body, err)
	}
	if _, _, err := call(t.Context()); err == nil {
		t.Fatal("the second call was answered")
	}
	if _, body, err := call(t.Context()); err != nil || statusOf(t, body) != "10" {
		t.Fatalf("%s %v", body, err)
	}
}

// What follows the answer is what the sandbox got.
func TestSurplus(t *testing.T) {
	s := newSandbox(t, Config{Faults: []Fault{{Kind: "surplus"}}})
	server := httptest.NewServer(s)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := httptest.NewRequest("GET", "/verify/json?brand=Acme&number="+testNumber, nil)
	r.SetBasicAuth(testKey, testSecret)
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	answer, err := http.ReadResponse(from, r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	rest, err := io.ReadAll(from)
	if statusOf(t, string(body)) != "0" || err != nil {
		t.Errorf("%s, %v", body, err)
	}
	for _, part := range []string{r.Header.Get("Authorization"), testSecret, "number=" + testNumber} {
		if !strings.Contains(string(rest), part) {
			t.Errorf("%s does not follow the answer, but %s", part, rest)
		}
	}
}
