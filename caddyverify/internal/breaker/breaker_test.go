package breaker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestOpens(t *testing.T) {
	type step struct {
		after   time.Duration
		answers []wire.Answer
	}
	at := func(after time.Duration, n int, answer wire.Answer) step { return step{after, times(n, answer)} }
	tests := []struct {
		name  string
		steps []step
		want  wire.CircuitState
	}{
		{"half of 20", []step{at(0, 10, fine), at(0, 10, timeout)}, wire.CircuitOpen},
		{"of 19", []step{at(0, 9, fine), at(0, 10, timeout)}, wire.CircuitClosed},
		{"less than half of 20", []step{at(0, 11, fine), at(0, 9, timeout)}, wire.CircuitClosed},
		{"nothing but failures, but few", []step{at(0, 19, broken)}, wire.CircuitClosed},
		{"nothing but failures", []step{at(0, 20, broken)}, wire.CircuitOpen},
		// 10 of 20 fail, and a thousand users type wrong codes.
		{"alive does not dilute", []step{at(0, 10, fine), at(0, 1000, wrongCode), at(0, 10, timeout)}, wire.CircuitOpen},
		{"alive does not count", []step{at(0, 10, timeout), at(0, 1000, wrongCode), at(0, 9, timeout)}, wire.CircuitClosed},
		{"alive does not reset", []step{at(0, 19, timeout), at(0, 1000, wrongCode), at(0, 1, timeout)}, wire.CircuitOpen},
		{"throttled does not count", []step{at(0, 10, timeout), at(0, 1000, busy), at(0, 9, timeout)}, wire.CircuitClosed},
		{"throttled does not dilute", []step{at(0, 19, timeout), at(0, 1000, busy), at(0, 1, timeout)}, wire.CircuitOpen},

		{"4 connections", []step{at(0, 4, refused)}, wire.CircuitClosed},
		{"5 connections", []step{at(0, 5, refused)}, wire.CircuitOpen},
		{"5 connections, connect and TLS", []step{at(0, 3, refused), at(0, 2, fails(wire.TLSFailed))}, wire.CircuitOpen},
		{"5 connections among many successes", []step{at(0, 1000, fine), at(0, 5, refused)}, wire.CircuitOpen},
		{"5 timeouts are no row", []step{at(0, 5, timeout)}, wire.CircuitClosed},
		{"a row with a success in it", []step{at(0, 4, refused), at(0, 1, fine), at(0, 4, refused)}, wire.CircuitClosed},
		{"a row with a wrong code in it", []step{at(0, 4, refused), at(0, 1, wrongCode), at(0, 4, refused)}, wire.CircuitClosed},
		{"a row with HTTP 500 in it", []step{at(0, 4, refused), at(0, 1, fails(wire.UpstreamError)), at(0, 4, refused)}, wire.CircuitClosed},
		{"a row with a client leaving in it", []step{at(0, 4, refused), at(0, 9, fails(wire.ClientLeft)), at(0, 1, refused)}, wire.CircuitOpen},
		{"a row with a timeout in it", []step{at(0, 4, refused), at(0, 1, timeout), at(0, 1, refused)}, wire.CircuitOpen},

		// The window rolls: it is not cleared at its end, and forgets bit by bit.
		{"within the window", []step{at(25*time.Second, 10, timeout), at(10*time.Second, 10, timeout)}, wire.CircuitOpen},
		{"within the window still", []step{at(0, 10, timeout), at(28*time.Second, 10, timeout)}, wire.CircuitOpen},
		{"beyond the window", []step{at(0, 10, timeout), at(31*time.Second, 10, timeout)}, wire.CircuitClosed},
		{"old successes are forgotten", []step{at(0, 100, fine), at(31*time.Second, 20, timeout)}, wire.CircuitOpen},
		{"old failures go, newer stay", []step{at(0, 9, timeout), at(20*time.Second, 10, timeout), at(15*time.Second, 10, timeout)}, wire.CircuitOpen},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			b := New(wire.WriteClass, Settings{})
			for _, step := range tt.steps {
				time.Sleep(step.after)
				if through := tell(b, step.answers...); through != len(step.answers) {
					t.Fatalf("opened early: %d of %d went through", through, len(step.answers))
				}
			}
			expectState(t, b, tt.want)
		})
	}
}

func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		tell(b, times(5, refused)...)
		time.Sleep(2 * time.Second)
		start := time.Now()
		call, retryAfter, ok := b.Allow()
		if ok || call != nil || retryAfter != 3*time.Second {
			t.Errorf("Allow() = %v, %v, %v; want a refusal for 3s", call, retryAfter, ok)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the refusal took %v", waited)
		}
		time.Sleep(3 * time.Second) // half-open: customers are no probes
		if _, retryAfter, ok := b.Allow(); ok || retryAfter != time.Second {
			t.Errorf("Allow() half-open = %v, %v; want a refusal for 1s", retryAfter, ok)
		}
	})
}

func TestChangeSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		var got Change
		b.OnChange(func(c Change) { got = c })
		tell(b, append(times(8, fine), times(12, broken)...)...)
		want := Change{Class: wire.WriteClass, From: wire.CircuitClosed, To: wire.CircuitOpen, Why: "status 5", Failures: 12, Outcomes: 20, OpenFor: 5 * time.Second}
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestTimeoutsAndWindow is trap 1: timeouts must open the circuit although they
// are told as late as the settings allow.
func TestTimeoutsAndWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Settings{Window: 30 * time.Second, Timeout: 10 * time.Second}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		b := New(wire.WriteClass, s)
		opened := false
		for range 60 { // one call a second, each hangs until its timeout
			go func() {
				if call, _, ok := b.Allow(); ok {
					time.Sleep(s.Timeout)
					call.Done(timeout)
				}
			}()
			time.Sleep(time.Second)
			opened = opened || b.State() != wire.CircuitClosed
		}
		if !opened {
			t.Error("a minute of timeouts did not open the circuit")
		}
		time.Sleep(time.Minute)
	})
}

// TestDone shows that an outcome counts once, and only in its own time.
func TestDone(t *testing.T) {
	bubble(t, "told twice", func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		call, _, _ := b.Allow()
		for range 100 {
			call.Done(refused)
		}
		expectState(t, b, wire.CircuitClosed)
	})
	bubble(t, "never told", func(t *testing.T) { // trap 2, for a customer's call
		b := New(wire.WriteClass, Settings{})
		for range 1000 {
			if _, _, ok := b.Allow(); !ok {
				t.Fatal("refused")
			}
		}
		if tell(b, times(20, timeout)...) != 20 || b.State() != wire.CircuitOpen {
			t.Error("calls without an outcome keep the circuit from opening")
		}
	})
	bubble(t, "told in a panic", func(t *testing.T) { // trap 3
		b := New(wire.WriteClass, Settings{})
		for range 20 {
			func() {
				defer func() { _ = recover() }()
				call, _, _ := b.Allow()
				answer := fails(wire.ClientLeft)
				defer func() { call.Done(answer) }()
				panic("client aborted")
			}()
		}
		expectState(t, b, wire.CircuitClosed)
	})
	bubble(t, "told too late", func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		var late []*Call
		for range 40 {
			call, _, _ := b.Allow()
			late = append(late, call)
		}
		tell(b, times(5, refused)...)
		late[0].Done(fine)
		expectState(t, b, wire.CircuitOpen) // a success from before closes nothing

		defer b.ProbeWith(probeOf(unused))()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed)
		for _, call := range late[1:] {
			call.Done(refused)
		}
		expectState(t, b, wire.CircuitClosed) // nor do failures from before open anything
		if through := tell(b, times(20, refused)...); through != 5 {
			t.Errorf("%d went through until it opened again, want 5: late outcomes were counted", through)
		}
	})
}

// TestCallback is trap 4: a listener may use the breaker, and hears of changes in
// their order.
func TestCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		var d diary
		b.OnChange(func(c Change) {
			b.State()
			tell(b, refused)
			d.write(c)
			if c.To == wire.CircuitClosed { // a change within a change is told after it
				tell(b, times(5, refused)...)
			}
			d.write(c)
		})
		defer b.ProbeWith(probeOf(unused))()
		tell(b, times(5, refused)...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		open := "closed>open (connect_failed)"
		half, closed := "open>half_open", "half_open>closed (status 101)"
		d.expect(t, open, open, half, half, closed, closed, open, open)
	})
}

// TestRace is for the race detector, and shows that the state stays sane.
func TestRace(t *testing.T) {
	b := New(wire.WriteClass, Settings{OpenFor: time.Millisecond})
	state := wire.CircuitClosed
	b.OnChange(func(c Change) {
		if c.From != state {
			t.Errorf("change from %v, the state was %v", c.From, state)
		}
		state = c.To
	})
	stop := b.ProbeWith(probeOf(unused, timeout, busy))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				tell(b, refused)
				b.State()
			}
		})
	}
	wg.Wait()
	stop()
}

func BenchmarkAllow(b *testing.B) {
	b.Run("closed", func(b *testing.B) {
		breaker := New(wire.ReadClass, Settings{})
		b.ReportAllocs()
		for b.Loop() {
			call, _, _ := breaker.Allow()
			call.Done(fine)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		breaker := New(wire.ReadClass, Settings{})
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call, _, _ := breaker.Allow()
				call.Done(fine)
			}
		})
	})
	b.Run("open", func(b *testing.B) {
		breaker := New(wire.ReadClass, Settings{})
		tell(breaker, times(5, refused)...)
		b.ReportAllocs()
		for b.Loop() {
			breaker.Allow()
		}
	})
}
