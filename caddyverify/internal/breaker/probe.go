package breaker

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// probing is a Breaker's way back. It is guarded by Breaker.mu.
type probing struct {
	prober probe.Prober
	// again is the pause after a probe that said nothing, see firstAgain.
	again time.Duration
	// announced tells that the change to half-open has been told.
	announced bool
}

// firstAgain is the pause before the next probe after one that said nothing,
// such as one that was throttled. It doubles up to Settings.OpenFor.
const firstAgain = time.Second

// ProbeWith has f find out whether the upstream is back, each time the open time
// is over, from now on until it is stopped; stopping cancels it. Of several, the
// one that came last and has not stopped is used. Without any, a circuit that
// opened stays half-open.
func (b *Breaker) ProbeWith(f probe.Func) (stop func()) { return b.prober.Use(&b.mu, f, b.probe) }

// Check has the upstream probed now though the circuit is closed, since it has opened at
// another gateway. It opens here, too, if the probe fails: the calls until then count as
// ever. It reports false where there is nothing to find out.
func (b *Breaker) Check() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settings.Off || !b.until.IsZero() || !b.prober.Due().IsZero() {
		return false
	}
	b.prober.Schedule(time.Now(), b.probe)
	return true
}

// probe makes one probe.
func (b *Breaker) probe() {
	b.mu.Lock()
	if b.settings.Off {
		b.mu.Unlock()
		return // Configure has it made up for
	}
	run := b.prober.Begin(b.settings.Timeout)
	if run != nil && !b.announced && !b.until.IsZero() {
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
	if !b.prober.Ended(run) {
		b.mu.Unlock()
		return
	}
	switch classified := Classify(answer); {
	case b.until.IsZero(): // it was for Check
		b.prober.Schedule(time.Time{}, b.probe)
		if classified.Verdict == Failure {
			b.open(wire.CircuitClosed, b.settings.OpenFor, answer)
		}
	case classified.Closes:
		b.close(wire.CircuitHalfOpen, why(answer), answer.Fault)
	case classified.Verdict == Failure:
		b.open(wire.CircuitHalfOpen, min(2*b.openFor, max(maxBackoff, b.settings.OpenFor)), answer)
	default:
		b.again = min(max(2*b.again, firstAgain), b.settings.OpenFor)
		b.prober.Schedule(time.Now().Add(b.again), b.probe)
	}
	b.mu.Unlock()
	b.changes.Deliver()
}
