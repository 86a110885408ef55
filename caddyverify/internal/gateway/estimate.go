package gateway

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Version 2 tells no prices, but by webhooks that may have one. So that there are costs, those of the
// configuration stand in where none comes soon.

// estimatesAtOnce is of how many within a second: each may have to be read from the store.
const estimatesAtOnce = 64

// estimateLast is for how long a gateway that stops asks the store about them. Those that are left are estimated by what
// it knows itself, and a price that another gateway is told later counts in full.
const estimateLast = 2 * time.Second

// estimateLater has the cost of a verification estimated that has ended, and whose end was counted here.
func (a *Account) estimateLater(requestID string) {
	if !a.atV2.Load() || a.inForce.Load().Guard.Prices.Any.Currency == "" {
		return
	}
	if !a.estimates.add(requestID) {
		a.estimate(context.Background(), pricing{requestID: requestID})
	}
}

func (a *Account) estimateDue() {
	for _, one := range a.estimates.due(estimatesAtOnce) {
		a.estimate(context.Background(), one)
	}
}

// estimateAll is for when the account ends. The store is asked, and told, for a while.
func (a *Account) estimateAll() {
	ctx, cancel := context.WithTimeout(context.Background(), estimateLast)
	defer cancel()
	for _, one := range a.estimates.close() {
		a.estimate(ctx, one)
	}
}

// estimate counts what a verification has cost by the account's prices, unless it is of version 1 or a
// webhook has told.
func (a *Account) estimate(ctx context.Context, one pricing) {
	v, known, sure := a.states.Recall(ctx, one.requestID)
	if one.tries++; !sure && one.tries < priceTries && a.estimates.put(one) {
		return
	}
	if !known || v.Price() != "" {
		return
	}
	prices := a.inForce.Load().Guard.Prices
	var micro int64
	for _, number := range v.SentTo() {
		micro += prices.In(country.Of(number, ""))
	}
	cost, amount, ok := a.ledger.Estimate(one.requestID, micro, prices.Any.Currency)
	if !ok {
		return
	}
	a.publish(CostLearned(cost))
	if a.shared() == nil || cost.Currency != wire.CurrencyV2 || ctx.Err() != nil {
		return
	}
	// So that a price that another gateway is told later is a cost as far as it is more.
	told := cost
	told.Kind = wire.Fee
	a.enqueue(&booking{
		Booking: ledger.Booking{RequestID: one.requestID, Cost: &told, Amount: amount},
		mark:    store.NewMark(), since: time.Now(), alone: true,
	})
}
