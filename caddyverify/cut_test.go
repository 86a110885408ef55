package caddyverify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// framings are the ways in which HTTP/1.1 says where an answer ends.
var framings = map[string]func(contentType, body string) string{
	"Content-Length": func(contentType, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
	},
	"chunked": func(contentType, body string) string {
		half := len(body) / 2
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
			contentType, half, body[:half], len(body)-half, body[half:])
	},
	// By this, HTTP does not know a cut answer from a whole one: what is in it must show it.
	"until the end": func(contentType, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n%s", contentType, body)
	},
}

// wholeAnswers are successes of the API about the verification {id}.
var wholeAnswers = map[wire.Format]map[wire.Operation]string{
	wire.JSON: {
		wire.Request: `{"request_id":"{id}","status":"0"}`,
		wire.Check:   `{"request_id":"{id}","event_id":"0A00000012345678","status":"0","price":"0.10000000","currency":"EUR"}`,
		wire.Search:  `{"request_id":"{id}","account_id":"abcdef01","status":"IN PROGRESS","price":"0.10000000","currency":"EUR","checks":[{"code":"1111","status":"INVALID"}]}`,
		wire.Control: `{"status":"0","command":"cancel"}`,
	},
	wire.XML: {
		wire.Request: `<?xml version='1.0' encoding='UTF-8' ?><verify_response><request_id>{id}</request_id><status>0</status></verify_response>`,
		wire.Check:   `<?xml version='1.0' encoding='UTF-8' ?><verify_response><request_id>{id}</request_id><status>0</status><price>0.1</price></verify_response>`,
		wire.Search:  `<?xml version='1.0' encoding='UTF-8' ?><verify_request><request_id>{id}</request_id><status>IN PROGRESS</status></verify_request>`,
		wire.Control: `<?xml version='1.0' encoding='UTF-8' ?><response><status>0</status><command>cancel</command></response>`,
	},
}

// cutter is an upstream that ends each connection after so many bytes of its answer.
type cutter struct {
	net.Listener
	answer string
	after  atomic.Int64
	reset  atomic.Bool
	came   atomic.Int64 // whole calls
}

func newCutter(t *testing.T, answer string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, answer: answer}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn.(*net.TCPConn))
		}
	}()
	return c
}

func (c *cutter) serve(conn *net.TCPConn) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	c.came.Add(1)
	n := c.after.Load()
	_, _ = io.WriteString(conn, c.answer[:n])
	if c.reset.Load() && n < int64(len(c.answer)) {
		_ = conn.SetLinger(0)
	}
}

// TestAnswerCutAnywhere ends the upstream's connection after every number of bytes of its answer. Whatever is not whole is
// an error of the gateway's own, well-formed, and at once; and no call but a search is made again for it.
func TestAnswerCutAnywhere(t *testing.T) {
	t.Parallel()
	const id = "cc121958d8fb4368aa3bb762bb9a0f74"
	about := map[wire.Operation]string{
		wire.Request: "number=4477%08d&brand=Acme",
		wire.Check:   "request_id=" + id + "&code=%08d",
		wire.Search:  "request_id=" + id + "&ignored=%d",
		wire.Control: "request_id=" + id + "&cmd=cancel&ignored=%d",
	}
	for framing, frame := range framings {
		for format, bodies := range wholeAnswers {
			for o, body := range bodies {
				t.Run(fmt.Sprintf("%s %s %s", framing, o, format), func(t *testing.T) {
					t.Parallel()
					body := strings.ReplaceAll(body, "{id}", id)
					u := newCutter(t, frame(format.ContentType(), body))
					h := newGatewayWith(t, &Handler{Account: Account{Upstream: "http://" + u.Addr().String(), Timeout: caddy.Duration(5 * time.Minute), Breaker: &Breaker{Off: true}, Cache: &Cache{Off: true}}})
					h.gateway.Logger = slog.New(slog.DiscardHandler)
					for n := range 2*len(u.answer) + 1 {
						if o == wire.Search && (n%4 == 1 || n%4 == 2) {
							continue // a pause comes before its repetition: each byte by a close or a reset, not by both
						}
						u.after.Store(int64(n / 2))
						u.reset.Store(n%2 == 1)
						before := u.came.Load()
						w, begun := httptest.NewRecorder(), time.Now()
						r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, wire.Path(o, format), strings.NewReader(fmt.Sprintf(about[o], n)))
						r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
						if err := h.ServeHTTP(w, r, nil); err != nil {
							t.Fatal(err)
						}
						isCut(t, u, w, o, format, body, n/2)
						most := int64(1)
						if o == wire.Search { // changes nothing
							most = 2
						}
						if came := u.came.Load() - before; came < 1 || came > most {
							t.Errorf("cut after %d bytes, the call was made %d times", n/2, came)
						}
						if took := time.Since(begun); took > time.Minute { // and not when its time is over
							t.Errorf("cut after %d bytes, the answer took %s", n/2, took)
						}
					}
				})
			}
		}
	}
}

