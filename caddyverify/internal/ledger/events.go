package ledger

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Events is what became known by one call, or by the passing of time. A call may tell of
// other verifications than its own: of those that had to make room for it.
type Events struct {
	Started  []Start
	Finished []Finish
	Costs    []Cost
	// Untracked holds the ends of verifications whose start this ledger did not see:
	// begun before it, through another gateway, or forgotten. They are no part of
	// Finished, since they are none of Started either, and bring no Costs: who saw
	// the start counts them. Each is told once for as long as it is remembered.
	Untracked []wire.Outcome

	// Totals are what verifications that have ended have cost, each as often as it is told, whoever counts it.
	Totals []Total

	// Ends are of all verifications whose end became known here, whoever counts it: Finished and
	// Untracked, and what Bookings have of them.
	Ends []End

	// With Share, other gateways are to know of Beginnings, and of what is Overdue they may
	// know the end. Finished, Costs and Untracked are empty: Bookings have their place.
	Beginnings []Beginning
	Overdue    []string
	Bookings   []Booking
}

// finished adds an end, as a booking if there is one, and returns it.
func (e *Events) finished(b *Booking, f Finish) *Finish {
	if b != nil {
		b.Finish = &f
		e.Bookings = append(e.Bookings, *b)
		return &f
	}
	e.Finished = append(e.Finished, f)
	return &e.Finished[len(e.Finished)-1]
}

// End is how a verification ended.
type End struct {
	RequestID string
	Outcome   wire.Outcome
}

// Total is what a verification has cost in all, as far as is known.
type Total struct {
	RequestID string
	// Currency is the provider's code, and may be none. An amount in several currencies is in that of
	// the first.
	Currency string
	// Micro is in millionths of it, rounded up.
	Micro int64
	// Messages is how many it may have sent at most.
	Messages int
	// Final tells that nothing will be added: the provider may learn what messages have cost shortly
	// after the end.
	Final bool
}

// Start is a verification that began.
type Start struct {
	// Country is what Observe was given.
	Country string
	// Workflow is one of Workflows.
	Workflow string
	// Caller started it.
	Caller string
}

// Finish is a verification that ended.
type Finish struct {
	Outcome wire.Outcome
	// Those of its Start.
	Country, Workflow, Caller string
	// TimeToSuccess is the time from the request's answer to the check's. It is
	// above 0 only where a check said success: a search does not tell when.
	TimeToSuccess time.Duration
	// Attempts is how many codes were tried through this gateway.
	Attempts int
}

// Cost is money that a verification is known to have cost, beyond what was told
// of it before.
type Cost struct {
	// Currency is the provider's code, such as EUR, or "other": see MaxCurrencies.
	Currency string
	Kind     wire.CostKind
	// Those of the verification's Start.
	Country, Caller string
	// Amount is above 0, in units of Currency.
	Amount float64
}

// outcomeOf maps the words of a search; false for states that are not final.
func outcomeOf(s wire.Status) (wire.Outcome, bool) {
	switch s {
	case wire.Succeeded:
		return wire.OutcomeSuccess, true
	case wire.Failed:
		return wire.OutcomeFailed, true
	case wire.Expired:
		return wire.OutcomeExpired, true
	case wire.Cancelled:
		return wire.OutcomeCancelled, true
	}
	return "", false
}
