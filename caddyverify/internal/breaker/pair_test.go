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
	want := map[wire.Operation]*Breaker{wire.Request: p.Write, wire.Control: p.Write, wire.Check: p.Read, wire.Search: p.Read}
	for o, breaker := range want {
		if p.For(o) != breaker {
			t.Errorf("%v is not for the %v breaker", o, breaker.class)
		}
	}
	tell(p.Write, times(5, refused)...)
	if p.For(wire.Control).State() != Open || p.For(wire.Check).State() != Closed {
		t.Error("failed requests did not open the circuit of writes alone")
	}
}

// TestPairHandsOver shows that both breakers are listened to and probed.
func TestPairHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{})
		var mu sync.Mutex
		heard := map[Class]int{}
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
		expectState(t, p.Read, Closed)
		expectState(t, p.Write, Closed)
		quiet()
		stop()
		for _, b := range []*Breaker{p.Read, p.Write} {
			tell(b, times(5, refused)...)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, p.Read, HalfOpen)
		expectState(t, p.Write, HalfOpen)
		if heard[Read] != 3 || heard[Write] != 3 {
			t.Errorf("heard %v, want 3 changes of each", heard)
		}
	})
}
