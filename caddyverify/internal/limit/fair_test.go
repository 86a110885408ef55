package limit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// mix is how many calls of each operation come a second.
type mix struct{ request, check, search float64 }

// flood makes such a mix of a caller's calls between two times.
func flood(seed uint64, caller string, m mix, from, to time.Duration) (arrivals []arrival) {
	for o, perSecond := range map[wire.Operation]float64{wire.Request: m.request, wire.Check: m.check, wire.Search: m.search} {
		if perSecond > 0 {
			arrivals = append(arrivals, poisson(rand.New(rand.NewPCG(uint64(o), seed)), o, perSecond, to-from)...)
		}
	}
	for i := range arrivals {
		arrivals[i].at += from
	}
	return by(caller, arrivals)
}

// callsOf are those of a caller.
func callsOf(caller string, outcomes []outcome) (own []outcome) {
	for _, o := range outcomes {
		if o.caller == caller {
			own = append(own, o)
		}
	}
	return own
}

// TestNoisyNeighbour has a caller that makes a few calls of each kind, and another that
// floods the account, from the first moment on or later.
func TestNoisyNeighbour(t *testing.T) {
	const window, seeds = 20 * time.Second, 3
	operations := []wire.Operation{wire.Check, wire.Request, wire.Search}
	tests := []struct {
		name  string
		flood mix
	}{
		{"no flood", mix{}},
		{"requests", mix{request: 150}},
		{"searches", mix{search: 1000}},
		{"checks", mix{check: 1000}},
		{"all", mix{150, 1000, 1000}},
	}
	for _, tt := range tests {
		for _, begins := range []time.Duration{0, 5 * time.Second} {
			var quiet []outcome
			for seed := range uint64(seeds) {
				bubble(t, tt.name, func(t *testing.T) {
					outcomes := run(New(Settings{}), append(
						flood(seed, "quiet", mix{3, 3, 3}, 0, begins+window),
						flood(seed+seeds, "noisy", tt.flood, begins, begins+window)...))
					quiet = append(quiet, callsOf("quiet", outcomes)...)
					if calls := len(sent(nil, outcomes, 0)); tt.flood != (mix{}) && calls < 27*int(window.Seconds()) {
						t.Errorf("%d calls in all: the account is not used", calls)
					}
				})
			}
			for _, o := range operations {
				came, ok, median, p99 := of(quiet, o)
				share := float64(ok) / float64(came)
				t.Logf("a flood of %-8s after %2v: %5.1f %% of %3d of type %-7v, waited for %3d ms (median), %3d ms (p99)",
					tt.name, begins, 100*share, came, o, median.Milliseconds(), p99.Milliseconds())
				if share < 0.95 || p99 > maxWait {
					t.Errorf("that is less than 95 %%, or longer than %v", maxWait)
				}
			}
		}
	}
}

// TestShares has callers that all want more than there is.
func TestShares(t *testing.T) {
	tests := []struct {
		name    string
		rate    int
		weights []int
	}{
		{"alike", 28, []int{1, 1, 1, 1}},
		{"by weight", 28, []int{1, 1, 2, 4}},
		{"at a slow pace", 4, []int{1, 1, 2, 4}},
		{"at a fast pace", 400, []int{1, 1, 2, 4}},
		{"alone", 28, []int{1}},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			settings, total := Settings{Rate: tt.rate, Callers: map[string]Share{}}, 0
			window := 60 * time.Second
			if tt.rate < 28 {
				window *= 10
			}
			each := max(28, float64(tt.rate))
			var arrivals []arrival
			for i, weight := range tt.weights {
				name := string(rune('a' + i))
				settings.Callers[name] = Share{Weight: weight}
				total += weight
				// They do not all want the same.
				kinds := []mix{{each, each, each}, {request: 2 * each}, {check: 3 * each}, {search: 2 * each}}
				arrivals = append(arrivals, flood(uint64(i), name, kinds[i], 0, window)...)
			}
			outcomes := run(New(settings), arrivals)
			calls := len(sent(nil, outcomes, 0))
			if least := 0.98 * float64(tt.rate) * window.Seconds(); float64(calls) < least {
				t.Errorf("%d calls in all, want %.0f", calls, least)
			}
			for i, weight := range tt.weights {
				got := len(sent(nil, callsOf(string(rune('a'+i)), outcomes), 0))
				want := float64(calls) * float64(weight) / float64(total)
				t.Logf("weight %d: %d of %d calls, %+.1f %%", weight, got, calls, 100*(float64(got)/want-1))
				if float64(got) < 0.95*want || float64(got) > 1.05*want {
					t.Errorf("want %.0f of them, or within 5 %%", want)
				}
			}
		})
	}
}

