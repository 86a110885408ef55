package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// opaque is an error that hides what is behind it, as Caddy's for a failed dial does.
type opaque struct{ error }

// dialing returns a transport whose connections fail with err.
func dialing(err error) *http.Transport {
	d := net.Dialer{Control: func(string, string, syscall.RawConn) error { return err }}
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, opaque{err}
		}
		return c, nil
	}}
}

// raw serves each connection with f, which gets what the client sent first.
func raw(t *testing.T, f func(c net.Conn, read []byte)) (address string) {
	t.Helper()
	return listen(t, func(c net.Conn) {
		buffer := make([]byte, 4096)
		n, _ := c.Read(buffer)
		f(c, buffer[:n])
	})
}

func says(answer string) func(net.Conn, []byte) {
	return func(c net.Conn, _ []byte) { _, _ = io.WriteString(c, answer) }
}

func reset(c net.Conn, _ []byte) { _ = c.(*net.TCPConn).SetLinger(0) }

// selfSigned is a certificate that nobody vouches for.
func selfSigned(t *testing.T) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsServer serves TLS with a certificate of its own, which roots vouch for.
func tlsServer(t *testing.T, config *tls.Config, leaf x509.Certificate) (address string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf.SerialNumber, leaf.IPAddresses = big.NewInt(1), []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.IsCA, leaf.BasicConstraintsValid, leaf.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &leaf, &leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), roots
}

