package breaker

// Configure puts settings in force. The circuit stays as it is, open or closed, and
// what it has counted stays unless the Window changes. While it is off nothing is
// probed; a probe that came due meanwhile is made when it is on again. The settings
// are expected to be valid.
func (b *Breaker) Configure(s Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s = s.withDefaults()
	was := b.settings
	b.settings = s
	switch {
	case s.Off:
		b.prober.Cancel()
	case was.Off:
		b.prober.Schedule(b.prober.Due(), b.probe)
	}
	if s.Window != was.Window {
		b.circuit, b.tripped, b.dials = b.newCircuit(), false, 0
	}
}

// Configure is Breaker.Configure for both.
func (p *Pair) Configure(s Settings) {
	p.Read.Configure(s)
	p.Write.Configure(s)
}