// TestNothingIsSavedUp has a caller come to a busy account after a long time.
func TestNothingIsSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Callers: map[string]Share{"idle": {Weight: 1}}})
		outcomes := run(l, append(
			flood(1, "busy", mix{check: 200}, 0, 22*time.Second),
			append(by("idle", atOnce(0, wire.Check, 1)), flood(2, "idle", mix{check: 200}, 20*time.Second, 22*time.Second)...)...))
		for name, want := range map[string]int{"busy": 14 - credit, "idle": 14 + credit} {
			got := 0
			for _, o := range callsOf(name, outcomes) {
				if at := o.at + o.waited; o.ok && at >= 20*time.Second && at < 21*time.Second {
					got++
				}
			}
			if got < want-1 || got > want+1 {
				t.Errorf("%s has %d calls in the first second, want %d", name, got, want)
			}
		}
	})
}

// TestOwnLimit has callers with limits of their own.
func TestOwnLimit(t *testing.T) {
	for _, rate := range []int{28, -1} {
		bubble(t, "", func(t *testing.T) {
			const window = 20 * time.Second
			l := New(Settings{Rate: rate, Callers: map[string]Share{"small": {Rate: 5}, "large": {Rate: 50}}})
			outcomes := run(l, slices.Concat(
				flood(1, "small", mix{30, 30, 30}, 0, window),
				flood(2, "large", mix{check: 5}, 0, window),
				flood(3, "other", mix{check: 5}, 0, window)))
			times := sent(nil, callsOf("small", outcomes), 0)
			if most := mostInASecond(times); most > 6 || len(times) < 5*19 { // both ends of the second
				t.Errorf("%d calls, up to %d in a second, want 5", len(times), most)
			}
			for _, o := range outcomes {
				switch {
				case o.caller != "small" && (!o.ok || o.waited > 0):
					t.Fatalf("a call of %q waited for %v, or was refused: %t", o.caller, o.waited, !o.ok)
				case !o.ok && (!o.own || o.retryAfter < time.Second):
					t.Fatalf("a refusal says %t, after %v", o.own, o.retryAfter)
				case o.ok && o.waited > maxWait:
					t.Fatalf("a call waited for %v", o.waited)
				}
			}
		})
	}
	bubble(t, "whose limit it is", func(t *testing.T) {
		l := New(Settings{Callers: map[string]Share{"small": {Rate: 5}, "large": {Rate: 50}}})
		outcomes := run(l, slices.Concat(
			by("", atOnce(0, wire.Check, 28)),
			by("small", atOnce(0, wire.Check, 9)), by("large", atOnce(0, wire.Check, 9))))
		for _, o := range outcomes {
			if o.ok != (o.caller == "") || o.own {
				t.Errorf("a call of %q was refused: %t, by its own limit: %t", o.caller, !o.ok, o.own)
			}
		}
	})
}

// TestManyNames has each call be another caller's: what is known of them stays little.
func TestManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Callers: map[string]Share{"named": {}}})
		for i := range 10_000 {
			go l.Wait(t.Context(), fmt.Sprint(i), wire.Check)
			time.Sleep(time.Millisecond)
			l.mu.Lock()
			if n := len(l.callers); n > 28+1+l.waiting() || l.waiting() > 28 {
				t.Fatalf("%d callers are known, %d wait", n, l.waiting())
			}
			l.mu.Unlock()
		}
		time.Sleep(2 * time.Second)
		l.Wait(t.Context(), "named", wire.Check)
		if len(l.callers) != 1 || len(l.busy) != 0 || l.made.n != 1 || l.active != 1 {
			t.Errorf("%d callers are known, %d of them wait, %d calls of late", len(l.callers), len(l.busy), l.made.n)
		}
	})
}

