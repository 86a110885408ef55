package breaker

import (
	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Pair is the two breakers of an account at an upstream. It may outlive the
// configuration that made it: OnChange and ProbeWith hand it to the next one.
type Pair struct {
	Read, Write *Breaker
}

// NewPair returns a Pair of closed breakers. The settings are expected to be valid.
func NewPair(s Settings) *Pair {
	return &Pair{Read: New(wire.ReadClass, s), Write: New(wire.WriteClass, s)}
}

// For returns the breaker for an operation.
func (p *Pair) For(o wire.Operation) *Breaker {
	return p.Of(o.Class())
}

// Of returns the breaker of a class.
func (p *Pair) Of(class wire.Class) *Breaker {
	if class == wire.ReadClass {
		return p.Read
	}
	return p.Write
}

// Off tells whether all calls are let through, see Settings.Off.
func (p *Pair) Off() bool {
	p.Read.mu.Lock()
	defer p.Read.mu.Unlock()
	return p.Read.settings.Off
}

// OnChange is Breaker.OnChange for both. f may be called by both at a time.
func (p *Pair) OnChange(f func(Change)) (stop func()) {
	return both(p.Read.OnChange(f), p.Write.OnChange(f))
}

// ProbeWith is Breaker.ProbeWith for both. f may run for both at a time.
func (p *Pair) ProbeWith(f probe.Func) (stop func()) {
	return both(p.Read.ProbeWith(f), p.Write.ProbeWith(f))
}

func both(first, second func()) func() {
	return func() {
		first()
		second()
	}
}
