package search

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// Share has the Cache keep what it learns in a store, too, and find there what other
// gateways have learnt. nil is for no store. With another store than before the Cache begins
// empty, and what is under way is not stored.
//
// Memory stays the first tier. What it has is dropped when the store tells that a check or
// control has begun or ended anywhere, and it is asked while that is heard of; also while
// the store is away, when each gateway is alone and sees the others' checks when IN PROGRESS
// is over, 2 seconds later, whatever Unchanged says: so does who has to do with another that is
// cut off, for a minute. It is not asked in between, once the store answers again and does not
// yet tell: what was missed may be in memory until all of it is dropped.
//
// A store that is away is no error to anybody: the upstream is asked, at most store.Budget
// later.
func (c *Cache) Share(s *store.Shared) {
	c.changing.Lock()
	defer c.changing.Unlock()
	now := c.inForce.Load()
	if now.shared == s {
		return
	}
	c.unwatch()
	c.unwatch = func() {}
	next := *now
	next.shared = s
	next.empty(&c.counters)
	if s != nil {
		c.unwatch = s.Watch(func(n store.Name) { c.changed(s, n) })
	}
	c.inForce.Store(&next)
}

// changed is told by a store what has changed in it, here or elsewhere.
func (c *Cache) changed(s *store.Shared, n store.Name) {
	switch {
	case n == store.Name{}:
		c.missed(s)
	case n.Kind == store.Verification:
		dropped := 0
		shards := c.inForce.Load().shards
		for i := range shards {
			dropped += shards[i].dropNamed(n.ID, c.now())
		}
		c.counters.sharedDrops.Add(uint64(dropped)) //nolint:gosec // never negative
	}
}

// missed is for when anything may have changed. It takes no longer the more there is.
func (c *Cache) missed(s *store.Shared) {
	c.changing.Lock()
	defer c.changing.Unlock()
	now := c.inForce.Load()
	if now.shared != s {
		return
	}
	next := *now
	next.empty(&c.counters)
	c.inForce.Store(&next)
	c.counters.sharedDrops.Add(uint64(now.held.entries.Load())) //nolint:gosec // never negative
}

// watching tells that checks and controls are heard of, wherever they are made.
func (c *configured) watching() bool { return c.shared == nil || c.shared.Watching() }

// alone tells that there is a store, and that it is away.
func (c *configured) alone() bool { return c.shared != nil && c.shared.Away() }

// local tells that what is in memory may be told: see Share.
func (c *configured) local() bool { return c.watching() || c.shared.Away() }

// longest is how long IN PROGRESS may be answered from memory: what was said before all gateways
// heard of each other's checks, for no longer than if nothing is known of what may change it.
func (c *configured) longest() time.Duration {
	l := &c.lifetimes
	if c.shared == nil || l.longest == l.fresh[inProgress] {
		return l.longest
	}
	return max(l.fresh[inProgress], min(l.longest, c.shared.Together()))
}

// unchanged is for how long a verification will be in progress as the flight has found it, or 0 for
// as long as others.
func (c *Cache) unchanged(f *flight, id string) time.Duration {
	in := c.inForce.Load()
	if !in.settings.Scheduled || in.longest() <= in.lifetimes.fresh[inProgress] || f.lookOn(id).tried {
		return 0
	}
	d, ok := c.Unchanged(id, c.now()-f.begun)
	if !ok {
		return 0
	}
	return min(d, atMost)
}
