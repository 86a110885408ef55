package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
)

// Version 2 tells no prices, but by webhooks that may have one. So that there are costs, those of the
// configuration stand in for them.

// errUnsure is for what the store has to tell.
var errUnsure = errors.New("the store does not say whether the verification is of version 2")

// estimateAll estimates what verifications that have ended have cost, where no webhook has told.
func (a *Account) estimateAll(ctx context.Context, ends []ledger.End) {
	if !a.atV2.Load() || a.inForce.Load().Guard.Prices.Any.Currency == "" {
		return
	}
	for _, end := range ends {
		if a.shared() == nil {
			_ = a.estimate(ctx, end.RequestID)
			continue
		}
		a.enqueue(&booking{Booking: ledger.Booking{RequestID: end.RequestID}, estimate: true, since: time.Now()})
	}
}

// estimate adds what a verification of version 2 has cost by the account's prices.
func (a *Account) estimate(ctx context.Context, requestID string) error {
	v, known, sure := a.states.Recall(ctx, requestID)
	switch {
	case !sure:
		return errUnsure
	case !known || v.Price() != "":
		return nil // version 1 tells prices itself
	}
	_, of := country.Parse(v.Number(), "")
	price := a.guard.Worst(of, max(v.Messages(), 1))
	a.publishEvents(ctx, a.ledger.Estimate(requestID, price.Micro, price.Currency))
	return nil
}
