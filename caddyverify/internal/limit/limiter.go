// Package limit keeps an account's calls under the provider's limit: a short wait
// in place of a refusal, callers with work to do sharing alike, checks first, and a
// lower rate for as long as the provider finds the calls too many (AIMD). What is too
// much for a short wait is refused at once (load shedding).
package limit

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
)

// Limiter gives each call of an account its time. Its methods may be used by any
// number of goroutines; it has none of its own.
type Limiter struct {
	off atomic.Bool // there is no limit at all

	mu        sync.Mutex
	settings  Settings
	allowance           // of the account
	searches  allowance // of searches alone
	ring      *ring     // that other gateways share; nil for nobody else
	// own are the gateway's calls that wait, see WaitFirst.
	own []*waiter
	fair
	// timer ends the time until the next one's turn, which is due then.
	timer   *time.Timer
	due     time.Time
	changes event.Notifier[Change]
	cuts    event.Notifier[int] // see OnCut
}

// New returns a Limiter. The settings are expected to be valid.
func New(s Settings) *Limiter {
	now := time.Now()
	l := &Limiter{settings: s.withDefaults()}
	l.off.Store(l.settings.off())
	l.allowance = newAllowance(l.settings.Rate, now)
	l.searches = newAllowance(l.searchFull(), now)
	l.searches.ofSearches = true
	l.setApart()
	l.callers = map[string]*caller{}
	l.share(now)
	return l
}

// Stats is what metrics tell about a Limiter.
type Stats struct {
	// Rate is how many calls a second may be made at present; 0 for no limit.
	Rate int
	// Full is what Rate is while the provider does not throttle; 0 for no limit.
	Full int
	// SearchRate is how many of them may be searches, and SearchFull what that is while the
	// provider does not throttle these by themselves. With a store it is this gateway's part.
	// 0 where searches have no limit but the account's.
	SearchRate, SearchFull int
	// Waiting is how many calls wait for their turn.
	Waiting int
	// Alone tells that the store by which gateways share the rate is away, and Share is how
	// many calls a second are this gateway's while it is.
	Alone bool
	Share int
}

// CallerStats is what a Limiter has of a caller.
type CallerStats struct {
	Name    string
	Waiting int
	// Lately is how many calls it has made within the last second or so; where only searches
	// have a limit, how many searches.
	Lately int
	// Weight and Rate are its Share.
	Weight, Rate int
}

// Stats returns the numbers of this moment, whether or not anyone called. It changes
// nothing.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Waiting: l.waiting()}
	now := time.Now()
	if full := l.searchFull(); full > 0 {
		if rate := l.searches.rateWith(full, now); rate < full || l.settings.SearchRate > 0 {
			s.SearchRate, s.SearchFull = rate, full
		}
	}
	if l.limited() {
		s.Rate, s.Full = l.rate(now), l.settings.Rate
		if l.ring != nil {
			known := l.ring.store.Stats()
			if s.Alone = l.aloneNow(known, now); s.Alone {
				s.Share = l.shareOf(l.ring.fleet(known))
			}
		}
	}
	return s
}

// Callers tells of those that the settings name, that wait, or that called within the
// last second or so, in the order of their names. It changes nothing.
func (l *Limiter) Callers() (all []CallerStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(l.callers)) {
		c := l.callers[name]
		all = append(all, CallerStats{
			Name: name, Waiting: c.waiting, Lately: l.made.of(c, now.Add(-time.Second)),
			Weight: int(c.weight), Rate: l.settings.Callers[name].Rate,
		})
	}
	return all
}

// limited tells that the account has a limit.
func (l *Limiter) limited() bool { return l.settings.Rate > 0 }

// maxReserve is how many of the calls within a second other operations leave to
// checks, but at most a quarter of them.
const maxReserve = 6

// soon is the time within which the reserve must be free for checks: as long as
// the pace brings it back so soon, the others may use it.
const soon = maxWait

// reserve is the part of the reserve that fits the present rate.
func (l *Limiter) reserve() int {
	return min(maxReserve, l.settings.Rate/4) * l.have() / l.settings.Rate
}

// slotAt returns when the account has a slot for a call that has n before it.
func (l *Limiter) slotAt(n int) time.Time {
	if !l.limited() {
		return time.Time{}
	}
	return later(l.after(n), l.ringAt(anySlot, n))
}

// after is slots.after, for those slots that this gateway has. The caller holds l.mu.
func (l *Limiter) after(n int) time.Time { return l.slots.afterOf(l.have(), n) }

// ringAt is ring.at, if there is one. The caller holds l.mu.
func (l *Limiter) ringAt(k rank, n int) time.Time {
	if l.ring == nil {
		return time.Time{}
	}
	return l.ring.at(k, n, l.slots.pace())
}

// freeAt returns when a call may be made, if the slots that come back until then are
// not taken by others. The caller holds l.mu.
func (l *Limiter) freeAt(c *caller, k class) time.Time {
	return later(l.sharedAt(c, k, 0), l.ownAt(c, k))
}

// ownAt is freeAt by the limits that not all calls have: the caller's and the searches'.
func (l *Limiter) ownAt(c *caller, k class) time.Time {
	at := c.freeAt(0)
	if k == search {
		at = later(at, l.searchAt(c, 0))
	}
	return at
}

// sharedAt is freeAt for a call that has n before it, but for the caller's own limit.
func (l *Limiter) sharedAt(c *caller, k class, n int) time.Time {
	if !l.limited() {
		return time.Time{}
	}
	at := l.localAt(c, k, n)
	if l.ring != nil {
		at = later(at, l.ringAt(l.rankOf(c, k), n))
	}
	return at
}

// localAt is sharedAt as far as it is the Limiter's own slots that matter.
//
// A check needs a slot, and all else one that leaves the reserve to checks. Who has had
// more than its share of late leaves half of the slots to the others: a flood that begins
// when all are free would leave them none for a second. Who has had less is what these
// are left for. Slots that come back soon are good enough to leave: at an even pace all
// 28 may be used.
func (l *Limiter) localAt(c *caller, k class, n int) time.Time {
	at := l.after(n)
	had := l.balance(c)
	if k != check && had >= 0 {
		at = later(at, l.slots.leaving(l.have(), l.reserve(), n).Add(-soon))
	}
	if had > 0 {
		at = later(at, l.slots.leaving(l.have(), l.have()/2, n).Add(-time.Second/2))
	}
	return at
}

// expected tells when a call that comes now would have its turn, at best: by the
// account's limit and the searches', with those that go before it as next has them go, and
// by the caller's own. The caller holds l.mu.
func (l *Limiter) expected(c *caller, k class) (shared, own time.Time) {
	held := l.searchesHeld(time.Now())
	ahead := c.ahead(k, held)
	shared = l.sharedAt(c, k, len(l.own)+ahead+l.before(c, ahead, held))
	if k == search {
		shared = later(shared, l.searchExpected(c))
	}
	return shared, c.freeAt(ahead)
}
