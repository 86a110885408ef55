package caddyverify

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	testKey    = "abcdef01"
	testSecret = "S3cret-of-the-gateway"
	testNumber = "447700900000"
	testCode   = "1234"
)

// testUpstream is a sandbox that keeps the bodies it answered with.
type testUpstream struct {
	*sandbox.Sandbox
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	held   <-chan struct{} // until when the next answer is kept back
}

func newUpstream(t *testing.T) *testUpstream { return newUpstreamFor(t, testSecret) }

func newUpstreamFor(t *testing.T, secret string) *testUpstream {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{APIKey: testKey, APISecret: secret, Code: testCode, AllowPinCode: true, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	u := &testUpstream{Sandbox: api}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Server.Close)
	return u
}

func (u *testUpstream) serve(w http.ResponseWriter, r *http.Request) {
	recorder := &bodyRecorder{ResponseWriter: w}
	u.mu.Lock()
	held := u.held
	u.held = nil
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.bodies = append(u.bodies, recorder.body.String())
	}()
	u.Sandbox.ServeHTTP(recorder, r)
	if held != nil {
		<-held // nothing of a short answer is on its way yet
	}
}

// hold keeps back the answer to the next call.
func (u *testUpstream) hold(t *testing.T) (release func()) {
	t.Helper()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held = held
	return release
}

func (u *testUpstream) lastBody() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bodies[len(u.bodies)-1]
}

// sent is how many calls of clients came in, those to the unused request_ids of
// the gateway's own searches left out.
func (u *testUpstream) sent() (n int) {
	for _, call := range u.Calls() {
		if call.Operation != "search" || strings.Contains(forms[wire.Search], call.RequestID) {
			n++
		}
	}
	return n
}

// fail makes the upstream fail as the lines say; see sandbox.ParseFault.
func (u *testUpstream) fail(t *testing.T, lines ...string) {
	t.Helper()
	var faults []sandbox.Fault
	for _, line := range lines {
		fault, err := sandbox.ParseFault(line)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, fault)
	}
	if err := u.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

type bodyRecorder struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (r *bodyRecorder) Write(p []byte) (int, error) {
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Unwrap lets the sandbox take over the connection.
func (r *bodyRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// newGateway serves a provisioned handler, without a limit of calls unless it has
// one; what it leaves to the next handler is answered with 418.
func newGateway(t *testing.T, h *Handler) *httptest.Server {
	t.Helper()
	newGatewayWith(t, h)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.ServeHTTP(w, r, next); err != nil {
			t.Errorf("an error was returned to Caddy, which would log the URI: %v", err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// newGatewayWith provisions a handler, without serving it.
func newGatewayWith(t *testing.T, h *Handler) *Handler {
	t.Helper()
	if h.Limit == 0 {
		h.Limit = -1
	}
	if err := inForce(t, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// inForce provisions handlers as those of a configuration that is in force.
func inForce(t testing.TB, handlers ...*Handler) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	app := new(App)
	for _, h := range handlers {
		if h.Credentials == nil {
			h.Credentials = &Credentials{APIKey: testKey, APISecret: testSecret}
		}
		if err := h.provision(ctx, app); err != nil {
			return err
		}
	}
	app.takeOver()
	return nil
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

func get(t *testing.T, url string) reply {
	t.Helper()
	return do(t, request(t, http.MethodGet, url, "", ""))
}

func postForm(t *testing.T, url, form string) reply {
	t.Helper()
	return do(t, request(t, http.MethodPost, url, "application/x-www-form-urlencoded", form))
}

func request(t *testing.T, method, url, contentType, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// loadConfig has Caddy use a configuration. It closes connections that wait for a request: the next one is on none of those.
// Nor is it on a socket of the configuration before, which Caddy goes on to close when it has loaded this one.
func loadConfig(config []byte) error {
	defer http.DefaultClient.CloseIdleConnections()
	err := caddy.Load(config, true)
	for listenTwice() {
		runtime.Gosched()
	}
	return err
}

func do(t *testing.T, r *http.Request) reply {
	t.Helper()
	return doBy(t, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, r)
}

func doBy(t *testing.T, client *http.Client, r *http.Request) reply {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response, string(body)}
}

// field returns a member of a flat JSON answer.
func (r reply) field(name string) string {
	_, after, _ := strings.Cut(r.body, `"`+name+`":"`)
	value, _, _ := strings.Cut(after, `"`)
	return value
}

// leaving sends a request and leaves as soon as the condition holds. u answers once the gateway has noticed that; over
// is closed when the gateway is done with the call.
func leaving(t *testing.T, u *testUpstream, gateway *httptest.Server, r *http.Request, condition func() bool) (over <-chan struct{}) {
	t.Helper()
	noticed, done := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	handler := gateway.Config.Handler
	gateway.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			context.AfterFunc(r.Context(), func() { close(noticed) })
			defer close(done)
		}
		handler.ServeHTTP(w, r)
	})
	release := u.hold(t)
	leave(t, http.DefaultClient, r, condition)
	<-noticed
	release()
	return done
}

// resetting does the same with Caddy, which does not tell what it has noticed: the connection is reset, so that no answer
// can be written to it. It returns when the gateway is done with the call.
func resetting(t *testing.T, u *testUpstream, r *http.Request, condition func() bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetLinger(0)
		}
		return conn, err
	}}}
	release := u.hold(t)
	leave(t, client, r, condition)
	release()
	if err := running.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func leave(t *testing.T, client *http.Client, r *http.Request, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !condition() {
			runtime.Gosched()
		}
		cancel()
	}()
	response, err := client.Do(r.WithContext(ctx))
	if err == nil {
		response.Body.Close()
		t.Fatal("the answer came before the client could leave")
	}
	if ctx.Err() == nil {
		t.Fatal(err)
	}
}