// TestReasons makes each thing happen that can go wrong on the way to an answer.
func TestReasons(t *testing.T) {
	trusting := func(config *tls.Config, leaf x509.Certificate, client *tls.Config) (string, *http.Transport) {
		address, roots := tlsServer(t, config, leaf)
		client.RootCAs = roots
		return "https://" + address, &http.Transport{TLSClientConfig: client}
	}
	through := func(proxy string) *http.Transport {
		return &http.Transport{
			Proxy:                  func(*http.Request) (*url.URL, error) { return url.Parse(proxy) },
			OnProxyConnectResponse: ProxyAnswered,
		}
	}
	needsCertificate := func(version uint16) func() (string, *http.Transport) {
		return func() (string, *http.Transport) {
			return trusting(&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: version}, x509.Certificate{}, &tls.Config{})
		}
	}
	answering := func(answer string) func() (string, *http.Transport) {
		return func() (string, *http.Transport) { return "http://" + raw(t, says(answer)), &http.Transport{} }
	}
	hello := func(f func(net.Conn, []byte)) func() (string, *http.Transport) {
		return func() (string, *http.Transport) { return "https://" + raw(t, f), &http.Transport{} }
	}
	failing := func(err error) func() (string, *http.Transport) {
		return func() (string, *http.Transport) { return "https://127.0.0.1:1", dialing(err) }
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := []struct {
		name   string
		place  func() (target string, transport *http.Transport)
		cause  wire.Cause
		reason wire.Reason
		sent   bool
	}{
		{"no such name", func() (string, *http.Transport) {
			resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no server") }}
			transport := dialing(nil)
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				_, err := (&net.Dialer{Resolver: resolver}).DialContext(ctx, network, address)
				return nil, opaque{err}
			}
			return "https://nowhere.invalid", transport
		}, wire.ConnectFailed, "dns", false},
		{"refused", failing(syscall.ECONNREFUSED), wire.ConnectFailed, "refused", false},
		{"no route", failing(syscall.EHOSTUNREACH), wire.ConnectFailed, "unreachable", false},
		{"no network", failing(syscall.ENETUNREACH), wire.ConnectFailed, "unreachable", false},
		{"not permitted", failing(syscall.EPERM), wire.ConnectFailed, "unreachable", false},
		{"no answer to SYN", failing(os.ErrDeadlineExceeded), wire.ConnectFailed, "dial_timeout", false},
		{"unheard of", failing(errors.New("odd")), wire.ConnectFailed, "other", false},

		{"no proxy", func() (string, *http.Transport) {
			transport := through("http://127.0.0.1:1")
			transport.DialContext = dialing(syscall.ECONNREFUSED).DialContext
			return "https://127.0.0.1:1", transport
		}, wire.ConnectFailed, "proxy_unreachable", false},
		{"a proxy that refuses", func() (string, *http.Transport) {
			return "https://127.0.0.1:1", through("http://" + raw(t, says("HTTP/1.1 407 "+canary+"\r\nContent-Length: 0\r\n\r\n")))
		}, wire.ConnectFailed, "proxy_refused", false},
		{"a SOCKS proxy that refuses", func() (string, *http.Transport) {
			return "https://127.0.0.1:1", through("socks5://" + raw(t, func(c net.Conn, _ []byte) {
				_, _ = c.Write([]byte{5, 0})
				_, _ = c.Read(make([]byte, 100))
				_, _ = c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
			}))
		}, wire.ConnectFailed, "proxy_refused", false},
		{"a proxy that nobody vouches for", func() (string, *http.Transport) {
			address, _ := tlsServer(t, &tls.Config{}, x509.Certificate{})
			return "https://127.0.0.1:1", through("https://" + address)
		}, wire.TLSFailed, "unknown_authority", false},

		{"nobody vouches for it", func() (string, *http.Transport) {
			address, _ := tlsServer(t, &tls.Config{}, x509.Certificate{})
			return "https://" + address, &http.Transport{}
		}, wire.TLSFailed, "unknown_authority", false},
		{"expired", func() (string, *http.Transport) {
			return trusting(&tls.Config{}, x509.Certificate{NotAfter: time.Now().Add(-time.Hour)}, &tls.Config{})
		}, wire.TLSFailed, "expired", false},
		{"not yet valid", func() (string, *http.Transport) {
			return trusting(&tls.Config{}, x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}, &tls.Config{})
		}, wire.TLSFailed, "not_yet_valid", false},
		{"another name", func() (string, *http.Transport) {
			return trusting(&tls.Config{}, x509.Certificate{}, &tls.Config{ServerName: "example.org"})
		}, wire.TLSFailed, "wrong_name", false},
		{"for another use", func() (string, *http.Transport) {
			return trusting(&tls.Config{}, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, &tls.Config{})
		}, wire.TLSFailed, "bad_certificate", false},
		{"HTTP where TLS should be", func() (string, *http.Transport) {
			plain := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(plain.Close)
			return "https://" + plain.Listener.Addr().String(), &http.Transport{}
		}, wire.TLSFailed, "not_tls", false},
		{"an SSH server", hello(says("SSH-2.0-OpenSSH\r\n")), wire.TLSFailed, "not_tls", false},
		{"too new for us", func() (string, *http.Transport) {
			return trusting(&tls.Config{MinVersion: tls.VersionTLS13}, x509.Certificate{}, &tls.Config{MaxVersion: tls.VersionTLS12})
		}, wire.TLSFailed, "tls_version", false},
		{"too old for us", func() (string, *http.Transport) {
			return trusting(&tls.Config{MaxVersion: tls.VersionTLS12}, x509.Certificate{}, &tls.Config{MinVersion: tls.VersionTLS13})
		}, wire.TLSFailed, "tls_version", false},
		// Before TLS 1.3 there is no alert of its own for that.
		{"it wants a certificate, TLS 1.2", needsCertificate(tls.VersionTLS12), wire.TLSFailed, "tls_alert", false},
		{"it wants another certificate, TLS 1.2", func() (string, *http.Transport) {
			return trusting(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}, x509.Certificate{}, &tls.Config{
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return selfSigned(t), nil },
			})
		}, wire.TLSFailed, "client_certificate_required", false},
		{"it wants a certificate, TLS 1.3", needsCertificate(tls.VersionTLS13), wire.TLSFailed, "client_certificate_required", true},
		{"another alert", func() (string, *http.Transport) {
			return trusting(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}, x509.Certificate{}, &tls.Config{})
		}, wire.TLSFailed, "tls_alert", false},
		{"nonsense in TLS", hello(says("\x16\x03\x03\x00\x04\x63\x00\x00\x00")), wire.TLSFailed, "handshake_failed", false},
		{"reset in the handshake", hello(reset), wire.ConnectFailed, "reset", false},
		{"closed in the handshake", hello(says("")), wire.ConnectFailed, "closed", false},
		{"the transport's own limit of the handshake", func() (string, *http.Transport) {
			return "https://" + raw(t, func(c net.Conn, _ []byte) { _, _ = io.Copy(io.Discard, c) }), &http.Transport{TLSHandshakeTimeout: time.Millisecond}
		}, wire.ConnectFailed, "handshake_timeout", false},

		{"reset", func() (string, *http.Transport) { return "http://" + raw(t, reset), &http.Transport{} }, wire.ConnectionLost, "reset", true},
		{"closed", answering(""), wire.ConnectionLost, "closed", true},
		{"closed in the header", answering(head), wire.ConnectionLost, "closed", true},
		{"closed in the body", answering(head + "Content-Length: 9\r\n\r\n{"), wire.ConnectionLost, "closed", true},
		{"closed in a chunk", answering(head + "Transfer-Encoding: chunked\r\n\r\n9\r\n{"), wire.ConnectionLost, "closed", true},
		{"the transport's own limit of the answer", func() (string, *http.Transport) {
			return "http://" + raw(t, func(c net.Conn, _ []byte) { _, _ = io.Copy(io.Discard, c) }), &http.Transport{ResponseHeaderTimeout: time.Millisecond}
		}, wire.UpstreamTimeout, "no_answer", true},

		{"not HTTP", answering("SSH-2.0-OpenSSH\r\n"), wire.AnswerUnreadable, "not_http", true},
		{"a bad header", answering("HTTP/1.1 200 OK\r\n\x00: x\r\n\r\n"), wire.AnswerUnreadable, "not_http", true},
		{"a bad length", answering("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), wire.AnswerUnreadable, "not_http", true},
		{"a bad chunk", answering(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), wire.AnswerUnreadable, "not_http", true},
		{"another transfer", answering(head + "Transfer-Encoding: gzip\r\n\r\n"), wire.AnswerUnreadable, "not_http", true},
		{"a long header", func() (string, *http.Transport) {
			return "http://" + raw(t, says(head+"X: "+strings.Repeat("x", 9000)+"\r\n\r\n")), &http.Transport{MaxResponseHeaderBytes: 4000}
		}, wire.AnswerUnreadable, "header_too_large", true},
		{"a code of no use", answering("HTTP/1.1 042 OK\r\nContent-Length: 0\r\n\r\n"), wire.AnswerUnreadable, "http_code", true},
		{"compressed", answering(head + "Content-Encoding: br\r\nContent-Length: 0\r\n\r\n"), wire.AnswerUnreadable, "content_encoding", true},
		{"empty", answering(head + "Content-Length: 0\r\n\r\n"), wire.AnswerUnreadable, "empty", true},
		{"a web page", answering(head + "Content-Length: 6\r\n\r\n<html>"), wire.AnswerUnreadable, "web_page", true},
		{"broken JSON", answering(head + "Content-Length: 1\r\n\r\n{"), wire.AnswerUnreadable, "malformed", true},
		{"other JSON", answering(head + "Content-Length: 2\r\n\r\n{}"), wire.AnswerUnreadable, "not_verify", true},
		{"a redirect", answering("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), wire.UpstreamError, "redirect", true},
		{"a proxy's page", answering("HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>"), wire.UpstreamError, "web_page", true},
		{"a firewall's page", answering("HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\n<html>"), wire.UpstreamUnauthorized, "web_page", false},
	}
	seen := map[wire.Reason]bool{}
	for _, test := range tests {
		target, transport := test.place()
		answer := send(t, target, transport)
		fault := answer.Fault
		if fault == nil || fault.Cause != test.cause || fault.Reason != test.reason || fault.MayHaveSent != test.sent {
			t.Errorf("%s: got %+v because of %s, want %s because of %s, perhaps sent: %v", test.name, fault, reasonOf(fault), test.cause, test.reason, test.sent)
		}
		seen[test.reason] = true
		if test.name == "a proxy that refuses" && fault.ProxyCode != 407 {
			t.Errorf("%s: with %d", test.name, fault.ProxyCode)
		}
	}
	for _, elsewhere := range []wire.Reason{wire.ReasonSlowAnswer, wire.ReasonStreamReset, wire.ReasonQueue, wire.ReasonOtherID} {
		seen[elsewhere] = true // TestWhatATimeoutWaitedFor, TestOneDeliveryOverHTTP2, TestAboutAnother, and the handler's own
	}
	for _, reason := range wire.Reasons {
		if !seen[reason] && !slices.Contains(wire.GuardReasons[:], reason) {
			t.Errorf("nothing shows %s", reason)
		}
	}
}

// deadline is a context whose time is over when it is told so.
type deadline struct {
	context.Context
	done chan struct{}
	once sync.Once
}

func (d *deadline) Done() <-chan struct{} { return d.done }
func (d *deadline) expire()               { d.once.Do(func() { close(d.done) }) }
func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestWhatATimeoutWaitedFor(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
	tests := []struct {
		scheme, answer string
		dial           bool // which does not come to an end
		want           wire.Reason
		sent           bool
	}{
		{"http://", "", true, wire.ReasonDialTimeout, false},
		{"https://", "", false, wire.ReasonHandshakeTimeout, false},
		{"http://", "", false, wire.ReasonNoAnswer, true},
		{"http://", head, false, wire.ReasonSlowAnswer, true},
		{"http://", head + "\r\n{", false, wire.ReasonSlowAnswer, true},
	}
	for _, test := range tests {
		ctx := &deadline{Context: t.Context(), done: make(chan struct{})}
		address := raw(t, func(c net.Conn, _ []byte) {
			if _, _ = io.WriteString(c, test.answer); test.answer == "" {
				ctx.expire()
			}
			_, _ = io.Copy(io.Discard, c)
		})
		transport := &http.Transport{}
		if test.dial {
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ctx.expire()
				<-t.Context().Done()
				return nil, t.Context().Err()
			}
		}
		client, err := New(Config{URL: test.scheme + address, Key: "key", Secret: NewSecret(canary), Auth: Basic, Method: Post, Transport: expiring{transport, ctx, test.answer != ""}})
		if err != nil {
			t.Fatal(err)
		}
		fault := client.Send(ctx, &wire.Call{}, http.MethodPost).Fault
		if fault == nil || fault.Cause != wire.UpstreamTimeout || fault.Reason != test.want || fault.MayHaveSent != test.sent {
			t.Errorf("%s %q: got %+v, want %s", test.scheme, test.answer, fault, test.want)
		}
		transport.CloseIdleConnections()
	}
}

// expiring ends the time of a call as soon as it has noticed the first bytes of its answer.
type expiring struct {
	*http.Transport
	ctx   *deadline
	early bool
}

func (e expiring) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.early {
		noticed := httptrace.ContextClientTrace(r.Context()).GotFirstResponseByte
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() {
			noticed() // otherwise this one comes first
			e.ctx.expire()
		}}))
	}
	return e.Transport.RoundTrip(r)
}

