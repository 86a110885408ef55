package caddyverify

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap/zapcore"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(LogFilter{})
}

// LogFilter makes the URI of a logged request fit for logs: it keeps the path
// and the request_id, and replaces phone numbers, codes and whatever else stands
// in the query. Use it on the default logger as well as on a site's own:
//
//	format filter {
//	    request>uri verify
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

// Filter redacts a field. A field that is not a string cannot be a URI, and is
// replaced whole.
func (LogFilter) Filter(field zapcore.Field) zapcore.Field {
	if field.Type != zapcore.StringType {
		return zapcore.Field{Key: field.Key, Type: zapcore.StringType, String: "REDACTED"}
	}
	field.String = wire.RedactURI(field.String)
	return field
}

// Interface guards
var (
	_ logging.LogFieldFilter = (*LogFilter)(nil)
	_ caddyfile.Unmarshaler  = (*LogFilter)(nil)
)
