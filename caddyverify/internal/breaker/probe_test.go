package breaker

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/probe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// probeOf answers with each of the answers in turn, again and again.
func probeOf(answers ...wire.Answer) probe.Func {
	var n atomic.Int64
	return func(context.Context) wire.Answer {
		return answers[int(n.Add(1)-1)%len(answers)]
	}
}

// opened returns a breaker that has just opened.
func opened(t *testing.T) (*Breaker, *diary) {
	t.Helper()
	b := New(wire.WriteClass, Settings{})
	d := new(diary)
	tell(b, times(5, refused)...)
	expectState(t, b, wire.CircuitOpen)
	b.OnChange(d.write)
	return b, d
}

func TestProbeVerdict(t *testing.T) {
	tests := []struct {
		name  string
		probe probe.Func
		want  wire.CircuitState
		after time.Duration // the probe took, beyond the open time
	}{
		{"no such verification", probeOf(unused), wire.CircuitClosed, 0},
		{"found", probeOf(says(wire.Expired)), wire.CircuitClosed, 0},
		{"success", probeOf(fine), wire.CircuitClosed, 0},
		{"account barred", probeOf(says(wire.AccountBarred)), wire.CircuitClosed, 0},
		{"internal error", probeOf(broken), wire.CircuitOpen, 0},
		{"no connection", probeOf(refused), wire.CircuitOpen, 0},
		{"throttled", probeOf(busy), wire.CircuitHalfOpen, 0},
		{"refused by the gateway's own limit", probeOf(fails("limit_reached")), wire.CircuitHalfOpen, 0},
		// Trap 2: each of these must have an end.
		{"a panic", func(context.Context) wire.Answer { panic("probe") }, wire.CircuitOpen, 0},
		{"its goroutine ends", func(context.Context) wire.Answer { runtime.Goexit(); return unused }, wire.CircuitOpen, 0},
		{"returns at its deadline", func(ctx context.Context) wire.Answer { <-ctx.Done(); return timeout }, wire.CircuitOpen, 10 * time.Second},
		{"never returns", func(context.Context) wire.Answer { time.Sleep(time.Hour); return unused }, wire.CircuitOpen, 10 * time.Second},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			b, _ := opened(t)
			stop := b.ProbeWith(tt.probe)
			time.Sleep(5*time.Second - 1)
			expectState(t, b, wire.CircuitOpen)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if tt.after > 0 {
				expectState(t, b, wire.CircuitHalfOpen)
				time.Sleep(tt.after)
				synctest.Wait()
			}
			expectState(t, b, tt.want)
			if _, _, ok := b.Allow(); ok != (tt.want == wire.CircuitClosed) {
				t.Errorf("Allow() = %v in state %v", ok, tt.want)
			}
			stop()
			time.Sleep(2 * time.Hour) // a probe that slept must not close it now
			if tt.want != wire.CircuitClosed {
				expectState(t, b, wire.CircuitHalfOpen)
			}
		})
	}
}

// TestOpenTimeDoubles shows when the probes come, with no call from anyone: the
// state of an idle gateway is true (trap 5).
func TestOpenTimeDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := opened(t)
		start := time.Now()
		var probed []time.Duration
		alive := false
		defer b.ProbeWith(func(context.Context) wire.Answer {
			if state := b.State(); state != wire.CircuitHalfOpen {
				t.Errorf("the state is %v while a probe runs, want %v", state, wire.CircuitHalfOpen)
			}
			probed = append(probed, time.Since(start)/time.Second)
			if alive {
				return unused
			}
			return timeout
		})()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		alive = true
		expectState(t, b, wire.CircuitOpen)
		time.Sleep(time.Minute)
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed)
		want := []time.Duration{5, 15, 35, 75, 115, 155, 195, 235, 275, 315}
		if len(probed) != len(want) {
			t.Fatalf("probed at %d, want %d", probed, want)
		}
		for i := range want {
			if probed[i] != want[i] {
				t.Fatalf("probed at %d, want %d", probed, want)
			}
		}
		half, again := "open>half_open", "half_open>open (upstream_timeout)"
		states := append(slices.Repeat([]string{half, again}, len(want)-1), half, "half_open>closed (status 101)")
		d.expect(t, states...)

		// The next time begins with 5 s anew.
		tell(b, times(5, refused)...)
		_, retryAfter, _ := b.Allow()
		if retryAfter != 5*time.Second {
			t.Errorf("it is open for %v, want 5s", retryAfter)
		}
	})
}

// TestProbeSaysNothing shows the pauses while probes are throttled.
func TestProbeSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := opened(t)
		start := time.Now()
		var probed []int
		defer b.ProbeWith(func(context.Context) wire.Answer {
			probed = append(probed, int(time.Since(start)/time.Second))
			if len(probed) == 7 {
				return unused
			}
			return busy
		})()
		time.Sleep(6500 * time.Millisecond)
		synctest.Wait()
		expectState(t, b, wire.CircuitHalfOpen)
		if _, retryAfter, _ := b.Allow(); retryAfter != 1500*time.Millisecond {
			t.Errorf("retry after %v, want 1.5s: the next probe is due then", retryAfter)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed)
		if want := [...]int{5, 6, 8, 12, 17, 22, 27}; len(probed) != len(want) || [7]int(probed) != want {
			t.Errorf("probed at %d, want %d", probed, want)
		}
		d.expect(t, "open>half_open", "half_open>closed (status 101)")
	})
}

