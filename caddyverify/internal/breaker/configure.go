package breaker

// Configure puts settings in force. The circuit stays as it is, open or closed, and
// what it has counted stays unless the Window changes. The settings are expected to
// be valid.
func (b *Breaker) Configure(s Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s = s.withDefaults()
	window := b.settings.Window
	b.settings = s
	if s.Window != window {
		b.circuit, b.tripped, b.dials = b.newCircuit(), false, 0
	}
}
