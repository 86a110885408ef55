// Package limit keeps an account's calls under the provider's limit: a short wait
// in place of a refusal, checks first, and a lower rate for as long as the
// provider finds the calls too many.
package limit

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Limiter gives each call of an account its time. Its methods may be used by any
// number of goroutines; it has none of its own.
type Limiter struct {
	settings Settings
	off      bool

	mu    sync.Mutex
	slots slots
	queues
	// cut is when the rate was lowered last, and grown when it was raised last.
	cut, grown time.Time
	stats      Stats
}

// New returns a Limiter. The settings are expected to be valid.
func New(s Settings) *Limiter {
	s = s.withDefaults()
	l := &Limiter{settings: s, off: s.Rate < 0}
	if !l.off {
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
	// Refused counts the calls that were refused, by operation.
	Refused [len(wire.Operations)]uint64
	// Cuts counts how often the provider made the Limiter lower its rate.
	Cuts uint64
}

// Stats returns the numbers of this moment, whether or not anyone called.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off {
		return Stats{}
	}
	l.recover(time.Now())
	stats := l.stats
	stats.Rate, stats.Waiting = l.slots.n, l.waiting()
	return stats
}

// The rate is halved, at most once per cutEvery, when the provider throttles, and
// grows by one call a second per growEvery: additive increase, multiplicative
// decrease, as TCP does it. From half to full takes 14 s at 28/s.
const (
	cutEvery  = time.Second
	growEvery = time.Second
)

// Observe learns from an answer of the provider: status 1 and HTTP 429 lower the
// rate. The gateway's own status 1 is none of the provider's.
func (l *Limiter) Observe(answer wire.Answer) {
	throttled := answer.Status == wire.Throttled
	if answer.Fault != nil {
		throttled = answer.Fault.Cause == wire.UpstreamThrottled
	}
	if !throttled || l.off {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.recover(now)
	if now.Sub(l.cut) < cutEvery {
		return // on a call made before the last cut, most likely
	}
	l.cut, l.grown = now, now
	l.stats.Cuts++
	for range l.slots.n / 2 {
		l.slots.drop()
	}
	l.arm(now)
}

// recover gives back what Observe took, for the time that has passed. The caller
// holds l.mu.
func (l *Limiter) recover(now time.Time) {
	for l.slots.n < l.settings.Rate && now.Sub(l.grown) >= growEvery {
		l.grown = l.grown.Add(growEvery)
		l.slots.add(l.grown)
	}
}

// reserve is the part of CheckReserve that fits the present rate.
func (l *Limiter) reserve() int {
	return l.settings.CheckReserve * l.slots.n / l.settings.Rate
}
