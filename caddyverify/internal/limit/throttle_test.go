package limit

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestThrottled shows the rate fall when the provider throttles, and rise after.
func TestThrottled(t *testing.T) {
	gateway := wire.Answer{Reading: throttled.Reading, Fault: &wire.Fault{Cause: "limit_reached"}}
	http429 := wire.Answer{Reading: throttled.Reading, Fault: &wire.Fault{Cause: wire.UpstreamThrottled}}
	fine := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success}}}
	steps := []struct {
		name    string
		after   time.Duration
		answers []wire.Answer
		rate    int
	}{
		{"at first", 0, nil, 28},
		{"fine", 0, []wire.Answer{fine}, 28},
		{"the gateway's own status 1", 0, []wire.Answer{gateway}, 28},
		{"status 1, many in a moment", 0, []wire.Answer{throttled, throttled, throttled}, 14},
		{"another soon after", 999 * time.Millisecond, []wire.Answer{throttled}, 14},
		{"a second later", time.Millisecond, nil, 15},
		{"HTTP 429", 0, []wire.Answer{http429}, 8},
		{"again", time.Second, []wire.Answer{throttled}, 5},
		{"again", time.Second, []wire.Answer{throttled}, 3},
		{"again", time.Second, []wire.Answer{throttled}, 2},
		{"again", time.Second, []wire.Answer{throttled}, 2}, // up to 3 and down by 1
		{"one a second more each second", 10 * time.Second, nil, 12},
		{"up to the limit", 16 * time.Second, nil, 28},
		{"and no further", time.Hour, nil, 28},
		{"in one step down", 0, []wire.Answer{throttled}, 14},
	}
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		for _, step := range steps {
			time.Sleep(step.after)
			for _, answer := range step.answers {
				l.Observe(wire.Request, answer)
			}
			if rate := l.Stats().Rate; rate != step.rate {
				t.Fatalf("%s: the rate is %d, want %d", step.name, rate, step.rate)
			}
		}
	})
}

// TestThrottledFloor shows that the rate never falls to nothing.
func TestThrottledFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 2})
		for range 5 {
			l.Observe(wire.Request, throttled)
			time.Sleep(time.Second - 1)
			l.Observe(wire.Request, throttled)
			if rate := l.Stats().Rate; rate != 1 {
				t.Fatalf("the rate is %d, want 1", rate)
			}
			time.Sleep(time.Nanosecond)
		}
	})
}

// TestRefusalSaysWhose shows whose limit it is that a call meets.
func TestRefusalSaysWhose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		expect := func(when string, throttled bool) {
			t.Helper()
			burst(t, l)
			if refusal, ok := l.Wait(t.Context(), "", wire.Request); ok || refusal.Throttled != throttled || refusal.RetryAfter < time.Second {
				t.Errorf("%s: %+v, %t", when, refusal, ok)
			}
		}
		expect("at the full rate", false)
		l.Observe(wire.Request, throttled)
		expect("throttled", true)
		time.Sleep(13 * time.Second)
		expect("nearly recovered", true)
		time.Sleep(3 * time.Second)
		expect("recovered", false)
	})
}