// isCut wants the upstream's answer if it was whole, and else an error that says that it was not.
func isCut(t *testing.T, u *cutter, w *httptest.ResponseRecorder, o wire.Operation, format wire.Format, body string, after int) {
	t.Helper()
	got := w.Body.String()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != format.ContentType() {
		t.Errorf("cut after %d bytes: got %d %q", after, w.Code, w.Header().Get("Content-Type"))
	}
	if after == len(u.answer) {
		if got != body {
			t.Errorf("whole: got %s", got)
		}
		return
	}
	reading, err := wire.Read(o, format, []byte(got))
	if err != nil || reading.Status != wire.InternalError {
		t.Errorf("cut after %d bytes: the status is %q (%v): %s", after, reading.Status, err, got)
	}
	if !strings.Contains(got, "(caddy-verify: connection_lost)") && !strings.Contains(got, "(caddy-verify: answer_unreadable)") {
		t.Errorf("cut after %d bytes: got %s", after, got)
	}
}

// TestCallCutAnywhere ends a client's connection after every number of bytes of its call. What is not whole is no call: it
// does not reach the upstream. A client that has written all of it made one.
func TestCallCutAnywhere(t *testing.T) {
	t.Parallel()
	const form = "number=447700900000&brand=Acme"
	post := func(more, body string) string {
		return "POST /verify/json HTTP/1.1\r\nHost: gateway\r\n" + more + "\r\n\r\n" + body
	}
	const asForm, asJSON = "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/json\r\n"
	const inJSON = `{"number":"447700900000","brand":"Acme"}`
	for name, call := range map[string]string{
		"GET":             "GET /verify/json?" + form + " HTTP/1.1\r\nHost: gateway\r\n\r\n",
		"form":            post(asForm+fmt.Sprintf("Content-Length: %d", len(form)), form),
		"JSON":            post(asJSON+fmt.Sprintf("Content-Length: %d", len(inJSON)), inJSON),
		"form in chunks":  post(asForm+"Transfer-Encoding: chunked", fmt.Sprintf("13\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", form[:19], len(form)-19, form[19:])),
		"JSON in chunks":  post(asJSON+"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inJSON), inJSON)),
		"query and chunk": "POST /verify/json?brand=Acme HTTP/1.1\r\nHost: gateway\r\n" + asForm + "Transfer-Encoding: chunked\r\n\r\n13\r\nnumber=447700900000\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			h := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL, Timeout: caddy.Duration(5 * time.Minute)}})
			h.gateway.Logger = slog.New(slog.DiscardHandler)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = h.ServeHTTP(w, r, nil) }))
			complaints := new(buffer)
			server.Config.ErrorLog = log.New(complaints, "", 0)
			server.Start()
			t.Cleanup(server.Close)
			for n := range 2*len(call) + 1 {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				tcp := conn.(*net.TCPConn)
				_ = tcp.SetDeadline(time.Now().Add(time.Minute))
				if _, err := io.WriteString(tcp, call[:n/2]); err != nil {
					t.Fatal(err)
				}
				if n%2 == 1 {
					_ = tcp.SetLinger(0)
				} else {
					_ = tcp.CloseWrite()
					got, err := io.ReadAll(tcp) // it ends when the gateway is done with it
					if err != nil {
						t.Errorf("after %d bytes the gateway waits: %v", n/2, err)
					}
					if bytes.Contains(got, []byte(`"status":"0"`)) != (n/2 == len(call)) {
						t.Errorf("after %d of %d bytes the client reads %s", n/2, len(call), got)
					}
				}
				tcp.Close()
			}
			server.Close() // waits for those that were reset
			if n := len(u.Calls()); n != 1 {
				t.Errorf("%d calls came to the upstream, want the whole one alone", n)
			}
			if strings.Contains(complaints.String(), "panic") {
				t.Errorf("the server says %s", complaints)
			}
		})
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
