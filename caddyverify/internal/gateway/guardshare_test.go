package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// guardFleet is a fleet whose guards have rules, and how many requests reached the provider.
type guardFleet struct {
	*fleet
	sent atomic.Int64
}

func newGuardFleet(t *testing.T, n int, r guard.RuleSet) *guardFleet {
	g := new(guardFleet)
	send := direct(newSandbox(t))
	g.fleet = newFleet(t, 0, provider(func(r *http.Request) (int, string) {
		if r.URL.Path == "/verify/json" {
			g.sent.Add(1)
		}
		return send(r)
	}))
	// The worst price of a verification of three messages is 30 cents.
	g.guard = guard.Settings{Account: r, Prices: guard.Prices{Any: cents(10)}}
	for range n {
		g.join()
	}
	told()
	return g
}

// told lets gateways tell each other what they know.
func told() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// wants has a number be started, or refused with a status.
func (m *member) wants(number, status string) string {
	m.fleet.t.Helper()
	answer := m.call("shop", "json", "brand=Acme&number="+number)
	if !strings.Contains(answer, `"status":"`+status+`"`) {
		m.fleet.t.Errorf("%s: %s, want %s", number, answer, status)
	}
	return answer
}

var perNumber = guard.RuleSet{PerNumber: guard.Velocity{Mode: guard.Enforce, Windows: []guard.Window{{Most: 2, Within: time.Hour}}}}

// ranged is a number of a range that genuine users do not have.
func ranged(i int) string { return fmt.Sprintf("4474001%05d", 23400+11*i) }

func TestGuardFleetStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 3, perNumber)
		f.all[0].wants(testNumber, "0")
		time.Sleep(20 * time.Second) // its answer is not given again
		f.all[1].wants(testNumber, "10")
		f.all[0].wants(ranged(0), "0")
		id := idIn(f.all[0].wants(ranged(1), "0"))
		f.all[1].check("shop", id, testCode)
		time.Sleep(20 * time.Second)
		f.all[1].wants(ranged(1), "0")
		told()
		f.all[2].wants(ranged(1), "10") // it has the running one's id
		for range 2 {                   // whoever restarts knows it all
			time.Sleep(10 * time.Minute)
			f.restart()
			told()
			for _, m := range f.all {
				m.wants(ranged(1), "1")
			}
		}
		time.Sleep(40 * time.Minute)
		f.all[2].wants(ranged(1), "0")
	})
}

// TestGuardFleetEnds: what is verified somewhere is no attack anywhere.
func TestGuardFleetEnds(t *testing.T) {
	for name, verified := range map[string]bool{"users": true, "pumping": false} {
		synctest.Test(t, func(t *testing.T) {
			f := newGuardFleet(t, 3, guard.Recommended(guard.Enforce))
			for i := range 60 {
				answer := f.all[i%3].call("shop", "json", "brand=Acme&number="+ranged(i%40))
				if id := idIn(answer); id != "" && verified {
					f.all[(i+1)%3].check("shop", id, testCode)
				}
				time.Sleep(400 * time.Millisecond)
			}
			told()
			if refused := 60 - f.sent.Load(); verified && refused > 0 || !verified && refused < 40 {
				t.Errorf("%s: %d refused", name, refused)
			}
			if verified {
				return
			}
			for range 2 {
				for i, m := range f.all {
					if blocks := m.Account.guard.Blocks(); len(blocks) != 1 {
						t.Errorf("gateway %d has %+v", i, blocks)
					}
					m.wants(ranged(100+i), "7")
				}
				f.restart()
				told()
			}
			time.Sleep(time.Hour)
			f.all[1].wants(ranged(200), "0")
		})
	}
}

func TestGuardFleetPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, perNumber)
		place := guard.Place{Everyone: true, Target: "4474"}
		if err := f.all[0].Account.guard.Pin(place); err != nil {
			t.Fatal(err)
		}
		told()
		f.all[1].wants(ranged(0), "7")
		f.restart()
		told()
		f.all[1].wants(ranged(0), "7")
		f.store = store.Memory{}
		f.moved()
		told()
		f.all[0].Close()
		f.all[0].Account.Close()
		f.join() // it knows it from what the other tells a store that has forgotten
		told()
		f.all[2].wants(ranged(0), "7")
		f.all[1].Account.guard.Lift(place)
		told()
		for i, m := range f.all[1:] {
			m.wants(ranged(i), "0")
		}
	})
}

// moved has all gateways share by what is in f.store now.
func (f *fleet) moved() {
	keys, err := store.NewKeys("account", "an encryption key of 32 characters")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range f.all {
		m.link = &link{Store: f.store.Open(keys.Account(), string(store.NewMark()))}
		s := *m.Account.inForce.Load()
		s.Shared = store.NewShared(m.link, keys)
		f.t.Cleanup(m.Account.Configure(&s))
	}
}

