// Package probe makes the gateway's own calls that find out whether trouble is over.
package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/lease"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Probe asks the upstream for a sign of life: a search of a request_id that
// nobody uses, so that no customer pays for it. It must return when its context
// ends; if it does not, its answer is no longer waited for.
type Probe func(context.Context) wire.Answer

// Prober has probes made when they are due, one at a time. A timer runs them, not
// a call: on an idle gateway trouble is over before the next customer comes. It is
// guarded by its owner's lock.
type Prober struct {
	probes lease.Newest[Probe]
	// running is the probe under way, at most one.
	running *Run
	// Due is when the next probe is to be made; zero for never.
	Due time.Time
	// timer starts it.
	timer *time.Timer
}

// Run is one run of a probe.
type Run struct {
	probe  *Probe
	ctx    context.Context
	cancel context.CancelFunc
}

// Arm sets the timer to the next probe, or stops it where none is due. It is
// called whenever something changes that this depends on.
func (p *Prober) Arm(probe func()) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.Due.IsZero() && p.running == nil && p.probes.Get() != nil {
		p.timer = time.AfterFunc(time.Until(p.Due), probe)
	}
}

// Pending tells whether a probe is under way or about to be.
func (p *Prober) Pending(now time.Time) bool {
	return p.running != nil || !p.Due.IsZero() && !p.Due.After(now) && p.probes.Get() != nil
}

// Begin takes the probe that is due, if one still is: the timer may have been
// stopped too late.
func (p *Prober) Begin(timeout time.Duration) *Run {
	probe := p.probes.Get()
	if p.Due.IsZero() || p.running != nil || probe == nil || time.Now().Before(p.Due) {
		return nil
	}
	p.running = &Run{probe: probe}
	p.running.ctx, p.running.cancel = context.WithTimeout(context.Background(), timeout)
	return p.running
}

// Running tells whether a probe is under way.
func (p *Prober) Running() bool { return p.running != nil }

// Ended tells whether the outcome of a run counts: it is the first, and the run
// was not stopped.
func (p *Prober) Ended(run *Run) bool {
	if p.running != run {
		return false
	}
	p.running = nil
	return true
}

// Add takes one more probe, until it is removed. The newest is used.
func (p *Prober) Add(probe Probe) *Probe { return p.probes.Add(probe) }

// Remove takes back what Add returned, and cancels its run.
func (p *Prober) Remove(probe *Probe) {
	p.probes.Remove(probe)
	if p.running != nil && p.running.probe == probe {
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
