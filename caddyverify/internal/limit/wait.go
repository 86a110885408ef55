package limit

import (
	"context"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// class is what a call is to the Limiter.
type class int

const (
	own class = iota // the gateway's, see WaitFirst
	check
	other
	classes
)

// classOf returns the class of a customer's call.
func classOf(o wire.Operation) class {
	if o == wire.Check {
		return check
	}
	return other
}

// maxWait is how long a call waits for its turn before it is refused.
const maxWait = 250 * time.Millisecond

// soon is the time within which the reserve must be free for checks: as long as
// the pace brings it back so soon, the others may use it.
const soon = maxWait

// checksInRow is how many checks go before one of the others, when both come: a
// flood of checks must not end all new verifications.
const checksInRow = 3

// queues are the calls that wait, each class in the order of arrival. They are
// guarded by Limiter.mu.
type queues struct {
	queue [classes][]*waiter
	// row is how many checks went in a row while others waited, or since one of them
	// was refused: where the pace is slow, there is no place to wait for both.
	row     int
	refused bool // one of the others, since one last went
	// timer ends the time until the next one's turn.
	timer *time.Timer
}

// waiter is a call that waits. It holds no slot: a slot is taken when its turn
// comes, so one that leaves takes nothing along.
type waiter struct {
	turn     chan struct{} // closed when it may go
	admitted bool          // it may go
}

func (q *queues) waiting() int {
	return len(q.queue[own]) + len(q.queue[check]) + len(q.queue[other])
}

// Refusal says why a call may not be made.
type Refusal struct {
	// RetryAfter is when asking again makes sense; 0 if it was ctx that ended the
	// wait.
	RetryAfter time.Duration
	// Throttled tells that the rate is lower than the settings say, since the
	// provider has throttled the account.
	Throttled bool
}

// Wait returns with ok when the call may be made, which must then be done at once.
// Each try of a call that is repeated waits for itself. A call that could not be made
// in time is refused at once rather than kept waiting in vain (load shedding).
func (l *Limiter) Wait(ctx context.Context, o wire.Operation) (refusal Refusal, ok bool) {
	if ctx.Err() != nil {
		return Refusal{}, false
	}
	if l.off.Load() {
		return Refusal{}, true
	}
	c := classOf(o)
	l.mu.Lock()
	now := time.Now()
	if l.goes(c, now) {
		l.mu.Unlock()
		return Refusal{}, true
	}
	if l.expected(c).Sub(now) > maxWait {
		refusal = l.refuse(c, now)
		l.mu.Unlock()
		return refusal, false
	}
	w := l.enqueue(c, now)
	l.mu.Unlock()

	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	select {
	case <-w.turn:
		return Refusal{}, true
	case <-patience.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now = time.Now()
	if l.leave(w, c, now) {
		return Refusal{}, true
	}
	if ctx.Err() != nil {
		return Refusal{}, false
	}
	return l.refuse(c, now), false
}

// WaitFirst is Wait for a call by which the gateway finds out whether trouble is
// over: it goes before all customers' calls, is never refused, and is counted as
// any other. Without ok it was ctx that ended the wait.
func (l *Limiter) WaitFirst(ctx context.Context) (ok bool) {
	if ctx.Err() != nil {
		return false
	}
	l.mu.Lock()
	now := time.Now()
	if l.goes(own, now) {
		l.mu.Unlock()
		return true
	}
	w := l.enqueue(own, now)
	l.mu.Unlock()

	select {
	case <-w.turn:
		return true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leave(w, own, time.Now())
}

// goes lets a call of a class go that need not wait. The caller holds l.mu.
func (l *Limiter) goes(c class, now time.Time) bool {
	if l.off.Load() {
		return true
	}
	l.recover(now)
	l.serve(now) // a turn may have come whose timer has not run yet
	if l.freeAt(c, 0).After(now) {
		return false
	}
	// None of its class waits, or serve would have let it go.
	l.take(c, now)
	return true
}

// enqueue has a call wait. The caller holds l.mu.
func (l *Limiter) enqueue(c class, now time.Time) *waiter {
	w := &waiter{turn: make(chan struct{})}
	l.queue[c] = append(l.queue[c], w)
	l.arm(now)
	return w
}

// leave ends the wait of a waiter, unless its turn came in the same moment: then it
// goes. The caller holds l.mu.
func (l *Limiter) leave(w *waiter, c class, now time.Time) (goes bool) {
	l.serve(now)
	if w.admitted {
		return true
	}
	l.queue[c] = slices.DeleteFunc(l.queue[c], func(other *waiter) bool { return other == w })
	l.arm(now)
	return false
}

// refuse says why a call is refused. The caller holds l.mu.
func (l *Limiter) refuse(c class, now time.Time) Refusal {
	l.refused = l.refused || c == other
	return Refusal{RetryAfter: max(l.expected(c).Sub(now), time.Second), Throttled: l.lowered()}
}

// freeAt returns when a call of a class may be made that has n calls before it,
// if the slots that come back until then are not taken by others.
//
// A check, or a call of the gateway's own, needs a slot. Another needs one that leaves
// the reserve to checks, but slots that come back soon are good enough a reserve: at an
// even pace of 28/s six do so within 215 ms, and the others may use all 28.
func (l *Limiter) freeAt(c class, n int) time.Time {
	free := l.slots.at(min(n, l.slots.n-1))
	if c == other {
		reserved := l.slots.at(min(n+l.reserve(), l.slots.n-1))
		free = later(free, reserved.Add(-soon))
	}
	return free
}

// expected tells when a call of a class that comes now would have its turn, at
// best: those that wait go before it as next has them go. The caller holds l.mu.
func (l *Limiter) expected(c class) time.Time {
	row := min(l.row, checksInRow)
	checks, others := len(l.queue[check]), len(l.queue[other])
	if c == check {
		others = min(others, (row+checks)/checksInRow)
	} else {
		checks = min(checks, checksInRow*(others+1)-row)
	}
	ahead := len(l.queue[own]) + checks + others
	rounds := ahead / l.slots.n // each slot once, about a second
	return l.freeAt(c, ahead%l.slots.n).Add(time.Duration(rounds) * time.Second)
}

// serve lets all go whose turn has come, and sets the timer for the next. The
// caller holds l.mu.
func (l *Limiter) serve(now time.Time) {
	if l.waiting() == 0 {
		return
	}
	for {
		c, ok := l.next(now)
		if !ok {
			break
		}
		w := l.queue[c][0]
		l.queue[c] = slices.Delete(l.queue[c], 0, 1)
		l.take(c, now)
		w.admitted = true
		close(w.turn)
	}
	l.arm(now)
}

// next tells the class whose turn it is.
func (l *Limiter) next(now time.Time) (class, bool) {
	order := [...]class{own, check, other}
	if l.row >= checksInRow {
		order = [...]class{own, other, check}
	}
	for _, c := range order {
		if len(l.queue[c]) > 0 && !l.freeAt(c, 0).After(now) {
			return c, true
		}
	}
	return 0, false
}

// take uses a slot for a call of a class.
func (l *Limiter) take(c class, now time.Time) {
	l.slots.take(now)
	switch {
	case c == other:
		l.row, l.refused = 0, false
	case c == check && (l.refused || len(l.queue[other]) > 0):
		l.row++
	case c == check:
		l.row = 0
	}
}

// arm sets the timer to the next turn, or stops it when no one waits. The caller
// holds l.mu.
func (l *Limiter) arm(now time.Time) {
	var due time.Time
	for c, queue := range l.queue {
		if len(queue) == 0 {
			continue
		}
		if at := l.freeAt(class(c), 0); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	switch {
	case due.IsZero():
		if l.timer != nil {
			l.timer.Stop()
		}
	case l.timer == nil:
		l.timer = time.AfterFunc(due.Sub(now), l.tick)
	default:
		l.timer.Reset(due.Sub(now))
	}
}

func (l *Limiter) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.recover(now)
	l.serve(now)
}
