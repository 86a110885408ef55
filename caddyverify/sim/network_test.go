package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// network is all that lies between the gateway and the provider, and what goes wrong
// there. It is the gateway's http.RoundTripper: what it is given has left the gateway.
type network struct {
	world *world

	mu       sync.Mutex
	random   *rand.Rand
	phase    phase
	sends    []time.Time
	troubled bool           // something has gone wrong before
	underWay map[string]int // requests, by what they say
}

// phase says how likely, of 1000 calls each, something goes wrong for a while.
type phase struct {
	name                                            string
	refused, cutBefore, cutAfter, status, web, echo int
	slow, drip                                      int
	word                                            string // the status that the provider answers with in place of acting
}

var phases = []phase{
	{name: "calm"},
	{name: "lossy", refused: 100, cutBefore: 80, cutAfter: 80},
	{name: "slow", slow: 400, drip: 200},
	{name: "away", refused: 1000},
	{name: "hangs", slow: 900},
	{name: "throttled", status: 300, word: "1"},
	{name: "broken", status: 600, word: "5"},
	{name: "out of credit", status: 700, word: "9"},
	{name: "credentials", status: 1000, word: "4"},
	{name: "barred", status: 900, word: "8"},
	{name: "echoes", echo: 200},
	{name: "a web page", web: 300, cutAfter: 50},
	{name: "all of it", refused: 60, cutBefore: 60, cutAfter: 100, status: 60, slow: 100, drip: 60, web: 40, word: "5"},
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}

// fate is what becomes of one call.
type fate struct {
	refused, cutBefore, cutAfter, status, web, drip, echo bool
	delay                                                 time.Duration
	word                                                  string
	cut                                                   int
}

func (n *network) draw() fate {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.sends = append(n.sends, now)
	p := n.phase
	chance := func(of int) bool { return n.random.IntN(1000) < of }
	f := fate{word: p.word, delay: time.Duration(5_000_000 + n.random.IntN(60_000_000)), cut: n.random.IntN(400)}
	f.refused, f.cutBefore, f.cutAfter = chance(p.refused), chance(p.cutBefore), chance(p.cutAfter)
	f.status, f.web, f.drip, f.echo = chance(p.status), chance(p.web), chance(p.drip), chance(p.echo)
	if chance(p.slow) {
		f.delay = time.Duration(n.random.Int64N(int64(6 * time.Second)))
	}
	return f
}

func (n *network) set(p phase) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase = p
	n.troubled = n.troubled || p.name != "calm"
	n.world.note("the network: %s", p.name)
}

// RoundTrip carries a call to the provider and its answer back.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	w := n.world
	form, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	text := string(form)
	if r.Method == http.MethodGet {
		text = r.URL.RawQuery
	}
	operation := operationOf(r.URL.Path)
	f := n.draw()
	w.note("upstream %s %s %s: %+v", r.Method, r.URL.Path, text, f)
	if f.refused {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if operation == "request" {
		n.begin(text)
		defer n.end(text)
	}
	// Only a search is of no use to anybody when its client has left.
	wait := func(d time.Duration) bool {
		here := sleep(r.Context(), d)
		if !here && operation != "search" && errors.Is(r.Context().Err(), context.Canceled) {
			w.violated(2, "a call that may cost money was cancelled: %s", text)
		}
		return here
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaderField("Host", nil)
	}
	if !wait(f.delay / 2) {
		return nil, r.Context().Err()
	}
	if f.cutBefore {
		return nil, errReset
	}
	code, body := http.StatusOK, ""
	switch {
	case f.web:
		code, body = http.StatusBadGateway, "<html>a firewall</html>"
	case f.status:
		body = says(r, f.word, "the provider says so")
	case f.echo:
		body = says(r, "3", "Invalid value for "+apiSecret)
	default:
		recorder := httptest.NewRecorder()
		inner := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(form))
		inner.Header = r.Header
		w.api.ServeHTTP(recorder, inner)
		code, body = recorder.Code, recorder.Body.String()
		w.book.acted(w, operation, text, body)
	}
	if !wait(f.delay / 2) {
		return nil, r.Context().Err()
	}
	response := &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Request: r,
	}
	switch {
	case f.web:
		response.Header.Set("Content-Type", "text/html")
	case strings.HasSuffix(r.URL.Path, "/xml"):
		response.Header.Set("Content-Type", "text/xml")
	}
	response.Body = io.NopCloser(&pipe{ctx: r.Context(), text: body, drip: f.drip})
	if f.cutAfter && f.cut < len(body) {
		response.Body = io.NopCloser(&pipe{ctx: r.Context(), text: body[:f.cut], drip: f.drip, cut: true})
	} else if operation == "request" && !f.status && !f.web && !f.echo {
		response.Body = io.NopCloser(&pipe{ctx: r.Context(), text: body, drip: f.drip, whole: func() { w.book.arrived(body) }})
	}
	return response, nil
}

// begin and end have a request be under way. An identical one shares it.
func (n *network) begin(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.underWay == nil {
		n.underWay = map[string]int{}
	}
	if n.underWay[text]++; n.underWay[text] > 1 {
		n.world.violated(1, "two identical requests are under way: %s", text)
	}
}

func (n *network) end(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.underWay[text]--
}

// wellSoFar tells that nothing has gone wrong yet.
func (n *network) wellSoFar() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.troubled
}

// says is an answer of the provider, which has done nothing.
func says(r *http.Request, status, text string) string {
	if strings.HasSuffix(r.URL.Path, "/xml") {
		return fmt.Sprintf(`<?xml version="1.0"?><verify_response><status>%s</status><error_text>%s</error_text></verify_response>`, status, text)
	}
	return fmt.Sprintf(`{"status":"%s","error_text":"%s"}`, status, text)
}

// pipe is the body of an answer, as it comes in.
type pipe struct {
	ctx       context.Context
	text      string
	drip, cut bool
	whole     func() // called once all of it was read; may be nil
}

func (p *pipe) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, p.ctx.Err()
	}
	if p.text == "" {
		if p.cut {
			return 0, errReset
		}
		return 0, io.EOF
	}
	if p.drip {
		b = b[:1]
		if !sleep(p.ctx, 10*time.Millisecond) {
			return 0, p.ctx.Err()
		}
	}
	n := copy(b, p.text)
	if p.text = p.text[n:]; p.text == "" && p.whole != nil {
		p.whole()
	}
	return n, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func operationOf(path string) string {
	for _, word := range []string{"check", "search", "control"} {
		if strings.Contains(path, "/"+word+"/") {
			return word
		}
	}
	return "request"
}
