package limit

import (
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// ring is what a Limiter knows of the slots that all gateways of a store share: what the
// store has said when it was asked. A call whose turn has come by the Limiter's own rules
// takes one of them, too, before it goes, so that order and shares are decided when a slot
// is given and none is taken ahead. Between gateways who asks first is first. It is
// guarded by Limiter.mu.
type ring struct {
	store  *store.Shared
	asking [ranks]bool
	// underWay is how many are asking.
	underWay int
	// full is until when there is none, as far as is known.
	full     [ranks]time.Time
	gateways int
	random   *rand.Rand // see apart
	alone
}

// rank is what a call has to leave to others, the least first. One ask for each is under
// way at most.
type rank int

const (
	// anySlot is for checks, for the gateway's own calls, and for who has had little.
	anySlot rank = iota
	// leavingReserve is for all other calls.
	leavingReserve
	// leavingHalf is for who has had more than its share.
	leavingHalf
	// leavingHalfToChecks is for his calls that are no checks.
	leavingHalfToChecks
	ranks
)

// rankOf is what a call has to leave, as localAt has it. The caller holds l.mu.
func (l *Limiter) rankOf(c *caller, k class) rank {
	switch had := l.balance(c); {
	case had > 0 && k == check:
		return leavingHalf
	case had > 0:
		return leavingHalfToChecks
	case had == 0 && k != check:
		return leavingReserve
	}
	return anySlot
}

// Share has the account's rate be that of all gateways of a store. A caller's own limit
// is each gateway's, and of the searches' each has an equal part. nil is for no store.
func (l *Limiter) Share(s *store.Shared) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case s == nil:
		l.ring = nil
	case l.ring == nil || l.ring.store != s:
		var seed [32]byte
		_, _ = cryptorand.Read(seed[:])                                  // never fails; a test can make it the same each time
		next := &ring{store: s, random: rand.New(rand.NewChaCha8(seed))} //nolint:gosec // no secret
		if l.ring != nil {
			next.gateways = l.ring.fleet(l.ring.store.Stats()) // until this one tells
		}
		l.ring = next
	default:
		return
	}
	now := time.Now()
	l.set(&l.searches, l.searchFull(), now)
	l.serve(now) // whoever waits goes on by other rules
}

// sharing tells that calls need a slot of the store's. The caller holds l.mu.
func (l *Limiter) sharing() bool { return l.ring != nil && l.limited() }

// terms is what is asked of the store: what sharedAt asks of the Limiter's own slots. At
// an even pace these always come back soon, and who asks first would have the next one,
// whatever the others want it for; so where there are other gateways, some are left free.
// The caller holds l.mu.
func (l *Limiter) terms(k rank) store.Ask {
	ask := store.Ask{Size: l.slots.n}
	var free int
	switch k {
	case leavingReserve:
		ask.Later, ask.Soon = l.reserve(), soon
		free = min(1, ask.Later/2)
	case leavingHalf, leavingHalfToChecks:
		ask.Later, ask.Soon = l.slots.n/2, time.Second/2
		free = min(int(k)-1, l.slots.n/8)
	default:
		return ask
	}
	if l.ring.gateways > 1 {
		ask.Spare = free
		ask.Later -= free
	}
	return ask
}

// asking tells that the store is being asked for a rank. The caller holds l.mu.
func (l *Limiter) asking(k rank) bool { return l.sharing() && l.ring.asking[k] }

// ask asks the store for a slot, unless that is being done. The caller holds l.mu.
func (l *Limiter) ask(k rank) {
	r := l.ring
	if r.asking[k] || r.underWay >= l.waiting() {
		return
	}
	r.asking[k] = true
	r.underWay++
	terms := l.terms(k)
	go func() {
		slot, err := r.store.Slot(context.Background(), terms)
		l.answered(r, k, slot, err)
	}()
}

// answered goes on with what the store has said.
func (l *Limiter) answered(r *ring, k rank, slot store.Slot, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	r.asking[k] = false
	r.underWay--
	if r != l.ring || !l.limited() {
		return
	}
	l.passed(now)
	known := r.store.Stats()
	r.gateways, r.asked = r.fleet(known), now
	switch {
	case err != nil || slot.State == store.Alone:
		l.lost(known, err != nil, now)
		if l.admitNext(!l.slotAt(0).After(now), l.free(now), now) {
			r.went(now)
		}
	case slot.State == store.Given:
		r.lonely = false
		l.give(k, now)
	default:
		r.lonely = false
		r.fullUntil(k, now.Add(slot.Wait+l.apart()))
	}
	l.dismiss(now)
	l.serve(now)
}

// apart is a moment by which gateways ask at different times, so that it is not always
// the one nearest to the store which is first. The caller holds l.mu.
func (l *Limiter) apart() time.Duration {
	if l.ring.gateways <= 1 {
		return 0
	}
	return time.Duration(l.ring.random.Int64N(int64(min(l.slots.pace(), maxApart))))
}

const maxApart = 40 * time.Millisecond

// fullUntil notes when there is a slot for calls of a rank, and for those that leave more
// to others at the earliest.
func (r *ring) fullUntil(k rank, until time.Time) {
	r.full[k] = until
	for k++; k < ranks; k++ {
		r.full[k] = later(r.full[k], until)
	}
}

// give has the next call go for which a slot was asked, or any that may take it: given
// back it would be lost. The caller holds l.mu.
func (l *Limiter) give(k rank, now time.Time) {
	if l.slots.after(0).After(now) {
		return
	}
	turn := func(c *caller, k class) bool {
		return !later(l.localAt(c, k, 0), l.ownAt(c, k)).After(now)
	}
	_ = l.admitNext(true, func(c *caller, class class) bool { return turn(c, class) && l.rankOf(c, class) <= k }, now) ||
		l.admitNext(true, turn, now) ||
		l.admitNext(true, func(c *caller, k class) bool { return !l.ownAt(c, k).After(now) }, now)
}

// serveShared asks for those whose turn has come. The caller holds l.mu.
func (l *Limiter) serveShared(now time.Time) {
	if len(l.own) > 0 && !l.slotAt(0).After(now) {
		l.ask(anySlot)
	}
	for _, c := range l.busy {
		for k, queue := range c.queue {
			if len(queue) > 0 && !l.freeAt(c, class(k)).After(now) {
				l.ask(l.rankOf(c, class(k)))
			}
		}
	}
}

// dismiss refuses calls that will not be made in time, as is known now. The caller holds
// l.mu.
func (l *Limiter) dismiss(now time.Time) {
	for _, c := range slices.Backward(l.busy) {
		for k, queue := range c.queue {
			if len(queue) == 0 {
				continue
			}
			at := l.freeAt(c, class(k))
			if !at.After(now) {
				continue
			}
			for len(c.queue[k]) > 0 && at.After(c.queue[k][0].until) {
				w := c.queue[k][0]
				c.queue[k] = without(c.queue[k], w)
				l.left(c)
				close(w.turn)
			}
		}
	}
}
