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
	// it adds the last message shortly after, and may know nothing within the first minute.
	askPriceAfter = 75 * time.Second
	// maxPrices is of how many.
	maxPrices = 10_000
	// priceTries is how often it is asked for one.
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

// prices are verifications of which the settler is to ask what they have cost, for budgets.
type prices struct {
	mu      sync.Mutex
	waiting []pricing // the first to be asked about first
}

type pricing struct {
	requestID string
	due       time.Time
	tries     int // so far
}

func (p *prices) add(requestID string) { p.put(pricing{requestID: requestID}) }

func (p *prices) put(one pricing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) < maxPrices {
		one.due = time.Now().Add(askPriceAfter)
		p.waiting = append(p.waiting, one)
	}
}

// take returns up to so many that are due. One that was asked about before is alone: it may be why
// others came back without a price.
func (p *prices) take(most int, owed func(requestID string) bool) (some []pricing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 && len(some) < most && time.Until(p.waiting[0].due) <= 0 {
		one := p.waiting[0]
		if owes := owed(one.requestID); owes && one.tries > 0 && len(some) > 0 {
			break
		} else if owes {
			some = append(some, one)
		}
		p.waiting[0] = pricing{}
		p.waiting = p.waiting[1:]
		if one.tries > 0 && len(some) > 0 {
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
