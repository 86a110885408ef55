package caddyverify

import (
	"context"
	"log/slog"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
)

// listen has the handler told what changes with its account, and asked for a sign of
// life of its upstream.
func (h *Handler) listen() {
	h.stops = append(h.stops, h.account.limiter.OnChange(h.rateChanged),
		h.trouble.OnChange(h.troubleChanged), h.trouble.SearchWith(h.probe))
	if breakers := h.account.circuits(); breakers != nil {
		h.stops = append(h.stops, breakers.OnChange(h.breakerChanged), breakers.ProbeWith(h.probeForBreaker))
	}
}

func (h *Handler) breakerChanged(change breaker.Change) {
	h.account.metrics.Transition(change.Class.String(), change.From.String(), change.To.String())
	attrs := []slog.Attr{
		slog.String("breaker", change.Class.String()),
		slog.String("from", change.From.String()),
		slog.String("to", change.To.String()),
		slog.String("why", change.Why),
	}
	if change.Fault != nil {
		attrs = append(attrs, faultAttrs(change.Fault)...)
	}
	attrs = append(attrs, slog.String("upstream", h.base.Host))
	if change.To == breaker.Open {
		attrs = append(attrs, slog.Duration("open_for", change.OpenFor))
	}
	if change.Outcomes > 0 {
		attrs = append(attrs, slog.Int("failures", change.Failures), slog.Int("outcomes", change.Outcomes))
	}
	h.logger.LogAttrs(context.Background(), slog.LevelWarn, "breaker changed", attrs...)
}

func (h *Handler) rateChanged(change limit.Change) {
	message, attrs := "limit restored", []slog.Attr{
		slog.Int("from", change.From), slog.Int("to", change.To), slog.String("upstream", h.base.Host),
	}
	if change.Why != "" {
		message, attrs = "limit lowered", append(attrs, slog.String("why", change.Why))
	}
	h.logger.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...)
}

func (h *Handler) troubleChanged(change breaker.AccountChange) {
	h.logger.LogAttrs(context.Background(), slog.LevelWarn, "account trouble changed",
		slog.String("from", string(change.From)), slog.String("to", string(change.To)),
		slog.String("upstream", h.base.Host))
}
