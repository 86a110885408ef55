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
	wasLimited := l.limited()
	l.recover(now)
	raised := s.Rate - l.settings.Rate
	l.settings = s
	l.off.Store(s.off())
	switch {
	case !l.limited():
		l.recovered()
	case !wasLimited:
		l.slots = newSlots(s.Rate, now.Add(time.Second)) // what was made before is not known
	default:
		l.slots.resize(min(l.slots.n+max(raised, 0), s.Rate), s.Rate, now)
		l.recover(now)
	}
	l.watch(now)
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
