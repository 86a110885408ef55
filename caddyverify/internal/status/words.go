package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// So many calls without an answer, and so large a share of all, are told of before
// a circuit opens.
const (
	someFailed = 3
	muchFailed = 0.1
)

// summary tells how an account is in a word and a sentence: what is worst comes first.
func (a *Account) summary(now time.Time, lately *history.Point) (State, string) {
	if len(a.Troubles) > 0 {
		t := a.Troubles[0]
		return Down, fmt.Sprintf("The provider refuses the account: %s (%s) since %s.", meaning(t.Status), t.Status, clock(t.Since))
	}
	for _, class := range []wire.Class{wire.WriteClass, wire.ReadClass} {
		for _, c := range a.Circuits {
			if c.Breaker == class && c.State != wire.CircuitClosed {
				state := Degraded
				if class == wire.WriteClass && c.State == wire.CircuitOpen {
					state = Down
				}
				return state, c.summary(now)
			}
		}
	}
	if a.Limit.Throttled {
		return Degraded, fmt.Sprintf("The provider finds the calls too many: %d a second are made until it does not.", a.Limit.Rate)
	}
	if lately.Failed >= someFailed && float64(lately.Failed) >= muchFailed*float64(lately.Sent) {
		return Degraded, fmt.Sprintf("%d of the %d calls that were made to the provider in the last 15 seconds got no answer.", lately.Failed, lately.Sent)
	}
	if a.Limit.SearchThrottled {
		return Degraded, fmt.Sprintf("The provider finds the searches too many: %d a second are made until it does not.", a.Limit.SearchRate)
	}
	if a.Store != nil && a.Store.Away {
		return Degraded, fmt.Sprintf("The store is away for %s: this gateway goes on alone.", age(now.Sub(a.Store.Since)))
	}
	return OK, a.Hour.summary()
}

func (c *Circuit) summary(now time.Time) string {
	if c.Held {
		return fmt.Sprintf("%s are stopped by an operator since %s.", first(classWords(c.Breaker)), clock(c.Since))
	}
	sentence := fmt.Sprintf("%s are stopped: the provider is in trouble for %s (%s).", first(classWords(c.Breaker)), age(now.Sub(c.Since)), c.Why)
	if c.State == wire.CircuitHalfOpen {
		return sentence + " It is being tried again."
	}
	return sentence + fmt.Sprintf(" Next try in %s.", age(max(c.Until.Sub(now), 0)))
}

func (w *Window) summary() string {
	sentence := "No verification was started in the last hour"
	switch {
	case w.Started > 0 && w.Ended == 0:
		sentence = fmt.Sprintf("Started in the last hour: %d; none has ended yet", w.Started)
	case w.SuccessRate != nil:
		sentence = fmt.Sprintf("%.0f %% of the last hour's verifications succeeded", *w.SuccessRate*100)
	}
	if w.Upstream.P50 != nil {
		sentence += "; the provider answers in " + Quantity(w.Upstream.P50, "ms")
	}
	return sentence + "."
}

func meaning(s wire.Status) string {
	switch s {
	case wire.BadCredentials:
		return "credentials"
	case wire.AccountBarred:
		return "barred"
	case wire.NoCredit:
		return "no credit"
	}
	return "status"
}

func classWords(c wire.Class) string {
	if c == wire.ReadClass {
		return "checks and searches"
	}
	return "requests and controls"
}

func first(words string) string { return strings.ToUpper(words[:1]) + words[1:] }

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

// moment is clock, with the date where it is not today.
func moment(t, now time.Time) string {
	if t, now = t.UTC(), now.UTC(); t.Truncate(24 * time.Hour).Equal(now.Truncate(24 * time.Hour)) {
		return clock(t)
	}
	return t.Format(time.DateOnly) + " " + clock(t)
}

// age is a duration in the unit that people would use.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// Event is something that has happened and that an operator should know of.
type Event struct {
	Time    time.Time `json:"time"`
	Account string    `json:"account"`
	// Level is info, warn or error.
	Level string `json:"level"`
	// Text says in a sentence what has happened.
	Text string `json:"text"`
}

