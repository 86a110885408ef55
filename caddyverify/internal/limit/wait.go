package limit

import (
	"context"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// maxWait is how long a call waits for its turn before it is refused.
const maxWait = 250 * time.Millisecond

// Refusal says why a call may not be made.
type Refusal struct {
	// RetryAfter is when asking again makes sense; 0 if it was ctx that ended the
	// wait.
	RetryAfter time.Duration
	// Throttled tells that the rate is lower than the settings say, since the
	// provider has throttled the account, or its searches.
	Throttled bool
	// Own tells that it is the caller's own limit that is reached.
	Own bool
}

// Wait returns with ok when a caller's call may be made, which must then be done at
// once. Each try of a call that is repeated waits for itself. A call that could not be
// made in time is refused at once rather than kept waiting in vain (load shedding).
func (l *Limiter) Wait(ctx context.Context, name string, o wire.Operation) (refusal Refusal, ok bool) {
	if ctx.Err() != nil {
		return Refusal{}, false
	}
	if l.off.Load() {
		return Refusal{}, true
	}
	k := classOf(o)
	l.mu.Lock()
	now := time.Now()
	l.catchUp(now)
	l.called(name, now)
	c := l.get(name)
	if !l.sharing() && !l.freeAt(c, k).After(now) {
		// None that waits may go, or catchUp would have let it.
		l.take(c, k, now)
		l.arm(now)
		l.mu.Unlock()
		return Refusal{}, true
	}
	if shared, own := l.expected(c, k); later(shared, own).Sub(now) > maxWait {
		refusal = l.refuse(c, k, shared, own, now)
		l.mu.Unlock()
		return refusal, false
	}
	w := newWaiter()
	w.until = now.Add(maxWait)
	c = l.known(c)
	l.join(c, k, w)
	l.await(now)
	l.mu.Unlock()

	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	select {
	case <-w.turn:
	case <-patience.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now = time.Now()
	l.catchUp(now)
	switch {
	case w.admitted: // its turn may have come in the same moment
		return Refusal{}, true
	case slices.Contains(c.queue[k], w):
		c.queue[k] = without(c.queue[k], w)
		l.left(c)
		l.arm(now)
	}
	if ctx.Err() != nil {
		return Refusal{}, false
	}
	shared, own := l.expected(c, k)
	return l.refuse(c, k, shared, own, now), false
}

// WaitFirst is Wait for a call by which the gateway finds out whether trouble is
// over: it goes before all customers' calls, is never refused, and is counted as
// any other. It is a search, takes a slot of the searches' as well, and does not wait for
// that. Without ok it was ctx that ended the wait.
func (l *Limiter) WaitFirst(ctx context.Context) (ok bool) {
	if ctx.Err() != nil {
		return false
	}
	l.mu.Lock()
	now := time.Now()
	l.catchUp(now)
	if !l.sharing() && !l.slotAt(0).After(now) {
		l.takeSlot(now)
		l.takeSearch(now)
		l.arm(now)
		l.mu.Unlock()
		return true
	}
	w := newWaiter()
	l.own = append(l.own, w)
	l.await(now)
	l.mu.Unlock()

	select {
	case <-w.turn:
		return true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now = time.Now()
	l.catchUp(now)
	if w.admitted {
		return true
	}
	l.own = without(l.own, w)
	l.arm(now)
	return false
}

// waiting is how many calls wait. The caller holds l.mu.
func (l *Limiter) waiting() int {
	n := len(l.own)
	for _, c := range l.busy {
		n += c.waiting
	}
	return n
}

// catchUp does what is due: a turn may have come whose timer has not run yet. The
// caller holds l.mu.
func (l *Limiter) catchUp(now time.Time) {
	if changed := l.passed(now); changed || !l.due.After(now) {
		l.serve(now)
	}
}

// passed does what is due but for the calls that wait. It tells whether there was anything.
// The caller holds l.mu.
func (l *Limiter) passed(now time.Time) (changed bool) {
	changed = l.recover(now)
	changed = l.divide(now) || changed
	if l.made.n > 0 {
		slots := &l.slots
		if !l.limited() {
			slots = &l.searches.slots
		}
		changed = l.forget(now.Add(-max(time.Second, fewest*slots.pace()))) || changed
	}
	return changed
}

// await is for a call that has come to wait. The caller holds l.mu.
func (l *Limiter) await(now time.Time) {
	if l.sharing() {
		l.serveShared(now)
	}
	l.arm(now)
}

// serve lets all go whose turn has come, or asks the store for them, and sets the timer
// for the next. The caller holds l.mu.
func (l *Limiter) serve(now time.Time) {
	if l.sharing() {
		l.serveShared(now)
	} else {
		may := l.free(now)
		for l.admitNext(!l.slotAt(0).After(now), may, now) {
		}
	}
	l.arm(now)
}

// free tells which calls may be made. The caller holds l.mu.
func (l *Limiter) free(now time.Time) func(*caller, class) bool {
	return func(c *caller, k class) bool { return !l.freeAt(c, k).After(now) }
}

// admitNext lets the next call go, of those for which may; the gateway's own, if they may,
// before all others. It tells whether there was one. The caller holds l.mu.
func (l *Limiter) admitNext(own bool, may func(*caller, class) bool, now time.Time) bool {
	if own && len(l.own) > 0 {
		w := l.own[0]
		l.own = without(l.own, w)
		l.takeSlot(now)
		l.takeSearch(now)
		w.admit()
		return true
	}
	if len(l.busy) == 0 {
		return false
	}
	c, k := l.next(may)
	if c == nil {
		return false
	}
	w := c.queue[k][0]
	c.queue[k] = without(c.queue[k], w)
	l.take(c, k, now)
	l.left(c)
	w.admit()
	return true
}

// take uses a slot for a call of a class. The caller holds l.mu.
func (l *Limiter) take(c *caller, k class, now time.Time) {
	l.takeSlot(now)
	if c.slots != nil {
		c.slots.take(now)
	}
	if k == search {
		l.takeSearch(now)
	}
	if l.limited() || k == search && l.searchesApart {
		l.went(l.known(c), k, now)
	}
}

func (l *Limiter) takeSlot(now time.Time) {
	if l.limited() {
		l.slots.take(now)
	}
}

// refuse says why a call is refused whose turn would be then, see expected. The caller
// holds l.mu.
func (l *Limiter) refuse(c *caller, k class, shared, own, now time.Time) Refusal {
	refusal := Refusal{
		RetryAfter: max(later(shared, own).Sub(now), time.Second),
		Throttled:  l.limited() && l.lowered(),
		Own:        own.After(shared),
	}
	if k == search && l.searchesApart && !l.searchExpected(c).Before(shared) {
		refusal.Throttled = l.searches.lowered()
		return refusal // by the searches' limit, which no other calls have used up
	}
	c.wasRefused(k)
	return refusal
}

// arm sets the timer to the next turn, or stops it when no one waits. The caller
// holds l.mu.
func (l *Limiter) arm(now time.Time) {
	due := l.nextTurn()
	if due.Equal(l.due) {
		return
	}
	l.due = due
	switch {
	case due.IsZero():
		l.timer.Stop()
	case l.timer == nil:
		l.timer = time.AfterFunc(due.Sub(now), l.tick)
	default:
		l.timer.Reset(due.Sub(now))
	}
}

// nextTurn is when the next turn comes; zero when no one waits, but for what the store
// says. The caller holds l.mu.
func (l *Limiter) nextTurn() (due time.Time) {
	if l.sharing() && l.ring.underWay >= l.waiting() {
		return due
	}
	if len(l.own) > 0 && !l.asking(anySlot) {
		due = l.slotAt(0)
	}
	for _, c := range l.busy {
		for k, queue := range c.queue {
			if len(queue) == 0 || l.ring != nil && l.asking(l.rankOf(c, class(k))) {
				continue
			}
			if at := l.freeAt(c, class(k)); due.IsZero() || at.Before(due) {
				due = at
			}
		}
	}
	return due
}

func (l *Limiter) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = time.Time{}
	l.catchUp(time.Now())
}