// TestOneProbe shows that there is one at a time, and that callers are refused
// meanwhile, not kept waiting.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := opened(t)
		var running, most, all atomic.Int64
		defer b.ProbeWith(func(context.Context) wire.Answer {
			all.Add(1)
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			time.Sleep(3 * time.Second)
			return unused
		})()
		time.Sleep(5 * time.Second)
		for range 100 {
			go func() {
				start := time.Now()
				if _, retryAfter, ok := b.Allow(); ok || retryAfter <= 0 || time.Since(start) > 0 {
					t.Error("a caller was let through, or not told when to come again, or waited")
				}
			}()
		}
		time.Sleep(time.Minute)
		if most.Load() != 1 || all.Load() != 1 {
			t.Errorf("%d probes, %d at a time; want 1 and 1", all.Load(), most.Load())
		}
		expectState(t, b, wire.CircuitClosed)
	})
}

// TestProbesComeAndGo is a reload: the next configuration's probe takes over, and
// one that is under way is cancelled with its configuration.
func TestProbesComeAndGo(t *testing.T) {
	bubble(t, "the newest is used", func(t *testing.T) {
		b, _ := opened(t)
		stopOld := b.ProbeWith(probeOf(timeout))
		stopNew := b.ProbeWith(probeOf(unused))
		stopOld()
		defer stopNew()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed)
	})
	bubble(t, "back to the old one", func(t *testing.T) {
		b, _ := opened(t)
		stopOld := b.ProbeWith(probeOf(unused))
		b.ProbeWith(probeOf(timeout))() // failed to load
		defer stopOld()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed)
	})
	bubble(t, "stopped while it runs", func(t *testing.T) {
		b, _ := opened(t)
		cancelled := false
		stop := b.ProbeWith(func(ctx context.Context) wire.Answer {
			<-ctx.Done()
			cancelled = ctx.Err() == context.Canceled
			return timeout
		})
		time.Sleep(6 * time.Second)
		stop()
		synctest.Wait()
		if !cancelled {
			t.Error("the probe was not cancelled")
		}
		expectState(t, b, wire.CircuitHalfOpen) // and its timeout does not count
		defer b.ProbeWith(probeOf(unused))()
		synctest.Wait()
		expectState(t, b, wire.CircuitClosed) // the next one is not kept waiting
	})
	bubble(t, "none", func(t *testing.T) {
		b, d := opened(t)
		b.ProbeWith(probeOf(unused))()
		time.Sleep(time.Hour)
		expectState(t, b, wire.CircuitHalfOpen)
		if _, _, ok := b.Allow(); ok {
			t.Error("a customer's call was let through as the probe")
		}
		d.expect(t)
	})
	bubble(t, "closed", func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		defer b.ProbeWith(func(context.Context) wire.Answer {
			t.Error("a closed circuit was probed")
			return unused
		})()
		time.Sleep(time.Hour)
	})
}

// TestCheck has a closed circuit looked at, since it has opened elsewhere.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(*Breaker)
		answer wire.Answer
		during func(*Breaker) // half-way through the probe
		probes int
		want   []string
	}{
		{name: "it fails here, too", answer: timeout, probes: 1, want: []string{"closed>open (upstream_timeout)"}},
		{name: "all is well here", answer: unused, probes: 1},
		{name: "an answer that says nothing", answer: busy, probes: 1},
		{name: "off", before: func(b *Breaker) { b.Configure(Settings{Off: true}) }, answer: timeout},
		{
			name: "it is open", before: func(b *Breaker) { tell(b, times(5, refused)...) }, answer: unused,
			want: []string{"closed>open (connect_failed)"},
		},
		{
			name: "it opens meanwhile", answer: unused, during: func(b *Breaker) { tell(b, times(5, refused)...) }, probes: 1,
			want: []string{"closed>open (connect_failed)"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, probes := New(wire.ReadClass, Settings{}), 0
				var d diary
				b.OnChange(d.write)
				stop := b.ProbeWith(func(context.Context) wire.Answer {
					probes++
					time.Sleep(time.Second)
					return tt.answer
				})
				defer stop()
				if tt.before != nil {
					tt.before(b)
				}
				if b.Check() != (tt.probes > 0) || b.Check() {
					t.Error("it says that it is looked at, or that it is not")
				}
				time.Sleep(time.Second / 2)
				if tt.during != nil {
					tt.during(b)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if probes != tt.probes {
					t.Errorf("%d probes, want %d", probes, tt.probes)
				}
				d.expect(t, tt.want...)
				if tt.want == nil && tt.before == nil && !b.Check() {
					t.Error("it cannot be looked at again")
				}
				time.Sleep(2 * time.Second)
			})
		})
	}
}
