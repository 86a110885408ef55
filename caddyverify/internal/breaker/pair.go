package breaker

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// Class is the class of calls that a breaker is for.
type Class uint8

// The classes. Users with a code in hand must not be kept waiting because the
// requests to one country fail, nor the other way round.
const (
	Read  Class = iota // check and search
	Write              // request, psd2 and control
)

// String returns the word used in logs and metrics.
func (c Class) String() string { return [...]string{"read", "write"}[c] }

// ClassOf returns the class that an operation belongs to.
func ClassOf(o wire.Operation) Class {
	if o == wire.Check || o == wire.Search {
		return Read
	}
	return Write
}

// Pair is the two breakers of an account at an upstream. It may outlive the
// configuration that made it: OnChange and ProbeWith hand it to the next one.
type Pair struct {
	Read, Write *Breaker
}

// NewPair returns a Pair of closed breakers. The settings are expected to be valid.
func NewPair(s Settings) *Pair {
	return &Pair{Read: New(Read, s), Write: New(Write, s)}
}

// For returns the breaker for an operation.
func (p *Pair) For(o wire.Operation) *Breaker {
	if ClassOf(o) == Read {
		return p.Read
	}
	return p.Write
}

// OnChange is Breaker.OnChange for both. f may be called by both at a time.
func (p *Pair) OnChange(f func(Change)) (stop func()) {
	return both(p.Read.OnChange(f), p.Write.OnChange(f))
}

// ProbeWith is Breaker.ProbeWith for both. probe may run for both at a time.
func (p *Pair) ProbeWith(probe Probe) (stop func()) {
	return both(p.Read.ProbeWith(probe), p.Write.ProbeWith(probe))
}

func both(first, second func()) func() {
	return func() {
		first()
		second()
	}
}
