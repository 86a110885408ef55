package limit

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The rate is halved, at most once per cutEvery, when the provider throttles, and
// grows by one call a second per growEvery: additive increase, multiplicative
// decrease (AIMD), as TCP does it. From half to full takes 14 s at 28/s.
const (
	cutEvery  = time.Second
	growEvery = time.Second
)

// Elsewhere is the Change.Why where it is another gateway that was throttled.
const Elsewhere = "another gateway"

// Change tells that the provider's throttling has begun to lower the rate, or that
// the rate is the full one again.
type Change struct {
	// From and To are calls a second. On the way back From is the lowest that there
	// was, and a To of 0 stands for no limit.
	From, To int
	// Why is the provider's word that lowered it: "status 1", or a wire.Cause; or Elsewhere.
	// Empty on the way back.
	Why string
	// Searches tells that it is the rate of searches alone.
	Searches bool
}

// OnChange has changes told to f from now on, outside all locks. Of several, each is
// told.
func (l *Limiter) OnChange(f func(Change)) (stop func()) { return l.changes.Subscribe(f) }

// OnCut has f told, from now on and outside all locks, of each rate to which an answer of
// the provider lowers the account's. Lower is not told of.
func (l *Limiter) OnCut(f func(rate int)) (stop func()) { return l.cuts.Subscribe(f) }

// Observe learns from an answer of the provider to a call: status 1 and HTTP 429 lower the
// account's rate, or, for a search and what takes its turn with searches, that of searches alone.
// The gateway's own status 1 is none of the provider's.
func (l *Limiter) Observe(o wire.Operation, answer wire.Answer) {
	throttled, why := answer.Status == wire.Throttled, "status "+string(wire.Throttled)
	if answer.Fault != nil {
		throttled, why = answer.Fault.Cause == wire.UpstreamThrottled, string(wire.UpstreamThrottled)
	}
	if !throttled || l.off.Load() {
		return
	}
	l.throttle(classOf(o) == search, why)
	l.cuts.Deliver()
	l.changes.Deliver()
}

// Lower has the rate be a lower one, to which another gateway's was lowered by the
// provider's throttling. It recovers as ever. It reports false where it is no higher.
func (l *Limiter) Lower(rate int) (lowered bool) {
	defer l.changes.Deliver()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.limited() {
		return false
	}
	now := time.Now()
	l.recover(now)
	if rate = max(1, rate); l.slots.n <= rate {
		return false
	}
	l.lower(&l.allowance, rate, Elsewhere, now)
	return true
}

// throttle halves the account's rate, or that of searches alone.
func (l *Limiter) throttle(searches bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.allowance
	if searches {
		a = &l.searches
	}
	if a.full < 0 {
		return
	}
	now := time.Now()
	l.recover(now)
	l.divide(now)
	if now.Sub(a.cut) < cutEvery {
		return // on a call made before the last cut, most likely
	}
	rate := a.n
	if l.limited() {
		rate = min(rate, l.slots.n) // more than that were not made
	}
	l.lower(a, rate-rate/2, why, now)
	if !searches && l.lowered() {
		l.cuts.Push(l.slots.n)
	}
}

// lower takes some of an allowance's slots away. The caller holds l.mu.
func (l *Limiter) lower(a *allowance, to int, why string, now time.Time) {
	a.cut, a.grown = now, now
	from := a.n
	for a.n > to {
		a.drop()
	}
	if !a.lowered() {
		return // from 1 to 1
	}
	if a.lowest == 0 {
		l.changes.Push(Change{From: from, To: a.n, Why: why, Searches: a.ofSearches})
		a.lowest = from
	}
	a.lowest = min(a.lowest, a.n)
	l.setApart()
	l.watch(a, now)
	l.arm(now)
}

// recover gives back what Observe took, for the time that has passed. It tells whether
// there was anything. The caller holds l.mu.
func (l *Limiter) recover(now time.Time) (any bool) {
	for _, a := range []*allowance{&l.allowance, &l.searches} {
		any = a.recover(now) || any
		if !a.lowered() {
			l.recovered(a)
		}
	}
	return any
}

// recovered ends the time of a lower rate, if there was one. The caller holds l.mu.
func (l *Limiter) recovered(a *allowance) {
	if a.lowest > 0 {
		l.changes.Push(Change{From: a.lowest, To: max(a.full, 0), Searches: a.ofSearches})
		a.lowest = 0
		l.setApart()
	}
}

// set has an allowance be another one. Of a higher one, the calls that the provider's
// throttling has taken come back as they would have. The caller holds l.mu.
func (l *Limiter) set(a *allowance, full int, now time.Time) {
	l.recover(now)
	a.resize(full, now)
	l.recover(now)
	l.watch(a, now)
	l.setApart()
}

// watch sets the timer to the moment in which the rate will be the full one, so
// that this is told on an idle gateway, too. The caller holds l.mu.
func (l *Limiter) watch(a *allowance, now time.Time) {
	if a.whole != nil {
		a.whole.Stop()
	}
	if a.lowest == 0 {
		return
	}
	a.whole = time.AfterFunc(a.wholeAt().Sub(now), func() {
		l.mu.Lock()
		l.catchUp(time.Now())
		l.mu.Unlock()
		l.changes.Deliver()
	})
}
