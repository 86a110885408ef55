package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// progress is how far a call has come: what it waited for when its time was over,
// and why its connection failed. The transport's own error does not always tell:
// Caddy's hides what is behind a failed dial. A connection may be made on behalf of
// several calls, so that what they are told comes from several goroutines.
type progress struct {
	stage atomic.Int32
	dial  atomic.Pointer[error]
}

// The stages of a call.
const (
	starting int32 = iota
	resolving
	dialling
	shaking // hands, for TLS
	asking
	answering
)

// watch has a trace tell the progress of the call.
func (p *progress) watch(trace *httptrace.ClientTrace) {
	trace.DNSStart = func(httptrace.DNSStartInfo) { p.stage.Store(resolving) }
	trace.DNSDone = func(info httptrace.DNSDoneInfo) { p.failed(info.Err) }
	trace.ConnectStart = func(_, _ string) { p.stage.Store(dialling) }
	trace.ConnectDone = func(_, _ string, err error) { p.failed(err) }
	trace.TLSHandshakeStart = func() { p.stage.Store(shaking) }
	trace.GotFirstResponseByte = func() { p.stage.Store(answering) }
}

// failed notes why a connection could not be made. Of the addresses of a name the one
// that there is no way to says least: it may be the IPv6 of a host without.
func (p *progress) failed(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	if known := p.dial.Load(); known == nil || dialReason(*known) == wire.ReasonUnreachable {
		p.dial.Store(&err)
	}
}

// waitedFor is what a call whose time is over was waiting for.
func (p *progress) waitedFor() wire.Reason {
	return [...]wire.Reason{
		starting: wire.ReasonDialTimeout, resolving: wire.ReasonDNS, dialling: wire.ReasonDialTimeout,
		shaking: wire.ReasonHandshakeTimeout, asking: wire.ReasonNoAnswer, answering: wire.ReasonSlowAnswer,
	}[p.stage.Load()]
}

// unconnected tells why no connection was made.
func (p *progress) unconnected(err error) *wire.Fault {
	if refused, ok := errors.AsType[proxyRefusal](err); ok {
		return &wire.Fault{Cause: wire.ConnectFailed, Reason: wire.ReasonProxyRefused, ProxyCode: int(refused)}
	}
	if op := opError(err, "socks connect"); op != nil {
		return &wire.Fault{Cause: wire.ConnectFailed, Reason: wire.ReasonProxyRefused}
	}
	if reason := tlsReason(err); reason != "" {
		return &wire.Fault{Cause: wire.TLSFailed, Reason: reason}
	}
	if opError(err, "proxyconnect") != nil {
		return &wire.Fault{Cause: wire.ConnectFailed, Reason: wire.ReasonProxyUnreachable}
	}
	reason := dialReason(err)
	if dial := p.dial.Load(); dial != nil && reason == wire.ReasonOther {
		reason = dialReason(*dial)
	}
	if reason == wire.ReasonDialTimeout {
		reason = p.waitedFor()
	}
	return &wire.Fault{Cause: wire.ConnectFailed, Reason: reason}
}

// lost tells why a connection gave no answer, or not all of it.
func (p *progress) lost(err error) *wire.Fault {
	var timeout net.Error
	switch reason := tlsReason(err); {
	case reason != "": // an alert: over TLS 1.3 a server judges the client's certificate after the handshake
		return &wire.Fault{Cause: wire.TLSFailed, Reason: reason, MayHaveSent: true}
	case errors.As(err, &timeout) && timeout.Timeout(): // one of the transport's own
		return &wire.Fault{Cause: wire.UpstreamTimeout, Reason: p.waitedFor(), MayHaveSent: true}
	}
	// The errors of net/http and its HTTP/2 have no types.
	text := err.Error()
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(text, word) {
				return true
			}
		}
		return false
	}
	switch reason := brokenReason(err); {
	case reason != "":
		return &wire.Fault{Cause: wire.ConnectionLost, Reason: reason, MayHaveSent: true}
	case has("server closed idle connection"):
		return &wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonClosed, MayHaveSent: true}
	case has("response headers exceeded", "header list larger"):
		return &wire.Fault{Cause: wire.AnswerUnreadable, Reason: wire.ReasonHeaderSize, MayHaveSent: true}
	case has("malformed", "chunk", "Content-Length", "transfer encoding", "1xx"):
		return &wire.Fault{Cause: wire.AnswerUnreadable, Reason: wire.ReasonNotHTTP, MayHaveSent: true}
	case errors.Is(err, errSentOnce), has("stream error", "http2: "):
		return &wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonStreamReset, MayHaveSent: true}
	}
	return &wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonOther, MayHaveSent: true}
}

