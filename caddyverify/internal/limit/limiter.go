// Package limit keeps an account's calls under the provider's limit: a short wait
// in place of a refusal, checks first, and a lower rate for as long as the
// provider finds the calls too many (AIMD). What is too much for a short wait is
// refused at once (load shedding).
package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
)

// Limiter gives each call of an account its time. Its methods may be used by any
// number of goroutines; it has none of its own.
type Limiter struct {
	off atomic.Bool

	mu       sync.Mutex
	settings Settings
	slots    slots
	queues
	throttling
	changes event.Notifier[Change]
}

// New returns a Limiter. The settings are expected to be valid.
func New(s Settings) *Limiter {
	s = s.withDefaults()
	l := &Limiter{settings: s}
	l.off.Store(s.Rate < 0)
	if s.Rate > 0 {
		l.slots = newSlots(s.Rate, time.Now())
	}
	return l
}

// Stats is what metrics tell about a Limiter.
type Stats struct {
	// Rate is how many calls a second may be made at present; 0 for no limit.
	Rate int
	// Waiting is how many calls wait for their turn.
	Waiting int
}

// Stats returns the numbers of this moment, whether or not anyone called. It changes
// nothing.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off.Load() {
		return Stats{}
	}
	return Stats{Rate: l.rate(time.Now()), Waiting: l.waiting()}
}

// maxReserve is how many of the calls within a second other operations leave to
// checks, but at most a quarter of them.
const maxReserve = 6

// reserve is the part of the reserve that fits the present rate.
func (l *Limiter) reserve() int {
	return min(maxReserve, l.settings.Rate/4) * l.slots.n / l.settings.Rate
}
