package limit

import (
	"slices"
	"time"
)

// Configure puts settings in force, until stop is called. Of several, those that
// came last and have not been stopped are in force: on a reload the next
// configuration comes before the last one goes, and if it fails to load, the last
// one stays. A new rate comes into force at once; of it, the calls that the
// provider's throttling has taken come back as they would have.
func (l *Limiter) Configure(s Settings) (stop func()) {
	mine := &s
	l.configure(func() { l.configured = append(l.configured, mine) })
	return func() {
		l.configure(func() {
			l.configured = slices.DeleteFunc(l.configured, func(other *Settings) bool { return other == mine })
		})
	}
}

// configure changes what is configured, and puts the last of it in force.
func (l *Limiter) configure(change func()) {
	l.mu.Lock()
	change()
	if n := len(l.configured); n > 0 {
		l.apply(*l.configured[n-1])
	}
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
				w.gone = true
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
