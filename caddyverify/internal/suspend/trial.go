package suspend

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// oneTrial is the time between two calls on trial, if the first is not heard of.
const oneTrial = time.Second

// trials are the calls that are let through to see whether a trouble of the account
// is over: one a second. One whose answer says nothing of the trouble is not
// counted, and makes room for one more: whoever sends calls that are wrong anyway
// must not use up the trials of others. A caller has none twice in a row while another
// wants one. They are guarded by Suspension.mu.
type trials struct {
	underWay int
	more     int // than one may be under way
	next     time.Time
	last     string    // caller that had one
	wanted   time.Time // by another, that was refused
}

// wantedFor is how long a caller that was refused may take to come again.
const wantedFor = 3 * time.Second

// begin lets a call through, or returns when it would.
func (t *trials) begin(caller string, now time.Time) (retryAfter time.Duration) {
	if retryAfter = t.refuse(caller, now); retryAfter > 0 {
		if caller != t.last {
			t.wanted = now
		}
		return retryAfter
	}
	t.underWay++
	t.next, t.last, t.wanted = now.Add(oneTrial), caller, time.Time{}
	return 0
}

// refuse tells when a caller's call would be let through; 0 for now.
func (t *trials) refuse(caller string, now time.Time) (retryAfter time.Duration) {
	switch {
	case t.underWay > t.more && now.Before(t.next):
		return t.next.Sub(now)
	case caller == t.last && now.Sub(t.wanted) < wantedFor:
		return oneTrial
	}
	return 0
}

// Trial is a call that a Suspension let through. The zero Trial is of one without
// trouble.
type Trial struct {
	suspension *Suspension
	trials     *trials
}

// Done tells what became of the call, whether or not it was made. What its answer
// says of the account must have been told before, to Observe.
func (t Trial) Done(answer *wire.Answer) {
	if t.suspension == nil {
		return
	}
	t.suspension.mu.Lock()
	defer t.suspension.mu.Unlock()
	if t.suspension.trials != t.trials {
		return // there is news of the trouble since
	}
	t.trials.underWay--
	if takenUp(answer) {
		t.trials.more++
	}
}
