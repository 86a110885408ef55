package gateway

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// TestGuardFleetAsksPrice: what is started at one gateway and checked at another has a price that
// nobody's search tells.
func TestGuardFleetAsksPrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, dayBudget(guard.Enforce, 3000))
		time.Sleep(2 * store.BudgetClosed)
		for _, m := range f.all {
			defer m.settle()()
		}
		f.all[1].check("shop", idIn(f.all[0].wants(testNumber, "0")), testCode)
		time.Sleep(3 * time.Minute)
		b := f.all[0].Account.guard.Budgets()[0]
		if b.Settled.Micro == 0 || b.Settled.Micro >= cents(30).Micro || b.Reserved.Micro > cents(3000).Micro/64 {
			t.Errorf("%+v", b)
		}
	})
}

// TestPrices: a price that an answer does not tell is asked for again, alone, and not for ever.
func TestPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p prices
		owed := func(id string) bool { return id != "known" }
		for _, id := range []string{"one", "known", "two", "three"} {
			p.add(id)
		}
		want := []string{"[one two three]", "[one]", "[two]", "[three]", "[new]", "[one]", "[two]", "[three]"}
		var got []string
		for round := range 4 {
			time.Sleep(askPriceAfter)
			for {
				some := p.take(10, owed)
				if len(some) == 0 {
					break
				}
				var ids []string
				for _, one := range some {
					ids = append(ids, one.requestID)
				}
				got = append(got, fmt.Sprint(ids))
				p.asked(some, func(id string) bool { return id != "new" })
			}
			if round == 0 {
				p.add("new")
			}
		}
		if !slices.Equal(got, want) || len(p.waiting) > 0 {
			t.Errorf("%q, want %q; %d wait", got, want, len(p.waiting))
		}
	})
}

// costs counts the prices in the log.
func (m *member) costs() (n int) {
	entries, err := m.Account.guardShared.store.Load().Read(m.fleet.t.Context(), store.Name{Kind: store.Log, ID: "guard/starts"}, "", 1000)
	if err != nil {
		m.fleet.t.Error(err)
	}
	for _, e := range entries {
		if told, ok := decodeNews(e.Value); ok && told.Kind == newsCost {
			n++
		}
	}
	return n
}

// TestGuardFleetCosts: each answer about a verification has its price, which is told when it is new.
func TestGuardFleetCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, dayBudget(guard.Enforce, 3000))
		time.Sleep(2 * store.BudgetClosed)
		id := idIn(f.all[0].wants(testNumber, "0"))
		f.all[1].check("shop", id, testCode)
		for range 100 {
			time.Sleep(10 * time.Second)
			f.all[1].lookFor("shop", id)
		}
		told()
		if n := f.all[0].costs(); n == 0 || n > 3 {
			t.Errorf("it is told %d times", n)
		}
	})
}

// TestGuardFleetMonitor: what a rule would have refused counts nowhere.
func TestGuardFleetMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := perNumber
		r.PerNumber.Mode = guard.Monitor
		f := newGuardFleet(t, 2, r)
		for range 4 {
			f.all[0].check("shop", idIn(f.all[0].wants(testNumber, "0")), testCode)
			time.Sleep(20 * time.Minute)
		}
		told()
		s := *f.all[1].Account.inForce.Load()
		s.Guard.Account = perNumber
		t.Cleanup(f.all[1].Account.Configure(&s))
		f.all[1].wants(testNumber, "0") // of the last hour the fourth has counted, and not the third
	})
}

// TestGuardFleetLift: an operator lifts what only another gateway has, and who comes back from
// afar, or a new one that a store tells nothing, does not bring it back.
func TestGuardFleetLift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 2, perNumber)
		place := guard.Place{Everyone: true, Target: "4474"}
		if err := f.all[0].Account.PinBlock(place); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if n := f.all[1].Account.LiftBlocks("4474", nil); n != 0 { // it has not heard of it
			t.Errorf("%d were lifted", n)
		}
		told()
		for _, m := range f.all {
			if b := m.Account.guard.Blocks(); len(b) > 0 {
				t.Errorf("%+v", b)
			}
		}
		if err := f.all[0].Account.PinBlock(place); err != nil {
			t.Fatal(err)
		}
		told()
		f.all[0].link.away.Store(true)
		time.Sleep(time.Minute)
		f.all[1].Account.LiftBlocks("4474", nil)
		told()
		f.all[0].link.away.Store(false)
		f.store = store.Memory{} // and forgets that it was lifted
		f.moved()
		told()
		told()
		for i, m := range f.all {
			if b := m.Account.guard.Blocks(); len(b) > 0 {
				t.Errorf("gateway %d: %+v", i, b)
			}
		}
	})
}

// TestGuardFleetTogether: many at once at one gateway lack money together, and ask for it together.
func TestGuardFleetTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 1, dayBudget(guard.Enforce, 3000))
		f.all[0].link.slow.Store(int64(10 * time.Millisecond))
		time.Sleep(2 * store.BudgetClosed)
		var starting sync.WaitGroup
		for i := range 200 {
			starting.Go(func() { f.all[0].call("shop", "json", "brand=Acme&number="+ranged(i)) })
		}
		starting.Wait()
		if n := f.sent.Load(); n != 100 {
			t.Errorf("%d of 100 were sent", n)
		}
	})
}

// TestGuardFleetFirst: a reload that adds a store finds calls under way.
func TestGuardFleetFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newGuardFleet(t, 1, dayBudget(guard.Enforce, 3000))
		m := f.all[0]
		a := NewAccount("another.example", testKey, observe.NewMetrics(), &Settings{Guard: f.guard})
		defer a.Close()
		var calling sync.WaitGroup
		for range 10 {
			calling.Go(func() {
				for range 100 {
					a.fundAndDecide(t.Context(), guard.Start{Number: testNumber, Worst: cents(30)})
					a.guardShared.started(guard.Start{Number: testNumber}, "id")
				}
			})
		}
		s := *a.inForce.Load()
		s.Shared = m.Account.inForce.Load().Shared
		a.Configure(&s)
		calling.Wait()
	})
}
