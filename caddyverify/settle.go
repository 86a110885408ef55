package caddyverify

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// book is an account's ledger, with how many handlers settle it: two for the
// moment of a reload.
type book struct {
	*ledger.Ledger
	settlers atomic.Int32
}

// settleEvery is the time between two searches of the settler.
const settleEvery = time.Second

// settle asks for the outcome of verifications whose time is over and whose end
// nobody has seen, until ctx ends.
func (h *Handler) settle(ctx context.Context) {
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			h.settleSome(ctx)
		}
	}
}

// settleSome asks for up to ten, if nobody else wants to call.
func (h *Handler) settleSome(ctx context.Context) {
	a := h.account
	_, inTrouble := h.trouble.Trouble()
	breakers := a.circuits()
	if inTrouble || a.limiter.Stats().Waiting > 0 || breakers != nil && breakers.Read.State() != breaker.Closed {
		return
	}
	ids := a.book.Due(wire.MaxIDs)
	if len(ids) == 0 {
		return
	}
	answer := h.send(ctx, wire.SearchFor(wire.JSON, ids, len(ids) > 1))
	h.account.metrics.Lookup(answer.Fault == nil && (answer.List || answer.Status == wire.NoResponse || !answer.Status.Numeric()))
}

// beginToSettle runs settle until the handler is cleaned up.
func (h *Handler) beginToSettle() {
	ctx, cancel := context.WithCancel(withReplacer(context.Background()))
	ended := make(chan struct{})
	h.account.book.settlers.Add(1)
	go func() {
		defer close(ended)
		h.settle(ctx)
	}()
	h.stops = append(h.stops, func() {
		cancel()
		<-ended
		h.account.book.settlers.Add(-1)
	})
}
