package breaker

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// probing is a Breaker's way back. It is guarded by Breaker.mu.
type probing struct {
	probe.Prober
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
func (b *Breaker) ProbeWith(p probe.Probe) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	added := b.Add(p)
	b.Arm(b.probe)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.Remove(added)
		b.Arm(b.probe)
	}
}

// probe makes one probe.
func (b *Breaker) probe() {
	b.mu.Lock()
	run := b.Begin(b.settings.Timeout)
	if run != nil && !b.announced {
		b.announced = true
		b.changes.Push(Change{Class: b.class, From: wire.CircuitOpen, To: wire.CircuitHalfOpen})
	}
	b.mu.Unlock()
	b.changes.Deliver()
	if run != nil {
		run.Do(b.probed)
	}
}

// probed takes the outcome of a probe.
func (b *Breaker) probed(run *probe.Run, answer wire.Answer) {
	b.mu.Lock()
	if !b.Ended(run) {
		b.mu.Unlock()
		return
	}
	switch outcome := Classify(answer); {
	case outcome.Closes:
		b.close(answer)
	case outcome.Verdict == Failed:
		b.open(wire.CircuitHalfOpen, min(2*b.openFor, b.settings.MaxOpenFor), answer)
	default:
		b.again = min(max(2*b.again, firstAgain), b.settings.OpenFor)
		b.Due = time.Now().Add(b.again)
		b.Arm(b.probe)
	}
	b.mu.Unlock()
	b.changes.Deliver()
}
