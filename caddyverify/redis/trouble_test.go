package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// back is within what time gateways use the store again, on the busiest machine: the tests log
// how long it takes.
const back = time.Minute

// TestTrouble has many callers use a store to which something happens.
func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		name       string
		begin, end func(*server)
		empty      bool
	}{
		{name: "it hangs", begin: (*server).hang, end: (*server).resume},
		{name: "it dies and comes back empty", begin: (*server).kill, end: (*server).restart, empty: true},
		{name: "connections are cut", begin: cutAll, end: func(*server) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			g := gateway(t, s.dial(), "gateway")
			eventually(t, back, "connected", g.Watching)
			var flushes atomic.Int64
			g.Watch(func(n store.Name) {
				if n == (store.Name{}) {
					flushes.Add(1)
				}
			})
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			took := make([][]time.Duration, callers)
			var ended [callers]atomic.Int64
			for i := range callers {
				wg.Go(func() {
					for ctx.Err() == nil {
						start := time.Now()
						_, err := g.Look(context.WithoutCancel(ctx), store.Name{Kind: store.Verification, ID: "id"}, "json")
						took[i] = append(took[i], time.Since(start))
						ended[i].Add(1)
						if err != nil && !errors.Is(err, store.ErrAway) {
							t.Error(err)
						}
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
			time.Sleep(300 * time.Millisecond)
			tt.begin(s)
			time.Sleep(outage)
			var before [callers]int64
			for i := range ended {
				before[i] = ended[i].Load()
			}
			for i := range ended { // the first may have begun before the trouble
				eventually(t, back, "an answer to a call while the store is away", func() bool { return ended[i].Load() > before[i]+1 })
			}
			stats := g.Stats()
			tt.end(s)
			recovery := eventually(t, back, "back", func() bool { return g.Watching() && g.Stats().Away.IsZero() })
			stop()
			wg.Wait()

			all := make(chan time.Duration, 1<<20)
			for _, one := range took {
				for _, d := range one {
					all <- d
				}
			}
			close(all)
			n := len(all)
			p50, p99, most := percentiles(all)
			t.Logf("%d calls: p50 %v, p99 %v, at most %v; back after %v; %d sent, %d not",
				n, p50, p99, most, recovery, stats.Calls, stats.Alone)
			// The figures above are for people: machines differ.
			eventually(t, back, "copies in memory are dropped", func() bool { return flushes.Load() > 0 })
			if tt.empty && g.Stats().Forgot == 0 {
				t.Error("nobody knows that the store has forgotten")
			}
		})
	}
}

// outage is how long the store is in trouble.
const outage = 1500 * time.Millisecond

func cutAll(s *server) {
	admin := s.admin()
	if err := admin.Do(s.t.Context(), admin.B().ClientKill().TypeNormal().SkipmeYes().Build()).Error(); err != nil {
		s.t.Error(err)
	}
}

// TestPushAfterLoss has pushes come again after a loss, without a call but the beats.
func TestPushAfterLoss(t *testing.T) {
	s := newServer(t)
	here, there := gateway(t, s.dial(), "here"), gateway(t, s.dial(), "there")
	id := store.Name{Kind: store.Verification, ID: "id"}
	told := make(chan store.Name, 100)
	var losses atomic.Int64
	here.Watch(func(n store.Name) {
		if n == (store.Name{}) {
			losses.Add(1)
		} else {
			told <- n
		}
	})
	local := func() bool { return here.Watching() && there.Stats().Away.IsZero() }
	eventually(t, back, "connected", local)
	for range 3 {
		before := losses.Load()
		cutAll(s)
		eventually(t, back, "noticed", func() bool { return losses.Load() > before }) // a beat may have mended it since
		eventually(t, back, "back", local)
		eventually(t, back, "told", func() bool {
			_, _ = there.Before(t.Context(), id, store.NewMark(), time.Second)
			for {
				select {
				case n := <-told:
					if n == here.Hidden(id) {
						return true
					}
				case <-time.After(100 * time.Millisecond):
					return false
				}
			}
		})
	}
}

// TestPushTime measures how long it takes until a check elsewhere is heard of.
func TestPushTime(t *testing.T) {
	s := newServer(t)
	here, there := s.patient().open("account", "here"), s.patient().open("account", "there")
	told := make(chan time.Time, 1)
	here.Watch(func(n store.Name) {
		if n != (store.Name{}) {
			told <- time.Now()
		}
	})
	const n = 500
	times := make(chan time.Duration, n)
	for range n {
		start := time.Now()
		if err := there.After(t.Context(), store.Name{Kind: store.Verification, ID: "id"}, "m"); err != nil {
			t.Fatal(err)
		}
		select {
		case at := <-told:
			times <- at.Sub(start)
		case <-time.After(back):
			t.Fatal("a push is lost")
		}
	}
	close(times)
	p50, p99, most := percentiles(times)
	t.Logf("heard of p50 %v, p99 %v, at most %v after the call began", p50, p99, most)
}

func percentiles(times <-chan time.Duration) (p50, p99, most time.Duration) {
	var all []time.Duration
	for d := range times {
		all = append(all, d)
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
}

// TestFirstCalls has calls come at once when a gateway begins: none goes on alone for want of a
// connection that is being made.
func TestFirstCalls(t *testing.T) {
	c := dial(options{addresses: []string{newServer(t).address()}, prefix: "verify", patient: true})
	defer c.close()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), back)
		defer cancel()
		if _, err := c.open("account", "gateway").Look(ctx, store.Name{Kind: store.Verification, ID: "id"}, "json"); err != nil {
			t.Fatal(err)
		}
	}
}
