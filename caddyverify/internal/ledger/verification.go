package ledger

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Verification is what a Ledger knows of one.
type Verification struct {
	// Untracked tells that its beginning was not seen: then its end is all that is known.
	Untracked bool
	// Begun is when the request was answered, Expires when it counts as unsettled, Ended
	// when its end became known; zero where that is not known.
	Begun, Expires, Ended     time.Time
	Country, Caller, Workflow string
	// Attempts is how many codes were tried through this gateway.
	Attempts int
	// Outcome is empty until the end is known.
	Outcome wire.Outcome
	// Overdue tells that Expires is over, and how it ended is not known.
	Overdue bool
	// Cost is what it is counted to have cost, in units of Currency.
	Cost     float64
	Currency string
}

// Verification returns what is known of one. It changes nothing.
func (l *Ledger) Verification(requestID string) (v Verification, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.find(requestID)
	if r == nil {
		return v, false
	}
	v = Verification{Untracked: r.untracked, Overdue: r.overdue && !r.finished, Attempts: r.attempts}
	if r.finished {
		v.Outcome, v.Ended = wire.Outcomes[r.outcome], l.epoch.Add(r.when-l.settings.Keep)
	}
	if r.untracked {
		return v, true
	}
	v.Begun, v.Expires = l.epoch.Add(r.begun), l.epoch.Add(r.expires)
	v.Country, v.Caller, v.Workflow = r.country, r.caller, Workflows[r.workflow]
	v.Cost = float64(r.spent()) / unit
	switch {
	case r.currency > MaxCurrencies:
		v.Currency = otherCurrency
	case r.currency > 0:
		v.Currency = l.currencies[r.currency-1]
	}
	return v, true
}

func indexOf(outcome wire.Outcome) uint8 {
	return uint8(max(slices.Index(wire.Outcomes[:], outcome), 0)) //nolint:gosec // there are five
}
