package limit

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// alone is how a Limiter goes on while the store is away, or does not know what was called
// of late: at once with its share of the rate, which is at least one call a second. What it
// has called itself in the last second counts, with a slot of the store's or without, since
// its own slots are in use for that. In the second after the loss what the gateways had not
// used is all that there is.
type alone struct {
	// lonely tells that it was so when the store was last asked.
	lonely bool
	asked  time.Time
	// share is how many of the slots are this gateway's.
	share int
	// without are the calls of the last second without a slot of the store's.
	without []time.Time
	// away is since when the store has been. Until closed there are left calls.
	away, closed time.Time
	left         int
}

// lost notes that the store was asked in vain: failed tells that it has not answered, or that
// it does not know. The caller holds l.mu.
func (l *Limiter) lost(known store.Stats, failed bool, now time.Time) {
	r := l.ring
	r.full = [ranks]time.Time{}
	r.share = l.shareOf(r.gateways)
	r.without = slices.DeleteFunc(r.without, func(at time.Time) bool { return now.Sub(at) >= time.Second })
	if !r.lonely || r.away != known.Away {
		r.away, r.closed, r.left = known.Away, time.Time{}, 0
		since := known.Away
		if since.IsZero() && failed { // it has answered others, who use what there is
			since = now
		}
		if !since.IsZero() {
			r.closed = since.Add(time.Second)
			r.left = max(0, l.slots.n-known.Used)/max(1, r.fleet(known)) - len(r.without)
		}
	}
	r.lonely = true
}

// went notes a call without a slot of the store's, and has others told of it.
func (r *ring) went(now time.Time) {
	r.without = append(r.without, now)
	r.left--
	r.store.Spent(1)
}

// fleet is how many gateways were there last: a store that was never reached knows of none,
// but the one before it, with other settings, did. The caller holds Limiter.mu.
func (r *ring) fleet(known store.Stats) int {
	if known.Gateways > 0 {
		return known.Gateways
	}
	return r.gateways
}

// shareOf is how many calls of a second are one gateway's. The caller holds l.mu.
func (l *Limiter) shareOf(gateways int) int { return max(1, l.slots.n/max(1, gateways)) }

// at tells when the store may have a slot for a call of a rank that has n before it.
func (r *ring) at(k rank, n int, pace time.Duration) time.Time {
	switch {
	case !r.lonely:
		return r.full[k].Add(time.Duration(n) * pace)
	case n >= r.left:
		return r.closed
	}
	return time.Time{}
}

// have is how many of the account's slots there are for this gateway's calls; all others
// are kept back. The caller holds l.mu.
func (l *Limiter) have() int {
	if l.ring != nil && l.ring.lonely {
		return min(l.ring.share, l.slots.n)
	}
	return l.slots.n
}

// aloneNow tells whether the account's rate is divided between gateways at present. It is
// known without a call, too. The caller holds l.mu.
func (l *Limiter) aloneNow(known store.Stats, now time.Time) bool {
	return !known.Away.IsZero() || l.ring.lonely && now.Sub(l.ring.asked) < store.Closed
}
