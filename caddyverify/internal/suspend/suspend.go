// Package suspend keeps calls from an upstream that refuses the account itself, and
// finds out when it does not any more: a circuit breaker that is opened by what the
// upstream says of the account, and by one such answer.
package suspend

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
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

// Suspension remembers that the upstream refuses the account itself: bad credentials
// (4), barred (8), or no credit (9). Each further call would be refused as well.
// Checks are never stopped: a user has the code in hand, and a check's answer may
// show the end of the trouble. The zero Suspension is ready for use.
//
// An HTTP 401 or 403 without an answer of the API is no more than a suspicion: it
// may be what something in between thinks of one caller's text. The gateway's own
// search, of a request_id that nobody uses, finds out.
type Suspension struct {
	changes event.Notifier[Change]

	mu sync.Mutex
	// status is the trouble; empty for none.
	status wire.Status
	until  time.Time
	trials *trials // nil without trouble
	// search finds out whether the credentials are refused, where this is suspected
	// or was so; searched is when it last did.
	search   probe.Prober
	searched time.Time
	since    time.Time // of the trouble
}

// Trouble is what the upstream refuses the account for.
type Trouble struct {
	Status wire.Status
	// Since is when the upstream first said so.
	Since time.Time
	// Until is when it is tried again, at the latest by the next call.
	Until time.Time
}

// Trouble returns the present one, if there is one.
func (s *Suspension) Trouble() (t Trouble, inTrouble bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Trouble{s.status, s.since, s.until}, s.status != ""
}

// Change is a trouble that began, ended or turned into another. An empty
// Status stands for no trouble.
type Change struct{ From, To wire.Status }

// OnChange has changes told to f from now on, one after the other and outside all
// locks. Of several, each is told.
func (s *Suspension) OnChange(f func(Change)) (stop func()) { return s.changes.Subscribe(f) }

// ProbeWith has f find out about the credentials from now on until it is stopped. Of
// several, the one that came last and has not stopped is used.
func (s *Suspension) ProbeWith(f probe.Func) (stop func()) { return s.search.Use(&s.mu, f, s.look) }

// Allow asks whether a call may be made. If not, it would be refused with status,
// and retryAfter is when asking again makes sense, always above 0. If so, its
// answer is told to the Trial.
//
// Bad credentials are looked for by the gateway's own search 30 s after the last
// answer that told of them. Where that is of no use, and for other troubles, calls
// are let through on trial. The trouble ends when an answer says so, not with time.
func (s *Suspension) Allow(caller string, o wire.Operation) (trial Trial, status wire.Status, retryAfter time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == "" || o == wire.Check || s.status == wire.NoCredit && !o.Starts() {
		return Trial{}, "", 0, true
	}
	now := time.Now()
	switch {
	case now.Before(s.until):
		retryAfter = s.until.Sub(now)
	case s.search.Pending():
		retryAfter = soonAgain
	default:
		retryAfter = s.trials.begin(caller, now)
	}
	if retryAfter > 0 {
		return Trial{}, s.status, retryAfter, false
	}
	return Trial{s, s.trials}, "", 0, true
}

// Refuses tells whether Allow would refuse a call. It changes nothing.
func (s *Suspension) Refuses(caller string, o wire.Operation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == "" || o == wire.Check || s.status == wire.NoCredit && !o.Starts() {
		return false
	}
	now := time.Now()
	return now.Before(s.until) || s.search.Pending() || s.trials.refuse(caller, now) > 0
}

// Status returns the status of the present trouble, if there is one.
func (s *Suspension) Status() (status wire.Status, inTrouble bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.status != ""
}

// Try has what is refused at present tried now: the credentials by a search, what else
// the account is refused for by the next call. It reports false without trouble.
func (s *Suspension) Try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == "" {
		return false
	}
	s.until, s.trials = time.Now(), new(trials)
	if s.status == wire.BadCredentials && !s.search.Running() {
		s.search.Schedule(s.until, s.look)
	}
	return true
}

// Observe learns from the upstream's answer to a customer's call; the gateway's own
// say nothing.
func (s *Suspension) Observe(o wire.Operation, answer wire.Answer) {
	switch {
	case answer.Fault == nil:
		s.learn(o, answer.Status, accepted(&answer))
	case answer.Fault.Cause == wire.UpstreamUnauthorized:
		s.Suspect()
	}
}

// Searched learns from the upstream's answer to a search of the gateway's own.
func (s *Suspension) Searched(answer wire.Answer) {
	switch {
	case answer.Fault == nil:
		s.learn(wire.Search, answer.Status, accepted(&answer))
	case answer.Fault.Cause == wire.UpstreamUnauthorized:
		s.learn(wire.Search, wire.BadCredentials, false)
	}
}

// learn takes in what an answer says of the account.
func (s *Suspension) learn(o wire.Operation, status wire.Status, accepted bool) {
	s.mu.Lock()
	was := s.status
	switch {
	case status == wire.BadCredentials, status == wire.AccountBarred, status == wire.NoCredit && o.Starts():
		now := time.Now()
		if was != status {
			s.since = now
		}
		s.status, s.until, s.trials = status, now.Add(failFast), new(trials)
		var due time.Time
		if status == wire.BadCredentials {
			due = s.until
		}
		s.search.Schedule(due, s.look)
	case was != "" && ends(was, o, status, accepted):
		s.status, s.trials = "", nil
		s.search.Schedule(time.Time{}, s.look)
	}
	changed := s.status != was
	if changed {
		s.changes.Push(Change{From: was, To: s.status})
	}
	s.mu.Unlock()
	if changed {
		s.changes.Deliver()
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

// Accepted tells whether an answer shows that the credentials with which the call was
// made are accepted.
func Accepted(answer *wire.Answer) bool { return accepted(answer) }

// accepted tells whether an answer shows that the credentials were. Missing and
// invalid parameters may be found before these are looked at.
func accepted(answer *wire.Answer) bool {
	return takenUp(answer) && answer.Status != wire.Missing && answer.Status != wire.Invalid
}

// takenUp tells whether the upstream has taken a call up: its answer is about what the
// call asks, and neither about the account nor about trouble of the upstream's own.
func takenUp(answer *wire.Answer) bool {
	if answer.Fault != nil || answer.Code >= 500 {
		return false
	}
	if answer.List {
		return true
	}
	switch answer.Status {
	case wire.Throttled, wire.BadCredentials, wire.InternalError, wire.AccountBarred, wire.NoCredit:
		return false
	}
	return true
}

// Suspect has the gateway find out about the credentials by a search, unless it is about
// to: another gateway was refused for them.
func (s *Suspension) Suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.search.Running() || !s.search.Due().IsZero() {
		return
	}
	due := time.Now()
	if next := s.searched.Add(searchEvery); due.Before(next) {
		due = next
	}
	s.search.Schedule(due, s.look)
}

// look makes a search.
func (s *Suspension) look() {
	s.mu.Lock()
	run := s.search.Begin(searchTime)
	s.mu.Unlock()
	if run != nil {
		run.Do(s.looked)
	}
}

// looked takes the outcome of a search. One that says nothing ends a suspicion,
// which the next such answer brings up again, but no trouble.
func (s *Suspension) looked(run *probe.Run, answer wire.Answer) {
	s.Searched(answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.search.Ended(run) {
		return
	}
	s.searched = time.Now()
	due, next := s.search.Due(), s.searched.Add(searchEvery)
	switch {
	case s.status != wire.BadCredentials:
		due = time.Time{}
	case due.Before(next):
		due = next
	}
	s.search.Schedule(due, s.look)
}