// TestEstimateBetweenCallers compares the estimate with the order in which calls of
// several callers do go.
func TestEstimateBetweenCallers(t *testing.T) {
	tests := []struct {
		name     string
		before   string // the callers of the calls that went, the last ones
		waiting  string // the callers of checks that wait, in order of arrival
		comes    string
		want     int // slots from now, the next one being 1
		requests bool
	}{
		{"behind a flood", "aaaa", "aaaaa", "b", 1, false},
		{"its second call", "aaaa", "aaaaab", "b", 2, false},
		{"once its credit is used up", "aaaa", "aaaaabbb", "b", 5, false},
		{"a flood behind others", "aaaab", "b", "a", 2, false},
		{"a flood's own calls", "aaaa", "aab", "a", 4, false},
		{"twice the weight", "cccccc", "ccccccaaa", "a", 6, false},
		{"twice the weight, of its own", "aaaaaa", "aaaaccc", "c", 4, false},
		{"others' requests go before its check", "aaaa", "bbc", "a", 4, true},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(Settings{Rate: 100, Callers: map[string]Share{"c": {Weight: 2}}})
			run(l, atOnce(0, wire.Check, 100-len(tt.before))) // comes back from now + 1 s, one each 10 ms
			for _, c := range tt.before {
				run(l, by(string(c), atOnce(0, wire.Check, 1)))
			}
			time.Sleep(900 * time.Millisecond)
			for _, c := range tt.waiting {
				o := wire.Check
				if tt.requests {
					o = wire.Request
				}
				go l.Wait(t.Context(), string(c), o)
				synctest.Wait()
			}
			due := time.Now().Add(100*time.Millisecond + time.Duration(tt.want-1)*10*time.Millisecond)
			l.mu.Lock()
			expected, _ := l.expected(l.get(tt.comes), check)
			l.mu.Unlock()
			if !expected.Equal(due) {
				t.Errorf("the estimate is off by %v", expected.Sub(due))
			}
			if _, ok := l.Wait(t.Context(), tt.comes, wire.Check); !ok || !time.Now().Equal(due) {
				t.Errorf("it went (%t) at another time, off by %v", ok, time.Since(due))
			}
			time.Sleep(time.Second)
		})
	}
}

// TestCallerLeaves has the only call of a caller leave: nothing is left of it, and the
// next one gets its turn.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 8})
		burst(t, l)
		time.Sleep(900 * time.Millisecond)
		ctx, leave := context.WithCancel(t.Context())
		go l.Wait(ctx, "a", wire.Check)
		synctest.Wait()
		went := make(chan time.Time, 1)
		go func() {
			l.Wait(t.Context(), "b", wire.Check)
			went <- time.Now()
		}()
		synctest.Wait()
		due := time.Now().Add(100 * time.Millisecond)
		leave()
		synctest.Wait()
		l.mu.Lock()
		known, busy := l.callers["a"] != nil, len(l.busy)
		l.mu.Unlock()
		if known || busy != 1 {
			t.Errorf("it is known still, or %d wait", busy)
		}
		if at := <-went; !at.Equal(due) {
			t.Errorf("the next one went at another time, off by %v", at.Sub(due))
		}
	})
}

// TestConfigureShares changes shares while calls wait.
func TestConfigureShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := func(s Share) Settings { return Settings{Rate: -1, Callers: map[string]Share{"a": s}} }
		l := New(with(Share{Rate: 1}))
		l.Wait(t.Context(), "a", wire.Check)
		time.Sleep(800 * time.Millisecond)
		begun := time.Now()
		go l.Wait(t.Context(), "other", wire.Check)
		for _, raised := range []Share{{Rate: 2}, {}} {
			went := make(chan bool)
			go func() {
				_, ok := l.Wait(t.Context(), "a", wire.Check)
				went <- ok
			}()
			synctest.Wait()
			l.Configure(with(raised))
			if !<-went || time.Since(begun) != 0 {
				t.Errorf("with %+v it went %v later, or not at all", raised, time.Since(begun))
			}
			begun = time.Now()
		}
		l.Configure(Settings{Callers: map[string]Share{"b": {Weight: 3}}})
		if l.callers["a"] != nil || l.callers["b"].weight != 3 || !l.callers["b"].named {
			t.Errorf("known are %v", l.callers)
		}
		before := l.slots.back
		l.Configure(Settings{Callers: map[string]Share{"b": {Weight: 3}}})
		if &before[0] != &l.slots.back[0] {
			t.Error("the same settings have changed something")
		}
	})
}
