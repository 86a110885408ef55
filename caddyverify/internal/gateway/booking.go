package gateway

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

const (
	// shareFor is how long the store knows of a verification: longer than any lasts.
	shareFor = 2 * time.Hour
	// maxBookings is how many wait for the store.
	maxBookings = 10_000
	// bookAgain is when to ask a store again that is away, and bookAlone for how long, until the
	// gateway decides alone what it counts. The first divides no second, by which others ask again: who
	// of two of the same moment finds out whether the store is back would be chance.
	bookAgain = 240 * time.Millisecond
	bookAlone = time.Minute
	// bookFirst is when to ask first for a start that nobody has told of. The next times are each after
	// as long as it has taken so far.
	bookFirst = 900 * time.Millisecond
)

// booking is something that the store is told, or is to decide who counts it.
type booking struct {
	ledger.Booking
	began *ledger.Beginning // nil, or else there is no Booking
	mark  store.Mark
	since time.Time
	// alone tells that the gateway has counted it without the store, which is told all the same,
	// so that nobody else counts it.
	alone bool
	// waited is for how long whoever saw the start has had time to tell of it: bookAlone is enough.
	waited time.Duration
	// checked is for a check or control that the store was not told of. There is no Booking.
	checked bool
}

// books are what the store is to be told or asked, off the way of calls.
type books struct {
	once          sync.Once
	wake          chan struct{}
	stop, stopped chan struct{}

	mu      sync.Mutex
	waiting []*booking
	asleep  map[*booking]*time.Timer // they wait until their start may have been told of
	looks   map[string]struct{}      // verifications that may have ended elsewhere
	closed  bool
}

// open begins the work of an account's books, once.
func (b *books) open(a *Account) {
	b.once.Do(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wake, b.stop, b.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		b.asleep, b.looks = map[*booking]*time.Timer{}, map[string]struct{}{}
		go a.keepBooks()
	})
}

// close has all that waits decided. What comes later is decided at once.
func (b *books) close() {
	b.once.Do(func() {}) // never opened
	if b.stop != nil {
		close(b.stop)
		<-b.stopped
	}
}

// add has a booking wait, unless there are too many. After close it cannot.
func (b *books) add(one *booking) (added, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.waiting) >= maxBookings {
		return false, b.closed
	}
	b.waiting = append(b.waiting, one)
	b.poke()
	return true, false
}

func (b *books) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// next takes out the booking that has waited for longest, or returns nil.
func (b *books) next() *booking {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	one := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return one
}

// putBack has a booking that the store did not take come last, should it be the only one that
// the store does not take. It drops what nobody waits for any more, and returns what is to be
// counted alone.
func (b *books) putBack(one *booking) (late []*booking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(append(b.waiting, one), func(one *booking) bool {
		waited := time.Since(one.since)
		switch {
		case waited < bookAlone:
			return false
		case one.alone, one.began != nil:
			return waited >= shareFor
		case one.Own:
			one.alone = true
			late = append(late, one)
			return false
		}
		return true // another's matter
	})
	return late
}

// later has a booking be handed to wake once it has waited for longer. It reports false where it has waited for
// long enough, where too many do, and after close.
func (b *books) later(one *booking, wake func(*booking)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pause := min(max(one.waited, bookFirst), bookAlone-one.waited)
	if b.asleep == nil || pause <= 0 || len(b.asleep) >= maxBookings {
		return false
	}
	one.waited += pause
	b.asleep[one] = time.AfterFunc(pause, func() {
		if b.woken(one) {
			wake(one)
		}
	})
	return true
}

// woken takes out a booking that sleeps. It reports false for one that takeAll has taken.
func (b *books) woken(one *booking) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, is := b.asleep[one]
	delete(b.asleep, one)
	return is
}

// takeAll takes out all that waits, and closes the books.
func (b *books) takeAll() []*booking {
	b.mu.Lock()
	defer b.mu.Unlock()
	asleep := slices.SortedFunc(maps.Keys(b.asleep), func(one, other *booking) int { return cmp.Compare(one.RequestID, other.RequestID) })
	for _, one := range asleep {
		b.asleep[one].Stop()
	}
	all := append(b.waiting, asleep...)
	b.waiting, b.asleep, b.closed = nil, nil, true
	return all
}

// look has a verification looked up with the next tick: several changes of a moment are one.
func (b *books) look(requestIDs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range requestIDs {
		if b.looks != nil && len(b.looks) < maxBookings {
			b.looks[id] = struct{}{}
		}
	}
}

func (b *books) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.looks) > 0 {
		b.poke()
	}
}

func (b *books) takeLooks() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := slices.Sorted(maps.Keys(b.looks))
	clear(b.looks)
	return ids
}

