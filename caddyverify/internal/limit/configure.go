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
	if s = s.withDefaults(); s == l.settings {
		return
	}
	now := time.Now()
	wasOff := l.off.Load()
	if !wasOff {
		l.recover(now)
	}
	raised := s.Rate - l.settings.Rate
	l.settings = s
	l.off.Store(s.Rate < 0)
	switch {
	case s.Rate < 0:
		// Whoever waits goes on when next its turn is looked for.
		for c := range l.queue {
			for _, w := range l.queue[c] {
				w.admitted = true
				close(w.turn)
			}
			l.queue[c] = nil
		}
		l.recovered()
	case wasOff:
		l.slots = newSlots(s.Rate, now.Add(time.Second)) // what was made before is not known
	default:
		l.slots.resize(min(l.slots.n+max(raised, 0), s.Rate), s.Rate, now)
		l.recover(now)
	}
	l.watch(now)
	l.arm(now)
}
