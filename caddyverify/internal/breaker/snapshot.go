package breaker

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Snapshot is what a status page tells of a circuit.
type Snapshot struct {
	Class wire.Class
	State wire.CircuitState
	// Why names what opened it, or what kept it open at the last probe, as Change.Why
	// does. Empty while it is closed.
	Why string
	// Since is when it opened, however many probes have failed since; or when it
	// closed, zero if it has been closed from the beginning.
	Since time.Time
	// Until is when the next probe is due. Zero while it is closed, while a probe is
	// under way, and while the breaker is off.
	Until time.Time
	// Held tells that an operator keeps it open.
	Held bool
}

// Snapshot reads both circuits in the order of wire.Classes, and changes nothing.
func (p *Pair) Snapshot() [len(wire.Classes)]Snapshot {
	return [...]Snapshot{p.Read.snapshot(), p.Write.snapshot()}
}

func (b *Breaker) snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{Class: b.class, State: b.state(), Why: b.why, Since: b.since, Held: b.held}
	if !b.prober.Running() && !b.settings.Off && !b.until.IsZero() {
		s.Until = b.prober.Due()
	}
	return s
}
