package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestElsewhere(t *testing.T) {
	bubble(t, "starts of others count", func(t *testing.T) {
		g := newTest(t, Settings{Account: Recommended(Enforce)})
		for i := range 3 {
			g.Saw(to("447511111111"), fmt.Sprint("other-", i), 0)
			g.Saw(to("447511111111"), fmt.Sprint("OTHER", i), 0) // told again
		}
		if d := g.wants(to("447511111111"), "10 per_number: 3 in 10m, at most 3; for another 10m"); d.RequestID != "other-2" {
			t.Errorf("request_id %q", d.RequestID)
		}
		for i := range 10 {
			g.Saw(to(in(i)), fmt.Sprint("range-", i), 0)
		}
		g.Ended("range-0", wire.OutcomeSuccess)
		g.wants(to(in(10)), "")
		g.wants(to(in(11)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
		if c := g.Status().Callers[0]; c.Started != 1 || c.Verified != 0 {
			t.Errorf("%+v", c)
		}
		time.Sleep(20 * minute)
		g.Advance()
		if n := len(g.records.waiting) + len(g.records.byID); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
	bubble(t, "what a rule would have refused there counts for the others", func(t *testing.T) {
		g := newTest(t, Settings{Account: Recommended(Enforce)})
		for i := range 3 {
			g.Saw(to("447511111111"), fmt.Sprint(i), 0, RulePerNumber)
		}
		g.wants(to("447511111111"), "")
		if r := g.records.find("0"); r.number != 0 || r.prefix == 0 || !r.odd {
			t.Errorf("%+v", r)
		}
	})
	bubble(t, "conversion over all", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.Saw(to("4915112345678"), "good", 0)
		g.Ended("good", wire.OutcomeSuccess)
		for i := range 19 {
			g.Saw(to(spread(i)), fmt.Sprint(i), 0)
			g.Ended(fmt.Sprint(i), wire.OutcomeFailed)
		}
		g.wants(to(spread(50)), "7 conversion GB: 1 of 20 verified in 15m; for another 1h")
	})
	bubble(t, "they are nothing to budgets, nor what is trusted", func(t *testing.T) {
		s := budgeted(Enforce, 10, 0)
		s.Trusted.Prefixes = []string{"4499"}
		g := newTest(t, s)
		for i := range 10 {
			g.Saw(to(spread(i)), fmt.Sprint(i), 0)
			g.Settle(fmt.Sprint(i), eur(5))
		}
		g.Saw(to("449911111111"), "trusted", 0)
		g.wantsMoney("account/day", 0, 0)
		if g.records.find("trusted") != nil {
			t.Error("what is trusted is kept")
		}
	})
	bubble(t, "blocks", func(t *testing.T) {
		g, other := newTest(t, prefixOnly(Enforce)), newTest(t, prefixOnly(Enforce))
		for i := range 11 {
			other.Decide(to(in(i)))
		}
		time.Sleep(10 * minute)
		g.Adopt(other.Blocks()[0])
		g.wants(to(in(0)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 50m")
		if b := g.Blocks()[0]; b.Age != 10*minute || b.Times != 1 {
			t.Errorf("%+v", b)
		}
		time.Sleep(50 * minute)
		for i := range 10 {
			g.wants(to(in(i)), "")
		}
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 2h")
		g.Adopt(halfHour("shop", "44740012")) // an old one changes nothing
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 2h")
		for _, b := range []Block{{}, {Place: Place{Everyone: true, Target: "44"}}, {Place: Place{Target: "x"}, Finding: Finding{Rule: RulePerPrefix}}} {
			g.Adopt(b)
		}
		if n := len(g.blocks.all); n != 1 {
			t.Errorf("%d blocks", n)
		}
	})
}

func TestElsewhereBefore(t *testing.T) {
	bubble(t, "starts of others count from when they were", func(t *testing.T) {
		g := newTest(t, Settings{Account: Recommended(Enforce)})
		for i := range 3 { // before this gateway was
			g.Saw(to("447511111111"), fmt.Sprint(i), time.Duration(9-i)*minute)
		}
		d := g.wants(to("447511111111"), "1 per_number: 3 in 10m, at most 3; for another 1m")
		if d.RequestID != "" {
			t.Errorf("request_id %q of one that is over", d.RequestID)
		}
		time.Sleep(minute)
		g.wants(to("447511111111"), "")
		g.wants(to("447511111111"), "1 per_number: 3 in 10m, at most 3; for another 1m")
	})
	bubble(t, "in whatever order they are told", func(t *testing.T) {
		g := newTest(t, Settings{Account: Recommended(Enforce)})
		time.Sleep(time.Hour)
		g.wants(to("447511111111"), "")
		g.Saw(to("447511111111"), "old", 8*minute)
		g.Saw(to("447511111111"), "older", 9*minute)
		if d := g.wants(to("447511111111"), "1 per_number: 3 in 10m, at most 3; for another 1m"); d.RequestID != "" {
			t.Errorf("request_id %q", d.RequestID)
		}
		for i := range 5 {
			g.Saw(to(in(i)), fmt.Sprint("now-", i), 0)
			g.Saw(to(in(i)), fmt.Sprint("before-", i), 11*minute)
		}
		for i := range 4 {
			g.Saw(to(in(5+i)), fmt.Sprint("late-", i), 9*minute)
		}
		g.wants(to(in(9)), "")
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
	})
	bubble(t, "what is longer ago than is looked at changes nothing", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.Saw(to("4915112345678"), "good", 0)
		g.Ended("good", wire.OutcomeSuccess)
		for i := range 100 {
			g.Saw(to(spread(i)), fmt.Sprint(i), time.Duration(i)*10*minute)
			g.Ended(fmt.Sprint(i), wire.OutcomeFailed)
		}
		g.wants(to(spread(500)), "")
		time.Sleep(20 * minute)
		g.Advance()
		if n := len(g.records.waiting) + len(g.records.byID); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
}

// TestNotices are what others are told, and what they tell is not told again.
func TestNotices(t *testing.T) {
	bubble(t, "two gateways", func(t *testing.T) {
		one, two := newTest(t, prefixOnly(Enforce)), newTest(t, prefixOnly(Enforce))
		told := 0
		one.OnNotice(func(n Notice) {
			told++
			if time.Sleep(time.Second); n.Lifted {
				two.Lifted(n.Block.Place, time.Second)
				return
			}
			n.Block.Age += time.Second
			n.Block.Finding.Left -= min(n.Block.Finding.Left, time.Second)
			two.Adopt(n.Block)
		})
		two.OnNotice(func(n Notice) { t.Errorf("%+v is told again", n) })
		same := func(n int) {
			t.Helper()
			list := func(g *guardTest) string {
				blocks := g.Blocks()
				for i := range blocks {
					blocks[i].Refused = 0
				}
				return fmt.Sprintf("%d %+v", len(blocks), blocks)
			}
			if a, b := list(one), list(two); a != b || len(one.Blocks()) != n {
				t.Errorf("one has %s, two has %s", a, b)
			}
		}
		for i := range 11 {
			one.Decide(to(in(i)))
		}
		for _, p := range []Place{{Everyone: true, Target: "GB"}, {Caller: "shop", Target: "4420"}, {Everyone: true, Target: "GB"}} {
			if err := one.Pin(p); err != nil {
				t.Fatal(err)
			}
		}
		same(3)
		one.Lift(Place{Caller: "shop", Target: "44740012"})
		one.Lift(Place{Everyone: true, Caller: "whoever", Target: "GB"})
		same(1)
		two.Adopt(Block{Place: Place{Everyone: true, Target: "FR"}, Finding: Finding{Rule: RuleBlock}})
		one.Lift(Place{Everyone: true, Target: "FR"}) // of which it does not know
		same(1)
		two.Adopt(Block{Place: Place{Everyone: true, Target: "FR"}, Finding: Finding{Rule: RuleBlock}})
		two.Lifted(Place{Everyone: true, Target: "FR"}, time.Second) // that was one before it
		if n := len(two.Blocks()); n != 2 || told != 6 {
			t.Errorf("%d blocks, %d notices", n, told)
		}
	})
}

// halfHour is a block that has half an hour left.
func halfHour(caller, target string) Block {
	return Block{Place: Place{Caller: caller, Target: target}, Finding: Finding{Rule: RulePerPrefix, Left: 30 * minute}, Times: 1}
}
