package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Version 2 tells no prices, but by webhooks that may have one. So that there are costs, those of the
// configuration stand in where none comes soon.

const (
	// estimateAfter is how long after the end of a verification, as it was counted, a webhook may tell its price.
	estimateAfter = 75 * time.Second
	// estimateTries is how often the store is asked whether one has.
	estimateTries = 3
	// estimatesAtOnce is of how many within a second, and maxEstimates how many wait.
	estimatesAtOnce, maxEstimates = 256, 50_000
)

// estimates are verifications whose end this gateway has counted, alone of all gateways, and whose cost is
// not known.
type estimates struct {
	mu      sync.Mutex
	waiting []estimate // the first to be estimated first
	closed  bool
}

type estimate struct {
	requestID string
	due       time.Time
	tries     int // so far
}

// put has one wait. It reports false where it cannot.
func (e *estimates) put(one estimate) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.waiting) >= maxEstimates {
		return false
	}
	one.due = time.Now().Add(estimateAfter)
	e.waiting = append(e.waiting, one)
	return true
}

// take takes out what is due, up to so many.
func (e *estimates) take(most int) (some []estimate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.waiting) > 0 && len(some) < most && time.Until(e.waiting[0].due) <= 0 {
		some = append(some, e.waiting[0])
		e.waiting[0] = estimate{}
		e.waiting = e.waiting[1:]
	}
	return some
}

// close takes out all. What comes later has to be estimated at once.
func (e *estimates) close() []estimate {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.waiting
	e.waiting, e.closed = nil, true
	return all
}

// estimateLater has the cost of a verification estimated that has ended, and whose end was counted here.
func (a *Account) estimateLater(requestID string) {
	if !a.atV2.Load() || a.inForce.Load().Guard.Prices.Any.Currency == "" {
		return
	}
	if one := (estimate{requestID: requestID}); !a.estimates.put(one) {
		a.estimate(one)
	}
}

func (a *Account) estimateDue() {
	for _, one := range a.estimates.take(estimatesAtOnce) {
		a.estimate(one)
	}
}

func (a *Account) estimateAll() {
	for _, one := range a.estimates.close() {
		a.estimate(one)
	}
}

// estimate counts what a verification has cost by the account's prices, unless it is of version 1 or a
// webhook has told.
func (a *Account) estimate(one estimate) {
	v, known, sure := a.states.Recall(context.Background(), one.requestID)
	if one.tries++; !sure && one.tries < estimateTries && a.estimates.put(one) {
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
	if a.shared() == nil || cost.Currency != state.Currency {
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
