package limit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSearchRate keeps searches to their figure in any second, whatever else is called, and
// lets a busy account's searches have all of it.
func TestSearchRate(t *testing.T) {
	for _, s := range []Settings{{SearchRate: 5}, {SearchRate: 1}, {SearchRate: 28}, {Rate: -1, SearchRate: 5}} {
		bubble(t, fmt.Sprintf("%d of %d", s.SearchRate, s.Rate), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			calls := slices.Concat(
				poisson(random, wire.Search, float64(2*s.SearchRate), time.Minute),
				atOnce(10*time.Second, wire.Search, 3*s.SearchRate), atOnce(11*time.Second, wire.Search, 3*s.SearchRate),
			)
			if s.SearchRate < 28 {
				calls = append(calls, poisson(random, wire.Request, 10, time.Minute)...)
			}
			outcomes := run(New(s), calls)
			var searches []outcome
			for _, o := range outcomes {
				if o.operation == wire.Search {
					searches = append(searches, o)
				} else if o.waited > 0 || !o.ok {
					t.Errorf("a request waited for %v: %+v", o.waited, o)
				}
				if o.waited > maxWait || !o.ok && o.retryAfter < time.Second {
					t.Errorf("got %+v", o)
				}
			}
			if most := mostInASecond(sent(nil, searches, 0)); most > s.SearchRate+1 { // both ends included
				t.Errorf("%d searches in a second, of %d", most, s.SearchRate)
			}
			if _, ok, _, _ := of(outcomes, wire.Search); ok < 60*s.SearchRate*4/10 {
				t.Errorf("%d searches in a minute of %d a second", ok, s.SearchRate)
			}
		})
	}
}

// TestSearchesKeepNobodyBack has a flood of searches beside all that an account can make: it
// has its figure, and the checks of its own caller and of others are made as if no more than
// these came.
func TestSearchesKeepNobodyBack(t *testing.T) {
	calls := func(searches float64) (all []arrival) {
		for i, caller := range []string{"app", "other"} {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			all = append(all, by(caller, poisson(random, wire.Check, 3, time.Minute))...)
			all = append(all, by(caller, poisson(random, wire.Request, 3, time.Minute))...)
		}
		return append(all, by("app", poisson(rand.New(rand.NewPCG(1, 4)), wire.Search, searches, time.Minute))...)
	}
	for _, slow := range []bool{false, true} { // by the settings, or by the provider
		bubble(t, fmt.Sprint("throttled ", slow), func(t *testing.T) {
			s := Settings{SearchRate: 5, Callers: map[string]Share{"app": {}, "other": {}}}
			if slow {
				s.SearchRate = 0
			}
			var l *Limiter
			outcomes := func(searches float64) []outcome {
				l = New(s)
				if slow {
					ticker := time.NewTicker(time.Second)
					defer ticker.Stop()
					done := make(chan struct{})
					defer close(done)
					go func() {
						for {
							l.Observe(wire.Search, throttled)
							select {
							case <-ticker.C:
							case <-done:
								return
							}
						}
					}()
					synctest.Wait()
				}
				return run(l, calls(searches))
			}
			alone, flooded := outcomes(5), outcomes(200)
			for _, o := range []wire.Operation{wire.Check, wire.Request} {
				came, made, _, late := of(alone, o)
				_, ok, median, p99 := of(flooded, o)
				t.Logf("%s: %d came, %d were made, p99 %v; without the flood %d, %v", o, came, ok, p99, made, late)
				if ok < made-came/100 || median > 0 || p99 > late+40*time.Millisecond {
					t.Errorf("that is too few or too late")
				}
			}
			if _, ok, _, _ := of(flooded, wire.Search); !slow && (ok < 270 || ok > 310) {
				t.Errorf("%d searches were made in a minute", ok)
			}
		})
	}
}

