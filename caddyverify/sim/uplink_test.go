package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// uplink is a process's way to the provider. What it is given has left the gateway.
type uplink struct {
	process   *process
	account   int
	transport *http.Transport

	mu        sync.Mutex
	random    *rand.Rand
	sends     []time.Time
	underWay  int // requests
	resends   int // that a call may have made at most by itself: version 2 has done nothing
	links     map[*link]bool
	throttled []time.Time // when the provider said that there were too many
	moment    time.Time   // of the last calls
	atOnce    *[]string   // what they say
	calls     sync.WaitGroup
}

type fateKey struct{}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

func newUplink(p *process, account int, r *rand.Rand) *uplink {
	u := &uplink{process: p, account: account, random: r, links: map[*link]bool{}}
	u.transport = &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if f, _ := ctx.Value(fateKey{}).(fate); f.refused || p.dead() {
				return nil, errRefused
			}
			l := p.network.connect(u)
			u.mu.Lock()
			defer u.mu.Unlock()
			u.links[l] = true
			return l, nil
		},
		IdleConnTimeout:     30*time.Second + 1, // as Caddy's, with this project's defaults
		MaxIdleConnsPerHost: 32,
		DisableCompression:  true,
	}
	return u
}

func (u *uplink) forget(l *link) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.links, l)
}

// sever ends all connections.
func (u *uplink) sever() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l := range u.links {
		l.close()
	}
}

// RoundTrip implements http.RoundTripper.
func (u *uplink) RoundTrip(r *http.Request) (*http.Response, error) {
	p := u.process
	if p.dead() {
		return nil, errRefused
	}
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		copied, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		form, err := io.ReadAll(copied)
		if err != nil {
			return nil, err
		}
		text = string(form)
	}
	asked := readCall(r.Method, r.URL.Path, text)
	operation := asked.operation
	if asked.second {
		text = r.Method + " " + r.URL.Path + " " + text
		p.tokenUsed(u.account, r.Header.Get("Authorization"))
	}
	begun := u.await(text)
	f := u.begin(begun, operation)
	defer u.end(operation)
	if operation == "request" {
		defer p.book.sending(u, asked.values.Get("number"), text)()
	}
	if f.refused {
		u.transport.CloseIdleConnections() // they are gone as well
		time.Sleep(time.Nanosecond)
	}
	p.note("upstream %d of %d: %s %s %s: %+v", u.account, p.number, r.Method, r.URL.Path, text, f)
	var reused, wrote atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			info.Conn.(*link).begin(f)
			reused.Store(info.Reused)
		},
		WroteHeaderField: func(string, []string) { wrote.Store(true) },
	}
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), fateKey{}, f), trace)
	u.calls.Add(1)
	response, err := u.transport.RoundTrip(r.WithContext(ctx))
	cancelled := func() {
		// Only a search is of no use to anybody when its client has left.
		if operation != "search" && errors.Is(r.Context().Err(), context.Canceled) && !p.dead() {
			p.violated(2, "a call that may cost money was cancelled: %s", text)
		}
	}
	if err != nil {
		defer u.calls.Done()
		p.book.doubts(&asked)
		cancelled()
		var op *net.OpError
		unwritten := !wrote.Load() || errors.As(err, &op) && op.Op == "write"
		if reused.Load() && unwritten && r.Method == http.MethodGet && r.Context().Err() == nil {
			u.unsend(begun) // nobody can have read it to its end: it is made again in its own place
		}
		return nil, err
	}
	response.Body = &incoming{ReadCloser: response.Body, closed: sync.OnceFunc(u.calls.Done), done: func(body string, whole bool) {
		if !whole {
			p.book.doubts(&asked)
			cancelled()
			return
		}
		answer := asked.read(response.StatusCode, body)
		if f.mixedUp || f.echo || answer.Status == "5" || answer.Status == "unreadable" || answer.Status == "" {
			p.book.doubts(&asked)
		}
		if asked.again(&answer) {
			u.mu.Lock()
			u.resends++
			u.mu.Unlock()
		}
		if answer.Status == "1" {
			u.mu.Lock()
			u.throttled = append(u.throttled, time.Now())
			u.mu.Unlock()
		}
		if operation == "request" && answer.Status == "0" {
			p.book.arrived(p, answer.RequestID)
		}
	}}
	return response, nil
}

// await has a call wait until a connection that has just become free is so in any order of
// events. What several searches that wait for one call do when it has ended comes at one moment:
// it goes on in the order of what it says.
func (u *uplink) await(text string) (begun time.Time) {
	begun = time.Now()
	u.mu.Lock()
	if !u.moment.Equal(begun) {
		u.moment, u.atOnce = begun, new([]string)
	}
	atOnce := u.atOnce
	*atOnce = append(*atOnce, text)
	u.mu.Unlock()
	time.Sleep(time.Nanosecond)
	u.mu.Lock()
	before := 0
	for _, other := range *atOnce {
		if other < text {
			before++
		}
	}
	u.mu.Unlock()
	time.Sleep(time.Duration(before) * time.Nanosecond)
	return begun
}

// begin and end have a call be under way.
func (u *uplink) begin(when time.Time, operation string) fate {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sends = append(u.sends, when)
	if operation == "request" {
		u.underWay++
	}
	return u.process.network.draw(u.random, u.account)
}

func (u *uplink) end(operation string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if operation != "request" {
		return
	}
	u.underWay--
}

// unsend takes back that a call was sent.
func (u *uplink) unsend(when time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := slices.Index(u.sends, when)
	u.sends = slices.Delete(u.sends, at, at+1)
}

// starting is how many requests are under way.
func (u *uplink) starting() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.underWay
}

// incoming is the body of an answer as it comes in.
type incoming struct {
	io.ReadCloser
	text   strings.Builder
	done   func(body string, whole bool)
	closed func()
}

func (i *incoming) Close() error {
	defer i.closed()
	return i.ReadCloser.Close()
}

func (i *incoming) Read(b []byte) (int, error) {
	n, err := i.ReadCloser.Read(b)
	i.text.Write(b[:n])
	if err != nil {
		i.done(i.text.String(), errors.Is(err, io.EOF))
	}
	return n, err
}

func operationOf(path string) string {
	for _, word := range []string{"check", "search", "control"} {
		if strings.Contains(path, "/"+word+"/") {
			return word
		}
	}
	return "request"
}
