package breaker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestPair shows which operations share a circuit.
func TestPair(t *testing.T) {
	p := NewPair(Settings{})
	want := map[wire.Operation]*Breaker{wire.Request: p.Write, wire.Control: p.Write, wire.PSD2: p.Write, wire.Check: p.Read, wire.Search: p.Read}
	for o, breaker := range want {
		if p.For(o) != breaker {
			t.Errorf("%v is not for the %v breaker", o, breaker.class)
		}
	}
	tell(p.Write, times(5, refused)...)
	if p.For(wire.Control).State() != wire.CircuitOpen || p.For(wire.Check).State() != wire.CircuitClosed {
		t.Error("failed requests did not open the circuit of writes alone")
	}
}

// TestPairHandsOver shows that both breakers are listened to and probed.
func TestPairHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{})
		var mu sync.Mutex
		heard := map[wire.Class]int{}
		quiet := p.OnChange(func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			heard[c.Class]++
		})
		stop := p.ProbeWith(probeOf(unused))
		for _, b := range []*Breaker{p.Read, p.Write} {
			tell(b, times(5, refused)...)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, p.Read, wire.CircuitClosed)
		expectState(t, p.Write, wire.CircuitClosed)
		quiet()
		stop()
		for _, b := range []*Breaker{p.Read, p.Write} {
			tell(b, times(5, refused)...)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, p.Read, wire.CircuitHalfOpen)
		expectState(t, p.Write, wire.CircuitHalfOpen)
		if heard[wire.ReadClass] != 3 || heard[wire.WriteClass] != 3 {
			t.Errorf("heard %v, want 3 changes of each", heard)
		}
	})
}