// TestFairSearches has callers share the searches' figure alike, whatever else they call, and
// nobody save up for other calls while its searches are kept back.
func TestFairSearches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{SearchRate: 8, Callers: map[string]Share{"busy": {}, "searcher": {}, "heavy": {Weight: 2}}})
		rate := func(caller string, o wire.Operation, perSecond float64, seed uint64) []arrival {
			return by(caller, poisson(rand.New(rand.NewPCG(seed, 5)), o, perSecond, time.Minute))
		}
		outcomes := run(l, slices.Concat(
			rate("busy", wire.Search, 20, 1), rate("busy", wire.Request, 12, 2),
			rate("searcher", wire.Search, 60, 3), rate("heavy", wire.Search, 40, 4),
		))
		made := map[string]int{}
		for _, o := range outcomes {
			if o.ok && o.operation == wire.Search {
				made[o.caller]++
			}
		}
		t.Logf("searches in a minute: %v", made)
		if made["busy"] < 90 || made["searcher"] < 90 || made["heavy"] < 190 {
			t.Errorf("of 480 searches they made %v, want 120, 120 and 240 or so", made)
		}
	})
}

// TestSearchesSaveNothing has a caller's searches be kept back for a minute, and then all call
// more than there is.
func TestSearchesSaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{SearchRate: 8, Callers: map[string]Share{"a": {}, "b": {}}})
		var searches []arrival
		for at := time.Duration(0); at < 70*time.Second; at += 10 * time.Millisecond {
			searches = append(searches, arrival{at, wire.Search, "a"})
		}
		minute := slices.Concat(
			searches,
			by("b", poisson(rand.New(rand.NewPCG(2, 6)), wire.Request, 20, time.Minute)),
		)
		var later []arrival
		for i, caller := range []string{"a", "b", "c", "d", "e"} {
			for _, a := range by(caller, poisson(rand.New(rand.NewPCG(uint64(i), 7)), wire.Request, 60, 10*time.Second)) {
				a.at += time.Minute
				later = append(later, a)
			}
		}
		made := map[string]int{}
		for _, o := range run(l, append(minute, later...)) {
			if o.ok && o.at > time.Minute && o.at < time.Minute+5*time.Second {
				made[o.caller]++
			}
		}
		t.Logf("in 5 s they made %v", made)
		if made["a"] > 35 || made["b"] < 20 {
			t.Errorf("in 5 s of 28 calls they made %v, want 28 each or so", made)
		}
	})
}

// TestSearchesAreNotAhead has a search wait for a slot of the searches': that is not before
// others' calls, nor before its caller's, and a refused one is no reason to let requests pass
// checks.
func TestSearchesAreNotAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Callers: map[string]Share{"app": {}, "other": {}}, SearchRate: 5})
		begun := time.Now()
		for range 5 {
			l.Wait(t.Context(), "", wire.Search)
		}
		for range 5 {
			if _, ok := l.Wait(t.Context(), "app", wire.Search); ok {
				t.Fatal("there are more than 5 searches")
			}
		}
		for range 3 {
			l.Wait(t.Context(), "app", wire.Check)
		}
		if row := l.callers["app"].row; row != [classes]int{} {
			t.Errorf("checks are behind in the order by %v", row)
		}
		for i := 0; !l.slotAt(0).After(time.Now()); i++ {
			l.Wait(t.Context(), fmt.Sprint("other", max(i-6, 0)), wire.Check)
		}
		time.Sleep(800 * time.Millisecond)
		go l.Wait(t.Context(), "app", wire.Search)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waiting() != 1 {
			t.Fatalf("%d calls wait", l.waiting())
		}
		l.callers["app"].row[check] = inRow // so that it is another's turn
		if n := l.before(l.callers["other0"], 0, l.searchesHeld(time.Now())); n > 0 {
			t.Errorf("%d calls are before another's", n)
		}
		for _, caller := range []string{"app", "other"} {
			if shared, _ := l.expected(l.get(caller), check); shared.Sub(begun) != time.Second {
				t.Errorf("a check of %s is expected to be made after %v", caller, shared.Sub(begun))
			}
		}
	})
}

// TestSearchFlood has a flood begin when all slots are free: it leaves others some.
func TestSearchFlood(t *testing.T) {
	for _, rate := range []int{28, -1} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Settings{Rate: rate, SearchRate: 8, Callers: map[string]Share{"app": {}, "other": {}}})
			outcomes := run(l, slices.Concat(
				by("app", poisson(rand.New(rand.NewPCG(1, 8)), wire.Search, 200, time.Second)),
				by("other", atOnce(100*time.Millisecond, wire.Search, 2)),
			))
			for _, o := range outcomes {
				if o.caller == "other" && (!o.ok || o.waited > 0) {
					t.Errorf("with a limit of %d it got %+v", rate, o)
				}
			}
		})
	}
}