// What is told of an answer cannot hold what the upstream wishes to be told.
func TestWhatIsToldOfAnAnswer(t *testing.T) {
	for _, test := range []struct {
		header string
		body   string
		media  string
		length int64
	}{
		{"Content-Type: text/html; charset=" + canary, "<html>", "text/html", 6},
		{"Content-Type: TEXT/HTML", "<html>", "text/html", 6},
		{"Content-Type: text/" + canary, "", "other", 0},
		{"Content-Type: 447911654321", "", "other", 0},
		{"X: y", "x", "none", 1},
	} {
		answer := fmt.Sprintf("HTTP/1.1 503 %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s", canary, test.header, len(test.body), test.body)
		fault := send(t, "http://"+raw(t, says(answer)), &http.Transport{}).Fault
		if fault.UpstreamCode != 503 || fault.UpstreamType != test.media || fault.UpstreamLength != test.length {
			t.Errorf("%s: %+v", test.header, fault)
		}
	}
	fault := send(t, "http://"+raw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 447911654321\r\n\r\n")), &http.Transport{}).Fault
	if fault.Cause != wire.AnswerTooLarge || fault.UpstreamLength != wire.MaxAnswer+1 {
		t.Errorf("a length that is a number: %+v", fault)
	}
}

func TestLargestAnswer(t *testing.T) {
	const begin, end, most = `{"status":"0","x":"`, `"}`, 1 << 20
	for length, cause := range map[int]wire.Cause{most: "", most + 1: wire.AnswerTooLarge} {
		body := begin + strings.Repeat("x", length-len(begin)-len(end)) + end
		answer := send(t, "http://"+raw(t, says(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body))), &http.Transport{})
		if cause == "" && (answer.Fault != nil || len(answer.Body) != length) || cause != "" && (answer.Fault == nil || answer.Fault.Cause != cause) {
			t.Errorf("of %d bytes %d are passed on: %+v", length, len(answer.Body), answer.Fault)
		}
	}
}
