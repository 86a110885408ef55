package limit

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFleetRate offers twice the rate to several gateways.
func TestFleetRate(t *testing.T) {
	const window = 20 * time.Second
	for _, tt := range []struct {
		name   string
		shares []float64 // of the calls, by gateway
		mix    mix
		least  float64 // calls a second
		// each is the least share of what came to it that a gateway with less than 7 a second has.
		each float64
	}{
		{"alike", []float64{.25, .25, .25, .25}, mix{42, 18, 0}, 26, 0},
		{"70/10/10/10", []float64{.7, .1, .1, .1}, mix{42, 18, 0}, 26, 0.45},
		{"all to one", []float64{1, 0, 0, 0}, mix{42, 18, 0}, 26, 0},
		{"only requests", []float64{.25, .25, .25, .25}, mix{60, 0, 0}, 26, 0},
		{"only checks", []float64{.25, .25, .25, .25}, mix{0, 60, 0}, 27, 0},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			f := newFleet(t, len(tt.shares), Settings{})
			outcomes := f.run(divide(1, "", tt.mix, window, tt.shares...)...)
			times := sent(nil, slices.Concat(outcomes...), 0)
			most, perSecond := mostInASecond(times), float64(len(times))/window.Seconds()
			if most > 29 { // both ends of the second
				t.Errorf("%d calls in a second", most)
			}
			if perSecond < tt.least {
				t.Errorf("%.1f calls a second, want %.0f", perSecond, tt.least)
			}
			for i, own := range outcomes {
				served := len(sent(nil, own, 0))
				if share := float64(served) / float64(len(own)); tt.shares[i] > 0 && (served < 50 || tt.shares[i] <= .1 && share < tt.each) {
					t.Errorf("gateway %d: %d of %d", i, served, len(own))
				}
				if asks := f.gateways[i].asks.Load(); asks > 3*28*int64(window/time.Second) {
					t.Errorf("gateway %d has asked %d times", i, asks)
				}
			}
		})
	}
}

// TestFleetOfOne compares a gateway that is alone on its store with one that has none.
func TestFleetOfOne(t *testing.T) {
	const window = 20 * time.Second
	for _, m := range []mix{{10, 6, 2}, {42, 18, 0}, {135, 5, 140}} {
		bubble(t, "", func(t *testing.T) {
			calls := slices.Concat(flood(1, "", m, 0, window), flood(2, "a", m, 0, window))
			without := run(New(Settings{}), slices.Clone(calls))
			f := newFleet(t, 1, Settings{})
			with := f.run(sentTo{0, calls})[0]
			for _, o := range []wire.Operation{wire.Check, wire.Request, wire.Search} {
				_, ok, median, p99 := of(without, o)
				_, got, gotMedian, gotP99 := of(with, o)
				t.Logf("%v: %d, %v, %v; without a store %d, %v, %v", o, got, gotMedian, gotP99, ok, median, p99)
				if got < ok-ok/20-5 || o == wire.Check && gotMedian > median+20*time.Millisecond {
					t.Errorf("less than that")
				}
			}
		})
	}
}

// TestFleetChecksFirst has a flood of other calls at all gateways.
func TestFleetChecksFirst(t *testing.T) {
	const window = 20 * time.Second
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 4, Settings{})
		all := slices.Concat(f.run(divide(1, "", mix{135, 5, 140}, window, .25, .25, .25, .25)...)...)
		// A flood that begins on a rested account takes what comes back within the first second.
		all = slices.DeleteFunc(all, func(o outcome) bool { return o.at < 1250*time.Millisecond })
		came, ok, median, p99 := of(all, wire.Check)
		_, others, _, _ := of(all, wire.Request)
		t.Logf("%d of %d checks, waited for %v (median), %v (p99); %d requests", ok, came, median, p99, others)
		if ok < came || p99 > 150*time.Millisecond || others < 15*19 {
			t.Error("checks do not come first, or alone")
		}
	})
}

// TestFleetIsFair has a caller that asks for far too much at all gateways, and another that
// wants little at one.
func TestFleetIsFair(t *testing.T) {
	const window = 20 * time.Second
	for _, greedy := range []mix{{request: 100}, {check: 100}, {100, 100, 100}} {
		bubble(t, "", func(t *testing.T) {
			f := newFleet(t, 4, Settings{})
			all := slices.Concat(f.run(append(divide(1, "greedy", greedy, window, .25, .25, .25, .25),
				sentTo{0, flood(9, "modest", mix{2, 2, 1}, 0, window)})...)...)
			modest := callsOf("modest", all)
			served, total := len(sent(nil, modest, 0)), len(sent(nil, all, 0))
			t.Logf("%d of %d; %d in all", served, len(modest), total)
			if float64(served) < 0.9*float64(len(modest)) || total < 25*20 {
				t.Error("too few")
			}
		})
	}
}