// TestProbesPassSearches: the gateway's own searches wait for no slot of the searches', and
// count.
func TestProbesPassSearches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{SearchRate: 4})
		for range 4 {
			l.Wait(t.Context(), "", wire.Search)
		}
		begun := time.Now()
		if !l.WaitFirst(t.Context()) || time.Since(begun) > 0 {
			t.Errorf("it waited for %v", time.Since(begun))
		}
		time.Sleep(time.Second)
		if _, ok := l.Wait(t.Context(), "", wire.Search); !ok || time.Since(begun) != 1250*time.Millisecond {
			t.Errorf("the next search was made after %v: %t", time.Since(begun), ok)
		}
	})
}

// TestConfigureSearches changes their figure in the midst of calls.
func TestConfigureSearches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		var searches []time.Duration
		begun := time.Now()
		flood := func(d time.Duration) (n int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if _, ok := l.Wait(t.Context(), "", wire.Search); ok {
					n++
					searches = append(searches, time.Since(begun))
				}
			}
			return n
		}
		flood(3 * time.Second)
		l.Configure(Settings{SearchRate: 5})
		searches = nil
		time.Sleep(time.Nanosecond)
		if n := flood(10 * time.Second); n < 45 || mostInASecond(searches) > 6 {
			t.Errorf("%d searches in 10 s, %d in one", n, mostInASecond(searches))
		}
		l.Configure(Settings{SearchRate: 9})
		if s := l.Stats(); s.SearchRate != 9 || s.SearchFull != 9 {
			t.Errorf("got %+v", s)
		}
		if n := flood(10 * time.Second); n < 80 || mostInASecond(searches) > 10 {
			t.Errorf("%d searches in 10 s, %d in one", n, mostInASecond(searches))
		}
		l.Observe(wire.Search, throttled)
		l.Configure(Settings{SearchRate: 11}) // what was throttled stays so
		if s := l.Stats(); s.SearchRate != 7 || s.SearchFull != 11 {
			t.Errorf("got %+v", s)
		}
		l.Configure(Settings{Rate: -1})
		if n := flood(time.Second); n != 50 || l.Stats() != (Stats{}) {
			t.Errorf("%d searches in a second, %+v", n, l.Stats())
		}
		l.Configure(Settings{Rate: -1, SearchRate: 5})
		if n := flood(700 * time.Millisecond); n > 0 {
			t.Errorf("%d searches in the second after any number", n)
		}
	})
}

// TestSearchesOfAFleet: each gateway has an equal part of their figure, at least one, and
// learns of their throttling by itself.
func TestSearchesOfAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, Settings{SearchRate: 7})
		parts := func(when string, want ...int) {
			t.Helper()
			var got []int
			for _, m := range f.gateways {
				got = append(got, m.Stats().SearchRate)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s the parts are %v, want %v", when, got, want)
			}
		}
		parts("at first", 2, 2, 2)
		f.gateways[0].Observe(wire.Search, throttled)
		parts("throttled", 1, 2, 2)
		time.Sleep(time.Second)
		parts("later", 2, 2, 2)
		outcomes := f.run(divide(1, "", mix{search: 30}, 20*time.Second, 1, 1, 1)...)
		for i := range outcomes {
			times := sent(nil, outcomes[i], 0)
			if len(times) < 35 || mostInASecond(times) > 3 {
				t.Errorf("gateway %d made %d searches in 20 s, %d in one", i, len(times), mostInASecond(times))
			}
		}
		f.gateways[2].stop()
		time.Sleep(10 * time.Second)
		parts("one has gone", 3, 3, 2)
		f.fails.Store(true)
		time.Sleep(10 * time.Second)
		parts("the store is away", 3, 3, 2)
		f.gateways[0].Share(nil)
		parts("one is without a store", 7, 3, 2)
		f.gateways[1].Configure(Settings{SearchRate: 1})
		parts("there is less", 7, 1, 2)
	})
}
