package limit

import "time"

// Configure puts settings in force at once. Of a new rate, the calls that the
// provider's throttling has taken come back as they would have. The settings are
// expected to be valid.
func (l *Limiter) Configure(s Settings) {
	l.mu.Lock()
	l.apply(s)
	l.mu.Unlock()
	l.changes.Deliver()
}

// apply changes the settings. The caller holds l.mu.
func (l *Limiter) apply(s Settings) {
	if s = s.withDefaults(); s.equal(l.settings) {
		return
	}
	now := time.Now()
	l.settings = s
	l.off.Store(s.off())
	l.set(&l.allowance, s.Rate, now)
	l.set(&l.searches, l.searchFull(), now)
	l.share(now)
	l.serve(now) // whoever waits goes on where there is no limit any more
}

// share gives callers their shares. The caller holds l.mu.
func (l *Limiter) share(now time.Time) {
	for l.made.n > 0 {
		l.forgetOldest()
	}
	l.made = recent{calls: make([]call, max(l.settings.Rate, fewest))}
	for name := range l.settings.Callers {
		l.known(l.get(name))
	}
	for name, c := range l.callers {
		share, named := l.settings.Callers[name]
		c.named, c.weight = named, int64(max(share.Weight, 1))
		switch {
		case share.Rate == 0:
			c.slots = nil
		case c.slots == nil:
			slots := newSlots(share.Rate, now)
			c.slots = &slots
		default:
			c.slots.resize(share.Rate, share.Rate, now)
		}
		l.release(c)
	}
}
