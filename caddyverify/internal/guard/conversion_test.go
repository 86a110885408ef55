package guard

import (
	"cmp"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func conversionOnly(m Mode) Settings { return only(func(r *RuleSet) { r.Conversion = m }) }

// usual has a caller verify eight of ten, so that this is what is normal; the last ones are
// long over.
func (g *guardTest) usual(n int) {
	g.t.Helper()
	for i := range n {
		id := g.start(to(spread(i)))
		outcome := wire.OutcomeSuccess
		if i%5 == 4 {
			outcome = wire.OutcomeFailed
		}
		g.Ended(id, outcome)
		time.Sleep(time.Second)
	}
	time.Sleep(conversionWindow + half)
}

// ends starts n verifications and has the first so many be verified, the others fail.
func (g *guardTest) ends(n, verified int) {
	g.t.Helper()
	for i := range n {
		id := g.start(to(spread(i)))
		if id == "" {
			g.t.Fatalf("the %dth is refused", i)
		}
		outcome := wire.OutcomeSuccess
		if i >= verified {
			outcome = wire.OutcomeFailed
		}
		g.Ended(id, outcome)
	}
}

func TestConversion(t *testing.T) {
	const blockedGB = "; for another 1h"
	bubble(t, "below a tenth of twenty", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.ends(19, 1)
		g.wants(to(spread(50)), "")
		id := g.start(to(spread(51)))
		g.Ended(id, wire.OutcomeFailed)
		g.wants(to(spread(52)), "7 conversion GB: 1 of 20 verified in 15m"+blockedGB)
		g.told(Blocked)
		g.Lift(g.Blocks()[0].Place)
		g.told(Lifted)
		g.Withdraw(g.wants(to(spread(52)), "").Ticket)
		time.Sleep(conversionWindow + 1)
		g.ends(20, 0)
		g.wants(to(spread(52)), "7 conversion GB: 0 of 20 verified in 15m"+blockedGB)
		fr := to("33612345678")
		fr.Country = "FR"
		g.wants(fr, "")
		other := to(spread(52))
		other.Caller = "bank"
		g.wants(other, "")
		time.Sleep(time.Hour)
		g.wants(to(spread(52)), "")
	})
	bubble(t, "a tenth of twenty", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.ends(20, 2)
		g.wants(to(spread(52)), "")
	})
	bubble(t, "below a third of what is normal", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(200)
		g.ends(20, 4) // normal are more than 70 %
		g.wants(to(spread(52)), "7 conversion GB: 4 of 20 verified in 15m"+blockedGB)
	})
	bubble(t, "a third of what is normal", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(200)
		g.ends(20, 6)
		g.wants(to(spread(52)), "")
	})
	bubble(t, "what is never checked counts when its code has expired", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		for i := range 19 {
			g.start(to(spread(i)))
		}
		time.Sleep(5*minute - 1)
		g.wants(to(spread(90)), "") // one in 30 seconds
		time.Sleep(time.Nanosecond)
		g.Advance()
		g.wants(to(spread(91)), "7 conversion GB: 1 of 20 verified in 15m"+blockedGB)
	})
	bubble(t, "slowed before it is blocked", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		for i := range 30 {
			g.start(to(spread(i)))
		}
		time.Sleep(minute)
		g.wants(to(spread(90)), "") // they are not all a minute old
		g.told()
		time.Sleep(half)
		g.wants(to(spread(91)), "") // one in 30 seconds
		g.told(Slowed)
		g.wants(to(spread(92)), "1 conversion GB: 1 of 31 verified in 15m; for another 30s")
		time.Sleep(slowed - 1)
		g.wants(to(spread(92)), "1 conversion GB: 1 of 31 verified in 15m; for another 1s")
		time.Sleep(time.Nanosecond)
		g.wants(to(spread(92)), "")
		g.told()
	})
	bubble(t, "where people take long", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(200)
		var ids []string
		for i := range 30 {
			ids = append(ids, g.start(to(spread(i))))
		}
		for _, id := range ids[:5] {
			g.Ended(id, wire.OutcomeSuccess)
		}
		time.Sleep(2 * minute)
		for range 5 {
			g.wants(to(spread(90)), "") // 17 %: it is watched
		}
		g.told(Watched)
		for _, id := range ids[5:25] {
			g.Ended(id, wire.OutcomeSuccess)
		}
		time.Sleep(4 * minute)
		g.wants(to(spread(90)), "")
		g.told()
	})
	bubble(t, "verified after all", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		var ids []string
		for i := range 20 {
			ids = append(ids, g.start(to(spread(i))))
		}
		time.Sleep(6 * minute)
		g.Advance()
		for _, id := range ids[:10] {
			g.Ended(id, wire.OutcomeSuccess)
			g.Ended(id, wire.OutcomeSuccess)
		}
		g.wants(to(spread(90)), "")
		if c := g.Status().Callers[0]; c.Verified != 11 || c.Unseen != 10 || c.Started != 22 {
			t.Errorf("%+v", c)
		}
	})
	bubble(t, "verified after all, with others under way", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		id := ""
		for i := range 39 {
			s := to(spread(i))
			s.Expiry = 10 * minute
			if i < 19 {
				s.Expiry = minute
			}
			id = cmp.Or(id, g.start(s))
		}
		time.Sleep(2 * minute)
		g.Advance()
		g.Ended(id, wire.OutcomeSuccess)
		g.wants(to(spread(90)), "") // slowed: 19 have ended
		g.told(Slowed)
	})
	bubble(t, "in Monitor it tells the same", func(t *testing.T) {
		g := newTest(t, conversionOnly(Monitor))
		g.ends(20, 1)
		for range 120 {
			if d := g.wants(to(spread(50)), ""); len(d.Findings) != 1 {
				t.Errorf("%+v", d.Findings)
			}
			time.Sleep(half)
		}
		g.Advance()
		if d := g.wants(to(spread(50)), ""); len(d.Findings) != 0 {
			t.Errorf("%+v", d.Findings)
		}
		g.told(Blocked)
	})
	bubble(t, "the narrowest place is blocked", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(200)
		for i := range 200 {
			g.verify(to(spread(i)))
		}
		for i := range 20 {
			id := g.start(to(in(i % 20)))
			g.Ended(id, wire.OutcomeFailed)
		}
		g.wants(to(in(1)), "7 conversion 44740012: 0 of 20 verified in 15m"+blockedGB)
		g.wants(to("447400999999"), "7 conversion 447400: 0 of 20 verified in 15m"+blockedGB)
		g.wants(to(spread(1)), "")
	})
	bubble(t, "few of a day", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		for range 4 {
			g.ends(4, 0)
			time.Sleep(conversionWindow + half)
		}
		g.ends(3, 0)
		g.wants(to(spread(90)), "7 conversion GB: 1 of 20 verified in 24h"+blockedGB)
	})
	bubble(t, "after a day it is forgotten", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		g.ends(18, 0)
		time.Sleep(longWindow + longSpan)
		g.ends(19, 0)
		g.wants(to(spread(90)), "")
	})
	bubble(t, "another code for the same number is no other one who fails", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(200)
		for i := range 12 {
			s := to(spread(i))
			for range 3 {
				g.Ended(g.start(s), wire.OutcomeCancelled)
				time.Sleep(time.Second)
			}
			if i%2 == 0 {
				g.verify(s)
				g.verify(s) // nor another one who succeeds
			}
		}
		g.wants(to(spread(90)), "")
		if c := g.cells.find(g.key(names{"shop", "GB", "GB"})); c == nil {
			t.Error("nothing is counted")
		} else if decided, _, _ := c.recent.shares(g.now(), half); decided.of != 12 || decided.verified != 6 {
			t.Errorf("it counts %+v", decided)
		}
	})
	bubble(t, "those that are entered are known of first", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.usual(500)
		refused := 0
		for i := range 600 { // a quarter is verified, at once; the others nobody tells of for five minutes
			id := g.start(to(spread(i)))
			if id == "" {
				refused++
			} else if i%4 == 0 {
				g.Ended(id, wire.OutcomeSuccess)
			}
			time.Sleep(time.Second)
			g.Advance()
		}
		if refused < 200 {
			t.Errorf("%d are refused", refused)
		}
	})
	bubble(t, "a caller that checks nothing is left alone", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		for i := range 100 {
			g.wants(to(spread(i)), "")
		}
		time.Sleep(10 * minute)
		g.Advance()
		g.wants(to(spread(1)), "")
		if c := g.Status().Callers; len(c) != 1 || c[0].Unseen != 100 || c[0].Caller != "shop" {
			t.Errorf("%+v", c)
		}
	})
	bubble(t, "an attack does not become what is normal", func(t *testing.T) {
		g := newTest(t, conversionOnly(Monitor))
		g.usual(500)
		before := g.known.find(g.key(names{caller: "shop"})).normal()
		for i := range 2000 {
			id := g.start(to(in(i % 20)))
			time.Sleep(200 * time.Millisecond)
			if i%2 == 0 {
				g.Ended(id, wire.OutcomeFailed)
			}
		}
		if after := g.known.find(g.key(names{caller: "shop"})).normal(); after < before*0.9 {
			t.Errorf("normal was %v and is %v", before, after)
		}
	})
}

// TestWithdrawnConversion has starts that were never sent say nothing of conversion.
func TestWithdrawnConversion(t *testing.T) {
	bubble(t, "withdrawn", func(t *testing.T) {
		g := newTest(t, conversionOnly(Enforce))
		g.verify(to("4915112345678"))
		for i := range 100 {
			g.Withdraw(g.wants(to(spread(i)), "").Ticket)
			time.Sleep(time.Second)
		}
		time.Sleep(10 * minute)
		g.wants(to(spread(1)), "")
	})
}
