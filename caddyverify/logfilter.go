package caddyverify

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(LogFilter{})
}

// LogFilter makes what Caddy logs of a request fit for logs. Of a URI it keeps the path
// and the request_id, of headers those of the list below with values that are known, of
// a method and a host what is one; phone numbers, codes and all else are replaced or left
// out. Use it on the default logger as well as on a site's own, for each of the fields
// in which Caddy and its handlers log what a client sent:
//
//	format filter {
//	    request verify
//	    resp_headers verify
//	    headers verify
//	    uri verify
//	    method verify
//	    method_trunc verify
//	    header verify
//	}
type LogFilter struct{}

// CaddyModule returns the Caddy module information.
func (LogFilter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.encoders.filter.verify",
		New: func() caddy.Module { return new(LogFilter) },
	}
}

// UnmarshalCaddyfile sets up the filter from Caddyfile tokens. It has no options.
func (*LogFilter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return noArgs(d, "verify")
}

// Filter redacts a field. What is neither a request, headers nor a string is replaced
// whole, since nobody knows what is in it.
func (LogFilter) Filter(field zapcore.Field) zapcore.Field {
	switch value := field.Interface.(type) {
	case caddyhttp.LoggableHTTPRequest:
		return zap.Object(field.Key, loggable(value.Request))
	case caddyhttp.LoggableHTTPHeader:
		return zap.Object(field.Key, caddyhttp.LoggableHTTPHeader{Header: loggableHeader(value.Header)})
	}
	if field.Type != zapcore.StringType {
		return zap.String(field.Key, redacted)
	}
	redact := wire.RedactURI
	switch field.Key {
	case "method", "method_trunc":
		redact = loggableMethod
	case "host", "server_name":
		redact = loggableHost
	}
	return zap.String(field.Key, redact(field.String))
}

const redacted = "REDACTED"

// loggable is a request that Caddy logs in place of another.
func loggable(r *http.Request) caddyhttp.LoggableHTTPRequest {
	safe := r.WithContext(r.Context())
	safe.Method = loggableMethod(r.Method)
	safe.Host = loggableHost(r.Host)
	safe.RequestURI = wire.RedactURI(r.RequestURI)
	safe.Header = loggableHeader(r.Header)
	safe.TransferEncoding = nil
	if r.TLS != nil {
		state := *r.TLS
		state.ServerName = loggableHost(state.ServerName)
		safe.TLS = &state
	}
	return caddyhttp.LoggableHTTPRequest{Request: safe}
}

func loggableMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return redacted
}

// loggableHost keeps an address, or a name that holds no number. The port goes.
func loggableHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && wire.HasDigits(host) {
		return redacted
	}
	return host
}

// loggableHeaders are the headers whose values may be in a log, and which of them.
var loggableHeaders = map[string]func(value string) bool{
	"Accept":       isMediaType,
	"Content-Type": isMediaType,
	"Cache-Status": isOwnStatus,
	"Proxy-Status": isOwnStatus,
}

func loggableHeader(header http.Header) http.Header {
	safe := http.Header{}
	for name, known := range loggableHeaders {
		for _, value := range header[name] {
			if !known(value) {
				value = redacted
			}
			safe.Add(name, value)
		}
	}
	return safe
}

// isMediaType knows the media types of the API and its clients, one or more, without
// parameters but a charset of UTF-8.
func isMediaType(value string) bool {
	for part := range strings.SplitSeq(strings.ToLower(value), ",") {
		part = strings.TrimSpace(part)
		if name, parameter, found := strings.Cut(part, ";"); found && strings.TrimSpace(parameter) == "charset=utf-8" {
			part = name
		}
		switch part {
		case "*/*", "application/json", "application/problem+json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data",
			"text/html", "text/plain", "text/xml":
		default:
			return false
		}
	}
	return true
}

// isOwnStatus knows what the gateway itself says of an answer.
func isOwnStatus(value string) bool { return strings.HasPrefix(value, "caddy-verify;") }

// Interface guards
var (
	_ logging.LogFieldFilter = (*LogFilter)(nil)
	_ caddyfile.Unmarshaler  = (*LogFilter)(nil)
)
