package ledger

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Outcome is how a verification ended.
type Outcome string

// The outcomes. The first three are also learned without a search.
const (
	Success   Outcome = "success"   // check 0, or SUCCESS
	Failed    Outcome = "failed"    // check 17, or FAILED
	Cancelled Outcome = "cancelled" // cancel 0, or CANCELLED
	Expired   Outcome = "expired"   // EXPIRED
	// Unknown is the outcome of what was given up: the provider does not know it
	// any more, or nobody asked in time, or there was no room to wait for it.
	Unknown Outcome = "unknown"
)

// Outcomes lists all of them.
var Outcomes = [...]Outcome{Success, Failed, Expired, Cancelled, Unknown}

// Events is what became known by one call. It may tell of other verifications
// than the call's: of those given up because their time was over.
type Events struct {
	Started  []Start
	Finished []Finish
	Costs    []Cost
	// Strangers are the ends of verifications whose start this ledger did not see:
	// begun before it, through another gateway, or forgotten. They are no part of
	// Finished, since they are none of Started either, and bring no Costs: who saw
	// the start counts them. Each is told once for as long as it is remembered.
	Strangers []Outcome
}

// Start is a verification that began.
type Start struct {
	// Country is what Observe was given.
	Country string
	// Workflow is one of Workflows.
	Workflow string
}

// Finish is a verification that ended.
type Finish struct {
	Outcome           Outcome
	Country, Workflow string // those of its Start
	// TimeToSuccess is the time from the request's answer to the check's. It is
	// above 0 only where a check said success: a search does not tell when.
	TimeToSuccess time.Duration
	// Attempts is how many codes were tried through this gateway.
	Attempts int
}

// Kind is what money was spent on.
type Kind string

// The kinds of cost.
const (
	Fee      Kind = "fee"      // price: the verification itself
	Messages Kind = "messages" // estimated_price_messages_sent
)

// Kinds lists both.
var Kinds = [...]Kind{Fee, Messages}

// Cost is money that a verification is known to have cost, beyond what was told
// of it before.
type Cost struct {
	// Currency is the provider's code, such as EUR, or "other": see MaxCurrencies.
	Currency string
	Kind     Kind
	Country  string // that of the verification's Start
	// Amount is above 0, in units of Currency.
	Amount float64
}

// outcomeOf maps the words of a search; false for states that are not final.
func outcomeOf(s wire.Status) (Outcome, bool) {
	switch s {
	case wire.Succeeded:
		return Success, true
	case wire.Failed:
		return Failed, true
	case wire.Expired:
		return Expired, true
	case wire.Cancelled:
		return Cancelled, true
	}
	return "", false
}
