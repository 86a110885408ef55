package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// calls is one of each operation.
var calls = []*wire.Call{
	{Operation: wire.Request, Params: []wire.Param{{Name: "number", Value: "447700900000"}, {Name: "brand", Value: "Acme"}}},
	{Operation: wire.Check, Params: []wire.Param{{Name: "request_id", Value: "a"}, {Name: "code", Value: "1234"}}},
	{Operation: wire.Search, Params: []wire.Param{{Name: "request_id", Value: "a"}}},
	{Operation: wire.Control, Params: []wire.Param{{Name: "request_id", Value: "a"}, {Name: "cmd", Value: "cancel"}}},
}

// eachCall runs a test for each operation by each method.
func eachCall(t *testing.T, test func(t *testing.T, call *wire.Call, method string)) {
	for _, call := range calls {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(call.Operation.String()+" by "+method, func(t *testing.T) { test(t, call, method) })
		}
	}
}

// peer serves connections. It answers the first call of each, and does with the
// second, once it has come in whole, what the test is about.
type peer struct {
	handled, connections atomic.Int32
	tooOften             chan struct{} // closed by the third call
}

// handle counts a call.
func (p *peer) handle() (n int32) {
	if n = p.handled.Add(1); n == 3 {
		close(p.tooOften)
	}
	return n
}

func newPeer() *peer { return &peer{tooOften: make(chan struct{})} }

func (p *peer) listen(t *testing.T, config *tls.Config, serve func(net.Conn)) (address string) {
	t.Helper()
	return listen(t, func(c net.Conn) {
		p.connections.Add(1)
		if config != nil {
			c = tls.Server(c, config)
		}
		serve(c)
	})
}

// twice makes a call two times over a connection that is kept, and wants the second
// to be handled once, with an answer that says that it may have been.
func (p *peer) twice(t *testing.T, url string, transport *http.Transport, call *wire.Call, method string) {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	client := newClient(t, url, transport)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // what is sent again might be sent without end
		select {
		case <-p.tooOften:
			cancel()
		case <-ctx.Done():
		}
	}()
	kept(ctx, t, func(ctx context.Context) wire.Answer { return client.Send(ctx, call, method) }, func() {
		p.handled.Store(0)
		p.connections.Store(0)
	})
	answer := client.Send(ctx, call, method)
	if answer.Fault == nil || answer.Fault.Cause != wire.ConnectionLost && answer.Fault.Cause != wire.AnswerUnreadable || !answer.Fault.MayHaveSent {
		t.Errorf("the answer is %+v", answer.Fault)
	}
	if n := p.handled.Load(); n != 2 {
		t.Errorf("the second call was delivered %d times", n-1)
	}
	if n := p.connections.Load(); n != 1 {
		t.Errorf("there were %d connections: the second call went by another", n)
	}
}

// kept makes a call until its connection is kept. On a busy machine net/http gives one up on
// which the answer came before it knew that it had written the call; then again is called.
func kept(ctx context.Context, t *testing.T, send func(context.Context) wire.Answer, again func()) {
	t.Helper()
	for range 100 {
		var first httptrace.GotConnInfo
		idle := false
		answer := send(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn:     func(info httptrace.GotConnInfo) { first = info },
			PutIdleConn: func(err error) { idle = err == nil },
		}))
		if answer.Fault != nil {
			t.Fatalf("the first call got %+v", answer.Fault)
		}
		if _, over2 := first.Conn.(*tls.Conn); over2 || idle { // HTTP/2 keeps its connections, and does not tell
			return
		}
		again()
	}
	t.Fatal("no connection is kept")
}

func newClient(t *testing.T, url string, transport http.RoundTripper) *Client {
	t.Helper()
	client, err := New(Config{URL: url, Key: "key", Secret: NewSecret(canary), Auth: Basic, Method: Auto, Methods: new(Methods), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const anAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"status\":\"0\"}"

func TestOneDelivery(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"a reset":                      func(c *net.TCPConn) { _ = c.SetLinger(0) },
		"a close":                      func(*net.TCPConn) {},
		"half a header and a reset":    func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 2"); _ = c.SetLinger(0) },
		"half a header and a close":    func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n") },
		"half an answer and a close":   func(c *net.TCPConn) { _, _ = io.WriteString(c, anAnswer[:len(anAnswer)-5]) },
		"half of one side and a reset": func(c *net.TCPConn) { _ = c.CloseWrite(); _ = c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, call *wire.Call, method string) {
				p := newPeer()
				address := p.listen(t, nil, func(c net.Conn) {
					r := bufio.NewReader(c)
					for n := range 2 {
						request, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						if _, err := io.Copy(io.Discard, request.Body); err != nil {
							return
						}
						p.handle()
						if n == 0 {
							_, _ = io.WriteString(c, anAnswer)
						}
					}
					end(c.(*net.TCPConn))
				})
				p.twice(t, "http://"+address, new(http.Transport), call, method)
			})
		})
	}
}

