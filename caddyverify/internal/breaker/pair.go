package breaker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Pair is the two breakers of an account at an upstream. It may outlive the
// configuration that made it: Configure, OnChange and ProbeWith hand it to the next one.
type Pair struct {
	Read, Write *Breaker

	off atomic.Bool
}

// NewPair returns a Pair of closed breakers. The settings are expected to be valid.
func NewPair(s Settings) *Pair {
	p := &Pair{Read: New(wire.ReadClass, s), Write: New(wire.WriteClass, s)}
	p.off.Store(s.Off)
	return p
}

// Configure is Breaker.Configure for both.
func (p *Pair) Configure(s Settings) {
	p.off.Store(s.Off)
	p.Read.Configure(s)
	p.Write.Configure(s)
}

// Off tells that all calls are let through.
func (p *Pair) Off() bool { return p.off.Load() }

// For returns the breaker for an operation.
func (p *Pair) For(o wire.Operation) *Breaker {
	if o.Class() == wire.ReadClass {
		return p.Read
	}
	return p.Write
}

// Step refuses calls while their circuit is not closed, and counts how the others end.
func (p *Pair) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) (answer wire.Answer) {
		if p.Off() {
			return next(ctx, call)
		}
		pass, retryAfter, ok := p.For(call.Operation).Allow()
		if !ok {
			return (&wire.Fault{Cause: wire.BreakerOpen, Refused: true, RetryAfter: retryAfter}).Answer()
		}
		// What a call ends with that panics.
		answer = (&wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonOther, MayHaveSent: true}).Answer()
		defer func() { pass.Done(answer) }()
		answer = next(ctx, call)
		return answer
	}
}

// OnChange is Breaker.OnChange for both. f may be called by both at a time.
func (p *Pair) OnChange(f func(Change)) (stop func()) {
	return both(p.Read.OnChange(f), p.Write.OnChange(f))
}

// ProbeWith is Breaker.ProbeWith for both. probe may run for both at a time.
func (p *Pair) ProbeWith(probe probe.Probe) (stop func()) {
	return both(p.Read.ProbeWith(probe), p.Write.ProbeWith(probe))
}

func both(first, second func()) func() {
	return func() {
		first()
		second()
	}
}

// Snapshot is what a circuit is like at a moment.
type Snapshot struct {
	Class wire.Class
	State wire.CircuitState
	// Why is what opened it, as in Change, and Until when it is probed next. Both are
	// zero while it is closed.
	Why   string
	Until time.Time
}

// Snapshot tells what both are like. It changes nothing.
func (p *Pair) Snapshot() []Snapshot { return []Snapshot{p.Read.snapshot(), p.Write.snapshot()} }

func (b *Breaker) snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{Class: b.class, State: b.state(time.Now())}
	if s.State != wire.CircuitClosed {
		s.Why, s.Until = b.opened, b.Due
	}
	return s
}
