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

// ask makes a call, and makes it by the other method where the upstream says that
// it has no such call by the first. That answer goes no further: nothing was done,
// so it is no failure. The second call waits for a turn of its own, since the
// provider counts both.
func (h *Handler) ask(ctx context.Context, call *wire.Call, resend int) wire.Answer {
	method := h.client.MethodOf(call.Operation)
	answer := h.askBy(ctx, method, call, resend)
	other, ok := h.client.Instead(call.Operation, method, &answer)
	if !ok {
		return answer
	}
	code := answer.Fault.UpstreamCode
	answer = h.askBy(ctx, other, call, resend+1)
	if answer.Fault == nil && h.client.Answered(call.Operation, other) {
		h.logger.LogAttrs(ctx, slog.LevelWarn, "method changed",
			slog.String("operation", call.Operation.String()),
			slog.String("from", method), slog.String("to", other),
			slog.Int("upstream_code", code))
	}
	return answer
}
