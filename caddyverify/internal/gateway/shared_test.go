package gateway

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const testNumber = "447700900000"

// TestFleetCountsOnce is of verifications that start at one gateway and end at others.
func TestFleetCountsOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(f *fleet, id string)
	}{
		{"checked elsewhere", func(f *fleet, id string) {
			f.all[1].check("app", id, testCode)
		}},
		{"checked elsewhere, after a wrong code", func(f *fleet, id string) {
			f.all[1].check("app", id, "0000")
			f.all[2].check("app", id, testCode)
		}},
		{"seen by all in one moment", func(f *fleet, id string) {
			f.endUnseen(id)
			var wg sync.WaitGroup
			for _, m := range f.all {
				wg.Go(func() { m.lookFor("app", id) })
			}
			wg.Wait()
		}},
		{"the store is away meanwhile", func(f *fleet, id string) {
			f.all[1].check("app", id, "0000") // so that it knows the start
			f.away(true)
			f.all[1].check("app", id, testCode)
			f.all[2].lookFor("app", id)
			time.Sleep(bookAlone / 2)
			if all := f.finished("app"); len(all) != 0 {
				f.t.Errorf("counted at once: %+v", all)
			}
			f.away(false)
		}},
		{"and who ended it did not know the start", func(f *fleet, id string) {
			f.away(true)
			f.all[1].check("app", id, testCode)
			f.all[0].lookFor("app", id)
			time.Sleep(bookAlone / 2)
			f.away(false)
		}},
		{"the store's answers are lost", func(f *fleet, id string) {
			f.all[1].link.deaf.Store(true)
			f.all[1].check("app", id, testCode)
			time.Sleep(5 * time.Second)
			f.all[1].link.deaf.Store(false)
		}},
		{"all have been restarted", func(f *fleet, id string) {
			f.restart()
			f.all[0].check("app", id, testCode)
			settled()
			for _, m := range f.all {
				m.lookFor("app", id)
			}
		}},
		{"all have been restarted, and it is only searched for", func(f *fleet, id string) {
			f.endUnseen(id)
			f.restart()
			f.all[2].lookFor("app", id)
		}},
		{"again hours later", func(f *fleet, id string) {
			f.all[1].check("app", id, testCode)
			time.Sleep(90 * time.Minute) // the ledgers have forgotten
			for _, m := range f.all {
				m.lookFor("app", id)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 3, direct(newSandbox(t)))
				id := f.all[0].start("app", testNumber)
				if s := f.all[0].Account.Snapshot().Verifications; s.UnderWay != 1 {
					t.Errorf("where it started there is %+v", s)
				}
				time.Sleep(20 * time.Second)
				tt.end(f, id)
				settled()
				f.wantOnce("app")
			})
		})
	}
}

// endUnseen ends a verification through a gateway that shares nothing.
func (f *fleet) endUnseen(id string) {
	call(newGateway(f.t, newAccount(f.t), f.api, "https://provider.example"), "/verify/check/json", "request_id="+id+"&code="+testCode)
}

// restart has all gateways forget what they knew, but for the store.
func (f *fleet) restart() {
	n := len(f.all)
	for _, m := range f.all {
		m.Close()
		m.Account.Close()
	}
	f.all = nil
	for range n {
		f.join()
	}
}

// TestStoreAwayForLong: who saw the start counts its end, and others are told as soon as they can be.
func TestStoreAwayForLong(t *testing.T) {
	for _, by := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, direct(newSandbox(t)))
			id := f.all[0].start("app", testNumber)
			f.all[1].check("app", id, "0000") // so that both know it
			f.away(true)
			f.all[by].check("app", id, testCode)
			time.Sleep(bookAlone + 5*time.Second)
			if n := len(f.finished("app")); n != map[int]int{0: 1}[by] {
				t.Errorf("counted %d times where gateway %d saw the end", n, by)
			}
			f.away(false)
			settled()
			f.all[1-by].lookFor("app", id)
			settled()
			f.wantOnce("app")
			if fee := f.paid("app")["fee"]; fee != 0.05 {
				t.Errorf("it has cost %v where gateway %d saw the end", fee, by)
			}
		})
	}
}

// TestUntrackedOverGateways: what no gateway has seen start is counted once, too.
func TestUntrackedOverGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, direct(newSandbox(t)))
		body := call(newGateway(t, newAccount(t), f.api, "https://provider.example"), "/verify/json", "brand=Acme&number="+testNumber)
		_, id, _ := strings.Cut(body, `"request_id":"`)
		id, _, _ = strings.Cut(id, `"`)
		for _, m := range f.all {
			m.check("app", id, testCode)
			m.lookFor("app", id)
		}
		time.Sleep(bookAlone)
		settled()
		if n := f.untracked(); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

