package v2

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// listen has serve take each connection, and closes it afterwards.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return listener.Addr().String()
}

// answering reads a request and answers it as said, byte for byte.
func answering(t *testing.T, answer string) (url string) {
	t.Helper()
	return "http://" + listen(t, func(c net.Conn) {
		if readRequest(bufio.NewReader(c)) == nil {
			_, _ = io.WriteString(c, answer)
		}
	})
}

func readRequest(r *bufio.Reader) error {
	request, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, request.Body)
	}
	return err
}

// ending is a context whose time is over when it is told so.
type ending struct{ context.Context }

func (e ending) Err() error {
	if e.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// Whatever goes wrong on the way has the same cause and reason as with v1.
func TestFaultsAreThoseOfV1(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	stranger, plain := httptest.NewUnstartedServer(http.NotFoundHandler()), httptest.NewServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	t.Cleanup(plain.Close)
	failing := func(err error) *http.Transport {
		d := net.Dialer{Control: func(string, string, syscall.RawConn) error { return err }}
		return &http.Transport{DialContext: d.DialContext}
	}
	var expire atomic.Pointer[context.CancelFunc] // the time of the call that is under way
	silent := "http://" + listen(t, func(c net.Conn) {
		if readRequest(bufio.NewReader(c)) == nil {
			(*expire.Load())()
		}
		_, _ = io.Copy(io.Discard, c)
	})
	huge := "Content-Length: " + strconv.Itoa(wire.MaxAnswer+1) + "\r\n\r\n"
	for _, test := range []struct {
		name      string
		url       string
		transport *http.Transport
		expires   bool // once the request has come
		cause     wire.Cause
	}{
		{"refused", "http://127.0.0.1:1", failing(syscall.ECONNREFUSED), false, wire.ConnectFailed},
		{"no route", "http://127.0.0.1:1", failing(syscall.EHOSTUNREACH), false, wire.ConnectFailed},
		{"a stranger", stranger.URL, new(http.Transport), false, wire.TLSFailed},
		{"not TLS", "https://" + plain.Listener.Addr().String(), new(http.Transport), false, wire.TLSFailed},
		{"silence", silent, new(http.Transport), true, wire.UpstreamTimeout},
		{"a close", "http://" + listen(t, func(c net.Conn) { _ = readRequest(bufio.NewReader(c)) }), new(http.Transport), false, wire.ConnectionLost},
		{"half an answer", answering(t, head+"Content-Length: 100\r\n\r\n{"), new(http.Transport), false, wire.ConnectionLost},
		{"a redirect", answering(t, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), new(http.Transport), false, wire.UpstreamError},
		{"not HTTP", answering(t, "SSH-2.0-OpenSSH\r\n\r\n"), new(http.Transport), false, wire.AnswerUnreadable},
		{"compressed", answering(t, head+"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), new(http.Transport), false, wire.AnswerUnreadable},
		{"too large", answering(t, head+huge), new(http.Transport), false, wire.AnswerTooLarge},
		{"too large, unannounced", answering(t, head+"\r\n"+strings.Repeat(" ", wire.MaxAnswer+1)), new(http.Transport), false, wire.AnswerTooLarge},
		{"reset content", answering(t, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"), new(http.Transport), false, wire.AnswerUnreadable},
		{"nothing", answering(t, head+"Content-Length: 0\r\n\r\n"), new(http.Transport), false, wire.AnswerUnreadable},
		{"a page", answering(t, head+"Content-Length: 7\r\n\r\n<html>x"), new(http.Transport), false, wire.AnswerUnreadable},
		{"half of JSON", answering(t, head+"Content-Length: 7\r\n\r\n{\"stat\""), new(http.Transport), false, wire.AnswerUnreadable},
		{"other JSON", answering(t, head+"Content-Length: 2\r\n\r\n{}"), new(http.Transport), false, wire.AnswerUnreadable},
		{"401 with a page", answering(t, "HTTP/1.1 401 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"), new(http.Transport), false, wire.UpstreamUnauthorized},
		{"403 without a body", answering(t, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), new(http.Transport), false, wire.UpstreamUnauthorized},
		{"429 without a body", answering(t, "HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"), new(http.Transport), false, wire.UpstreamThrottled},
		{"404 in plain text", answering(t, "HTTP/1.1 404 No\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found"), new(http.Transport), false, wire.UpstreamError},
		{"404 cut off", answering(t, "HTTP/1.1 404 No\r\nContent-Length: 18\r\n\r\n404"), new(http.Transport), false, wire.UpstreamError},
		{"503 with a page", answering(t, "HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"), new(http.Transport), false, wire.UpstreamError},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.transport.DisableKeepAlives = true
			v1, err := upstream.New(upstream.Config{URL: test.url, Key: "key", Secret: upstream.NewSecret(canary), Auth: upstream.Basic, Method: upstream.Post, Transport: test.transport})
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, test.transport)
			if c, err = New(Config{URL: test.url, Auth: c.Auth, Live: c.Live, Book: c.Book, Transport: test.transport}); err != nil {
				t.Fatal(err)
			}
			within := func(send wire.Sender, call *wire.Call) wire.Answer {
				ctx := t.Context()
				if test.expires {
					over, end := context.WithCancel(ctx)
					defer end()
					expire.Store(&end)
					ctx = ending{over}
				}
				return send(ctx, call)
			}
			for _, call := range []*wire.Call{requestCall(), checkCall()} {
				got, want := within(c.RoundTrip, call), within(v1.RoundTrip, call)
				if got.Fault == nil || got.Fault.Cause != test.cause {
					t.Fatalf("%s: got %+v %s", call.Operation, got.Fault, got.Body)
				}
				got.Fault.Err, want.Fault.Err = nil, nil // for tests
				if *got.Fault != *want.Fault {
					t.Errorf("%s: got\n%+v, and with v1\n%+v", call.Operation, *got.Fault, *want.Fault)
				}
			}
		})
	}
}

// TestOneDelivery wants each call to be made once, however its connection ends.
func TestOneDelivery(t *testing.T) {
	calls := map[string]*wire.Call{"request": requestCall(), "check": checkCall(), "cancel": controlCall("cancel"), "trigger": controlCall("trigger_next_event")}
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	server := &tls.Config{Certificates: model.TLS.Certificates, NextProtos: []string{"h2"}}
	roots := model.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	overHTTP1 := func(end func(*net.TCPConn)) func(net.Conn, *atomic.Int32) {
		return func(c net.Conn, handled *atomic.Int32) {
			r := bufio.NewReader(c)
			for readRequest(r) == nil {
				if handled.Add(1) > 1 {
					end(c.(*net.TCPConn))
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
	overHTTP2 := func(code http2.ErrCode) func(net.Conn, *atomic.Int32) {
		return func(c net.Conn, handled *atomic.Int32) { serveHTTP2(tls.Server(c, server), handled, code) }
	}
	for _, test := range []struct {
		name   string
		scheme string
		serve  func(net.Conn, *atomic.Int32)
	}{
		{"a close", "http://", overHTTP1(func(*net.TCPConn) {})},
		{"a reset", "http://", overHTTP1(func(c *net.TCPConn) { _ = c.SetLinger(0) })},
		{"half a header", "http://", overHTTP1(func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 2") })},
		{"PROTOCOL_ERROR", "https://", overHTTP2(http2.ErrCodeProtocol)},
		{"REFUSED_STREAM", "https://", overHTTP2(http2.ErrCodeRefusedStream)},
		{"INTERNAL_ERROR", "https://", overHTTP2(http2.ErrCodeInternal)},
	} {
		for name, call := range calls {
			t.Run(test.name+", "+name, func(t *testing.T) {
				var handled atomic.Int32
				address := listen(t, func(c net.Conn) { test.serve(c, &handled) })
				transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
				t.Cleanup(transport.CloseIdleConnections)
				c := newClient(t, transport)
				c, err := New(Config{URL: test.scheme + address, Auth: c.Auth, Live: c.Live, Book: c.Book, Transport: transport})
				if err != nil {
					t.Fatal(err)
				}
				if answer := c.RoundTrip(t.Context(), call); answer.Fault == nil || answer.Fault.UpstreamCode != 500 {
					t.Fatalf("the first call got %+v %s", answer.Fault, answer.Body)
				}
				answer := c.RoundTrip(t.Context(), call)
				if answer.Fault == nil || !answer.Fault.MayHaveSent || answer.Fault.UpstreamCode != 0 {
					t.Errorf("the second call got %+v %s", answer.Fault, answer.Body)
				}
				if n := handled.Load(); n != 2 {
					t.Errorf("the second call was delivered %d times", n-1)
				}
			})
		}
	}
}

// serveHTTP2 answers the first call with HTTP 500 and resets the others, each once it has come
// in whole; after a few it ends.
func serveHTTP2(c net.Conn, handled *atomic.Int32, code http2.ErrCode) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err := framer.WriteSettings()
	for err == nil && handled.Load() < 5 {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
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
		switch stream := frame.Header().StreamID; {
		case !ended:
		case handled.Add(1) == 1:
			var block bytes.Buffer
			err = errors.Join(
				hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "500"}),
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}),
			)
		default:
			err = framer.WriteRSTStream(stream, code)
		}
	}
}