// TestThrottlingIsTold shows that it is once when it begins and once when it is
// over, though nobody calls.
func TestThrottlingIsTold(t *testing.T) {
	http429 := wire.Answer{Reading: throttled.Reading, Fault: &wire.Fault{Cause: wire.UpstreamThrottled}}
	tests := []struct {
		name  string
		rate  int
		first wire.Answer
		more  func(l *Limiter)
		lasts time.Duration
		want  []Change
	}{
		{"once", 28, throttled, func(*Limiter) {}, 14 * time.Second, []Change{{28, 14, "status 1", false}, {14, 28, "", false}}},
		{"again and again", 28, http429, func(l *Limiter) {
			for range 3 {
				time.Sleep(time.Second)
				l.Observe(wire.Request, throttled)
			}
		}, 25 * time.Second, []Change{{28, 14, "upstream_throttled", false}, {3, 28, "", false}}},
		{"a rate that cannot be lowered", 1, throttled, func(*Limiter) {}, time.Minute, nil},
		{"the limit is lowered to what is left", 28, throttled, func(l *Limiter) { l.Configure(Settings{Rate: 14}) }, 0, []Change{{28, 14, "status 1", false}, {14, 14, "", false}}},
		{"the limit is lifted", 28, throttled, func(l *Limiter) { l.Configure(Settings{Rate: -1}) }, 0, []Change{{28, 14, "status 1", false}, {14, 0, "", false}}},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(Settings{Rate: tt.rate})
			var mu sync.Mutex
			var told []Change
			defer l.OnChange(func(c Change) {
				l.Stats() // a listener may use it
				mu.Lock()
				defer mu.Unlock()
				told = append(told, c)
			})()
			l.Observe(wire.Request, tt.first)
			tt.more(l)
			if tt.lasts > 0 {
				time.Sleep(tt.lasts - 1)
				mu.Lock()
				if len(told) > 1 {
					t.Errorf("told too early: %+v", told)
				}
				mu.Unlock()
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			mu.Lock()
			early := len(told)
			mu.Unlock()
			time.Sleep(time.Hour)
			mu.Lock()
			defer mu.Unlock()
			if early != len(told) {
				t.Errorf("told too late: %+v", told)
			}
			if !slices.Equal(told, tt.want) {
				t.Errorf("told %+v, want %+v", told, tt.want)
			}
		})
	}
}

// TestUpstreamDecides has a provider that allows 10 a second: the Limiter finds
// the rate by itself and little is throttled.
func TestUpstreamDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		var passed, refused []time.Duration
		start := time.Now()
		for time.Since(start) < 2*time.Minute {
			time.Sleep(10 * time.Millisecond)
			if _, ok := l.Wait(t.Context(), "", wire.Request); !ok {
				continue
			}
			at := time.Since(start)
			if mostInASecond(append(passed[max(0, len(passed)-20):], at)) > 10 {
				refused = append(refused, at)
				l.Observe(wire.Request, throttled)
				continue
			}
			passed = append(passed, at)
		}
		perSecond := float64(len(passed)) / 120
		share := float64(len(refused)) / float64(len(passed)+len(refused))
		t.Logf("%.1f of 10 calls a second passed, %.1f %% were throttled", perSecond, 100*share)
		if perSecond < 6 || share > 0.15 {
			t.Errorf("%.1f calls a second passed and %.3f were throttled", perSecond, share)
		}
	})
}

// TestLower takes over the rate of another gateway that was throttled.
func TestLower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		var told []Change
		var cuts []int
		l.OnChange(func(c Change) { told = append(told, c) })
		l.OnCut(func(rate int) { cuts = append(cuts, rate) })
		for _, step := range []struct {
			after      time.Duration
			hint, want int
		}{{0, 28, 28}, {0, 40, 28}, {0, 14, 14}, {0, 14, 14}, {time.Second, 14, 14}, {time.Second, 20, 15}, {0, 0, 1}, {2 * time.Second, 5, 3}} {
			time.Sleep(step.after)
			before := l.Stats().Rate
			if lowered := l.Lower(step.hint); lowered != (before > step.want) || l.Stats().Rate != step.want {
				t.Errorf("lowered to %d, it is %d, want %d", step.hint, l.Stats().Rate, step.want)
			}
		}
		l.Observe(wire.Request, throttled)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []Change{{28, 14, Elsewhere, false}, {1, 28, "", false}}; !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
		if !slices.Equal(cuts, []int{2}) {
			t.Errorf("cuts to %v, want one to 2", cuts)
		}
		if l := New(Settings{Rate: -1}); l.Lower(5) || l.Stats().Rate != 0 {
			t.Error("it was lowered without a limit")
		}
	})
}
