package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// network is all that lies between gateways and the provider, the provider's server
// included, and what goes wrong there.
type network struct {
	world   *world
	ctx     context.Context // until the run ends
	end     context.CancelFunc
	server  *http.Server
	accepts chan net.Conn

	mu       sync.Mutex
	phase    phase
	since    time.Time // it is that
	troubled bool      // something has gone wrong before
}

// phase says how likely, of 1000 calls each, something goes wrong for a while.
type phase struct {
	name                                            string
	refused, cutBefore, cutAfter, status, web, echo int
	mixedUp                                         int
	longest                                         time.Duration // that a slow call takes; 6 s if 0
	slow, drip                                      int
	word                                            string // the status that the provider answers with in place of acting
}

var phases = []phase{
	{name: "calm"},
	{name: "lossy", refused: 100, cutBefore: 80, cutAfter: 80},
	{name: "slow", slow: 400, drip: 200},
	{name: "away", refused: 1000},
	{name: "hangs", slow: 900, longest: time.Minute},
	{name: "throttled", status: 300, word: "1"},
	{name: "broken", status: 600, word: "5"},
	{name: "out of credit", status: 700, word: "9"},
	{name: "credentials", status: 1000, word: "4"},
	{name: "barred", status: 900, word: "8"},
	{name: "echoes", echo: 200},
	{name: "mixed up", mixedUp: 300},
	{name: "a web page", web: 300, cutAfter: 50},
	{name: "all of it", refused: 60, cutBefore: 60, cutAfter: 100, status: 60, slow: 100, drip: 60, web: 40, word: "5"},
}

// fate is what becomes of one call.
type fate struct {
	refused, cutBefore, cutAfter, status, web, drip, echo bool
	mixedUp                                               bool // another verification's answer
	quiet                                                 bool // a cut looks like an orderly end
	delay                                                 time.Duration
	word                                                  string
	cut                                                   int
}

func newNetwork(w *world) *network {
	n := &network{world: w, accepts: make(chan net.Conn)}
	n.ctx, n.end = context.WithCancel(context.Background())
	n.server = &http.Server{
		Handler:     n,
		IdleTimeout: time.Duration(1+w.random.IntN(40)) * time.Second, // connections that are kept end at any time
		ErrorLog:    log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, linkKey{}, c.(*farEnd).link)
		},
	}
	w.ends.Go(func() { _ = n.server.Serve(n) })
	return n
}

type (
	linkKey struct{}
	farEnd  struct {
		net.Conn
		link *link
	}
)

// Accept, Close and Addr make the network the net.Listener of the provider.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepts:
		return c, nil
	case <-n.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.end()
	return nil
}

func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

func (n *network) draw(r *rand.Rand, account int) fate {
	n.mu.Lock()
	p := n.phase
	n.mu.Unlock()
	chance := func(of int) bool { return r.IntN(1000) < of }
	f := fate{word: p.word, delay: time.Duration(5_000_000 + r.IntN(60_000_000)), cut: r.IntN(600)}
	f.refused, f.cutBefore, f.cutAfter = chance(p.refused), chance(p.cutBefore), chance(p.cutAfter)
	if account > 0 && strings.Contains("4 8 9", p.word) { // the trouble of the first
		p.status = 0
	}
	f.status, f.web, f.drip, f.echo = chance(p.status), chance(p.web), chance(p.drip), chance(p.echo)
	f.quiet, f.mixedUp = chance(500), chance(p.mixedUp)
	if chance(250) {
		f.cut = 0 // not a byte: what HTTP clients think that they may send again
	}
	if chance(p.slow) {
		f.delay = time.Duration(r.Int64N(int64(cmp.Or(p.longest, 6*time.Second))))
	}
	return f
}

func (n *network) set(p phase) {
	if s := n.world.stores; s != nil && s.calm {
		p = phases[0]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase, n.since = p, time.Now()
	n.troubled = n.troubled || p.name != "calm"
	n.world.note("the network: %s", p.name)
}

// wellSoFar tells that nothing has gone wrong yet.
func (n *network) wellSoFar() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.troubled
}

