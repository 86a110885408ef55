package caddyverify

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// delivers is how a call reaches upstream, and how it is found out whether an answer
// that nobody got can be given to it instead.
func (h *Handler) delivers(ctx context.Context, call *wire.Call) delivery.Upstream {
	return delivery.Upstream{
		Send:  func() wire.Answer { return h.send(ctx, call) },
		State: func(requestID string) delivery.State { return h.state(ctx, requestID) },
	}
}

// state finds out whether a verification is still running. The ledger knows what ended
// through this gateway; of what other gateways and the provider did, it knows nothing.
func (h *Handler) state(ctx context.Context, requestID string) delivery.State {
	if h.account.book.Over(requestID) {
		return delivery.Over
	}
	answer := h.send(ctx, wire.SearchFor(wire.JSON, []string{requestID}, false))
	if answer.Fault != nil || len(answer.Found) != 1 || answer.Found[0].RequestID != requestID {
		return delivery.Unknown
	}
	switch status := answer.Found[0].Status; {
	case status == wire.InProgress:
		return delivery.Running
	case status.Final():
		return delivery.Over
	}
	return delivery.Unknown
}
