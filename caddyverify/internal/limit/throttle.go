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

// throttling is what the provider's throttling has made of the rate. It is guarded
// by Limiter.mu.
type throttling struct {
	// cut is when the rate was lowered last, and grown when it was raised last.
	cut, grown time.Time
	// lowest is the lowest rate since it was the full one; 0 while it is.
	lowest int
	// full is the time until the rate is the full one again.
	full *time.Timer
}

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
}

// OnChange has changes told to f from now on, outside all locks. Of several, each is
// told.
func (l *Limiter) OnChange(f func(Change)) (stop func()) { return l.changes.Subscribe(f) }

// OnCut has f told, from now on and outside all locks, of each rate to which an answer of
// the provider lowers the present one. Lower is not told of.
func (l *Limiter) OnCut(f func(rate int)) (stop func()) { return l.cuts.Subscribe(f) }

// Observe learns from an answer of the provider: status 1 and HTTP 429 lower the
// rate. The gateway's own status 1 is none of the provider's.
func (l *Limiter) Observe(answer wire.Answer) {
	throttled, why := answer.Status == wire.Throttled, "status "+string(wire.Throttled)
	if answer.Fault != nil {
		throttled, why = answer.Fault.Cause == wire.UpstreamThrottled, string(wire.UpstreamThrottled)
	}
	if !throttled || l.off.Load() {
		return
	}
	l.throttle(why)
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
	l.lower(l.slots.n-rate, Elsewhere, now)
	return true
}

// throttle halves the rate.
func (l *Limiter) throttle(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.limited() {
		return
	}
	now := time.Now()
	l.recover(now)
	if now.Sub(l.cut) < cutEvery {
		return // on a call made before the last cut, most likely
	}
	l.lower(l.slots.n/2, why, now)
	if l.lowered() {
		l.cuts.Push(l.slots.n)
	}
}

// lower takes some of the slots away. The caller holds l.mu.
func (l *Limiter) lower(by int, why string, now time.Time) {
	l.cut, l.grown = now, now
	from := l.slots.n
	for range by {
		l.slots.drop()
	}
	if !l.lowered() {
		return // from 1 to 1
	}
	if l.lowest == 0 {
		l.changes.Push(Change{From: from, To: l.slots.n, Why: why})
		l.lowest = from
	}
	l.lowest = min(l.lowest, l.slots.n)
	l.watch(now)
	l.arm(now)
}

// lowered tells that it is the provider's throttling that keeps calls back.
func (l *Limiter) lowered() bool { return l.slots.n < l.settings.Rate }

// rate is what the rate is once recover has been called. The caller holds l.mu.
func (l *Limiter) rate(now time.Time) int {
	if !l.lowered() {
		return l.slots.n
	}
	return min(l.slots.n+int(now.Sub(l.grown)/growEvery), l.settings.Rate)
}

// recover gives back what Observe took, for the time that has passed. It tells whether
// there was anything. The caller holds l.mu.
func (l *Limiter) recover(now time.Time) (any bool) {
	if !l.limited() {
		return false
	}
	for l.lowered() && now.Sub(l.grown) >= growEvery {
		l.grown = l.grown.Add(growEvery)
		l.slots.add(l.grown)
		any = true
	}
	if !l.lowered() {
		l.recovered()
	}
	return any
}

// recovered ends the time of a lower rate, if there was one. The caller holds l.mu.
func (l *Limiter) recovered() {
	if l.lowest > 0 {
		l.changes.Push(Change{From: l.lowest, To: max(l.settings.Rate, 0)})
		l.lowest = 0
	}
}

// watch sets the timer to the moment in which the rate will be the full one, so
// that this is told on an idle gateway, too. The caller holds l.mu.
func (l *Limiter) watch(now time.Time) {
	if l.full != nil {
		l.full.Stop()
	}
	if l.lowest == 0 {
		return
	}
	steps := l.settings.Rate - l.slots.n
	l.full = time.AfterFunc(l.grown.Add(time.Duration(steps)*growEvery).Sub(now), func() {
		l.mu.Lock()
		l.catchUp(time.Now())
		l.mu.Unlock()
		l.changes.Deliver()
	})
}