// TestOneTrip shows what a call costs that has nobody before it.
func TestOneTrip(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		for i, m := range f.gateways {
			for _, o := range []wire.Operation{wire.Check, wire.Request} {
				asks, begun := m.asks.Load(), time.Now()
				_, ok := m.Wait(t.Context(), "", o)
				if took := time.Since(begun); !ok || took != m.takes() || m.asks.Load() != asks+1 {
					t.Errorf("gateway %d: %t after %v by %d trips", i, ok, took, m.asks.Load()-asks)
				}
			}
			begun := time.Now()
			if ok := m.WaitFirst(t.Context()); !ok || time.Since(begun) != m.takes() {
				t.Errorf("gateway %d: its own call went %t after %v", i, ok, time.Since(begun))
			}
		}
	})
	bubble(t, "without a limit there is none", func(t *testing.T) {
		f := newFleet(t, 1, Settings{Rate: -1, Callers: map[string]Share{"small": {Rate: 1}}})
		m, begun := f.gateways[0], time.Now()
		if _, ok := m.Wait(t.Context(), "small", wire.Check); !ok || !m.WaitFirst(t.Context()) || m.asks.Load() > 0 || time.Since(begun) > 0 {
			t.Errorf("it went %t after %v, by %d trips", ok, time.Since(begun), m.asks.Load())
		}
		if _, ok := m.Wait(t.Context(), "small", wire.Check); ok {
			t.Error("the caller's own limit is not kept")
		}
	})
}

// TestRefusalsAreFree has calls come while it is known that there is no slot.
func TestRefusalsAreFree(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		f.run(sentTo{0, atOnce(0, wire.Check, 28)})
		m := f.gateways[1]
		begun := time.Now()
		if refusal, ok := m.Wait(t.Context(), "", wire.Check); ok || time.Since(begun) != m.takes() || refusal.RetryAfter < time.Second || refusal.RetryAfter > 1050*time.Millisecond {
			t.Errorf("it went %t after %v, %v", ok, time.Since(begun), refusal)
		}
		before := m.asks.Load()
		for range 100 {
			begun := time.Now()
			if refusal, ok := m.Wait(t.Context(), "", wire.Check); ok || refusal.Throttled || refusal.Own || time.Since(begun) != 0 {
				t.Fatalf("it went %t after %v, %v", ok, time.Since(begun), refusal)
			}
		}
		if n := m.asks.Load() - before; n != 0 {
			t.Errorf("%d trips", n)
		}
		time.Sleep(1050 * time.Millisecond)
		if _, ok := m.Wait(t.Context(), "", wire.Check); !ok {
			t.Error("it is refused once there is a slot")
		}
	})
}

// TestLeavingWhileAsking has a call leave while a slot is asked for it: the next one has it.
func TestLeavingWhileAsking(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 1, Settings{})
		m := f.gateways[0]
		m.trip.Store(int64(4 * time.Millisecond))
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		went := make(chan time.Duration, 2)
		begun := time.Now()
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				if _, ok := m.Wait(ctx, "", wire.Check); ok {
					went <- time.Since(begun)
				}
			}()
			synctest.Wait()
		}
		if waited := <-went; waited != m.takes() || m.asks.Load() != 1 {
			t.Errorf("it went after %v and %d trips, want %v", waited, m.asks.Load(), m.takes())
		}
		time.Sleep(time.Second)
		if m.Stats().Waiting != 0 || len(went) > 0 {
			t.Error("somebody waits still, or went after it had left")
		}
	})
}

// TestShareChanges has calls wait while a store is taken away, and comes.
func TestShareChanges(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		f.run(sentTo{0, atOnce(0, wire.Check, 28)})
		time.Sleep(900 * time.Millisecond)
		m := f.gateways[1]
		begun := time.Now()
		went := make(chan time.Duration, 1)
		go func() {
			if _, ok := m.Wait(t.Context(), "", wire.Check); ok {
				went <- time.Since(begun)
			}
		}()
		time.Sleep(10 * time.Millisecond)
		m.Share(nil)
		if waited := <-went; waited != 10*time.Millisecond {
			t.Errorf("it went after %v", waited)
		}
		asks := m.asks.Load()
		if _, ok := m.Wait(t.Context(), "", wire.Check); !ok || m.asks.Load() != asks {
			t.Errorf("it went %t, by %d trips", ok, m.asks.Load()-asks)
		}
		m.Share(m.shared)
		m.Share(m.shared)
		if _, ok := m.Wait(t.Context(), "", wire.Check); !ok || m.asks.Load() == asks {
			t.Errorf("it went %t, by %d trips", ok, m.asks.Load()-asks)
		}
	})
}
