package limit

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSearchesThrottled shows whose rate falls when the provider finds a call too many, and
// how it rises after.
func TestSearchesThrottled(t *testing.T) {
	http429 := wire.Answer{Reading: throttled.Reading, Fault: &wire.Fault{Cause: wire.UpstreamThrottled}}
	type step struct {
		after          time.Duration
		o              wire.Operation
		answer         wire.Answer
		rate, searches int // what they are then; for searches 0 is what all calls have
	}
	tests := []struct {
		name     string
		settings Settings
		steps    []step
	}{
		{"without a figure", Settings{}, []step{
			{0, wire.Search, throttled, 28, 14},
			{999 * time.Millisecond, wire.Search, throttled, 28, 14},
			{time.Millisecond, wire.Search, http429, 28, 8},  // from 15
			{time.Second, wire.Search, wire.Answer{}, 28, 9}, // one more each second
			{0, wire.Check, throttled, 14, 9},                // the account's is its own
			{time.Second, wire.Search, throttled, 15, 5},     // from 10
			{time.Second, wire.Request, throttled, 8, 6},     // from 16
			{time.Second, wire.PSD2, throttled, 5, 7},        // like a request
			{time.Second, wire.Control, http429, 3, 8},       // from 6
			{0, wire.Search, throttled, 3, 2},                // from what could be made at all
			{24 * time.Second, wire.Search, wire.Answer{}, 27, 26},
			{2 * time.Second, wire.Search, wire.Answer{}, 28, 0},
			{time.Hour, wire.Search, throttled, 28, 14},
		}},
		{"with one", Settings{SearchRate: 5}, []step{
			{0, wire.Request, throttled, 14, 5},
			{0, wire.Search, throttled, 14, 3},
			{time.Second, wire.Search, throttled, 15, 2},
			{time.Second, wire.Search, throttled, 16, 2}, // up to 3 and down by 1
			{3 * time.Second, wire.Search, wire.Answer{}, 19, 5},
			{time.Hour, wire.Search, wire.Answer{}, 28, 5},
		}},
		{"templates, paced as searches are", Settings{}, []step{
			{0, wire.Templates, throttled, 28, 14},
			{time.Second, wire.Templates, http429, 28, 8},
		}},
		{"one that cannot be lowered", Settings{SearchRate: 1}, []step{{0, wire.Search, throttled, 28, 1}}},
		{"searches alone", Settings{Rate: -1, SearchRate: 4}, []step{
			{0, wire.Request, throttled, 0, 4},
			{0, wire.Search, throttled, 0, 2},
			{2 * time.Second, wire.Search, wire.Answer{}, 0, 4},
		}},
		{"no limit at all", Settings{Rate: -1}, []step{{0, wire.Search, throttled, 0, 0}}},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(tt.settings)
			var cuts []int
			l.OnCut(func(rate int) { cuts = append(cuts, rate) })
			for i, step := range tt.steps {
				time.Sleep(step.after)
				known := len(cuts)
				l.Observe(step.o, step.answer)
				if s := l.Stats(); s.Rate != step.rate || s.SearchRate != step.searches {
					t.Fatalf("step %d: the rates are %d and %d, want %d and %d", i, s.Rate, s.SearchRate, step.rate, step.searches)
				}
				if step.o == wire.Search && len(cuts) > known {
					t.Errorf("step %d: other gateways are told %d", i, cuts[known])
				}
			}
		})
	}
}

// TestSearchThrottlingIsTold shows that it is with what it is about, and that it is over when
// that cannot be any more.
func TestSearchThrottlingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{SearchRate: 5})
		var mu sync.Mutex
		var told []Change
		l.OnChange(func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, c)
		})
		expect := func(want ...Change) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("told %+v, want %+v", told, want)
			}
			told = nil
		}
		l.Observe(wire.Search, throttled)
		expect(Change{5, 3, "status 1", true})
		time.Sleep(time.Second)
		l.Observe(wire.Request, throttled)
		expect(Change{28, 14, "status 1", false})
		time.Sleep(time.Second)
		expect(Change{3, 5, "", true})
		time.Sleep(time.Minute)
		expect(Change{14, 28, "", false})
		l.Observe(wire.Search, throttled)
		l.Configure(Settings{SearchRate: 3})
		expect(Change{5, 3, "status 1", true}, Change{3, 3, "", true})
		l.Configure(Settings{})
		l.Observe(wire.Search, throttled)
		expect() // within a second
		time.Sleep(time.Second)
		l.Observe(wire.Search, throttled)
		l.Configure(Settings{Rate: -1})
		expect(Change{28, 14, "status 1", true}, Change{14, 0, "", true})
	})
}

// TestSearchRefusals says whose limit a search meets.
func TestSearchRefusals(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		before   func(l *Limiter)
		want     bool // throttled
	}{
		{"its own", Settings{SearchRate: 2}, func(*Limiter) {}, false},
		{"its own, throttled", Settings{SearchRate: 4}, func(l *Limiter) { l.Observe(wire.Search, throttled) }, true},
		{"its own, while the account is throttled", Settings{SearchRate: 2}, func(l *Limiter) { l.Observe(wire.Request, throttled) }, false},
		{"throttled, without a figure", Settings{}, func(l *Limiter) { l.Observe(wire.Search, throttled) }, true},
		{"the account's, while searches are throttled", Settings{Rate: 4}, func(l *Limiter) { l.Observe(wire.Search, throttled); burst(t, l) }, false},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(tt.settings)
			tt.before(l)
			for {
				begun := time.Now()
				refusal, ok := l.Wait(t.Context(), "", wire.Search)
				if ok {
					continue
				}
				if waited := time.Since(begun); waited > 0 {
					t.Errorf("it waited for %v in vain", waited)
				}
				if refusal.Throttled != tt.want || refusal.Own || refusal.RetryAfter < time.Second {
					t.Errorf("got %+v, want throttled %t", refusal, tt.want)
				}
				return
			}
		})
	}
}
