package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func send(t *testing.T, url string, transport *http.Transport) wire.Answer {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	client, err := New(Config{URL: url, Key: "key", Secret: NewSecret(canary), Auth: Basic, Method: Post, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	call := &wire.Call{Operation: wire.Request, Params: []wire.Param{{Name: "number", Value: "447700900000"}}}
	return client.Send(t.Context(), call, http.MethodPost)
}

// An HTTP/2 peer that resets a stream after having read all of it: Go's transport
// would send the call again without end.
func TestOneDeliveryOverHTTP2(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeRefusedStream, http2.ErrCodeInternal, http2.ErrCodeCancel} {
		t.Run(code.String(), func(t *testing.T) {
			model := httptest.NewTLSServer(nil)
			certificate, roots := model.TLS.Certificates[0], model.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			model.Close()
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			var handled atomic.Int32
			go func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					go handleAndReset(c, code, &handled)
				}
			}()
			answer := send(t, "https://"+listener.Addr().String(), &http.Transport{
				ForceAttemptHTTP2: true,
				TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "example.com"},
			})
			if answer.Fault == nil || answer.Fault.Cause != wire.ConnectionLost || !answer.Fault.MayHaveSent {
				t.Errorf("the answer is %+v", answer.Fault)
			}
			if n := handled.Load(); n != 1 {
				t.Errorf("it was delivered %d times", n)
			}
		})
	}
}

// handleAndReset reads calls to their end and answers none.
func handleAndReset(c net.Conn, code http2.ErrCode, handled *atomic.Int32) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if framer.WriteSettings() != nil {
		return
	}
	var body bytes.Buffer
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.DataFrame:
			body.Write(f.Data())
			if f.StreamEnded() {
				handled.Add(1)
				err = framer.WriteRSTStream(f.StreamID, code)
			}
		}
		if err != nil {
			return
		}
	}
}

// A peer that refuses the TLS connection by an alert, and one whose certificate
// nobody vouches for, were reached: it is no question of DNS or routes.
func TestTLSFailures(t *testing.T) {
	strict := httptest.NewUnstartedServer(nil)
	strict.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	strict.StartTLS()
	t.Cleanup(strict.Close)
	roots := strict.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, config := range map[string]*tls.Config{
		"an alert":     {RootCAs: roots, MaxVersion: tls.VersionTLS12},
		"a stranger":   {},
		"another name": {RootCAs: roots, ServerName: "example.org"},
	} {
		answer := send(t, strict.URL, &http.Transport{TLSClientConfig: config})
		if answer.Fault == nil || answer.Fault.Cause != wire.TLSFailed || answer.Fault.MayHaveSent {
			t.Errorf("%s: the answer is %+v", name, answer.Fault)
		}
	}
}

func TestDeadlineBeforeConnection(t *testing.T) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client, err := New(Config{URL: "http://127.0.0.1:1", Key: "key", Secret: NewSecret(canary), Auth: Basic, Method: Post, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	answer := client.Send(ctx, &wire.Call{}, http.MethodPost)
	if answer.Fault == nil || answer.Fault.Cause != wire.UpstreamTimeout || answer.Fault.MayHaveSent {
		t.Errorf("the answer is %+v", answer.Fault)
	}
}
