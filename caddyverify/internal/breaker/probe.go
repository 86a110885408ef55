package breaker

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// probing is a Breaker's way back. It is guarded by Breaker.mu.
type probing struct {
	prober
	// again is the pause after a probe that said nothing, see firstAgain.
	again time.Duration
	// announced tells that the change to HalfOpen has been told.
	announced bool
}

// firstAgain is the pause before the next probe after one that said nothing,
// such as one that was throttled. It doubles up to Settings.OpenFor.
const firstAgain = time.Second

// ProbeWith has p find out whether the upstream is back, each time the open time
// is over, from now on until it is stopped; stopping cancels it. Of several, the
// one that came last and has not stopped is used. Without any, a circuit that
// opened stays half-open.
func (b *Breaker) ProbeWith(p Probe) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	probe := b.probes.Add(p)
	b.arm(b.probe)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.remove(probe)
		b.arm(b.probe)
	}
}

// probe makes one probe.
func (b *Breaker) probe() {
	b.mu.Lock()
	run := b.begin(b.settings.Timeout)
	if run != nil && !b.announced {
		b.announced = true
		b.changes.Push(Change{Class: b.class, From: Open, To: HalfOpen})
	}
	b.mu.Unlock()
	b.changes.Deliver()
	if run != nil {
		run.run(b.probed)
	}
}

// probed takes the outcome of a probe.
func (b *Breaker) probed(run *attempt, answer wire.Answer) {
	b.mu.Lock()
	if !b.ended(run) {
		b.mu.Unlock()
		return
	}
	switch judgement := Judge(answer); {
	case judgement.Closes:
		b.close(answer)
	case judgement.Verdict == Failure:
		b.open(HalfOpen, min(2*b.openFor, b.settings.MaxOpenFor), answer)
	default:
		b.again = min(max(2*b.again, firstAgain), b.settings.OpenFor)
		b.due = time.Now().Add(b.again)
		b.arm(b.probe)
	}
	b.mu.Unlock()
	b.changes.Deliver()
}
