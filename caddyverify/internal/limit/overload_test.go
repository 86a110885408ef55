package limit

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestOverload has ten times the limit come for a minute and shows that the
// provider's limit is kept, used, and shared as it should be.
func TestOverload(t *testing.T) {
	const minute = time.Minute
	tests := []struct {
		name                    string
		request, checks, search float64 // calls a second
		leastChecks             float64 // share of them that is let through
		longestCheck            time.Duration
		leastOthers             int // calls a second
	}{
		{"usual checks in a flood of requests and searches", 135, 5, 140, 1, 150 * time.Millisecond, 20},
		{"as many checks as the reserve", 134, 6, 140, 0.99, 200 * time.Millisecond, 20},
		{"a third of everything", 93, 93, 94, 0.2, 250 * time.Millisecond, 6},
		{"nothing but checks", 0, 280, 0, 0.095, 250 * time.Millisecond, 0},
		{"nothing but requests", 280, 0, 0, 0, 0, 27},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var arrivals []arrival
			for o, rate := range map[wire.Operation]float64{wire.Request: tt.request, wire.Check: tt.checks, wire.Search: tt.search} {
				if rate > 0 {
					arrivals = append(arrivals, poisson(rand.New(rand.NewPCG(uint64(o), 3)), o, rate, minute)...)
				}
			}
			l := New(Settings{})
			outcomes := run(l, arrivals)

			times := sent(random, outcomes, 0)
			most := mostInASecond(times)
			if most > 30 {
				t.Errorf("%d calls went out within one second, more than 30", most)
			}
			delayed := mostInASecond(sent(random, outcomes, 70*time.Millisecond))
			if delayed > 30 {
				t.Errorf("%d calls arrived within one second, more than 30", delayed)
			}
			if perSecond := float64(len(times)) / minute.Seconds(); perSecond < 27 {
				t.Errorf("only %.1f calls a second went out of 28", perSecond)
			}
			for _, o := range outcomes {
				switch {
				case o.waited > 250*time.Millisecond:
					t.Fatalf("%v waited for %v", o.operation, o.waited)
				case !o.ok && o.retryAfter < time.Second:
					t.Fatalf("%v was refused with retry-after %v", o.operation, o.retryAfter)
				}
			}
			others := 0
			for _, o := range wire.Operations {
				came, ok, median, p99 := of(outcomes, o)
				if came == 0 {
					continue
				}
				t.Logf("%-7v %5d of %5d let through (%.1f %%), waited for %v (median), %v (p99)",
					o, ok, came, 100*float64(ok)/float64(came), median.Round(time.Millisecond), p99.Round(time.Millisecond))
				if o != wire.Check {
					others += ok
					continue
				}
				if share := float64(ok) / float64(came); share < tt.leastChecks {
					t.Errorf("%.3f of the checks were let through, less than %.3f", share, tt.leastChecks)
				}
				if p99 > tt.longestCheck {
					t.Errorf("a check waited for %v, more than %v", p99, tt.longestCheck)
				}
			}
			if others < tt.leastOthers*60 {
				t.Errorf("%d of the others were let through in a minute, less than %d", others, tt.leastOthers*60)
			}
			t.Logf("at most %d in a second, %d with up to 70 ms on the way; %d in all", most, delayed, len(times))
		})
	}
}

// TestBound has bursts, pauses and throttling at random and looks for a second
// with too many calls in it.
func TestBound(t *testing.T) {
	waited := 0
	for seed := range uint64(20) {
		bubble(t, "", func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var arrivals []arrival
			for at := time.Duration(0); at < 30*time.Second; {
				o := wire.Operations[random.IntN(len(wire.Operations))]
				arrivals = append(arrivals, atOnce(at, o, 1+random.IntN(40))...)
				at += []time.Duration{0, 36 * time.Millisecond, 100 * time.Millisecond, time.Second, 3 * time.Second}[random.IntN(5)]
			}
			l := New(Settings{})
			for range random.IntN(5) {
				after := time.Duration(random.Int64N(int64(30 * time.Second)))
				time.AfterFunc(after, func() { l.Observe(wire.Request, throttled) })
			}
			outcomes := run(l, arrivals)
			if most := mostInASecond(sent(random, outcomes, 0)); most > 29 {
				t.Errorf("%d calls went out within one second, more than 28 and one at the end", most)
			}
			if most := mostInASecond(sent(random, outcomes, 70*time.Millisecond)); most > 30 {
				t.Errorf("%d calls arrived within one second, more than 30", most)
			}
			for _, o := range outcomes {
				if o.waited > 0 {
					waited++
				}
			}
		})
	}
	if waited < 500 {
		t.Errorf("only %d calls waited: the test tests nothing", waited)
	}
}
