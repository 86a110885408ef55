package limit

import "time"

// The provider has a limit for searches of its own, and finds these too many while it takes
// all else. So they need a slot of their own, too, where the settings give them a rate, or
// while the provider's throttling keeps them under the account's. A search that waits for one
// keeps nobody else's call back, nor its own caller's other calls. The gateway's own searches
// take such slots as well, and wait for none: they find out whether trouble is over.

// searchFull is the searches' rate while the provider does not throttle; below 0 for none.
// Of what the settings say each gateway of a store has an equal part. The caller holds l.mu.
func (l *Limiter) searchFull() int {
	rate := l.settings.SearchRate
	switch {
	case rate == 0:
		return l.settings.Rate
	case l.ring == nil:
		return rate
	}
	return max(1, rate/max(1, l.ring.store.Stats().Gateways))
}

// divide has the searches' rate be this gateway's part, as many as there are now. It tells
// whether that is another than before. The caller holds l.mu.
func (l *Limiter) divide(now time.Time) (changed bool) {
	if l.settings.SearchRate == 0 || l.ring == nil {
		return false
	}
	full := l.searchFull()
	if full == l.searches.full {
		return false
	}
	l.set(&l.searches, full, now)
	return true
}

// setApart notes whether searches have slots of their own. Others are counted nevertheless: what
// was made before the provider throttles counts. The caller holds l.mu.
func (l *Limiter) setApart() { l.searchesApart = l.settings.SearchRate > 0 || l.searches.lowered() }

// searchAt returns when the searches' own limit has a slot for one that has n before it. Who
// has had more than its share leaves half of them, see localAt. The caller holds l.mu.
func (l *Limiter) searchAt(c *caller, n int) time.Time {
	if !l.searchesApart {
		return time.Time{}
	}
	s := &l.searches.slots
	at := s.after(n)
	if l.balance(c) > 0 {
		at = later(at, s.leaving(s.n, s.n/2, n).Add(-time.Second/2))
	}
	return at
}

// searchExpected is searchAt for a search that comes now, behind those that wait. The caller
// holds l.mu.
func (l *Limiter) searchExpected(c *caller) time.Time {
	if !l.searchesApart {
		return time.Time{}
	}
	return l.searchAt(c, l.searchesBefore(c))
}

// searchesHeld tells that searches wait for slots of their own. The caller holds l.mu.
func (l *Limiter) searchesHeld(now time.Time) bool {
	return l.searchesApart && l.searches.after(0).After(now)
}

// takeSearch uses one of the searches' slots, free or not. The caller holds l.mu.
func (l *Limiter) takeSearch(now time.Time) {
	if l.searches.full > 0 {
		l.searches.take(now)
	}
}