// TestLateStart: the start becomes known while its end waits for that, which takes about as long again at most.
func TestLateStart(t *testing.T) {
	for away, within := range map[time.Duration]time.Duration{
		2 * bookAgain: bookFirst, 5 * time.Second: 5 * time.Second, bookAlone / 2: bookAlone / 2,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, direct(newSandbox(t)))
			f.all[0].link.away.Store(true)
			id := f.all[0].start("app", testNumber)
			f.all[1].check("app", id, testCode)
			time.Sleep(away)
			f.all[0].link.away.Store(false)
			time.Sleep(within)
			settled()
			f.wantOnce("app")
		})
	}
}

// TestCloseWithoutStart: the end of what nobody has told the start of is counted when the gateway stops, once.
func TestCloseWithoutStart(t *testing.T) {
	for _, pause := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, direct(newSandbox(t)))
			f.all[0].link.away.Store(true)
			id := f.all[0].start("app", testNumber)
			f.all[1].check("app", id, testCode)
			time.Sleep(pause)
			f.all[1].Close()
			f.all[1].Account.Close()
			if n := f.untracked(); n != 1 {
				t.Errorf("counted %d times after %v", n, pause)
			}
			f.all[0].link.away.Store(false)
			settled()
			f.all[0].lookFor("app", id)
			time.Sleep(2 * bookAlone)
			if n, more := f.untracked(), len(f.finished("app")); n != 1 || more != 0 {
				t.Errorf("then it is counted %d and %d times", n, more)
			}
		})
	}
}

// TestStartToldLate: others learn of a start even after more than a minute.
func TestStartToldLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, direct(newSandbox(t)))
		f.away(true)
		id := f.all[0].start("app", testNumber)
		time.Sleep(2 * bookAlone)
		f.away(false)
		settled()
		if s := f.all[1].whose(t.Context(), []string{id}, started.known)[0]; s.caller != "app" {
			t.Errorf("others know %+v", s)
		}
	})
}

// TestMissedPush: where nobody has told that it ended elsewhere, that is asked for when its time is over.
func TestMissedPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, direct(newSandbox(t)))
		f.all[0].Account.unwatch()
		id := f.all[0].start("app", testNumber)
		f.all[1].check("app", id, testCode)
		settled()
		if s := f.all[0].Account.Snapshot().Verifications; s.UnderWay != 1 {
			t.Errorf("though nobody has told it, it knows %+v", s)
		}
		time.Sleep(15 * time.Minute)
		settled()
		f.wantOnce("app")
	})
}

// TestEndWithoutStart: that one has ended is known though the store has lost how it began.
func TestEndWithoutStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, direct(newSandbox(t)))
		a := f.all[0].Account
		id := f.all[0].start("app", testNumber)
		a.learn(id, store.Known{Finished: true})
		if s := a.Snapshot().Verifications; s.UnderWay != 0 || !a.ledger.Over(id) {
			t.Errorf("it has %+v", s)
		}
	})
}

// TestCloseDecides: what waits for the store when a gateway stops is not lost.
func TestCloseDecides(t *testing.T) {
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2, direct(newSandbox(t)))
			id := f.all[0].start("app", testNumber)
			other := f.all[1].start("other", "447700900001")
			late := f.all[0].start("late", "447700900002")
			f.all[0].check("other", other, "0000")
			f.all[0].link.endless.Store(true) // and no more fails, or the circuit might open
			f.all[0].check("app", id, testCode)
			f.all[0].check("other", other, testCode)
			synctest.Wait()
			if n := len(f.finished("app")); n != 0 {
				t.Errorf("its own is counted %d times before", n)
			}
			f.all[0].link.endless.Store(false)
			f.away(away)
			f.all[0].Close()
			f.all[0].Account.Close()
			if app, other := len(f.finished("app")), len(f.finished("other")); app != 1 || other != map[bool]int{false: 1}[away] {
				t.Errorf("its own is counted %d times, another's %d times, away: %v", app, other, away)
			}
			f.all[0].check("late", late, testCode) // was under way
			if n := len(f.finished("late")); n != 1 {
				t.Errorf("what comes after that is counted %d times, away: %v", n, away)
			}
		})
	}
}

