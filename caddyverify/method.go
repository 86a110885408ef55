package caddyverify

import (
	"context"
	"log/slog"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// methodsKey is of what is known of an upstream, whatever the account. A reload
// does not forget it.
type methodsKey struct{ upstream string }

func (h *Handler) keepMethods(base string) *upstream.Methods {
	return keep(h, methodsKey{base}, func() *upstream.Methods { return new(upstream.Methods) }, func(*upstream.Methods) {})
}

// ask makes a call, by one method or the other.
func (h *Handler) ask(ctx context.Context, call *wire.Call, resend int) wire.Answer {
	return h.askBy(ctx, h.client.MethodOf(call.Operation), call, resend, false)
}

// askInstead makes a call by the other method, after the upstream has said by code
// that it has none such by the first. Nothing was done then, so that answer counts
// for nothing. The provider counts both calls, so this one waits for a turn of its
// own.
func (h *Handler) askInstead(ctx context.Context, method string, call *wire.Call, resend, code int) wire.Answer {
	answer := h.askBy(ctx, method, call, resend+1, true)
	if answer.Fault == nil && h.client.Answered(call.Operation, method) {
		h.logger.LogAttrs(ctx, slog.LevelWarn, "method changed",
			slog.String("operation", call.Operation.String()),
			slog.String("method", method),
			slog.Int("upstream_code", code))
	}
	return answer
}
