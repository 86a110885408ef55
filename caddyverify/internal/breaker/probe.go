package breaker

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Probe asks the upstream for a sign of life: a search of a request_id that
// nobody uses, so that no customer pays for it. It must return when its context
// ends; if it does not, its answer is no longer waited for.
type Probe func(context.Context) wire.Answer

// probing is a Breaker's way back. It is guarded by Breaker.mu.
type probing struct {
	probes newest[Probe]
	// running is the probe under way, at most one.
	running *attempt
	// probeAt is when the next probe is due, and timer what starts it.
	probeAt time.Time
	timer   *time.Timer
	// again is the pause after a probe that said nothing, see firstAgain.
	again time.Duration
	// announced tells that the change to HalfOpen has been told.
	announced bool
}

// firstAgain is the pause before the next probe after one that said nothing,
// such as one that was throttled. It doubles up to Settings.OpenFor.
const firstAgain = time.Second

// attempt is one run of a probe.
type attempt struct {
	probe  *Probe
	cancel context.CancelFunc
}

// ProbeWith has p find out whether the upstream is back, each time the open time
// is over, from now on until it is stopped; stopping cancels it. Of several, the
// one that came last and has not stopped is used. Without any, a circuit that
// opened stays half-open.
//
// A timer runs the probe, not a call: on an idle gateway the circuit is closed
// again before the next customer comes.
func (b *Breaker) ProbeWith(p Probe) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	probe := b.probes.add(p)
	b.arm()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.probes.remove(probe)
		if b.running != nil && b.running.probe == probe {
			b.running.cancel()
			b.running = nil
		}
		b.arm()
	}
}

// arm sets the timer to the next probe, or stops it where none is due. It is
// called whenever something changes that this depends on. The caller holds b.mu.
func (b *Breaker) arm() {
	if b.timer != nil {
		b.timer.Stop()
	}
	if !b.until.IsZero() && b.running == nil && b.probes.get() != nil {
		b.timer = time.AfterFunc(time.Until(b.probeAt), b.probe)
	}
}

// probe makes one probe if one is still due: the timer may have been stopped too
// late.
func (b *Breaker) probe() {
	b.mu.Lock()
	probe := b.probes.get()
	if b.until.IsZero() || b.running != nil || probe == nil || time.Now().Before(b.probeAt) {
		b.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.settings.Timeout)
	defer cancel()
	run := &attempt{probe: probe, cancel: cancel}
	b.running = run
	if !b.announced {
		b.announced = true
		b.changes.push(Change{Class: b.class, From: Open, To: HalfOpen})
	}
	b.mu.Unlock()
	b.changes.deliver()

	// A half-open circuit does not get out of this state by itself, so the probe
	// has an end in any case: it returns, it panics, or its time is over.
	answer := faulty(wire.UpstreamTimeout, context.DeadlineExceeded)
	context.AfterFunc(ctx, func() { b.probed(run, faulty(wire.UpstreamTimeout, context.DeadlineExceeded)) })
	defer func() {
		if p := recover(); p != nil {
			answer = faulty(wire.UpstreamError, fmt.Errorf("the probe panicked: %v", p))
		}
		b.probed(run, answer)
	}()
	answer = (*probe)(ctx)
}

func faulty(cause wire.Cause, err error) wire.Answer {
	return wire.Answer{Fault: &wire.Fault{Cause: cause, Err: err}}
}

// probed takes the outcome of a probe, unless it has one or was stopped.
func (b *Breaker) probed(run *attempt, answer wire.Answer) {
	b.mu.Lock()
	if b.running != run {
		b.mu.Unlock()
		return
	}
	b.running = nil
	switch judgement := Judge(answer); {
	case judgement.Closes:
		b.close(answer)
	case judgement.Verdict == Failure:
		b.open(HalfOpen, min(2*b.openFor, b.settings.MaxOpenFor), answer)
	default:
		b.again = min(max(2*b.again, firstAgain), b.settings.OpenFor)
		b.probeAt = time.Now().Add(b.again)
		b.arm()
	}
	b.mu.Unlock()
	b.changes.deliver()
}
