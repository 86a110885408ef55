package limit

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

var throttled = wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Throttled}}}

// arrival is a call that comes at a time after the start.
type arrival struct {
	at        time.Duration
	operation wire.Operation
	caller    string
}

// by makes calls those of a caller.
func by(caller string, arrivals []arrival) []arrival {
	for i := range arrivals {
		arrivals[i].caller = caller
	}
	return arrivals
}

// outcome is what became of it.
type outcome struct {
	arrival
	waited, retryAfter time.Duration
	ok, own            bool // own: refused by the caller's own limit
}

// run lets all arrivals call Wait at their times and returns what became of them.
// It is called in a synctest bubble.
func run(l *Limiter, arrivals []arrival) []outcome {
	var (
		start    = time.Now()
		outcomes = make([]outcome, len(arrivals))
		wg       sync.WaitGroup
	)
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) })
	for i, a := range arrivals {
		time.Sleep(time.Until(start.Add(a.at)))
		wg.Go(func() {
			came := time.Now()
			refusal, ok := l.Wait(context.Background(), a.caller, a.operation)
			outcomes[i] = outcome{a, time.Since(came), refusal.RetryAfter, ok, refusal.Own}
		})
		synctest.Wait() // calls of the same moment come in order
	}
	wg.Wait()
	return outcomes
}

// poisson makes perSecond calls of an operation at random times.
func poisson(random *rand.Rand, o wire.Operation, perSecond float64, d time.Duration) []arrival {
	var arrivals []arrival
	for at := time.Duration(0); ; {
		at += time.Duration(random.ExpFloat64() / perSecond * float64(time.Second))
		if at >= d {
			return arrivals
		}
		arrivals = append(arrivals, arrival{at: at, operation: o})
	}
}

// atOnce makes n calls of an operation in the same moment.
func atOnce(at time.Duration, o wire.Operation, n int) []arrival {
	return slices.Repeat([]arrival{{at: at, operation: o}}, n)
}

// sent returns when calls were let through, each up to jitter later.
func sent(random *rand.Rand, outcomes []outcome, jitter time.Duration) []time.Duration {
	var times []time.Duration
	for _, o := range outcomes {
		if o.ok {
			at := o.at + o.waited
			if jitter > 0 {
				at += time.Duration(random.Int64N(int64(jitter)))
			}
			times = append(times, at)
		}
	}
	slices.Sort(times)
	return times
}

// mostInASecond returns the most that happened in any second, both ends included.
func mostInASecond(times []time.Duration) (most int) {
	first := 0
	for i, at := range times {
		for at-times[first] > time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// of tells how many calls of an operation came and were let through, and how long
// the 50th and the 99th of a hundred of these waited.
func of(outcomes []outcome, o wire.Operation) (came, ok int, median, p99 time.Duration) {
	var waits []time.Duration
	for _, outcome := range outcomes {
		if outcome.operation != o {
			continue
		}
		came++
		if outcome.ok {
			waits = append(waits, outcome.waited)
		}
	}
	if ok = len(waits); ok > 0 {
		slices.Sort(waits)
		median, p99 = waits[ok/2], waits[ok*99/100]
	}
	return came, ok, median, p99
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
