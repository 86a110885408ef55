package caddyverify

import (
	"log/slog"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// faultAttrs are what is logged of why something failed. None of it is what came over
// the network, but numbers with bounds.
func faultAttrs(fault *wire.Fault) []slog.Attr {
	var attrs []slog.Attr
	if fault.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(fault.Reason)))
	}
	if fault.ProxyCode != 0 {
		attrs = append(attrs, slog.Int("proxy_code", fault.ProxyCode))
	}
	if fault.UpstreamType != "" {
		attrs = append(attrs,
			slog.Int("upstream_code", fault.UpstreamCode),
			slog.String("upstream_content_type", fault.UpstreamType),
			slog.Int64("upstream_length", fault.UpstreamLength))
	}
	return attrs
}

// troubleAttrs are what is logged of a call that an operator should look into: where it
// was to go, and which verification it was about, to find the rest by.
func (h *Handler) troubleAttrs(x *exchange) []slog.Attr {
	attrs := []slog.Attr{slog.String("upstream", h.base.Host)}
	if x.call == nil {
		return attrs
	}
	ids, list := observe.IDs(x.call)
	switch {
	case list:
		attrs = append(attrs, slog.Any("request_ids", ids))
	case len(ids) == 1:
		attrs = append(attrs, slog.String("request_id", ids[0]))
	}
	return attrs
}