// EventOf tells an event; false for one that comes with calls or verifications.
func EventOf(e gateway.Event) (Event, bool) {
	if !e.Notable() {
		return Event{}, false
	}
	level, text := words(e.Detail)
	return Event{e.Time.UTC(), e.Account, level, text}, true
}

func words(detail gateway.Detail) (level, text string) {
	const info, warn, bad = "info", "warn", "error"
	switch d := detail.(type) {
	case gateway.CircuitChanged:
		return circuitWords(d)
	case gateway.AccountSuspended:
		if d.To == "" {
			return info, fmt.Sprintf("The provider takes the account again, which it refused for %s (%s).", meaning(d.From), d.From)
		}
		return warn, fmt.Sprintf("The provider refuses the account: %s (%s).", meaning(d.To), d.To)
	case gateway.LimitChanged:
		what := "calls"
		if d.Searches {
			what = "searches"
		}
		if d.Why == "" {
			return info, fmt.Sprintf("All %d %s a second may be made again.", d.To, what)
		}
		return warn, fmt.Sprintf("The provider finds the %s too many (%s): %d a second from now on, instead of %d.", what, d.Why, d.To, d.From)
	case gateway.MethodChanged:
		return warn, fmt.Sprintf("The provider knows no other method for a %s than %s (HTTP %d).", d.Operation, d.Method, d.Code)
	case gateway.SecretSwitched:
		return warn, fmt.Sprintf("The %s secret is in use instead of the %s, which the provider refuses (%s).", d.To, d.From, d.Why)
	case gateway.SecretReplaced:
		return info, "A new secret is in use."
	case gateway.ConfigurationInForce:
		return info, "A configuration has come into force."
	case gateway.CachePurged:
		if d.Verifications == 1 {
			return info, "An operator has purged the cache of one verification."
		}
		return info, fmt.Sprintf("An operator has purged the cache of %d verifications.", d.Verifications)
	case gateway.StoreChanged:
		if !d.Away {
			return info, fmt.Sprintf("The store answers again; it was away for %s.", age(d.For))
		}
		return warn, "The store is away: this gateway goes on alone."
	case gateway.GuardChanged:
		return guardWords(guard.Change(d))
	case gateway.RecordIncomplete:
		return warn, "Lines of the record of starts are missing: " + d.Reason() + "."
	case gateway.InvariantBroken:
		return bad, fmt.Sprintf("The gateway has found a fault of its own and held a call back (%s).", d.Invariant)
	}
	return info, fmt.Sprintf("%T", detail)
}

func guardWords(c guard.Change) (level, text string) {
	text = map[guard.ChangeKind]string{
		guard.Watched: "The guard watches", guard.Slowed: "The guard slows", guard.Blocked: "The guard blocks", guard.Lifted: "An operator has lifted",
		guard.Warned: "80 % of a budget are spent", guard.Exhausted: "A budget is spent",
		guard.PriceRaised: "A message costs more than the configuration has", guard.Foreign: "A price is in another currency",
	}[c.Kind]
	if c.Caller != "" {
		text += ", of caller " + c.Caller
	}
	text += " (" + c.Finding.Mode.String() + "): " + c.Text() + "."
	if c.Kind == guard.Lifted {
		return "info", text
	}
	return "warn", text
}

func circuitWords(c gateway.CircuitChanged) (level, text string) {
	what := first(classWords(c.Class))
	switch c.To {
	case wire.CircuitClosed:
		return "info", fmt.Sprintf("%s are made again (%s).", what, c.Why)
	case wire.CircuitHalfOpen:
		return "info", fmt.Sprintf("%s: the provider is being tried.", what)
	case wire.CircuitOpen:
	}
	text = fmt.Sprintf("%s are stopped (%s", what, c.Why)
	if c.Outcomes > 0 {
		text += fmt.Sprintf(": %d of %d failed", c.Failures, c.Outcomes)
	}
	return "warn", text + ")."
}
