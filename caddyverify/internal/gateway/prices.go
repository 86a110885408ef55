package gateway

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// askPriceAfter is how long after a verification's end the provider is asked what it has cost:
	// it adds the last message shortly after, and may know nothing within the first minute. For as
	// long a webhook may tell the price before it is estimated.
	askPriceAfter = 75 * time.Second
	// maxPrices is of how many.
	maxPrices = 50_000
	// priceTries is how often it, or the store, is asked about one.
	priceTries = 3
)

// tellGuardOf tells the guard how verifications ended, and what they cost.
func (a *Account) tellGuardOf(events *ledger.Events) {
	on := a.guard.On()
	for _, total := range events.Totals { // before the end, which gives back the rest
		spent := guard.Money{Micro: total.Micro, Currency: total.Currency}
		a.guard.Learn(total.RequestID, spent, total.Messages)
		if total.Final {
			a.guard.Settle(total.RequestID, spent)
		} else {
			a.guard.Spent(total.RequestID, spent)
		}
		if on && !a.guard.Owns(total.RequestID) {
			a.guardShared.cost(total, spent)
		}
	}
	for _, end := range events.Ends {
		a.guardEnded(end.RequestID, end.Outcome)
		if on && end.Outcome != wire.OutcomeUnknown { // others may learn more
			a.guardShared.ended(end.RequestID, end.Outcome)
		}
	}
}

// guardEnded tells the guard of an end that was seen here, or at another gateway, and has the settler
// ask for the price: who has let the verification through owes it.
func (a *Account) guardEnded(requestID string, o wire.Outcome) {
	a.guard.Ended(requestID, o)
	if a.settlers.Load() > 0 && a.guard.Owes(requestID) {
		a.prices.add(requestID)
	}
}

// prices are verifications of which it is to be found out what they have cost, a little after their end: by
// asking the provider, for budgets, or by an estimate.
type prices struct {
	mu      sync.Mutex
	waiting []pricing // the first to be due first
	closed  bool
}

type pricing struct {
	requestID string
	due       time.Time
	tries     int // so far
}

func (p *prices) add(requestID string) bool { return p.put(pricing{requestID: requestID}) }

// put reports false where there is no room, and after close.
func (p *prices) put(one pricing) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.waiting) >= maxPrices {
		return false
	}
	one.due = time.Now().Add(askPriceAfter)
	p.waiting = append(p.waiting, one)
	return true
}

// next returns the first that is due, or nil. The caller holds p.mu.
func (p *prices) next() *pricing {
	if len(p.waiting) == 0 || time.Until(p.waiting[0].due) > 0 {
		return nil
	}
	return &p.waiting[0]
}

// pop takes out the first.
func (p *prices) pop() pricing {
	one := p.waiting[0]
	p.waiting[0] = pricing{}
	p.waiting = p.waiting[1:]
	return one
}

// due takes out up to so many that are due.
func (p *prices) due(most int) (some []pricing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(some) < most && p.next() != nil {
		some = append(some, p.pop())
	}
	return some
}

// close takes out all, for which there is no later.
func (p *prices) close() []pricing {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.waiting
	p.waiting, p.closed = nil, true
	return all
}

// take returns up to so many that are due and owed. One that was asked about before is alone: it may be why
// others came back without a price.
func (p *prices) take(most int, owed func(requestID string) bool) (some []pricing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := p.next(); one != nil && len(some) < most; one = p.next() {
		alone := one.tries > 0
		if owes := owed(one.requestID); owes && alone && len(some) > 0 {
			break
		} else if owes {
			some = append(some, *one)
		}
		p.pop()
		if alone && len(some) > 0 {
			break
		}
	}
	return some
}

// asked puts back those of which the price is owed yet, a few times.
func (p *prices) asked(some []pricing, owed func(requestID string) bool) {
	for _, one := range some {
		if one.tries++; one.tries < priceTries && owed(one.requestID) {
			p.put(one)
		}
	}
}
