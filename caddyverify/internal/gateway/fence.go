package gateway

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// spare is for how much longer than a call can last others keep nothing of what it is about,
// where its end is not told.
const spare = 5 * time.Second

// fence is for before a check or control, and what it returns for after it. Whatever comes
// back, what memory knows of the verification may be over then, and so may be what a search
// that is under way brings back; with a store, other gateways' memory and searches, too. A
// store that is away holds nothing up: it is told later, since what others have told it of may be
// kept there, and what they keep is over soon, see search.Cache.Share.
func (g *Gateway) fence(ctx context.Context, call *wire.Call) (lift func()) {
	a := g.Account
	shared, id := a.shared(), call.RequestID()
	if shared == nil || id == "" {
		a.forget(call)
		return func() { a.forget(call) }
	}
	ctx = context.WithoutCancel(ctx) // a check goes on when its client has left
	named, mark := store.Of(id), store.NewMark()
	known, untold := shared.Before(ctx, named, mark, g.Timeout+spare)
	if untold == nil {
		a.learn(id, known)
	}
	a.forget(call) // now that nothing older comes from the store
	return func() {
		a.forget(call)
		if err := shared.After(ctx, named, mark); err != nil || untold != nil {
			a.enqueue(&booking{Booking: ledger.Booking{RequestID: id}, mark: mark, checked: true, since: time.Now()})
		}
	}
}

// purgeShared drops what the store has of a verification, and with it what other gateways
// have in memory. It is no check: nobody has tried a code.
func (a *Account) purgeShared(requestID string) {
	if shared := a.shared(); shared != nil {
		_ = shared.After(context.Background(), store.Of(requestID), store.NewMark()) // the store may be away
	}
}
