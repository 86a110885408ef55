// Package probe asks an upstream for a sign of life at the time that it is due,
// with no call of a customer as the canary.
package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/lease"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Func asks the upstream for a sign of life: a search of a request_id that nobody
// uses, so that no customer pays for it. It must return when its context ends; if it
// does not, its answer is no longer waited for.
type Func func(context.Context) wire.Answer

// Prober has probes made when they are due, one at a time. A timer starts them, not
// a call: on an idle gateway trouble is over before the next customer comes. Its
// owner's lock guards it: but for Use, which takes that lock, methods are called under
// it. The zero Prober has none due.
type Prober struct {
	probes lease.Newest[Func]
	// running is the probe under way, at most one.
	running *Run
	// due is when the next probe is to be made, zero for never, and timer what
	// starts it.
	due   time.Time
	timer *time.Timer
}

// Run is one run of a probe.
type Run struct {
	probe  *Func
	ctx    context.Context
	cancel context.CancelFunc
}

// Use has probes made by f from now on until it is stopped; stopping cancels the one
// that is under way. Of several, the one that came last and has not stopped is used.
// mu is the owner's lock, and start what Schedule gets.
func (p *Prober) Use(mu sync.Locker, f Func, start func()) (stop func()) {
	mu.Lock()
	defer mu.Unlock()
	probe := p.probes.Add(f)
	p.arm(start)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		p.probes.Remove(probe)
		if p.running != nil && p.running.probe == probe {
			p.Cancel()
		}
		p.arm(start)
	}
}

// Schedule has start called when the next probe is due; a zero due is never. It is
// called under no lock and should Begin.
func (p *Prober) Schedule(due time.Time, start func()) {
	p.due = due
	p.arm(start)
}

// arm sets the timer to the next probe, or stops it where none is to be made.
func (p *Prober) arm(start func()) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.due.IsZero() && p.running == nil && p.probes.Get() != nil {
		p.timer = time.AfterFunc(time.Until(p.due), start)
	}
}

// Due returns when the next probe is due, or, while one is under way, was; zero for
// never.
func (p *Prober) Due() time.Time { return p.due }

// Running tells whether a probe is under way.
func (p *Prober) Running() bool { return p.running != nil }

// Pending tells whether a probe is under way or about to be.
func (p *Prober) Pending() bool {
	return p.running != nil || !p.due.IsZero() && !p.due.After(time.Now()) && p.probes.Get() != nil
}

// Begin takes the probe that is due, if one still is: the timer may have been
// stopped too late.
func (p *Prober) Begin(timeout time.Duration) *Run {
	probe := p.probes.Get()
	if p.due.IsZero() || p.running != nil || probe == nil || time.Now().Before(p.due) {
		return nil
	}
	p.running = &Run{probe: probe}
	p.running.ctx, p.running.cancel = context.WithTimeout(context.Background(), timeout)
	return p.running
}

// Ended tells whether the outcome of a run counts: it is the first, and the run
// was not cancelled.
func (p *Prober) Ended(run *Run) bool {
	if p.running != run {
		return false
	}
	p.running = nil
	return true
}

// Cancel ends the probe that is under way, if one is. Its outcome does not count.
func (p *Prober) Cancel() {
	if p.running != nil {
		p.running.cancel()
		p.running = nil
	}
}

// Do makes the probe, under no lock. What waits for its outcome does not get on
// by itself, so it has an end in any case: it returns, it panics, or its time is
// over. done is told of whatever comes, perhaps more than once.
func (r *Run) Do(done func(*Run, wire.Answer)) {
	defer r.cancel()
	answer := faulty(wire.UpstreamTimeout, context.DeadlineExceeded)
	context.AfterFunc(r.ctx, func() { done(r, faulty(wire.UpstreamTimeout, context.DeadlineExceeded)) })
	defer func() {
		if p := recover(); p != nil {
			answer = faulty(wire.UpstreamError, fmt.Errorf("the probe panicked: %v", p))
		}
		done(r, answer)
	}()
	answer = (*r.probe)(r.ctx)
}

func faulty(cause wire.Cause, err error) wire.Answer {
	return (&wire.Fault{Cause: cause, Err: err}).Answer()
}
