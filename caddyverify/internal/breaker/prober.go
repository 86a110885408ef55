package breaker

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Probe asks the upstream for a sign of life: a search of a request_id that
// nobody uses, so that no customer pays for it. It must return when its context
// ends; if it does not, its answer is no longer waited for.
type Probe func(context.Context) wire.Answer

// prober has probes made when they are due, one at a time. A timer runs them, not
// a call: on an idle gateway trouble is over before the next customer comes. It is
// guarded by its owner's lock.
type prober struct {
	probes relay.Newest[Probe]
	// running is the probe under way, at most one.
	running *attempt
	// due is when the next probe is to be made, zero for never, and timer what
	// starts it.
	due   time.Time
	timer *time.Timer
}

// attempt is one run of a probe.
type attempt struct {
	probe  *Probe
	ctx    context.Context
	cancel context.CancelFunc
}

// arm sets the timer to the next probe, or stops it where none is due. It is
// called whenever something changes that this depends on.
func (p *prober) arm(probe func()) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.due.IsZero() && p.running == nil && p.probes.Get() != nil {
		p.timer = time.AfterFunc(time.Until(p.due), probe)
	}
}

// pending tells whether a probe is under way or about to be.
func (p *prober) pending(now time.Time) bool {
	return p.running != nil || !p.due.IsZero() && !p.due.After(now) && p.probes.Get() != nil
}

// begin takes the probe that is due, if one still is: the timer may have been
// stopped too late.
func (p *prober) begin(timeout time.Duration) *attempt {
	probe := p.probes.Get()
	if p.due.IsZero() || p.running != nil || probe == nil || time.Now().Before(p.due) {
		return nil
	}
	p.running = &attempt{probe: probe}
	p.running.ctx, p.running.cancel = context.WithTimeout(context.Background(), timeout)
	return p.running
}

// ended tells whether the outcome of a run counts: it is the first, and the run
// was not stopped.
func (p *prober) ended(run *attempt) bool {
	if p.running != run {
		return false
	}
	p.running = nil
	return true
}

// remove takes back what probes.Add returned, and cancels its run.
func (p *prober) remove(probe *Probe) {
	p.probes.Remove(probe)
	if p.running != nil && p.running.probe == probe {
		p.running.cancel()
		p.running = nil
	}
}

// run makes the probe, under no lock. What waits for its outcome does not get on
// by itself, so it has an end in any case: it returns, it panics, or its time is
// over. done is told of whatever comes, perhaps more than once.
func (a *attempt) run(done func(*attempt, wire.Answer)) {
	defer a.cancel()
	answer := faulty(wire.UpstreamTimeout, context.DeadlineExceeded)
	context.AfterFunc(a.ctx, func() { done(a, faulty(wire.UpstreamTimeout, context.DeadlineExceeded)) })
	defer func() {
		if p := recover(); p != nil {
			answer = faulty(wire.UpstreamError, fmt.Errorf("the probe panicked: %v", p))
		}
		done(a, answer)
	}()
	answer = (*a.probe)(a.ctx)
}

func faulty(cause wire.Cause, err error) wire.Answer {
	return (&wire.Fault{Cause: cause, Err: err}).Answer()
}
