package breaker

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// failFast is how long calls are answered with the account's trouble after each
// answer that told of it.
const failFast = 30 * time.Second

// oneTry is the time between calls that are let through after that, until one of
// them tells whether the trouble is over.
const oneTry = time.Second

// Account remembers that the upstream refuses the account itself: bad credentials
// (4), barred (8), or no credit (9). Each further call would be refused as well.
// Checks are never stopped: a user has the code in hand, and the check's answer
// is how the end of the trouble shows. The zero Account is ready for use.
type Account struct {
	changes relay.Relay[AccountChange]

	mu sync.Mutex
	// status is the trouble; empty for none.
	status wire.Status
	until  time.Time
}

// AccountChange is a trouble that began, ended or turned into another. An empty
// Status stands for no trouble.
type AccountChange struct{ From, To wire.Status }

// OnChange has changes told to f, as Breaker.OnChange does.
func (a *Account) OnChange(f func(AccountChange)) (stop func()) { return a.changes.Listen(f) }

// Check tells whether a call would be refused, so that it need not be made, with
// the status to answer and when to ask again. After 30 s one call a second is
// let through to see; the trouble ends when an answer says so, not with time.
func (a *Account) Check(o wire.Operation) (status wire.Status, retryAfter time.Duration, blocked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == "" || o == wire.Check || a.status == wire.NoCredit && o != wire.Request {
		return "", 0, false
	}
	now := time.Now()
	if wait := a.until.Sub(now); wait > 0 {
		return a.status, wait, true
	}
	a.until = now.Add(oneTry)
	return "", 0, false
}

// Trouble returns the status of the present trouble, if there is one.
func (a *Account) Trouble() (status wire.Status, inTrouble bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status, a.status != ""
}

// Observe learns from an answer of the upstream; the gateway's own say nothing.
func (a *Account) Observe(o wire.Operation, answer wire.Answer) {
	status := answer.Status
	if answer.Fault != nil {
		if answer.Fault.Cause != wire.UpstreamUnauthorized {
			return
		}
		status = wire.BadCredentials
	}
	a.mu.Lock()
	was := a.status
	switch {
	case status == wire.BadCredentials, status == wire.AccountBarred,
		status == wire.NoCredit && o == wire.Request:
		a.status, a.until = status, time.Now().Add(failFast)
	case was == wire.NoCredit && !(o == wire.Request && status == wire.Success):
		// Only a request costs credit, so only a request shows that it is back.
	case was != "" && accepted(answer):
		a.status = ""
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

// accepted tells whether an answer shows that the account was let in. Missing and
// invalid parameters may be found before the credentials are looked at.
func accepted(answer wire.Answer) bool {
	switch Judge(answer).Verdict {
	case Success:
		return true
	case Life:
		return answer.Status != wire.Missing && answer.Status != wire.Invalid
	}
	return false
}
