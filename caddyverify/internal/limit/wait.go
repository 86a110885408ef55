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
	check class = iota
	other
	classes
)

// soon is the time within which the reserve must be free for checks: as long as
// the pace brings it back so soon, the others may use it.
const soon = 250 * time.Millisecond

// checksInRow is how many checks go before one of the others, when both wait: a
// flood of checks must not end all new verifications.
const checksInRow = 3

// queues are the calls that wait, each class in the order of arrival. They are
// guarded by Limiter.mu.
type queues struct {
	queue [classes][]*waiter
	// row is how many checks went in a row while others waited.
	row int
	// timer ends the time until the next one's turn.
	timer *time.Timer
}

// waiter is a call that waits. It holds no slot: a slot is taken when its turn
// comes, so one that leaves takes nothing along.
type waiter struct {
	turn chan struct{} // closed when it may go
	gone bool          // it may go
}

func (q *queues) waiting() int { return len(q.queue[check]) + len(q.queue[other]) }

// Wait returns with ok when the call may be made, which must then be done at once.
// Each try of a call that is repeated waits for itself. Without ok, retryAfter is
// when asking again makes sense; 0 if it was ctx that ended the wait.
func (l *Limiter) Wait(ctx context.Context, o wire.Operation) (retryAfter time.Duration, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	if l.off.Load() {
		return 0, true
	}
	c := other
	if o == wire.Check {
		c = check
	}
	l.mu.Lock()
	if l.off.Load() {
		l.mu.Unlock()
		return 0, true
	}
	now := time.Now()
	l.recover(now)
	l.serve(now) // a turn may have come whose timer has not run yet
	if !l.freeAt(c, 0).After(now) {
		// Then none of its class waits, or serve would have let it go.
		l.take(c, now)
		l.mu.Unlock()
		return 0, true
	}
	if retryAfter = l.expected(c).Sub(now); retryAfter > l.settings.MaxWait {
		l.stats.Refused[o]++
		l.mu.Unlock()
		return max(retryAfter, time.Second), false
	}
	w := &waiter{turn: make(chan struct{})}
	l.queue[c] = append(l.queue[c], w)
	l.arm(now)
	wait := l.settings.MaxWait
	l.mu.Unlock()

	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case <-w.turn:
		return 0, true
	case <-patience.C:
	case <-ctx.Done():
	}
	return l.leave(w, c, o, ctx.Err() != nil)
}

// leave ends the wait of a waiter that has waited for long enough, or whose
// client left, unless its turn came in the same moment.
func (l *Limiter) leave(w *waiter, c class, o wire.Operation, left bool) (retryAfter time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.serve(now)
	if w.gone {
		return 0, true
	}
	l.queue[c] = slices.DeleteFunc(l.queue[c], func(other *waiter) bool { return other == w })
	l.arm(now)
	if left {
		return 0, false
	}
	l.stats.Refused[o]++
	return max(l.expected(c).Sub(now), time.Second), false
}

// freeAt returns when a call of a class may be made that has n calls before it,
// if the slots that come back until then are not taken by others.
//
// A check needs a slot. Another needs one that leaves the reserve to checks, but
// slots that come back soon are good enough a reserve: at an even pace of 28/s
// six do so within 215 ms, and the others may use all 28.
func (l *Limiter) freeAt(c class, n int) time.Time {
	free := l.slots.at(min(n, l.slots.n-1))
	if c == other {
		reserved := l.slots.at(min(n+l.reserve(), l.slots.n-1))
		free = later(free, reserved.Add(-min(soon, l.settings.MaxWait)))
	}
	return free
}

// expected tells when a call of a class that comes now would have its turn, at
// best. The caller holds l.mu.
func (l *Limiter) expected(c class) time.Time {
	ahead := len(l.queue[check])
	if c == other {
		ahead += len(l.queue[other])
	}
	rounds := time.Duration(ahead / l.slots.n) // each slot once, about a second
	return l.freeAt(c, ahead%l.slots.n).Add(rounds * time.Second)
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
		w.gone = true
		close(w.turn)
	}
	l.arm(now)
}

// next tells the class whose turn it is.
func (l *Limiter) next(now time.Time) (class, bool) {
	order := [...]class{check, other}
	if l.row >= checksInRow {
		order = [...]class{other, check}
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
	if c == check && len(l.queue[other]) > 0 {
		l.row++
	} else {
		l.row = 0
	}
}

// arm sets the timer to the next turn, or stops it when no one waits. The caller
// holds l.mu.
func (l *Limiter) arm(now time.Time) {
	var due time.Time
	for c, queue := range l.queue {
		if at := l.freeAt(class(c), 0); len(queue) > 0 && (due.IsZero() || at.Before(due)) {
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
