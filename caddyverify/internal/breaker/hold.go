package breaker

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// byOperator is the Why of what an operator does.
const byOperator = "operator"

// heldAgain is the advice to calls while an operator keeps a circuit open.
const heldAgain = time.Minute

// Hold opens the circuit and keeps it open until Release: no probe closes it. It reports
// false while the breaker is off, which lets all calls through.
func (b *Breaker) Hold() bool {
	b.mu.Lock()
	if b.settings.Off {
		b.mu.Unlock()
		return false
	}
	if from := b.state(); !b.held {
		now := time.Now()
		if from == wire.CircuitClosed {
			b.since = now
		}
		b.held, b.why, b.until = true, byOperator, now
		b.prober.Cancel()
		b.prober.Schedule(time.Time{}, b.probe)
		b.changes.Push(Change{Class: b.class, From: from, To: wire.CircuitOpen, Why: byOperator})
	}
	b.mu.Unlock()
	b.changes.Deliver()
	return true
}

// Release closes the circuit, whatever opened it, and begins to count afresh. It reports
// false while the breaker is off.
func (b *Breaker) Release() bool {
	b.mu.Lock()
	if b.settings.Off {
		b.mu.Unlock()
		return false
	}
	if from := b.state(); from != wire.CircuitClosed {
		b.prober.Cancel()
		b.close(from, byOperator, nil)
	}
	b.mu.Unlock()
	b.changes.Deliver()
	return true
}

// Try has a circuit that is open probed now. It reports false where there is nothing to
// find out: it is closed, or kept open by an operator.
func (b *Breaker) Try() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() || b.held || b.settings.Off {
		return false
	}
	if now := time.Now(); now.Before(b.until) {
		b.until = now
	}
	if !b.prober.Running() {
		b.prober.Schedule(b.until, b.probe)
	}
	return true
}