func dayBudget(mode guard.Mode, n int64) guard.RuleSet {
	return guard.RuleSet{Budgets: []guard.Budget{{Mode: mode, Period: guard.Day, Cap: cents(n)}}}
}

// TestGuardFleetBudget has many starts at once, over all gateways, with money for some.
func TestGuardFleetBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 4, dayBudget(guard.Enforce, 3000))
		time.Sleep(2 * store.BudgetClosed)
		var starting sync.WaitGroup
		for i := range 200 {
			starting.Go(func() { f.all[i%4].call("shop", "json", "brand=Acme&number="+ranged(i)) })
		}
		starting.Wait()
		if n := f.sent.Load(); n < 95 || n > 100 {
			t.Errorf("%d of 100 were sent", n)
		}
		told()
		for _, m := range f.all {
			if b := m.Account.guard.Budgets()[0]; b.Settled.Micro+b.Reserved.Micro > b.Cap.Micro || b.Reserved.Micro < cents(2850).Micro {
				t.Errorf("%+v", b)
			}
		}
		spent := f.sent.Load()
		f.restart() // nobody tells any more what these have cost
		time.Sleep(2 * store.BudgetClosed)
		for i, m := range f.all {
			if b := m.Account.guard.Budgets()[0]; b.Settled.Micro != 30*cents(spent).Micro {
				t.Errorf("after a restart gateway %d has %+v", i, b)
			}
		}
		for i := range 10 {
			f.all[i%4].call("shop", "json", "brand=Acme&number="+ranged(300+i))
		}
		if n := f.sent.Load(); n > 100 {
			t.Errorf("%d of 100 were sent", n)
		}
	})
}

// TestGuardFleetPrice: what a verification has cost is told to who has reserved it.
func TestGuardFleetPrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, dayBudget(guard.Enforce, 3000))
		time.Sleep(2 * store.BudgetClosed)
		id := idIn(f.all[0].wants(testNumber, "0"))
		f.all[1].check("shop", id, testCode)
		time.Sleep(time.Minute)
		f.all[1].lookFor("shop", id)
		told()
		b := f.all[0].Account.guard.Budgets()[0]
		if b.Settled.Micro == 0 || b.Settled.Micro >= cents(30).Micro {
			t.Errorf("%+v", b)
		}
	})
}

// TestGuardFleetAway: without the store velocity rules count alone, and budgets spend what is held.
func TestGuardFleetAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := dayBudget(guard.Enforce, 3000)
		rules.PerNumber = perNumber.PerNumber
		f := newGuardFleet(t, 2, rules)
		time.Sleep(2 * store.BudgetClosed)
		f.all[0].wants(testNumber, "0") // it holds a 64th besides from now on, for one more
		told()
		f.away(true)
		begun := time.Now()
		f.all[0].wants(ranged(0), "0")
		f.all[0].wants(ranged(1), "9")
		f.all[1].wants(ranged(2), "0")
		f.all[1].wants(ranged(3), "9")
		if took := time.Since(begun); took > 4*store.CallBudget {
			t.Errorf("it took %v", took)
		}
		f.away(false)
		told()
		told()
		f.all[1].wants(ranged(0), "10") // that of the provider
		f.all[1].wants(ranged(3), "0")
	})
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, dayBudget(guard.Monitor, 30))
		f.away(true)
		for i := range 3 {
			f.all[0].wants(ranged(i), "0")
		}
	})
}

// TestGuardFleetUntold: what waits for the store is bounded, and told again it counts once.
func TestGuardFleetUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, perNumber)
		f.all[0].link.deaf.Store(true)
		f.all[0].wants(testNumber, "0")
		time.Sleep(time.Minute)
		f.all[0].link.deaf.Store(false)
		told()
		f.all[1].check("shop", idIn(f.all[0].wants(ranged(1), "0")), testCode)
		told()
		told()
		f.all[1].wants(testNumber, "10") // the provider's: it has counted once
		g := &f.all[0].Account.guardShared
		f.away(true)
		for i := range 2 * maxUntold {
			g.started(guard.Start{Number: ranged(i)}, fmt.Sprint(i))
		}
		if n := len(g.starts.told); n != maxUntold {
			t.Errorf("%d wait", n)
		}
	})
}

// TestGuardFleetPinsAlone: an operator's block is for all gateways, also where no rule is on.
func TestGuardFleetPinsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, guard.RuleSet{})
		place := guard.Place{Everyone: true, Target: ranged(0)[:8]}
		if err := f.all[0].Account.guard.Pin(place); err != nil {
			t.Fatal(err)
		}
		time.Sleep(offBeats * guardBeat)
		told()
		f.all[1].wants(ranged(1), "7")
		f.all[1].Account.guard.Lift(place)
		time.Sleep(offBeats * guardBeat)
		told()
		f.all[0].wants(ranged(2), "0")
		f.all[1].wants(ranged(3), "0")
	})
}
