package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store/storetest"
)

const size = 28

// alone is a gateway that goes on by itself while the store is away: with its share, counting
// what it has sent itself in the last second.
type alone struct {
	*store.Shared
	mu     sync.Mutex
	sent   []time.Time
	lonely []time.Time // those without a slot
}

// wait returns after what time a call may be made; false if it may not.
func (a *alone) wait(t *testing.T, ask store.Ask) (time.Duration, bool) {
	slot, err := a.Slot(t.Context(), ask)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if err == nil && slot.State != store.Alone {
		if slot.State == store.Given {
			a.sent = append(a.sent, now.Add(slot.Wait))
		}
		return slot.Wait, slot.State == store.Given
	}
	stats := a.Stats()
	// In the first second, what the fleet had not used is all that there is.
	left := size
	if !stats.Away.IsZero() && now.Sub(stats.Away) < time.Second {
		left -= stats.Used
	}
	since := now.Add(-time.Second)
	gateways := max(1, stats.Gateways)
	if count(a.sent, since) >= size/gateways || count(a.lonely, since) >= left/gateways {
		return 0, false
	}
	a.sent, a.lonely = append(a.sent, now), append(a.lonely, now)
	a.Spent(1)
	return 0, true
}

func count(all []time.Time, since time.Time) (n int) {
	for _, at := range all {
		if at.After(since) {
			n++
		}
	}
	return n
}

// TestRateInTrouble offers 64 calls a second to four gateways, 40 of them to one. In the second
// in which the store is lost or returns there may be 40, in all others 28; an answer may come
// a little later than the slot was given.
func TestRateInTrouble(t *testing.T) { //nolint:tparallel // it would slow the others' clocks
	for _, tt := range []struct {
		name       string
		begin, end func(*server)
	}{
		{"it hangs", (*server).hang, (*server).resume},
		{"it dies and comes back empty", (*server).kill, (*server).restart},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var gateways []*alone
			for i := range 4 {
				gateways = append(gateways, &alone{Shared: gateway(t, s.dial(), fmt.Sprint(i))})
			}
			inTime(t, func() (fault, late string) { return rateInTrouble(t, s, gateways, tt.begin, tt.end) })
		})
	}
}

func rateInTrouble(t *testing.T, s *server, gateways []*alone, begin, end func(*server)) (fault, late string) {
	eventually(t, back, "open", func() bool {
		slot, err := gateways[0].Slot(t.Context(), store.Ask{Size: size, Most: -time.Second})
		return err == nil && slot.State == store.Full && gateways[0].Stats().Gateways == 4
	})
	const (
		from, to, settled = 2 * time.Second, 4 * time.Second, 7500 * time.Millisecond
		window            = 900 * time.Millisecond
		tolerated         = time.Second - window
	)
	var (
		mu      sync.Mutex
		at      []time.Duration
		wg      sync.WaitGroup
		slowest time.Duration
		missed  uint64 // calls that the store did not answer in time, but for the trouble
	)
	failures := func() (n uint64) {
		for _, g := range gateways {
			st := g.Stats()
			n += st.Failed + st.Alone
		}
		return n
	}
	start := time.Now()
	wg.Go(func() {
		until := func(d time.Duration) {
			time.Sleep(d - time.Since(start))
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(start)-d)
		}
		before := failures()
		until(from)
		missed += failures() - before
		begin(s)
		until(to)
		end(s)
		until(settled)
		before = failures()
		until(9 * time.Second)
		missed += failures() - before
	})
	tick := time.NewTicker(time.Second / 64)
	defer tick.Stop()
	offered := 0
	for ; time.Since(start) < 9*time.Second; offered++ {
		<-tick.C
		i := offered
		g := gateways[0]
		if i%8 >= 5 {
			g = gateways[i%8-4]
		}
		wg.Go(func() {
			asked := time.Now()
			wait, ok := g.wait(t, store.Ask{Size: size, Spare: i % 3 * 3, Most: 250 * time.Millisecond})
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(asked))
			if ok {
				at = append(at, time.Since(start)+wait)
			}
		})
	}
	wg.Wait()
	between := func(from, to time.Duration) (some []time.Duration) {
		for _, a := range at {
			if a >= from && a < to {
				some = append(some, a)
			}
		}
		return some
	}
	calm := storetest.Most(between(0, from), window)
	away := storetest.Most(between(from+time.Second, to), window)
	after := storetest.Most(between(settled, time.Hour), window)
	most := storetest.Most(at, time.Second)
	t.Logf("%d calls; most in a second: %d; in 0.9 s before %d, while it is away %d, afterwards %d", len(at), most, calm, away, after)
	if missed > 0 || slowest > tolerated || offered < 9*60 {
		late = fmt.Sprintf("%d offered, the slowest call took %v, and %d had no answer in time", offered, slowest, missed)
	}
	switch {
	case calm > size || away > size || after > size || most > 40:
		fault = "too many"
	case calm < size/2 || away < size/4 || after < size/2:
		fault = "too few"
	}
	return fault, late
}

// inTime measures by a real clock, and again if that finds a fault while the machine was late.
func inTime(t *testing.T, measure func() (fault, late string)) {
	t.Helper()
	const tries = 10
	for range tries {
		fault, late := measure()
		if fault == "" {
			return
		}
		if late == "" {
			t.Fatal(fault)
		}
		t.Logf("%s; once more, as the machine was late: %s", fault, late)
	}
	t.Errorf("the machine was late %d times", tries)
}