// TestStoreGoes: a configuration without a store counts as if there had never been one, and the next may have one again.
func TestStoreGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, direct(newSandbox(t)))
		a := f.all[0].Account
		ids := map[string]string{}
		for n, app := range []string{"waiting", "open", "another's"} {
			ids[app] = f.all[n/2].start(app, fmt.Sprintf("44770090000%d", n))
		}
		f.all[0].check("another's", ids["another's"], "0000")
		f.away(true)
		f.all[0].check("waiting", ids["waiting"], testCode)
		without := *a.inForce.Load()
		without.Shared = nil
		takeBack := a.Configure(&without)
		f.all[0].check("open", ids["open"], testCode)
		synctest.Wait() // another goroutine may tell of it
		if n := len(f.finished("open")); n != 1 {
			t.Errorf("counted %d times at once", n)
		}
		f.all[0].check("another's", ids["another's"], testCode)
		settled()
		if waiting, another := len(f.finished("waiting")), len(f.finished("another's")); waiting != 1 || another != 0 {
			t.Errorf("what waited is counted %d times, and another's %d times", waiting, another)
		}
		f.away(false)
		settled()
		takeBack()
		again := f.all[0].start("again", "447700900009")
		f.all[1].check("again", again, testCode)
		settled()
		if n := len(f.finished("again")); n != 1 || !a.ledger.Over(again) {
			t.Errorf("with a store again it is counted %d times", n)
		}
	})
}

// TestManyWait: more than may wait is counted by who saw the start.
func TestManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, direct(newSandbox(t)))
		id := f.all[0].start("app", testNumber)
		f.away(true)
		b := &f.all[0].Account.books
		b.mu.Lock()
		for range maxBookings {
			b.waiting = append(b.waiting, &booking{since: time.Now()})
		}
		b.mu.Unlock()
		f.all[0].check("app", id, testCode)
		if n := len(f.finished("app")); n != 1 {
			t.Errorf("counted %d times", n)
		}
		b.mu.Lock()
		b.waiting = nil
		b.mu.Unlock()
	})
}

// TestFleetCosts: three gateways see the same price grow, in any order, and one of them counts each part.
func TestFleetCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cents atomic.Int64
		f := newFleet(t, 3, provider(func(r *http.Request) (int, string) {
			if strings.Contains(r.URL.Path, "search") {
				return http.StatusOK, fmt.Sprintf(`{"request_id":"a","status":"IN PROGRESS","currency":"EUR","price":"0.1","estimated_price_messages_sent":"0.%02d"}`, cents.Load())
			}
			return http.StatusOK, `{"request_id":"a","status":"0"}`
		}))
		f.all[0].start("app", testNumber)
		for n := range 30 {
			cents.Add(int64(n % 3))
			f.all[n*7%3].link.away.Store(n%5 == 0)
			f.all[n%3].lookFor("app", "a")
			time.Sleep(10 * time.Second)
		}
		f.away(false)
		settled()
		for kind, want := range map[string]float64{"fee": 0.1, "messages": float64(cents.Load()) / 100} {
			if got := f.paid("app")[kind]; math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: %v were counted, want %v", kind, got, want)
			}
		}
	})
}

// TestTriedIsOver: an answer that nobody got is of no use once somebody has tried a code anywhere.
func TestTriedIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, direct(newSandbox(t)))
		id := f.all[0].start("app", testNumber)
		for _, tt := range []struct {
			name string
			do   func()
			want delivery.State
		}{
			{"nothing is done", func() {}, delivery.Running},
			{"an operator has it purged", func() { f.all[1].Account.Purge(id) }, delivery.Running},
			{"a code is tried", func() {
				if _, err := f.all[1].link.Before(t.Context(), f.all[1].Account.shared().Hidden(store.Of(id)), "mark", time.Second); err != nil {
					t.Fatal(err)
				}
			}, delivery.Over},
			{"the store is away", func() { f.away(true) }, delivery.Running},
			{"it has ended", func() { f.away(false); f.all[1].check("app", id, testCode); settled() }, delivery.Over},
		} {
			tt.do()
			if got := f.all[0].state(t.Context(), "app", id); got != tt.want {
				t.Errorf("%s: it is %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

// TestTimesToldLate: others know when a verification changes as well as who saw it start, though the
// store was told late; but for one that cannot know how late the store was itself.
func TestTimesToldLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory store.Memory
		api := newSandbox(t)
		a, notes := sharing(t, &memory, "a", direct(api))
		b, _ := sharing(t, &memory, "b", direct(api))
		time.Sleep(10 * time.Second)
		notes.away.Store(true)
		begun, err := wire.Read(wire.Request, wire.JSON, []byte(call(a, "/verify/json", "number=447700900000&brand=Acme")))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		notes.away.Store(false)
		time.Sleep(bookAgain)
		synctest.Wait()
		c, _ := sharing(t, &memory, "c", direct(api))
		unchanged := func(g *Gateway) time.Duration {
			if _, err := g.Account.ask(t.Context(), g.Account.shared(), begun.RequestID); err != nil {
				t.Error(err)
			}
			d, _ := g.Account.ledger.Unchanged(begun.RequestID, 0)
			return d
		}
		if here, there := unchanged(a), unchanged(b); here == 0 || (here-there).Abs() > 10*time.Millisecond {
			t.Errorf("for %v where it began, for %v elsewhere", here, there)
		}
		if d := unchanged(c); d != 0 {
			t.Errorf("for %v, by a gateway that came later than the store was told", d)
		}
	})
}
