package search

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// upstream is a provider for tests. What it does not know is 101 alone, and left
// out of a list.
type upstream struct {
	mu     sync.Mutex
	states map[string]string // request_id to status
	price  string
	calls  []string // the ids of each call, joined by a comma
	fails  func(call *wire.Call) *wire.Answer
}

func newUpstream(states map[string]string) *upstream {
	return &upstream{states: states, price: "0.10000000"}
}

func (u *upstream) set(id, status string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.states[id] = status
}

func (u *upstream) failing(f func(call *wire.Call) *wire.Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fails = f
}

func (u *upstream) called() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.calls)
}

func (u *upstream) fetch(_ context.Context, call *wire.Call) wire.Answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids, list := call.IDs()
	u.calls = append(u.calls, strings.Join(ids, ","))
	if u.fails != nil {
		if a := u.fails(call); a != nil {
			return *a
		}
	}
	var parts []string
	for _, id := range ids {
		if status, ok := u.states[id]; ok {
			parts = append(parts, fragment(call.Format, id, status, u.price))
		}
	}
	switch {
	case len(parts) == 0:
		return says(call.Format, number(call.Format, "101"))
	case list:
		return says(call.Format, listOf(call.Format, parts...))
	}
	return says(call.Format, oneOf(call.Format, parts[0]))
}

func fragment(f wire.Format, id, status, price string) string {
	if f == wire.XML {
		return fmt.Sprintf("<verify_request>\n<request_id>%s</request_id><price>%s</price><status>%s</status></verify_request>", id, price, status)
	}
	return fmt.Sprintf(`{"request_id": "%s", "price":"%s","status":"%s"}`, id, price, status)
}

// verifications reads them from an answer's body, as its Found may be without them.
func verifications(a wire.Answer) []*wire.Verification {
	f := wire.JSON
	if bytes.HasPrefix(a.Body, []byte("<")) {
		f = wire.XML
	}
	reading, _ := wire.Read(wire.Search, f, a.Body)
	return reading.Found
}

func number(f wire.Format, status string) string {
	if f == wire.XML {
		return "<?xml version=\"1.0\"?>\n<verify_response><status>" + status + "</status></verify_response>\n"
	}
	return "{ \"status\":\"" + status + "\",\"error_text\":\"-\"}\n"
}

// The upstream's own spacing, to tell its bytes from assembled ones.
func oneOf(f wire.Format, part string) string {
	if f == wire.XML {
		return "<?xml version=\"1.0\"?>\n\n" + part + "\n"
	}
	return "\n" + part + "\n"
}

func listOf(f wire.Format, parts ...string) string {
	if f == wire.XML {
		return "<?xml version=\"1.0\"?>\n<verification_requests>\n" + strings.Join(parts, "\n") + "\n</verification_requests>\n"
	}
	return "{ \"verification_requests\": [" + strings.Join(parts, " ,\n") + "] }\n"
}

func contentType(f wire.Format) string { return f.ContentType() + ";charset=UTF-8" }

func says(f wire.Format, body string) wire.Answer {
	reading, err := wire.Read(wire.Search, f, []byte(body))
	if err != nil {
		panic(fmt.Sprintf("%v: %s", err, body))
	}
	return wire.Answer{Code: http.StatusOK, ContentType: contentType(f), Body: []byte(body), Reading: reading}
}

func faulty(cause wire.Cause) func(*wire.Call) *wire.Answer {
	return func(call *wire.Call) *wire.Answer {
		a := fault(cause, true, call.Format, nil)
		return &a
	}
}

func refusing(status string, code ...int) func(*wire.Call) *wire.Answer {
	return func(call *wire.Call) *wire.Answer {
		a := says(call.Format, number(call.Format, status))
		for _, a.Code = range code {
		}
		return &a
	}
}

// telling has the upstream tell all states, by another HTTP code than 200.
func telling(code int, list func(wire.Format, ...string) string) func(*wire.Call) *wire.Answer {
	return func(call *wire.Call) *wire.Answer {
		ids, several := call.IDs()
		parts := make([]string, len(ids))
		for i, id := range ids {
			parts[i] = fragment(call.Format, id, ip, "0.1")
		}
		if !several {
			list = first
		}
		a := says(call.Format, list(call.Format, parts...))
		a.Code = code
		return &a
	}
}

// first is an answer that tells the first of them alone.
func first(f wire.Format, parts ...string) string { return oneOf(f, parts[0]) }

// refusingBy has the upstream answer by an HTTP code alone.
func refusingBy(code int) func(*wire.Call) *wire.Answer {
	return func(call *wire.Call) *wire.Answer {
		a := fault(wire.UpstreamError, true, call.Format, nil)
		a.Fault.UpstreamCode = code
		return &a
	}
}

func one(f wire.Format, id string) *wire.Call { return wire.SearchFor(f, []string{id}, false) }

func many(f wire.Format, ids ...string) *wire.Call { return wire.SearchFor(f, ids, true) }

// assembled is the list that the gateway writes of these states.
func (u *upstream) assembled(f wire.Format, ids ...string) string {
	var raw [][]byte
	for _, id := range ids {
		raw = append(raw, []byte(fragment(f, id, u.states[id], u.price)))
	}
	return string(wire.AppendList(nil, f, raw))
}

// bubble runs a test in fake time, with a Cache that is closed at its end.
func bubble(t *testing.T, s Settings, f func(t *testing.T, c *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := New(s)
		defer c.Close()
		f(t, c)
	})
}

// by makes a call a caller's.
func by(caller string, call *wire.Call) *wire.Call {
	call.Caller = caller
	return call
}

func (c *Cache) ask(u *upstream, call *wire.Call) (wire.Answer, Result) {
	return c.Search(context.Background(), call, u.fetch)
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func pass(d time.Duration) { time.Sleep(d) }
