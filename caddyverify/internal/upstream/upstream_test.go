package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

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

// A 4xx without an answer of the API says whose trouble it is by its code, whatever
// the body is like: a firewall's page may be compressed, huge or cut off.
func TestRefusedByCode(t *testing.T) {
	bodies := map[string]func(http.ResponseWriter){
		"a page":     func(w http.ResponseWriter) { io.WriteString(w, "<html>") },
		"nothing":    func(http.ResponseWriter) {},
		"cut off":    func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic(http.ErrAbortHandler) },
		"compressed": func(w http.ResponseWriter) { io.WriteString(w, "not in fact") },
		"huge":       func(w http.ResponseWriter) { w.Write(make([]byte, wire.MaxAnswer+1)) },
	}
	for code, want := range map[int]wire.Cause{
		400: wire.UpstreamError, 404: wire.UpstreamError, 401: wire.UpstreamUnauthorized, 403: wire.UpstreamUnauthorized, 429: wire.UpstreamThrottled,
	} {
		for name, body := range bodies {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if name == "compressed" {
					w.Header().Set("Content-Encoding", "gzip")
				}
				w.WriteHeader(code)
				body(w)
			}))
			answer := send(t, server.URL, new(http.Transport))
			server.Close()
			if answer.Fault == nil || answer.Fault.Cause != want || answer.Fault.UpstreamCode != code {
				t.Errorf("HTTP %d, %s: the answer is %+v, want %s", code, name, answer.Fault, want)
			}
		}
	}
}

// A framework's own error may have a status that is HTTP's, which is no answer of the
// API, whatever code it comes with.
func TestErrorsOfFrameworks(t *testing.T) {
	for code, body := range map[int]string{
		405: `{"type":"https://example.com/NO_METHOD","title":"Method not found","status":405}`,
		500: `{"timestamp":"2026-01-01T00:00:00Z","status":500,"error":"Internal Server Error"}`,
		200: `{"status":"200","message":"ok"}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			io.WriteString(w, body)
		}))
		answer := send(t, server.URL, new(http.Transport))
		server.Close()
		if answer.Fault == nil || answer.Fault.Reason != wire.ReasonNotVerify || !answer.Fault.UpstreamWhole {
			t.Errorf("HTTP %d %s: the answer is %+v", code, body, answer.Fault)
		}
	}
}
