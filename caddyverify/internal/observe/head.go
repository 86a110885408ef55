package observe

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const redacted = "REDACTED"

// RedactHead takes out of the span that Caddy's tracing began what a client may have
// put a number or a code into: the attributes that are made of a request's head.
func RedactHead(r *http.Request) {
	span := trace.SpanFromContext(r.Context())
	if !span.IsRecording() {
		return
	}
	replace := func(attribute func(string) attribute.KeyValue, value string) {
		if wire.HasDigits(value) {
			span.SetAttributes(attribute(redacted))
		}
	}
	replace(semconv.UserAgentOriginal, r.UserAgent())
	replace(semconv.HTTPRequestMethodOriginal, r.Method)
	replace(semconv.ServerAddress, unlessAddress(r.Host))
	client, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	replace(semconv.ClientAddress, unlessAddress(client))
}

// unlessAddress returns what is no IP address, perhaps with a port.
func unlessAddress(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[] ")); err == nil {
		return ""
	}
	return host
}