func dialReason(err error) wire.Reason {
	var (
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &dns):
		return wire.ReasonDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return wire.ReasonRefused
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES):
		return wire.ReasonUnreachable
	case errors.As(err, &timeout) && timeout.Timeout():
		return wire.ReasonDialTimeout
	}
	if reason := brokenReason(err); reason != "" {
		return reason
	}
	return wire.ReasonOther
}

// brokenReason tells how a connection ended, "" where it is not that.
func brokenReason(err error) wire.Reason {
	switch {
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		return wire.ReasonReset
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return wire.ReasonClosed
	}
	return ""
}

// tlsReason tells why TLS failed, "" where it did not.
func tlsReason(err error) wire.Reason {
	var (
		unknown      x509.UnknownAuthorityError
		roots        x509.SystemRootsError
		invalid      x509.CertificateInvalidError
		name         x509.HostnameError
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &roots):
		return wire.ReasonUnknownAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		return wire.ReasonNotYetValid
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return wire.ReasonExpired
	case errors.As(err, &name):
		return wire.ReasonWrongName
	case errors.As(err, &verification):
		return wire.ReasonBadCertificate
	case errors.As(err, &record):
		return wire.ReasonNotTLS
	}
	if alert := opError(err, "remote error"); alert != nil {
		return alertReason(alert.Err)
	}
	if opError(err, "local error") != nil || strings.HasPrefix(innermost(err).Error(), "tls: ") {
		if strings.Contains(err.Error(), "protocol version") {
			return wire.ReasonTLSVersion
		}
		return wire.ReasonHandshakeFailed
	}
	return ""
}

// The alerts that a server sends about the certificate of its client, and about the
// version of TLS (RFC 8446, section 6).
var (
	certificateAlerts = []tls.AlertError{42, 43, 44, 45, 46, 48, 116}
	versionAlert      = tls.AlertError(70) //nolint:errname // named as what it is
)

// alertReason tells alerts apart by their texts, since crypto/tls has no exported type
// for them on a connection.
func alertReason(alert error) wire.Reason {
	for _, known := range certificateAlerts {
		if alert.Error() == known.Error() {
			return wire.ReasonClientCertificate
		}
	}
	if alert.Error() == versionAlert.Error() {
		return wire.ReasonTLSVersion
	}
	return wire.ReasonTLSAlert
}

// opError finds the network's error about an operation.
func opError(err error, operation string) *net.OpError {
	for {
		var op *net.OpError
		if !errors.As(err, &op) || op.Op == operation {
			return op
		}
		err = op.Err
	}
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// proxyRefusal is the HTTP status code by which a proxy refused to connect.
type proxyRefusal int //nolint:errname // named as what it is

func (proxyRefusal) Error() string { return "the proxy refused to connect" }

// ProxyAnswered is for http.Transport.OnProxyConnectResponse. The transport's own error
// has the text of a proxy's refusal, which may be anything, and not its code.
func ProxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return proxyRefusal(response.StatusCode)
	}
	return nil
}

// mediaTypes are those whose names may be shown. Anything else could hold anything.
var mediaTypes = []string{
	"application/json", "application/problem+json", "application/xml", "application/xhtml+xml", "application/octet-stream",
	"application/x-www-form-urlencoded", "text/html", "text/plain", "text/xml", "text/javascript",
}

// mediaType names a Content-Type as far as it may be shown.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == "" {
		return "none"
	}
	for _, known := range mediaTypes {
		if media == known {
			return known
		}
	}
	return "other"
}
