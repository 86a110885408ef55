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
		a.guard.Ended(end.RequestID, end.Outcome)
		if a.settlers.Load() > 0 && a.guard.Owes(end.RequestID) {
			a.prices.add(end.RequestID)
		}
		if on && end.Outcome != wire.OutcomeUnknown { // others may learn more
			a.guardShared.ended(end.RequestID, end.Outcome)
		}
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
}

func (p *prices) add(requestID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) < maxPrices {
		p.waiting = append(p.waiting, pricing{requestID, time.Now().Add(askPriceAfter)})
	}
}

// take returns up to so many that are due, each once.
func (p *prices) take(most int, owed func(requestID string) bool) (ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 && len(ids) < most && time.Until(p.waiting[0].due) <= 0 {
		if id := p.waiting[0].requestID; owed(id) {
			ids = append(ids, id)
		}
		p.waiting[0] = pricing{}
		p.waiting = p.waiting[1:]
	}
	return ids
}
