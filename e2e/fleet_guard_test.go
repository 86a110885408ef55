//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	guardWorst   = 0.10 // EUR that a start reserves: the sandbox's price of a message and of a success, rounded up
	guardSmall   = 4.0  // the cap at first
	guardLarge   = 48.0 // and after a reload: a gateway holds 0.75 EUR of it in advance
	guardAtOnce  = 8    // applications at a gateway
	guardAddress = 5    // starts of one end user's address
)

func guardBlock(budget float64) string {
	return fmt.Sprintf("limit off\ntimeout 5s\nguard {\nper_address enforce %d/1h\nbudget enforce %.2f EUR/day\nprice %.2f EUR\n}", guardAddress, budget, guardWorst)
}

// TestFleetGuard has three gateways guard one account, with a store that is new at first, and lost later, while all of them are
// killed in between. However many start at once, the provider never charges more than the budget; what an operator blocks or
// lifts at one holds at all.
func TestFleetGuard(t *testing.T) {
	g := &guarded{fleet: startFleet(t, guardBlock(guardSmall), -1, 10*time.Millisecond)}
	begun := time.Now()
	for _, phase := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"budget", g.spendTogether},
		{"blocks", g.blockTogether},
		{"killed", g.killAll},
		{"store away", g.loseStore},
		{"store back", g.findStore},
	} {
		if !t.Run(phase.name, phase.do) {
			break
		}
		t.Logf("%s: %s is over, %d verifications were started", time.Since(begun).Round(100*time.Millisecond), phase.name, len(g.api.Verifications()))
	}
	g.sayNoNumber(t)
}

// spendTogether spends the budget at all gateways at once.
func (g *guarded) spendTogether(t *testing.T) {
	g.opens(t)
	g.spendAll(t, guardSmall)
	started := g.api.Verifications()
	if most := int(guardSmall / guardWorst); len(started) > most || len(started) < most*9/10 {
		t.Errorf("%d verifications were started, of which each may cost %.2f EUR: want %d, or hardly less", len(started), guardWorst, most)
	}
	if checked := g.checkAll(t); checked != len(started) {
		t.Fatalf("the codes of %d of %d were entered", checked, len(started))
	}
	g.agree(t, func(f figures) error {
		if want := micro(0.05 * float64(len(started))); f.settled != want {
			return fmt.Errorf("%d is settled, want %d", f.settled, want)
		}
		return nil
	})
	g.compareCharged(t, guardSmall)
}

// blockTogether blocks at one gateway and lifts at another. There is no money, which a block is asked before.
func (g *guarded) blockTogether(t *testing.T) {
	blocked := func(place string, want bool) {
		t.Helper()
		for i, m := range g.members {
			eventually(t, fmt.Sprintf("gateway %d knows of %s", i, place), func() error { return g.refusesPlace(t, m, place, want) })
		}
	}
	g.command(t, g.members[0], "blocked at accounts: 1", "guard", "block", "44740012")
	blocked("44740012", true)
	g.command(t, g.members[1], "blocked at accounts: 1", "guard", "block", "44740034", "--caller", fleetApps[0])
	blocked("44740034", true)
	if err := g.begin(t, g.members[0], startOf{app: fleetApps[1], prefix: "44740034"}).refusedBy("9", "budget"); err != nil {
		t.Errorf("another caller: %v", err)
	}
	g.command(t, g.members[2], "lifted blocks: 1", "guard", "lift", "44740012")
	blocked("44740012", false)
	for _, m := range g.members {
		said := g.command(t, m, "44740034", "guard", "list")
		if strings.Contains(said, "44740012") {
			t.Errorf("what was lifted is listed:\n%s", said)
		}
	}
}

