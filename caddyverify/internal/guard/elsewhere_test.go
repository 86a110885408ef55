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
			g.Saw(to("447511111111"), fmt.Sprint("other-", i))
			g.Saw(to("447511111111"), fmt.Sprint("OTHER", i)) // told again
		}
		if d := g.wants(to("447511111111"), "10 per_number: 3 in 10m, at most 3; for another 10m"); d.RequestID != "other-2" {
			t.Errorf("request_id %q", d.RequestID)
		}
		for i := range 10 {
			g.Saw(to(in(i)), fmt.Sprint("range-", i))
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
	bubble(t, "conversion over all", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.Saw(to("4915112345678"), "good")
		g.Ended("good", wire.OutcomeSuccess)
		for i := range 19 {
			g.Saw(to(spread(i)), fmt.Sprint(i))
			g.Ended(fmt.Sprint(i), wire.OutcomeFailed)
		}
		g.wants(to(spread(50)), "7 conversion GB: 1 of 20 verified in 15m; for another 1h")
	})
	bubble(t, "they are nothing to budgets, nor what is trusted", func(t *testing.T) {
		s := budgeted(Enforce, 10, 0)
		s.Trusted.Prefixes = []string{"4499"}
		g := newTest(t, s)
		for i := range 10 {
			g.Saw(to(spread(i)), fmt.Sprint(i))
			g.Settle(fmt.Sprint(i), eur(5))
		}
		g.Saw(to("449911111111"), "trusted")
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

// halfHour is a block that has half an hour left.
func halfHour(caller, target string) Block {
	return Block{Place: Place{Caller: caller, Target: target}, Finding: Finding{Rule: RulePerPrefix, Left: 30 * minute}, Times: 1}
}
