package guard

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestPin(t *testing.T) {
	bubble(t, "by an operator", func(t *testing.T) {
		g := newTest(t, Settings{Trusted: Trusted{Prefixes: []string{"447400120007"}}})
		for _, p := range []Place{{Caller: "shop", Target: "44740012"}, {Everyone: true, Target: "FR"}, {Everyone: true, Target: "4915"}} {
			if err := g.Pin(p); err != nil {
				t.Error(err)
			}
			if err := g.Pin(p); err != nil { // again
				t.Error(err)
			}
		}
		g.told(Blocked, Blocked, Blocked)
		fr, de, bank := to("33612345678"), to("4915112345678"), to(in(1))
		fr.Country, bank.Caller, de.Caller = "FR", "bank", ""
		time.Sleep(1000 * time.Hour)
		g.wants(to(in(1)), "7 block 44740012")
		g.wants(bank, "")
		g.wants(fr, "7 block FR")
		g.wants(de, "7 block 4915")
		g.wants(to("447400120007"), "") // trusted
		list := g.Blocks()
		if len(list) != 3 || list[0].Refused != 1 || list[0].Finding.Mode != Enforce || list[0].Age != 1000*time.Hour {
			t.Errorf("%+v", list)
		}
		if n := g.Lift(Place{Target: "44740012"}); n != 0 {
			t.Errorf("%d lifted of another caller", n)
		}
		if n := g.Lift(Place{Caller: "shop", Target: "44740012"}); n != 1 {
			t.Errorf("%d lifted", n)
		}
		g.told(Lifted)
		g.wants(to(in(1)), "")
		for _, target := range []string{"", "gb", "GBR", "44x", "123456789012345678901", "\n1"} {
			if err := g.Pin(Place{Everyone: true, Target: target}); !errors.Is(err, ErrTarget) {
				t.Errorf("%q: %v", target, err)
			}
		}
	})
	bubble(t, "a rule's is lifted and begins anew", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		full := func(left string) {
			t.Helper()
			for i := range 10 {
				g.wants(to(in(i)), "")
			}
			g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another "+left)
		}
		full("1h")
		place := g.Blocks()[0].Place
		if n := g.Lift(place); n != 1 || len(g.Blocks()) != 0 {
			t.Errorf("%d lifted, %+v", n, g.Blocks())
		}
		g.told(Blocked, Lifted)
		g.Withdraw(g.wants(to(in(11)), "").Ticket)
		full("1h")
		if err := g.Pin(place); err != nil { // so that it stays
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		g.wants(to(in(0)), "7 block 44740012")
		if n := g.Lift(place); n != 1 {
			t.Errorf("%d lifted", n)
		}
		g.wants(to(in(0)), "")
	})
}

// TestBlocksBounded has more blocks begin than there is room for, and pins beyond theirs.
func TestBlocksBounded(t *testing.T) {
	bubble(t, "blocks", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		if err := g.Pin(Place{Caller: "shop", Target: "33"}); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			g.wants(to(in(i)), "")
		}
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
		now := g.now()
		for i := range maxBlocks + 200 { // of another caller, all later
			g.mu.Lock()
			name := blockName{rule: RulePerPrefix, caller: "attacked", target: fmt.Sprint(4490000000 + i)}
			g.block(name, Finding{Rule: RulePerPrefix}, now+time.Duration(i))
			g.mu.Unlock()
		}
		if n := len(g.blocks.all); n > maxBlocks+1 {
			t.Errorf("%d blocks", n)
		}
		g.wants(to(in(0)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
		g.wants(to("33612345678"), "7 block 33")
		if last := g.blocks.all[blockName{rule: RulePerPrefix, caller: "attacked", target: fmt.Sprint(4490000000 + maxBlocks + 199)}]; last == nil {
			t.Error("the newest block is not kept")
		}
	})
	g := newTest(t, Settings{})
	for i := range maxPins {
		if err := g.Pin(Place{Everyone: true, Target: fmt.Sprint(100000 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Pin(Place{Everyone: true, Target: "7"}); !errors.Is(err, ErrPins) {
		t.Error(err)
	}
}