// keepBooks is the books' work, until they are closed.
func (a *Account) keepBooks() {
	b := &a.books
	defer close(b.stopped)
	again := time.NewTimer(bookAgain)
	defer again.Stop()
	for {
		select {
		case <-b.wake:
		case <-again.C:
		case <-b.stop:
			for _, one := range b.takeAll() {
				a.decideNow(one)
			}
			return
		}
		if !a.lookUp() || !a.decideAll() {
			again.Reset(bookAgain)
		}
	}
}

// lookUp asks about verifications that may have ended. It reports false when the store is away.
func (a *Account) lookUp() bool {
	ids := a.books.takeLooks()
	for i, id := range ids {
		s := a.shared()
		if s == nil || a.ledger.Over(id) {
			continue
		}
		if _, err := a.ask(context.Background(), s, id); err != nil {
			a.books.look(ids[i:]...)
			return false
		}
	}
	return true
}

// decideAll works off what waits. It reports false when the store is away.
func (a *Account) decideAll() bool {
	for one := a.books.next(); one != nil; one = a.books.next() {
		if a.decide(context.Background(), one) == nil {
			continue
		}
		for _, late := range a.books.putBack(one) {
			a.countHere(late)
		}
		return false
	}
	return true
}

// book has the store told of what the ledger has learnt.
func (a *Account) book(ctx context.Context, events *ledger.Events) {
	for i := range events.Beginnings {
		// Before the client knows of the verification.
		if one := (&booking{began: &events.Beginnings[i], since: time.Now()}); a.decide(ctx, one) != nil {
			a.books.add(one)
		}
	}
	a.books.look(events.Overdue...)
	for _, b := range events.Bookings {
		a.enqueue(&booking{Booking: b, mark: store.NewMark(), since: time.Now()})
	}
}

func (a *Account) enqueue(one *booking) {
	switch added, closed := a.books.add(one); {
	case added:
	case closed:
		a.decideNow(one)
	default:
		a.countAlone(one)
	}
}

// enqueueAgain is for what has slept: the store is given its time anew.
func (a *Account) enqueueAgain(one *booking) {
	one.since = time.Now()
	a.enqueue(one)
}

func (a *Account) decideNow(one *booking) {
	if a.decide(context.Background(), one) != nil {
		a.countAlone(one)
	}
}

// countAlone is for when the store cannot say who counts something: who has seen the start does.
func (a *Account) countAlone(one *booking) {
	if one.Own && !one.alone {
		a.countHere(one)
	}
}

// decide tells the store, and counts what is to be counted here.
func (a *Account) decide(ctx context.Context, one *booking) error {
	s := a.shared()
	if s == nil {
		a.countAlone(one)
		return nil
	}
	if one.began != nil {
		began := *one.began
		began.Age = time.Since(one.since)
		return s.Begin(context.WithoutCancel(ctx), store.Of(began.RequestID), began.Encode(), shareFor)
	}
	id := store.Of(one.RequestID)
	if one.checked {
		if _, err := s.Before(ctx, id, one.mark, spare); err != nil { // others are to know that it was tried
			return err
		}
		return s.After(ctx, id, one.mark)
	}
	if one.Cost != nil {
		more, err := s.Paid(ctx, id, one.mark, store.Field(one.Cost.Kind), one.Amount, shareFor)
		if err == nil && more > 0 && !one.alone {
			// A store that has forgotten says more than is new here.
			cost := one.Cost.Of(more)
			cost.Amount = min(cost.Amount, one.Cost.Amount)
			a.publish(CostLearned(cost))
		}
		return err
	}
	if one.Finish == nil {
		known, err := a.ask(ctx, s, one.RequestID)
		if err != nil {
			return err
		}
		if known.Start == nil && a.books.later(one, a.enqueueAgain) {
			return nil
		}
	}
	first, err := s.Finish(ctx, id, one.mark, shareFor)
	switch {
	case err != nil || !first || one.alone:
		return err
	case one.Finish != nil:
		a.countHere(one)
	default:
		a.publish(a.untracked(one))
		a.estimateLater(one.RequestID)
	}
	return nil
}

// countHere counts a booking of a verification whose start is known.
func (a *Account) countHere(b *booking) {
	if b.Cost != nil {
		a.publish(CostLearned(*b.Cost))
		return
	}
	a.publish(VerificationFinished(*b.Finish))
	a.estimateLater(b.RequestID)
}

// untracked is the end of a verification whose start the ledger may have learnt of by now.
func (a *Account) untracked(b *booking) Detail {
	v, ok := a.ledger.Verification(b.RequestID)
	if !ok || v.Untracked {
		return UntrackedFinished{b.Untracked}
	}
	return VerificationFinished{Outcome: b.Untracked, Country: v.Country, Workflow: v.Workflow, Caller: v.Caller, Attempts: v.Attempts}
}