// ServeHTTP is the provider. What has come to it whole is acted upon, whether or not
// anybody waits still.
func (n *network) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	l := r.Context().Value(linkKey{}).(*link)
	form, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the rest never came
	}
	f := l.ofCall()
	before := min(f.delay/2, 3*time.Second) // acted upon later, it could be a second verification
	time.Sleep(before)
	contentType := "application/json"
	if strings.HasSuffix(r.URL.Path, "/xml") {
		contentType = "text/xml"
	}
	var body string
	code := http.StatusOK
	_, secret, signed := r.BasicAuth()
	c := n.called(r, form)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	says := func(status, text string) {
		body = says(r, status, text)
		if c.second {
			code, body = saysSecond(status, text)
			contentType = "application/problem+json"
		}
	}
	switch {
	case f.web:
		code, body, contentType = http.StatusBadGateway, "<html>a firewall</html>", "text/html"
	case f.status:
		says(f.word, "the provider says so")
	case f.echo:
		says("3", "Invalid value for "+cmp.Or(secret, token))
	case signed && !n.world.accepts(secret):
		says("4", "Bad Credentials")
	case !signed && !n.world.second.takes(token):
		says("4", "The JWT provided has expired.")
	default:
		recorder := httptest.NewRecorder()
		inner := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(form))
		inner.Header = r.Header
		if signed {
			inner.SetBasicAuth(apiKey, apiSecret) // it knows one
		}
		account := slices.Index(hosts, r.Host)
		n.world.apis[account].ServeHTTP(recorder, inner)
		code, body = recorder.Code, recorder.Body.String()
		if c.second {
			contentType = recorder.Header().Get("Content-Type")
		}
		n.world.book.acted(l.process, account, &c, c.read(code, body))
	}
	if id := readText(body).RequestID; f.mixedUp && id != "" && c.operation != "request" {
		body = strings.ReplaceAll(body, id, "0123456789abcdef0123456789abcdef")
	}
	time.Sleep(f.delay - before)
	rw.Header().Set("Content-Type", contentType)
	rw.WriteHeader(code)
	_, _ = io.WriteString(rw, body)
}

// called reads the call that has come.
func (n *network) called(r *http.Request, form []byte) asked {
	text := string(form)
	if r.Method == http.MethodGet {
		text = r.URL.RawQuery
	}
	return readCall(r.Method, r.URL.Path, text)
}

// says is an answer of the provider, which has done nothing.
func says(r *http.Request, status, text string) string {
	if strings.HasSuffix(r.URL.Path, "/xml") {
		return fmt.Sprintf(`<?xml version="1.0"?><verify_response><status>%s</status><error_text>%s</error_text></verify_response>`, status, text)
	}
	return fmt.Sprintf(`{"status":"%s","error_text":"%s"}`, status, text)
}

// link is a connection as a gateway sees it. One call is on it at a time.
type link struct {
	net.Conn
	far     net.Conn
	process *process
	uplink  *uplink
	closed  chan struct{}
	close   func()

	mu      sync.Mutex
	fate    fate
	cut     bool // while it was written to
	written int
	read    int
}

var errCut = errors.New("connection reset by peer")

func (n *network) connect(u *uplink) *link {
	near, far := net.Pipe()
	l := &link{Conn: near, far: far, process: u.process, uplink: u, closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		_ = near.Close()
	})
	select {
	case n.accepts <- &farEnd{far, l}:
	case <-n.ctx.Done():
	}
	return l
}

// begin has the next call have its fate.
func (l *link) begin(f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate, l.written, l.read = f, 0, 0
}

func (l *link) ofCall() fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fate
}

// Write gets as far as the fate has it.
func (l *link) Write(b []byte) (int, error) {
	f := l.ofCall()
	if !f.cutBefore {
		return l.Conn.Write(b)
	}
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	n, _ := l.Conn.Write(b[:f.cut%len(b)])
	_ = l.far.Close()
	return n, &net.OpError{Op: "write", Net: "tcp", Err: errCut}
}

// Read gets as far as the fate has it. What ends while it is written to is told to who
// writes, and to nobody else before that: or two would tell it in no order.
func (l *link) Read(b []byte) (int, error) {
	l.mu.Lock()
	f, left := l.fate, l.fate.cut-l.read
	l.mu.Unlock()
	if f.cutAfter && left <= 0 {
		l.close()
		return 0, l.lost(f)
	}
	n, err := l.Conn.Read(b)
	l.mu.Lock()
	f, left = l.fate, l.fate.cut-l.read // it may have been idle
	l.read += n
	cut := l.cut
	l.mu.Unlock()
	if cut && n == 0 {
		<-l.closed
	}
	if f.drip {
		time.Sleep(time.Duration(n) * time.Millisecond)
	}
	if f.cutAfter && n > left {
		n = max(left, 0)
		if n == 0 {
			l.close()
			return 0, l.lost(f)
		}
	}
	return n, err
}

func (l *link) lost(f fate) error {
	if f.quiet {
		return io.EOF
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: errCut}
}

func (l *link) Close() error {
	l.close()
	l.uplink.forget(l)
	return nil
}
