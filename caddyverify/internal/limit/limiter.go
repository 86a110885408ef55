// Package limit keeps an account's calls under the provider's limit: a short wait
// in place of a refusal, checks first, and a lower rate for as long as the
// provider finds the calls too many.
package limit

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Configure puts settings in force, until stop is called. Of several, those that
// came last and have not been stopped are in force: on a reload the next
// configuration comes before the last one goes, and if it fails to load, the last
// one stays. A rate that is raised comes into force by one call a second each
// second, one that is lowered at once.
func (l *Limiter) Configure(s Settings) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := &s
	l.configured = append(l.configured, mine)
	l.apply(s)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.configured = slices.DeleteFunc(l.configured, func(other *Settings) bool { return other == mine })
		if n := len(l.configured); n > 0 {
			l.apply(*l.configured[n-1])
		}
	}
}

// apply changes the settings. The caller holds l.mu.
func (l *Limiter) apply(s Settings) {
	if s = s.withDefaults(); s == l.settings {
		return
	}
	now := time.Now()
	l.settings, l.grown = s, now
	wasOff := l.off.Swap(s.Rate < 0)
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
	case wasOff:
		l.slots = newSlots(s.Rate, now.Add(time.Second)) // what was made before is not known
	default:
		l.slots.resize(s.Rate)
	}
	l.arm(now)
}

// Limiter gives each call of an account its time. Its methods may be used by any
// number of goroutines; it has none of its own.
type Limiter struct {
	off atomic.Bool

	mu         sync.Mutex
	settings   Settings
	configured []*Settings
	slots      slots
	queues
	// cut is when the rate was lowered last, and grown when it was raised last.
	cut, grown time.Time
	stats      Stats
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
	// Refused counts the calls that were refused, by operation.
	Refused [len(wire.Operations)]uint64
	// Cuts counts how often the provider made the Limiter lower its rate.
	Cuts uint64
}

// Stats returns the numbers of this moment, whether or not anyone called.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off.Load() {
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
	if !throttled || l.off.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off.Load() {
		return
	}
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
