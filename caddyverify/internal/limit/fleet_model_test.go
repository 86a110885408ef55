package limit

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFleetModel has what TestModel has come to two gateways, whose store is lost at times and
// whose configurations change.
func TestFleetModel(t *testing.T) {
	type event struct {
		happening
		gateway int
		store   string
	}
	generated := rapid.Custom(func(t *rapid.T) event {
		return event{
			events.Draw(t, "what"), rapid.IntRange(0, 1).Draw(t, "gateway"),
			rapid.SampledFrom([]string{"", "", "", "", "", "", "lost", "back", "none", "shared", "off"}).Draw(t, "store"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.SampledFrom([]int{1, 2, 8, 28}).Draw(rt, "rate")
		searches := rapid.SampledFrom([]int{0, 1, 4}).Draw(rt, "searches")
		list := rapid.SliceOfN(generated, 1, 80).Draw(rt, "events")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, Settings{Rate: rate})
			var (
				mu       sync.Mutex
				wg       sync.WaitGroup
				begun    = time.Now()
				went     []time.Duration
				searched []time.Duration
				stable   = true // it has been one store, and one rate, all the time
				settings = func(r int) Settings {
					return Settings{Rate: r, SearchRate: min(searches, rate), Callers: map[string]Share{"small": {Rate: ownRate}}}
				}
			)
			call := func(e event) {
				ctx, came := context.Background(), time.Now()
				if e.patience > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, e.patience)
					defer cancel()
				}
				m := f.gateways[e.gateway]
				var refusal Refusal
				var ok bool
				if e.kind == "own" {
					ok = m.WaitFirst(ctx)
				} else {
					refusal, ok = m.Wait(ctx, e.caller, e.o)
				}
				now := time.Now()
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e.kind == "call" && now.Sub(came) > maxWait:
					problem = fmt.Sprintf("a call waited for %v", now.Sub(came))
				case !ok && ctx.Err() == nil && refusal.RetryAfter < time.Second:
					problem = fmt.Sprintf("a refusal says %+v", refusal)
				case ok:
					went = append(went, now.Sub(begun))
					if e.kind == "call" && e.o == wire.Search {
						searched = append(searched, now.Sub(begun))
					}
				}
			}
			for _, m := range f.gateways {
				m.trip.Store(0)
				m.Configure(settings(rate))
			}
			for _, e := range list {
				time.Sleep(e.after)
				m := f.gateways[e.gateway]
				stable = stable && e.store == ""
				switch e.store {
				case "lost", "back":
					f.fails.Store(e.store == "lost")
				case "none":
					m.Share(nil)
				case "shared":
					m.Share(m.shared)
				case "off":
					m.Configure(settings(-1))
					m.Configure(settings(rate))
				}
				switch e.kind {
				case "throttle":
					m.Observe(wire.Request, throttled)
				case "search throttle":
					m.Observe(wire.Search, throttled)
				case "shares":
				default:
					for range e.times {
						wg.Go(func() { call(e) })
					}
				}
				synctest.Wait()
				for _, m := range f.gateways {
					if found := inconsistent(m.Limiter); found != "" && problem == "" {
						problem = found
					}
				}
			}
			wg.Wait()
			for _, m := range f.gateways {
				if (m.Stats().Waiting != 0 || len(m.busy) != 0) && problem == "" {
					problem = "somebody waits still"
				}
			}
			if most := mostInASecond(went); stable && most > rate+1 && problem == "" { // both ends of the second
				problem = fmt.Sprintf("%d calls in a second", most)
			}
			parts := 2 * max(1, min(searches, rate)/2) // at least one for each gateway
			if most := mostInASecond(searched); stable && searches > 0 && most > parts+2 && problem == "" {
				problem = fmt.Sprintf("%d searches in a second, of %d", most, parts)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
