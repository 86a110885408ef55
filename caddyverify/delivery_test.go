package caddyverify

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// closers are the clients that close their connection as soon as they have read their
// answer.
var closers = map[string]struct {
	version, header string
	close           func(*net.TCPConn)
}{
	"HTTP/1.0":            {"HTTP/1.0", "", closeConn},
	"HTTP/1.0 keep-alive": {"HTTP/1.0", "Connection: keep-alive\r\n", closeConn},
	"Connection: close":   {"HTTP/1.1", "Connection: close\r\n", closeConn},
	"kept alive":          {"HTTP/1.1", "", closeConn},
	"a reset":             {"HTTP/1.1", "", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
}

func closeConn(c *net.TCPConn) { _ = c.Close() }

// closing makes a call as the closer of that name and returns what it read.
func closing(t *testing.T, name, address, path, form string) reply {
	t.Helper()
	closer := closers[name]
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer closer.close(conn.(*net.TCPConn))
	fmt.Fprintf(conn, "POST %s %s\r\nHost: gateway\r\n%sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, closer.version, closer.header, len(form), form)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // the connection is
	if err != nil {
		t.Error(err)
		return reply{}
	}
	body := make([]byte, response.ContentLength) // and not until the end of the connection
	if _, err := io.ReadFull(response.Body, body); err != nil {
		t.Error(err)
	}
	return reply{response, string(body)}
}

// lingering lets a handler go on only when the client has closed its connection.
type lingering struct {
	http.ResponseWriter
	r *http.Request
}

func (l lingering) FlushError() error {
	err := http.NewResponseController(l.ResponseWriter).Flush()
	<-l.r.Context().Done()
	return err
}

// What a client does with its connection after it has read its answer says nothing
// about the answer.
func TestOrderlyClose(t *testing.T) {
	for name := range closers {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			h := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL}})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = h.ServeHTTP(lingering{w, r}, r, nil)
			}))
			t.Cleanup(server.Close)
			call := func(o wire.Operation, form, want string) reply {
				t.Helper()
				got := closing(t, name, server.Listener.Addr().String(), wire.Path(o, wire.JSON), form)
				server.CloseClientConnections() // the handler is over when the next call begins
				if got.field("status") != want {
					t.Errorf("%v: got %s, want status %s", o, got.body, want)
				}
				return got
			}
			id := call(wire.Request, "number="+testNumber+"&brand=Acme", "0").field("request_id")
			call(wire.Request, "number="+testNumber+"&brand=Acme", "10")
			call(wire.Check, "request_id="+id+"&code="+testCode, "0")
			call(wire.Check, "request_id="+id+"&code="+testCode, "6")
		})
	}
}

// TestReplayBetweenGateways has hundreds of users get their code through one gateway
// and enter it through another, with clients that close at once, on a busy machine.
// None may be given the request_id of the verification that is over.
func TestReplayBetweenGateways(t *testing.T) {
	u := newUpstream(t)
	h := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL}})
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%2 == 0 { // as if it lost the processor there
			w = lingering{w, r}
		}
		_ = h.ServeHTTP(w, r, nil)
	}))
	t.Cleanup(server.Close)
	one := server.Listener.Addr().String()
	// By another name it is another account: nothing is shared.
	two := newGateway(t, &Handler{Account: Account{Upstream: strings.Replace(u.URL, "127.0.0.1", "localhost", 1)}}).Listener.Addr().String()
	busy(t)
	users := make(chan int)
	var running sync.WaitGroup
	for name := range closers {
		for range 4 {
			running.Go(func() {
				for user := range users {
					form := fmt.Sprintf("number=4477%08d&brand=Acme", user)
					first := closing(t, name, one, "/verify/json", form).field("request_id")
					if again := closing(t, name, one, "/verify/json", form); again.field("status") != "10" {
						t.Errorf("%s: an answer that was read is given again: %s", name, again.body)
					}
					if got := closing(t, name, two, "/verify/check/json", "request_id="+first+"&code="+testCode); got.field("status") != "0" {
						t.Errorf("%s: the check gets %s", name, got.body)
					}
					if second := closing(t, name, one, "/verify/json", form); second.field("status") != "0" || second.field("request_id") == first {
						t.Errorf("%s: after %s the user gets %s", name, first, second.body)
					}
				}
			})
		}
	}
	for user := range 200 {
		users <- user
	}
	close(users)
	running.Wait()
}

// busy keeps the processors at work until the test is over.
func busy(t *testing.T) {
	var over atomic.Bool
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for !over.Load() {
			}
		})
	}
	t.Cleanup(func() { over.Store(true); running.Wait() })
}