// killAll kills all gateways. The store keeps what they have spent, and what operators have done.
func (g *guarded) killAll(t *testing.T) {
	before := g.figures(t, g.members[0])
	for _, m := range g.members {
		if err := m.process.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range g.members {
		<-m.process.exited
	}
	g.sayNoNumber(t)
	for _, m := range g.members {
		g.start(m)
	}
	for i, m := range g.members {
		m.process.listening(t, m.address)
		m.process.listening(t, m.admin)
		eventually(t, fmt.Sprintf("gateway %d knows what was blocked", i), func() error { return g.refusesPlace(t, m, "44740034", true) })
		if err := g.refusesPlace(t, m, "44740012", false); err != nil {
			t.Error(err)
		}
	}
	g.agree(t, func(f figures) error {
		if f.settled < before.settled || f.used() < before.used() {
			return fmt.Errorf("it was %+v before", before)
		}
		return nil
	})
	g.spendAll(t, guardSmall) // nothing
	g.compareCharged(t, guardSmall)
}

// loseStore raises the budget, and loses the store with all that is in it. Gateways go on counting, and spend no more than
// what they hold.
func (g *guarded) loseStore(t *testing.T) {
	before := len(g.api.Verifications())
	g.reload(t, guardBlock(guardLarge))
	g.opens(t)
	for range guardAddress {
		g.passes(t, g.members[0], "192.0.2.10")
	}
	for _, m := range g.members {
		eventually(t, "an address is known that was seen elsewhere", func() error { return g.refusesAddress(t, m, "192.0.2.10") })
	}
	for i, m := range g.members {
		eventually(t, fmt.Sprintf("gateway %d hears that others hold a part in advance", i), func() error {
			running := float64(len(g.api.Verifications())-before) * guardWorst
			if f := g.figures(t, m); f.reserved < micro(running+1.30) {
				return fmt.Errorf("%+v with %.2f EUR for what runs", f, running)
			}
			return nil
		})
	}
	g.redis.kill()
	for i, m := range g.members {
		eventually(t, fmt.Sprintf("gateway %d misses its store", i), func() error {
			if values, _ := g.tryMetrics(m); values.sum("verify_store_up{}") != 0 {
				return fmt.Errorf("it tells %v", values.sum("verify_store_up{}"))
			}
			return nil
		})
	}
	for range guardAddress { // of what it holds
		g.passes(t, g.members[2], "192.0.2.20")
	}
	if err := g.refusesAddress(t, g.members[2], "192.0.2.20"); err != nil {
		t.Error(err)
	}
	for _, m := range g.members {
		if err := g.refusesAddress(t, m, "192.0.2.10"); err != nil {
			t.Error(err)
		}
	}
	g.command(t, g.members[0], "blocked at accounts: 1", "guard", "block", "44740056")
	g.command(t, g.members[1], "lifted blocks: 1", "guard", "lift", "44740034")
	for i, place := range []string{"44740056", "44740034"} {
		if err := g.refusesPlace(t, g.members[i], place, place == "44740056"); err != nil {
			t.Error(err)
		}
	}
	held := len(g.api.Verifications())
	for i, m := range g.members {
		var passed, refused int
		for range 20 {
			if g.begin(t, m, startOf{}).Status == "0" {
				passed++
			} else {
				refused++
			}
		}
		if refused == 0 || i < 2 && passed == 0 {
			t.Errorf("gateway %d has let %d of 20 through without the store", i, passed)
		}
	}
	if n := len(g.api.Verifications()) - held; float64(n)*guardWorst > 3*guardLarge/64 {
		t.Errorf("%d were started without the store", n)
	}
}

// findStore starts the store, which knows nothing. Gateways tell it what they know, and that which they had heard of those
// that were killed, and agree again.
func (g *guarded) findStore(t *testing.T) {
	g.redis.start()
	g.opens(t)
	for i, m := range g.members {
		eventually(t, fmt.Sprintf("gateway %d knows what was blocked without the store", i), func() error { return g.refusesPlace(t, m, "44740056", true) })
		eventually(t, fmt.Sprintf("gateway %d knows what was lifted without the store", i), func() error { return g.refusesPlace(t, m, "44740034", false) })
	}
	passed := 0
	eventually(t, "an address is known that was seen without the store", func() error {
		a := g.begin(t, g.members[0], startOf{address: "192.0.2.20"})
		if a.Status == "0" {
			passed++
		}
		return a.refusedBy("1", "per_address")
	})
	if passed >= guardAddress {
		t.Error("an address was counted by one gateway alone")
	}
	g.spendAll(t, guardLarge)
	if n := float64(len(g.api.Verifications())) * guardWorst; n < guardLarge*0.8 {
		t.Errorf("only %.2f of %.2f EUR could be spent", n, guardLarge)
	}
	g.checkAll(t)
	g.agree(t, func(figures) error { return nil })
	g.compareCharged(t, guardLarge)
}

// spendAll starts at all gateways at once until none of them lets anything through, since there is no money, and not since one
// could not ask the store in time.
func (g *guarded) spendAll(t *testing.T, budget float64) {
	t.Helper()
	eventually(t, "all is spent, and all gateways refuse", func() error {
		var starting sync.WaitGroup
		for _, m := range g.members {
			for range guardAtOnce {
				starting.Go(func() {
					for g.begin(t, m, startOf{}).Status == "0" {
					}
				})
			}
		}
		starting.Wait()
		for i, m := range g.members {
			if err := g.begin(t, m, startOf{}).refusedBy("9", "budget"); err != nil {
				return fmt.Errorf("gateway %d: %w", i, err)
			}
			if f := g.figures(t, m); f.used() < micro(budget-3*guardWorst) {
				return fmt.Errorf("gateway %d: %+v", i, f)
			}
		}
		return nil
	})
	if n := float64(len(g.api.Verifications())) * guardWorst; micro(n) > micro(budget) {
		t.Errorf("verifications that may cost %.2f EUR were started, of %.2f EUR", n, budget)
	}
}

// agree waits until all gateways tell the same to be settled, within the cap. Of what is reserved each tells what others hold in
// advance, and not what it holds itself.
func (g *guarded) agree(t *testing.T, on func(figures) error) {
	t.Helper()
	eventually(t, "gateways tell the same of the budget", func() error {
		var all []figures
		for _, m := range g.members {
			f := g.figures(t, m)
			if err := on(f); err != nil || f.used() > f.cap {
				return fmt.Errorf("%+v: %w", f, err)
			}
			all = append(all, f)
		}
		if slices.ContainsFunc(all, func(f figures) bool { return f.settled != all[0].settled || f.cap != all[0].cap }) {
			return fmt.Errorf("they tell %+v", all)
		}
		return nil
	})
}
