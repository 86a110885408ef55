package status

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Verification is the answer to GET /verify/verifications/{request_id}: what the gateway
// knows of one. It asks the provider nothing.
type Verification struct {
	RequestID string `json:"request_id"`
	Account   string `json:"account"`
	// State is in_progress, success, failed, expired, cancelled, unknown (given up: the
	// provider never told), or unsettled (its time is over, and how it ended is not known).
	State string `json:"state"`
	// Summary says in a sentence what is known.
	Summary string `json:"summary"`
	// Untracked tells that its beginning was not seen: it began before the gateway did, or
	// at another.
	Untracked bool `json:"untracked,omitempty"`
	// Begun is when it was started, Expires when it can be verified no more at the latest,
	// Ended when the gateway learnt of its end.
	Begun   time.Time `json:"begun,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Country, Caller and Workflow are as in metrics.
	Country  string `json:"country,omitempty"`
	Caller   string `json:"caller,omitempty"`
	Workflow string `json:"workflow,omitempty"`
	// Attempts is how many codes were tried through this gateway.
	Attempts int           `json:"attempts"`
	Spent    history.Money `json:"spent,omitempty"`
}

// VerificationOf returns what an account knows of a verification.
func VerificationOf(a *gateway.Account, requestID string) (Verification, bool) {
	known, ok := a.Verification(requestID)
	if !ok {
		return Verification{}, false
	}
	v := Verification{
		RequestID: requestID, Account: a.Label(),
		Untracked: known.Untracked,
		Begun:     utc(known.Begun), Expires: utc(known.Expires), Ended: utc(known.Ended),
		Country: known.Country, Caller: known.Caller, Workflow: known.Workflow,
		Attempts: known.Attempts,
	}
	switch {
	case known.Outcome != "":
		v.State = string(known.Outcome)
	case known.Overdue:
		v.State = "unsettled"
	default:
		v.State = "in_progress"
	}
	if known.Cost > 0 {
		v.Spent = money(history.Money{known.Currency: known.Cost})
	}
	v.Summary = v.summary(time.Now())
	return v, true
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func (v *Verification) summary(now time.Time) string {
	var begun string
	if v.Untracked {
		begun = "It was not started through this gateway, or before it began, and "
	} else {
		begun = "It was started " + age(now.Sub(v.Begun)) + " ago"
		if v.Caller != "" {
			begun += " by " + v.Caller
		}
		begun += " and "
	}
	switch v.State {
	case string(wire.OutcomeSuccess):
		return begun + "succeeded."
	case string(wire.OutcomeFailed):
		if v.Attempts == 0 { // version 2 also fails what it blocks
			return begun + "failed."
		}
		return begun + "failed: too many wrong codes."
	case string(wire.OutcomeExpired):
		return begun + "expired: no right code came in time."
	case string(wire.OutcomeCancelled):
		return begun + "was cancelled."
	case string(wire.OutcomeUnknown):
		return begun + "was given up: the provider never told how it ended."
	case "unsettled":
		return begun + "has run out; a search tells how."
	}
	if v.Attempts > 0 {
		return begun + "waits for the right code: wrong ones were tried."
	}
	return begun + "waits for its code."
}
