package breaker

import (
	"context"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
		p := NewPair(Settings{})
		var found atomic.Pointer[wire.Answer]
		found.Store(&timeout)
		defer p.ProbeWith(func(context.Context) wire.Answer {
			time.Sleep(time.Second)
			return *found.Load()
		})()
		read := Snapshot{Class: wire.ReadClass, State: wire.CircuitClosed}
		write := Snapshot{Class: wire.WriteClass, State: wire.CircuitClosed}
		expect := func(seconds int) {
			t.Helper()
			time.Sleep(time.Until(at(seconds)))
			synctest.Wait()
			counted := func() gobreaker.Counts {
				p.Write.mu.Lock()
				defer p.Write.mu.Unlock()
				return p.Write.circuit.Counts()
			}
			counts := counted()
			got := p.Snapshot()
			if want := [...]Snapshot{read, write}; got != want || got != p.Snapshot() {
				t.Errorf("after %ds:\n\t%+v, want\n\t%+v", seconds, got, want)
			}
			if counted() != counts {
				t.Error("reading it has changed what was counted")
			}
		}
		expect(0)
		time.Sleep(time.Second)
		tell(p.Write, times(5, refused)...)
		write = Snapshot{wire.WriteClass, wire.CircuitOpen, "connect_failed", at(1), at(6), false}
		expect(5)
		write.State, write.Until = wire.CircuitHalfOpen, time.Time{} // the probe is under way
		expect(6)
		write = Snapshot{wire.WriteClass, wire.CircuitOpen, "upstream_timeout", at(1), at(17), false}
		expect(7)
		p.Configure(Settings{Off: true})
		write.Until = time.Time{}
		expect(7)
		p.Configure(Settings{})
		write.Until = at(17)
		expect(16)
		found.Store(&busy)
		write.State, write.Until = wire.CircuitHalfOpen, at(19) // it said nothing
		expect(18)
		found.Store(&unused)
		write = Snapshot{Class: wire.WriteClass, State: wire.CircuitClosed, Since: at(20)}
		expect(20)
		expect(60)
		tell(p.Write, times(20, broken)...)
		tell(p.Read, times(5, refused)...)
		write = Snapshot{wire.WriteClass, wire.CircuitOpen, "status 5", at(60), at(65), false}
		read = Snapshot{wire.ReadClass, wire.CircuitOpen, "connect_failed", at(60), at(65), false}
		expect(60)
	})
}

// TestSnapshotIsPure shows that reading changes nothing at all.
func TestSnapshotIsPure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{})
		tell(p.Read, times(3, refused)...)
		tell(p.Write, times(5, refused)...)
		time.Sleep(7 * time.Second) // the open time is over, and nobody probes
		type state struct {
			until, since, due time.Time
			openFor, again    time.Duration
			dials             int
			announced         bool
			why               string
		}
		of := func(b *Breaker) state {
			return state{b.until, b.since, b.prober.Due(), b.openFor, b.again, b.dials, b.announced, b.why}
		}
		before := [...]state{of(p.Read), of(p.Write)}
		for range 3 {
			p.Snapshot()
		}
		if after := [...]state{of(p.Read), of(p.Write)}; !reflect.DeepEqual(before, after) {
			t.Errorf("%+v became %+v", before, after)
		}
	})
}
