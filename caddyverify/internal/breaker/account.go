package breaker

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// failFast is how long calls are answered with the account's trouble after each
	// answer that told of it.
	failFast = 30 * time.Second
	// searchEvery is the least time between two searches by which the gateway finds
	// out about the credentials.
	searchEvery = 5 * time.Second
	// searchTime ends a search that does not end by itself.
	searchTime = time.Minute
	// soonAgain is the advice to calls while such a search is under way.
	soonAgain = time.Second
)

// Account remembers that the upstream refuses the account itself: bad credentials
// (4), barred (8), or no credit (9). Each further call would be refused as well.
// Checks are never stopped: a user has the code in hand, and a check's answer may
// show the end of the trouble. The zero Account is ready for use.
//
// An HTTP 401 or 403 without an answer of the API is no more than a suspicion: it
// may be what something in between thinks of one caller's text. The gateway's own
// search, of a request_id that nobody uses, finds out.
type Account struct {
	changes relay.Relay[AccountChange]

	mu sync.Mutex
	// status is the trouble; empty for none.
	status wire.Status
	until  time.Time
	trials *trials // nil without trouble
	// search finds out whether the credentials are refused, where this is suspected
	// or was so; searched is when it last did.
	search   prober
	searched time.Time
}

// AccountChange is a trouble that began, ended or turned into another. An empty
// Status stands for no trouble.
type AccountChange struct{ From, To wire.Status }

// OnChange has changes told to f, as Breaker.OnChange does.
func (a *Account) OnChange(f func(AccountChange)) (stop func()) { return a.changes.Listen(f) }

// SearchWith has p find out about the credentials, as Breaker.ProbeWith has it find
// out whether the upstream is back.
func (a *Account) SearchWith(p Probe) (stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	probe := a.search.probes.Add(p)
	a.search.arm(a.look)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.search.remove(probe)
		a.search.arm(a.look)
	}
}

// Allow asks whether a call may be made. If not, it would be refused with status,
// and retryAfter is when asking again makes sense, always above 0. If so, its
// answer is told to the Trial.
//
// Bad credentials are looked for by the gateway's own search 30 s after the last
// answer that told of them. Where that is of no use, and for other troubles, calls
// are let through on trial. The trouble ends when an answer says so, not with time.
func (a *Account) Allow(o wire.Operation) (trial Trial, status wire.Status, retryAfter time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == "" || o == wire.Check || a.status == wire.NoCredit && !o.Starts() {
		return Trial{}, "", 0, true
	}
	now := time.Now()
	switch {
	case now.Before(a.until):
		retryAfter = a.until.Sub(now)
	case a.search.pending(now):
		retryAfter = soonAgain
	default:
		retryAfter = a.trials.begin(now)
	}
	if retryAfter > 0 {
		return Trial{}, a.status, retryAfter, false
	}
	return Trial{a, a.trials}, "", 0, true
}

// Trouble returns the status of the present trouble, if there is one.
func (a *Account) Trouble() (status wire.Status, inTrouble bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status, a.status != ""
}

// Observe learns from the upstream's answer to a customer's call; the gateway's own
// say nothing.
func (a *Account) Observe(o wire.Operation, answer wire.Answer) {
	switch {
	case answer.Fault == nil:
		a.learn(o, answer.Status, accepted(answer))
	case answer.Fault.Cause == wire.UpstreamUnauthorized:
		a.suspect()
	}
}

// Searched learns from the upstream's answer to a search of the gateway's own.
func (a *Account) Searched(answer wire.Answer) {
	switch {
	case answer.Fault == nil:
		a.learn(wire.Search, answer.Status, accepted(answer))
	case answer.Fault.Cause == wire.UpstreamUnauthorized:
		a.learn(wire.Search, wire.BadCredentials, false)
	}
}

// learn takes in what an answer says of the account.
func (a *Account) learn(o wire.Operation, status wire.Status, accepted bool) {
	a.mu.Lock()
	was := a.status
	switch {
	case status == wire.BadCredentials, status == wire.AccountBarred, status == wire.NoCredit && o.Starts():
		a.status, a.until, a.trials = status, time.Now().Add(failFast), new(trials)
		a.search.due = time.Time{}
		if status == wire.BadCredentials {
			a.search.due = a.until
		}
		a.search.arm(a.look)
	case was != "" && ends(was, o, status, accepted):
		a.status, a.trials = "", nil
		a.search.due = time.Time{}
		a.search.arm(a.look)
	}
	changed := a.status != was
	if changed {
		a.changes.Push(AccountChange{From: was, To: a.status})
	}
	a.mu.Unlock()
	if changed {
		a.changes.Deliver()
	}
}

// ends tells whether an answer shows that a trouble is over.
func ends(trouble wire.Status, o wire.Operation, status wire.Status, accepted bool) bool {
	switch trouble {
	case wire.NoCredit:
		// Only a request costs credit, so only a request shows that it is back.
		return o.Starts() && status == wire.Success
	case wire.AccountBarred:
		// Nothing else is refused for it: it is about sending messages.
		return (o.Starts() || o == wire.Control) && status == wire.Success
	}
	return accepted
}

// accepted tells whether an answer shows that the credentials were. Missing and
// invalid parameters may be found before these are looked at.
func accepted(answer wire.Answer) bool {
	switch Judge(answer).Verdict {
	case Success:
		return true
	case Life:
		return answer.Status != wire.Missing && answer.Status != wire.Invalid
	}
	return false
}

// suspect has the gateway find out about the credentials, unless it is about to.
func (a *Account) suspect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.search.running != nil || !a.search.due.IsZero() {
		return
	}
	a.search.due = time.Now()
	if next := a.searched.Add(searchEvery); a.search.due.Before(next) {
		a.search.due = next
	}
	a.search.arm(a.look)
}

// look makes a search.
func (a *Account) look() {
	a.mu.Lock()
	run := a.search.begin(searchTime)
	a.mu.Unlock()
	if run != nil {
		run.run(a.looked)
	}
}

// looked takes the outcome of a search. One that says nothing ends a suspicion,
// which the next such answer brings up again, but no trouble.
func (a *Account) looked(run *attempt, answer wire.Answer) {
	a.Searched(answer)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.search.ended(run) {
		return
	}
	a.searched = time.Now()
	next := a.searched.Add(searchEvery)
	switch {
	case a.status != wire.BadCredentials:
		a.search.due = time.Time{}
	case a.search.due.Before(next):
		a.search.due = next
	}
	a.search.arm(a.look)
}
