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
			eventually(t, back, "open", func() bool {
				slot, err := gateways[0].Slot(t.Context(), store.Ask{Size: size, Most: -time.Second})
				return err == nil && slot.State == store.Full && gateways[0].Stats().Gateways == 4
			})
			var (
				mu   sync.Mutex
				at   []time.Duration
				wg   sync.WaitGroup
				lost = [2]time.Duration{2 * time.Second, 4 * time.Second}
			)
			start := time.Now()
			wg.Go(func() {
				time.Sleep(lost[0])
				tt.begin(s)
				time.Sleep(lost[1] - lost[0])
				tt.end(s)
			})
			tick := time.NewTicker(time.Second / 64)
			defer tick.Stop()
			for i := 0; time.Since(start) < 9*time.Second; i++ {
				<-tick.C
				g := gateways[0]
				if i%8 >= 5 {
					g = gateways[i%8-4]
				}
				wg.Go(func() {
					if wait, ok := g.wait(t, store.Ask{Size: size, Spare: i % 3 * 3, Most: 250 * time.Millisecond}); ok {
						mu.Lock()
						defer mu.Unlock()
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
			const window = 900 * time.Millisecond
			calm := storetest.Most(between(0, lost[0]), window)
			away := storetest.Most(between(lost[0]+time.Second, lost[1]), window)
			after := storetest.Most(between(lost[1]+3500*time.Millisecond, time.Hour), window)
			most := storetest.Most(at, time.Second)
			t.Logf("%d calls; most in a second: %d; in 0.9 s before %d, while it is away %d, afterwards %d", len(at), most, calm, away, after)
			if calm > size || away > size || after > size || most > 40 {
				t.Error("too many")
			}
			if calm < size/2 || away < size/4 || after < size/2 {
				t.Error("too few")
			}
		})
	}
}
