package limit

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// inside is all that a Limiter knows, but for timers.
type inside struct {
	slots      slots
	callers    map[string]caller
	waiting    int
	clock      int64
	made       recent
	cut, grown time.Time
	lowest     int
}

func insideOf(l *Limiter) inside {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := inside{
		slots: l.slots, callers: map[string]caller{}, waiting: l.waiting(), clock: l.clock, made: l.made,
		cut: l.cut, grown: l.grown, lowest: l.lowest,
	}
	i.slots.back = slices.Clone(l.slots.back)
	for name, c := range l.callers {
		known := *c
		for k, queue := range c.queue {
			known.queue[k] = make([]*waiter, len(queue))
		}
		i.callers[name] = known
	}
	i.made.calls = slices.Clone(l.made.calls)
	return i
}

// history is what became of a Limiter and its calls.
type history struct {
	outcomes []outcome
	changes  []told
	looks    []Stats
	end      inside
}

type told struct {
	at time.Duration
	Change
}

// live lets a Limiter have calls, the provider's throttling and other settings, at
// random, and be looked at now and then.
func live(t *testing.T, seed uint64, look func(*testing.T, *Limiter) Stats) (h history) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 5))
		const long = 40 * time.Second
		var arrivals []arrival
		for at := time.Duration(0); at < long; at += time.Duration(random.Int64N(int64(time.Second))) {
			arrivals = append(arrivals, atOnce(at, wire.Operations[random.IntN(len(wire.Operations))], 1+random.IntN(15))...)
		}
		begun := time.Now()
		l := New(Settings{})
		l.OnChange(func(c Change) { h.changes = append(h.changes, told{time.Since(begun), c}) })
		times := func(n int, f func()) {
			for range n {
				time.AfterFunc(time.Duration(random.Int64N(int64(long))), f)
			}
		}
		rate := 20 + random.IntN(20)
		times(6, func() { l.Observe(wire.Request, throttled) })
		times(1, func() { l.Configure(Settings{Rate: rate}) })
		var mu sync.Mutex
		times(300, func() {
			mu.Lock()
			defer mu.Unlock()
			h.looks = append(h.looks, look(t, l))
		})
		h.outcomes = run(l, arrivals)
		time.Sleep(time.Minute) // until all is recovered
		h.end = insideOf(l)
	})
	return h
}

// TestStatsAreARead has three Limiters live alike. Nobody looks at the first. The second
// is asked for its numbers, and the third for what calls find. What follows is the same.
func TestStatsAreARead(t *testing.T) {
	lowered := 0
	for seed := range uint64(20) {
		unseen := live(t, seed, func(*testing.T, *Limiter) Stats { return Stats{} })
		seen := live(t, seed, func(t *testing.T, l *Limiter) Stats {
			before := insideOf(l)
			stats := l.Stats()
			l.Callers()
			if after := insideOf(l); !reflect.DeepEqual(before, after) {
				t.Errorf("asking has changed\n\t%+v to\n\t%+v", before, after)
			}
			return stats
		})
		found := live(t, seed, func(_ *testing.T, l *Limiter) Stats {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.recover(time.Now())
			if l.lowered() {
				lowered++
			}
			return Stats{Rate: l.slots.n, Full: l.settings.Rate, Waiting: l.waiting()}
		})
		if !slices.Equal(seen.looks, found.looks) {
			t.Errorf("its numbers were\n\t%v, calls find\n\t%v", seen.looks, found.looks)
		}
		if !slices.Equal(seen.outcomes, unseen.outcomes) {
			t.Error("other calls went")
		}
		if !slices.Equal(seen.changes, unseen.changes) {
			t.Errorf("it told %v, want %v", seen.changes, unseen.changes)
		}
		if !reflect.DeepEqual(seen.end, unseen.end) {
			t.Errorf("in the end it is\n\t%+v, want\n\t%+v", seen.end, unseen.end)
		}
	}
	if lowered < 500 {
		t.Errorf("the rate was lowered at %d of the moments: the test tests little", lowered)
	}
}
