package gateway

import (
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// maxNotices is how many events an account keeps for who looks later.
const maxNotices = 100

// notices are the last events that an operator should know of.
type notices struct {
	mu  sync.Mutex
	all []Event
}

// Notable tells the events that an operator should know of from those that come with
// calls, and with verifications.
func (e Event) Notable() bool {
	_, message, _ := e.describe()
	_, reloaded := e.Detail.(ConfigurationInForce)
	return message != "" || reloaded
}

// Notices are the last events that are notable, the newest last.
func (a *Account) Notices() []Event {
	a.notices.mu.Lock()
	defer a.notices.mu.Unlock()
	return slices.Clone(a.notices.all)
}

// History is what has happened to the account.
func (a *Account) History() *history.History { return a.history }

// historySource is where an answer came from in the words of the history.
var historySource = map[observe.Source]history.Source{
	observe.FromUpstream: history.Upstream, observe.FromMemory: history.Memory, observe.FromGateway: history.Gateway, observe.FromGuard: history.Gateway,
}

// remember is the history's subscription.
func (a *Account) remember(e Event) {
	switch d := e.Detail.(type) {
	case VerificationStarted:
		a.history.Started(d.Country, d.Caller)
	case VerificationFinished:
		a.history.Finished(d.Outcome, d.Country, d.Caller, d.Attempts, d.TimeToSuccess)
	case CostLearned:
		a.history.Spent(d.Currency, d.Country, d.Caller, d.Amount)
	}
	if e.Notable() {
		a.notices.mu.Lock()
		defer a.notices.mu.Unlock()
		if len(a.notices.all) == maxNotices {
			a.notices.all = slices.Delete(a.notices.all, 0, 1)
		}
		a.notices.all = append(a.notices.all, e)
	}
}

// sent is told of each call to the upstream.
func (a *Account) sent(answer *wire.Answer, took time.Duration) {
	a.history.Sent(answer.Fault == nil || answer.Fault.Refused, took) // a further request of it was, after an answer
}

// gauge notes each second what is held, and the searches that memory has answered: they
// are too many to be noted one by one.
func (a *Account) gauge() {
	kept := a.cache.Stats()
	hits := kept.Hits + kept.Stale
	a.history.Hits(hits - a.hits)
	a.hits = hits
	limited := a.limiter.Stats()
	g := history.Gauges{Rate: limited.Rate, Waiting: limited.Waiting, Entries: kept.Entries}
	if !a.breakers.Off() {
		for _, circuit := range a.breakers.Snapshot() {
			if circuit.State != wire.CircuitClosed {
				g.Broken++
			}
		}
	}
	g.Suspended = len(a.troubles()) > 0
	a.history.Gauge(g)
}