// abandoned makes a call whose client leaves before the answer, and waits until the
// gateway is done with it.
func abandoned(t *testing.T, u *testUpstream, path, form string, h *Handler) {
	t.Helper()
	u.fail(t, "* delay 100ms")
	defer u.fail(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = h.ServeHTTP(w, r, nil) }))
	before := len(u.Calls())
	r := request(t, http.MethodPost, server.URL+path, "application/x-www-form-urlencoded", form)
	leaving(t, u, server, r, func() bool { return len(u.Calls()) > before })
	server.Close()
}

// An answer that no client got is given to another only while its verification can be
// completed, whoever has ended it.
func TestReplayOfWhatIsOver(t *testing.T) {
	tests := map[string]struct {
		end      func(t *testing.T, u *testUpstream, id string)
		fault    string
		status   string
		same     bool // the same verification
		searches int
	}{
		"it runs": {status: "0", same: true, searches: 1},
		"checked elsewhere": {status: "0", searches: 1, end: func(t *testing.T, u *testUpstream, id string) {
			elsewhere(t, u, "/verify/check/json", "request_id="+id+"&code="+testCode)
		}},
		"nobody can tell":          {status: "10", same: true, searches: 2, fault: "search http 502"},
		"the provider knows no id": {status: "10", same: true, searches: 1, fault: "search status 101"},
		"the search is throttled":  {status: "10", same: true, searches: 1, fault: "search status 1"},
		"the provider forgot it":   {status: "0", searches: 1, end: func(_ *testing.T, u *testUpstream, _ string) { u.Reset() }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			h := &Handler{Account: Account{Upstream: u.URL}}
			gateway := newGateway(t, h)
			abandoned(t, u, "/verify/json", "number="+testNumber+"&brand=Acme", h)
			id := u.Verifications()[0].RequestID
			if test.end != nil {
				test.end(t, u, id)
			}
			if test.fault != "" {
				u.fail(t, test.fault)
			}
			got := postForm(t, gateway.URL+"/verify/json", "number="+testNumber+"&brand=Acme")
			if got.field("status") != test.status || got.field("request_id") == id != test.same {
				t.Errorf("after %s the client gets %s", id, got.body)
			}
			if n := searches(u); n != test.searches {
				t.Errorf("%d searches went upstream, want %d", n, test.searches)
			}
			u.fail(t)
			if again := postForm(t, gateway.URL+"/verify/json", "number="+testNumber+"&brand=Acme"); again.field("status") != "10" {
				t.Errorf("the one after that gets %s", again.body)
			}
		})
	}
}

// What is known to have ended needs no search.
func TestReplayOfWhatTheLedgerKnows(t *testing.T) {
	u := newUpstream(t)
	h := &Handler{Account: Account{Upstream: u.URL}}
	gateway := newGateway(t, h)
	abandoned(t, u, "/verify/json", "number="+testNumber+"&brand=Acme", h)
	id := u.Verifications()[0].RequestID
	elsewhere(t, u, "/verify/check/json", "request_id="+id+"&code="+testCode)
	postForm(t, gateway.URL+"/verify/search/json", "request_id="+id)
	if got := postForm(t, gateway.URL+"/verify/json", "number="+testNumber+"&brand=Acme"); got.field("status") != "0" || got.field("request_id") == id {
		t.Errorf("after %s the client gets %s", id, got.body)
	}
	if n := searches(u); n != 1 {
		t.Errorf("%d searches went upstream, want the client's", n)
	}
}

// elsewhere makes a call as another gateway does, with success.
func elsewhere(t *testing.T, u *testUpstream, path, form string) {
	t.Helper()
	r := request(t, http.MethodPost, u.URL+path, "application/x-www-form-urlencoded", form)
	r.SetBasicAuth(testKey, testSecret)
	if got := do(t, r); got.field("status") != "0" {
		t.Fatalf("the other gateway got %s", got.body)
	}
}

func searches(u *testUpstream) (n int) {
	for _, call := range u.Calls() {
		if call.Operation == "search" {
			n++
		}
	}
	return n
}

// A right code is not lost with its client.
func TestUnreadCheck(t *testing.T) {
	u := newUpstream(t)
	h := &Handler{Account: Account{Upstream: u.URL}}
	gateway := newGateway(t, h)
	id := postForm(t, gateway.URL+"/verify/json", "number="+testNumber+"&brand=Acme").field("request_id")
	form := "request_id=" + id + "&code=" + testCode
	abandoned(t, u, "/verify/check/json", form, h)
	for _, want := range []string{"0", "6"} {
		if got := postForm(t, gateway.URL+"/verify/check/json", form); got.field("status") != want {
			t.Errorf("the client gets %s, want status %s", got.body, want)
		}
	}
	if n := len(u.Calls()); n != 3 {
		t.Errorf("%d calls went upstream, want request, check, check", n)
	}
}
