package caddyverify

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// rawUpstream answers each call with the bytes that answer makes of it, and counts them.
func rawUpstream(t *testing.T, answer func(*http.Request) string) (url string, calls *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	calls = new(atomic.Int32)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(from)
					if err != nil {
						return
					}
					calls.Add(1)
					_ = r.ParseForm()
					_, _ = io.WriteString(c, answer(r))
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String(), calls
}

// rawAnswer is an HTTP answer with more header lines, each ended by CRLF.
func rawAnswer(code int, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %03d Status\r\n%sContent-Length: %d\r\n\r\n%s", code, header, len(body), body)
}

// TestUpstreamCodes is what becomes of an answer by its HTTP code. One that cannot be
// passed on whole is none; no code breaks the handler.
func TestUpstreamCodes(t *testing.T) {
	const body = `{"status":"0","request_id":"cc121958d8fb4368aa3bb762bb9a0f74"}`
	for code, cause := range map[int]wire.Cause{
		0: wire.AnswerUnreadable, 1: wire.AnswerUnreadable, 42: wire.AnswerUnreadable, 99: wire.AnswerUnreadable, 101: wire.AnswerUnreadable,
		200: "", 201: "", 202: "", 299: "",
		204: wire.AnswerUnreadable, 205: wire.AnswerUnreadable, // without a body
		301: wire.UpstreamError, 304: wire.UpstreamError, 399: wire.UpstreamError, // redirects
		400: "", 404: "", 420: "", 500: "", 503: "", 599: "",
		600: wire.AnswerUnreadable, 777: wire.AnswerUnreadable, 999: wire.AnswerUnreadable,
	} {
		for _, mode := range []string{errorsVerify, errorsHTTP} {
			t.Run(fmt.Sprintf("%d, errors %s", code, mode), func(t *testing.T) {
				url, _ := rawUpstream(t, func(*http.Request) string {
					return rawAnswer(code, "Content-Type: application/json\r\n", body)
				})
				gateway := newGateway(t, &Handler{Account: Account{Upstream: url}, Errors: mode})
				got := postForm(t, gateway.URL+wire.Path(wire.Request, wire.JSON), forms[wire.Request])
				want := http.StatusOK
				switch {
				case cause == "":
					want = code
				case mode == errorsHTTP:
					want = http.StatusBadGateway
				}
				if got.StatusCode != want || (cause == "") != (got.body == body) || cause != "" && !strings.Contains(got.body, "(caddy-verify: "+string(cause)+")") {
					t.Errorf("the client reads %d %s, want %d and cause %q", got.StatusCode, got.body, want, cause)
				}
			})
		}
	}
}

// A check, control or search that is told of another verification is not answered.
func TestAnswersAboutAnother(t *testing.T) {
	const other = "c5037cb8b47449158ed6611afde58990"
	for _, format := range wire.Formats {
		for _, o := range []wire.Operation{wire.Check, wire.Control, wire.Search} {
			for _, h := range []*Handler{{}, {Account: Account{Cache: &Cache{Off: true}}}} {
				status := "0"
				if o == wire.Search {
					status = "SUCCESS"
				}
				body := `{"request_id":"` + other + `","status":"` + status + `"}`
				if format == wire.XML {
					body = "<verify_response><request_id>" + other + "</request_id><status>" + status + "</status></verify_response>"
				}
				url, calls := rawUpstream(t, func(*http.Request) string {
					return rawAnswer(200, "Content-Type: "+format.ContentType()+"\r\n", body)
				})
				h.Upstream = url
				got := postForm(t, newGateway(t, h).URL+wire.Path(o, format), forms[o])
				if strings.Contains(got.body, other) || !strings.Contains(got.body, "answer_unreadable") {
					t.Errorf("%v %v: the client reads %s", o, format, got.body)
				}
				if o != wire.Search && calls.Load() != 1 {
					t.Errorf("%v %v: it was sent %d times", o, format, calls.Load())
				}
			}
		}
	}
}

// An answer is judged by its bytes. What it is called matters only where it is called
// right, and then passes unchanged.
func TestAnswersAreRelabelled(t *testing.T) {
	json, xml := `{"status":"6","error_text":"x"}`, "<verify_response><status>6</status></verify_response>"
	for _, test := range []struct {
		format              wire.Format
		body, header, want  string
		relabelled, refused bool
	}{
		{wire.JSON, json, "", "application/json", true, false},
		{wire.JSON, json, "text/html; charset=utf-8", "application/json", true, false},
		{wire.JSON, json, "application/problem+json", "application/json", true, false},
		{wire.JSON, json, "text/json", "application/json", true, false},
		{wire.JSON, json, "text/xml", "application/json", true, false},
		{wire.JSON, json, `a/"b`, "application/json", true, false},
		{wire.JSON, json, "Application/JSON;charset=ISO-8859-1", "Application/JSON;charset=ISO-8859-1", false, false},
		{wire.JSON, json, "text/plain", "text/plain", false, false},
		{wire.XML, xml, "", "text/xml", true, false},
		{wire.XML, xml, "application/json", "text/xml", true, false},
		{wire.XML, xml, "application/xml; charset=utf-8", "application/xml; charset=utf-8", false, false},
		{wire.XML, json, "text/xml", "text/xml", false, true},
		{wire.JSON, xml, "application/json", "application/json", false, true},
		{wire.JSON, "<html></html>", "", "application/json", false, true},
		{wire.JSON, "", "", "application/json", false, true},
	} {
		header := ""
		if test.header != "" {
			header = "Content-Type: " + test.header + "\r\n"
		}
		url, _ := rawUpstream(t, func(*http.Request) string { return rawAnswer(200, header, test.body) })
		before := gather(t)
		got := postForm(t, newGateway(t, &Handler{Account: Account{Upstream: url}}).URL+wire.Path(wire.Check, test.format), forms[wire.Check])
		if got.Header.Get("Content-Type") != test.want || (got.body == test.body) == test.refused || test.refused != strings.Contains(got.body, "answer_unreadable") {
			t.Errorf("%v %q as %q: the client reads %q: %s", test.format, test.body, test.header, got.Header.Get("Content-Type"), got.body)
		}
		want := map[string]float64{}
		if test.relabelled {
			want["verify_answers_relabelled_total{operation=check}"] = 1
		}
		expectGrowth(t, before, []string{"verify_answers_relabelled_total"}, want)
	}
}

// brokenWriter is a client's connection that cannot be written to in the worst way.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

// An answer that a panic kept from the client is there for the client's repetition.
func TestPanicWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("the panic was swallowed")
				}
			}()
			r := httptest.NewRequest(http.MethodPost, wire.Path(wire.Request, wire.JSON), strings.NewReader(forms[wire.Request]))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_ = d.ServeHTTP(brokenWriter{httptest.NewRecorder()}, r, nil)
		}()
		if got := d.call(wire.Request, forms[wire.Request]); statusOf(got) != "0" || len(d.api.Verifications()) != 1 {
			t.Errorf("the client reads %s, and there are %d verifications", got.Body, len(d.api.Verifications()))
		}
	})
}