// Go's transport would send a call again, and again, that an HTTP/2 peer has reset
// with PROTOCOL_ERROR or says not to have handled.
func TestOneDeliveryOverHTTP2(t *testing.T) {
	certificate, roots := testCertificate()
	server := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}
	reset := func(code http2.ErrCode) func(*http2.Framer, uint32) error {
		return func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, code) }
	}
	for name, end := range map[string]func(f *http2.Framer, stream uint32) error{
		"NO_ERROR":          reset(http2.ErrCodeNo),
		"PROTOCOL_ERROR":    reset(http2.ErrCodeProtocol),
		"INTERNAL_ERROR":    reset(http2.ErrCodeInternal),
		"REFUSED_STREAM":    reset(http2.ErrCodeRefusedStream),
		"CANCEL":            reset(http2.ErrCodeCancel),
		"ENHANCE_YOUR_CALM": reset(http2.ErrCodeEnhanceYourCalm),
		"GOAWAY, as if not handled": func(f *http2.Framer, stream uint32) error {
			return errors.Join(f.WriteGoAway(stream-2, http2.ErrCodeNo, nil), io.EOF)
		},
		"GOAWAY": func(f *http2.Framer, stream uint32) error {
			return errors.Join(f.WriteGoAway(stream, http2.ErrCodeNo, nil), io.EOF)
		},
		"a close": func(*http2.Framer, uint32) error { return io.EOF },
	} {
		for way, configure := range map[string]func(*http.Transport) error{
			"net/http":   func(transport *http.Transport) error { transport.ForceAttemptHTTP2 = true; return nil },
			"as Caddy's": http2.ConfigureTransport, //nolint:staticcheck // Caddy uses it
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				eachCall(t, func(t *testing.T, call *wire.Call, method string) {
					p := newPeer()
					address := p.listen(t, server, func(c net.Conn) { p.serveHTTP2(c, end) })
					transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
					if err := configure(transport); err != nil {
						t.Fatal(err)
					}
					p.twice(t, "https://"+address, transport, call, method)
				})
			})
		}
	}
}

func testCertificate() (tls.Certificate, *x509.CertPool) {
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	return model.TLS.Certificates[0], model.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// serveHTTP2 answers the first call and ends the others, each once it has come in
// whole.
func (p *peer) serveHTTP2(c net.Conn, end func(f *http2.Framer, stream uint32) error) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			ended = f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
		}
		if stream := frame.Header().StreamID; ended && p.handle() == 1 {
			err = answerHTTP2(framer, stream)
		} else if ended {
			err = end(framer, stream)
		}
		if err != nil {
			return
		}
	}
}

func answerHTTP2(f *http2.Framer, stream uint32) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/json"}} {
		if err := encoder.WriteField(field); err != nil {
			return err
		}
	}
	return errors.Join(
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}),
		f.WriteData(stream, true, []byte(`{"status":"0"}`)),
	)
}

// dying is a connection that takes so many bytes, and then is found to have died. By
// reading that is not found: whether it is, in between, is up to the scheduler.
type dying struct {
	net.Conn
	takes atomic.Int64
	over  <-chan struct{}
}

func (d *dying) Write(p []byte) (int, error) {
	left := d.takes.Load()
	if left >= int64(len(p)) {
		d.takes.Add(-int64(len(p)))
		return d.Conn.Write(p)
	}
	n, _ := d.Conn.Write(p[:left])
	d.takes.Store(0)
	return n, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

func (d *dying) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if err != nil {
		<-d.over
	}
	return n, err
}

// A connection that had died before a call was written to it is replaced, and not
// reported: whoever asks is not to read that a message may have been sent.
func TestDeadConnectionIsReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		takes    int64 // of the second call
		replaced func(method string) bool
	}{
		"nothing was written": {0, func(string) bool { return true }},
		// Of half a header nobody can make a call, and Go knows it not.
		"half a header was written": {40, func(method string) bool { return method == http.MethodGet }},
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, call *wire.Call, method string) {
				p := newPeer()
				address := p.listen(t, nil, func(c net.Conn) {
					r := bufio.NewReader(c)
					for {
						request, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						if _, err := io.Copy(io.Discard, request.Body); err != nil {
							return
						}
						p.handle()
						_, _ = io.WriteString(c, anAnswer)
					}
				})
				var first *dying
				transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil || first != nil {
						return c, err
					}
					first = &dying{Conn: c, over: t.Context().Done()}
					first.takes.Store(1 << 20)
					return first, nil
				}}
				t.Cleanup(transport.CloseIdleConnections)
				client := newClient(t, "http://"+address, transport)
				kept(t.Context(), t, func(ctx context.Context) wire.Answer { return client.Send(ctx, call, method) }, func() {
					first = nil
					p.handled.Store(0)
				})
				first.takes.Store(test.takes)
				answer := client.Send(t.Context(), call, method)
				if replaced := answer.Fault == nil; replaced != test.replaced(method) {
					t.Errorf("the second call got %+v", answer.Fault)
				}
				want := int32(1)
				if answer.Fault == nil {
					want = 2
				}
				if n := p.handled.Load(); n != want {
					t.Errorf("%d calls were handled, want %d", n, want)
				}
			})
		})
	}
}

// TestGETOnTheWire has no body, and nothing that tells of one.
func TestGETOnTheWire(t *testing.T) {
	p, came := newPeer(), make(chan string, 1)
	address := p.listen(t, nil, func(c net.Conn) {
		var text bytes.Buffer
		if _, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &text))); err != nil {
			return
		}
		_, _ = io.WriteString(c, strings.Replace(anAnswer, "\r\n", "\r\nConnection: close\r\n", 1))
		came <- text.String()
	})
	transport := new(http.Transport)
	if answer := newClient(t, "http://"+address, transport).Send(t.Context(), calls[1], http.MethodGet); answer.Fault != nil {
		t.Fatalf("got %+v", answer.Fault)
	}
	want := "GET /verify/check/json?request_id=a&code=1234 HTTP/1.1\r\n" +
		"Host: " + address + "\r\n" +
		"User-Agent: caddy-verify/dev\r\n" +
		"Accept: application/json\r\n" +
		"Accept-Encoding: identity\r\n" +
		"Authorization: Basic a2V5OkNhbmEvcnkrUzNjcmV0Jng=\r\n\r\n"
	if got := <-came; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
