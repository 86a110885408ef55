package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// report says what became of a call: in metrics, on the span that the server began for
// it, and in the log.
func (g *Gateway) report(r *http.Request, x *exchange) {
	took := time.Since(x.begun)
	if x.found {
		g.count(x, took)
		if observe.Recording(r.Context()) {
			g.span(r, x)
		}
	} else {
		observe.RedactPath(r.Context(), r.URL.EscapedPath())
	}
	observe.RedactHead(r)
	level := observe.Level(&x.answer)
	if level > slog.LevelDebug && g.refusals.count(x.answer.Fault, x.callerName()) {
		level = slog.LevelDebug
	}
	if g.Logger.Enabled(r.Context(), level) {
		g.Logger.LogAttrs(r.Context(), level, "call", g.attrs(x, took)...)
	}
	// So that somebody finds out why a parameter of a client does nothing.
	if len(x.ignored) > 0 && g.Logger.Enabled(r.Context(), slog.LevelDebug) {
		g.Logger.LogAttrs(r.Context(), slog.LevelDebug, "parameters ignored",
			slog.String("operation", x.operation.String()), slog.Any("names", x.ignored))
	}
}

func (g *Gateway) count(x *exchange, took time.Duration) {
	m, from := g.Account.metrics, x.source()
	m.Call(x.callerName(), x.operation, observe.StatusLabel(&x.answer), from, took)
	// The history is of verifications; for searches from memory see gauge.
	if x.operation != wire.Templates && (from != observe.FromMemory || x.operation != wire.Search) {
		g.Account.history.Answered(x.operation, historySource[from], observe.Trouble(&x.answer))
	}
	if x.format == wire.V2 && x.answer.Fault == nil {
		m.V2Answer(&x.answer)
	}
	if len(x.ignored) > 0 {
		m.Ignored(x.operation, len(x.ignored))
	}
	if result := x.cacheLabel(); result != "" {
		m.Search(result)
	}
	if x.delivered != "" {
		m.Delivery(x.delivered)
	}
}

func (g *Gateway) span(r *http.Request, x *exchange) {
	server := observe.Server{
		Method:    r.Method,
		Call:      x.call,
		Operation: x.operation,
		Route:     x.route,
		Cache:     x.cacheWord(),
		Collapsed: x.searched && x.result.Collapsed,
		Delivery:  x.delivered,
		Breaker:   g.Account.circuit(x.operation),
	}
	if x.sent != nil {
		server.Origins = g.Account.origins(x.sent)
	}
	server.Record(r.Context(), &x.answer)
}

// attrs are what is logged of a call. None of it is what a client wrote.
func (g *Gateway) attrs(x *exchange, took time.Duration) []slog.Attr {
	var attrs []slog.Attr
	if x.found {
		attrs = append(attrs, slog.String("operation", x.operation.String()), slog.String("format", x.format.String()))
	}
	attrs = append(attrs,
		slog.String("status", observe.StatusLabel(&x.answer)),
		slog.String("source", string(x.source())),
		slog.Duration("duration", took),
	)
	if circuit := g.Account.circuit(x.operation); circuit != "" && x.found {
		attrs = append(attrs, slog.String("breaker", string(circuit)))
	}
	if fault := x.answer.Fault; fault != nil {
		attrs = append(attrs, slog.String("cause", string(fault.Cause)), slog.Bool("may_have_been_sent", fault.MayHaveSent))
		attrs = append(attrs, faultAttrs(fault)...)
	}
	if observe.Trouble(&x.answer) {
		attrs = append(attrs, slog.String("upstream", g.Account.host))
		attrs = append(attrs, idAttrs(x.call)...)
	}
	if word := x.cacheWord(); word != "" {
		attrs = append(attrs, slog.String("cache", string(word)))
	}
	if x.delivered != "" {
		attrs = append(attrs, slog.String("delivery", string(x.delivered)))
	}
	if name := x.callerName(); name != "" {
		attrs = append(attrs, slog.String("caller", name))
	}
	return attrs
}

// faultAttrs are what is logged of why something failed. None of it is what came over
// the network, but numbers with bounds.
func faultAttrs(fault *wire.Fault) []slog.Attr {
	var attrs []slog.Attr
	if fault.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(fault.Reason)))
	}
	if fault.Finding != "" {
		attrs = append(attrs, slog.String("guard", fault.Finding))
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

// idAttrs say which verifications a call was about, to find the rest by.
func idAttrs(call *wire.Call) []slog.Attr {
	if call == nil {
		return nil
	}
	ids, list := observe.IDs(call)
	switch {
	case list:
		return []slog.Attr{slog.Any("request_ids", ids)}
	case len(ids) == 1:
		return []slog.Attr{slog.String("request_id", ids[0])}
	}
	return nil
}

// logRefused logs how many calls have been refused since the last line of this cause.
func (g *Gateway) logRefused(cause wire.Cause, f *flood) {
	attrs := []slog.Attr{slog.String("cause", string(cause)), slog.Int("calls", f.calls)}
	if len(f.callers) > 0 {
		attrs = append(attrs, slog.Any("callers", f.callers))
	}
	g.Logger.LogAttrs(context.Background(), slog.LevelInfo, "calls refused", attrs...)
}
