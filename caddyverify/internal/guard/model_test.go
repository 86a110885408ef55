package guard

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// act is one thing that happens, some time after the one before.
type act struct {
	after time.Duration
	kind  string
	who   int // caller, or gateway
	which int // verification
	part  int // of the worst price, in hundredths
	fault string
}

var acts = rapid.Custom(func(t *rapid.T) act {
	return act{
		after: rapid.SampledFrom([]time.Duration{0, 0, time.Second, time.Minute, 6 * time.Minute, 21 * time.Minute, 3 * time.Hour}).Draw(t, "after"),
		kind:  rapid.SampledFrom([]string{"start", "start", "start", "withdraw", "settle", "settle", "end", "end", "advance", "beat", "beat", "empty"}).Draw(t, "kind"),
		who:   rapid.IntRange(0, 3).Draw(t, "who"),
		which: rapid.IntRange(0, math.MaxInt32).Draw(t, "which"),
		part:  rapid.IntRange(0, 100).Draw(t, "part"),
		fault: rapid.SampledFrom([]string{"", "", "lost", "unanswered", "late"}).Draw(t, "fault"),
	}
})

// paper is what an honest clerk notes of one verification.
type paper struct {
	ticket                 Ticket
	id                     string
	begun                  time.Duration
	worst, spent           int64
	priced, ended, settled bool
}

// reserved is what it may yet cost.
func (p *paper) reserved() int64 {
	if p.settled || p.ended && p.priced {
		return 0
	}
	return p.worst - p.spent
}

// clerk keeps the books of a guard in the plainest way.
type clerk struct {
	*Guard
	papers []*paper
	late   bool // a price was told after the end's
}

func (c *clerk) start(caller string, n, cents int) bool {
	s := Start{Number: spread(n), Country: "GB", Caller: caller, Worst: eur(int64(cents))}
	d := c.Decide(s)
	if _, refused := d.Refusal(); refused {
		return false
	}
	p := &paper{ticket: d.Ticket, begun: c.now(), worst: s.Worst.Micro}
	c.papers = append(c.papers, p)
	if n%7 != 0 { // of the others, nobody learns the id
		p.id = fmt.Sprint("id-", len(c.papers))
		c.Started(p.ticket, p.id)
	}
	return true
}

func (c *clerk) do(a act) {
	if len(c.papers) == 0 {
		return
	}
	p := c.papers[a.which%len(c.papers)]
	switch a.kind {
	case "withdraw":
		c.Withdraw(p.ticket)
		if p.id == "" && !p.settled {
			p.worst, p.settled = 0, true
		}
	case "settle":
		spent := p.worst * int64(a.part) / 100
		c.Settle(p.id, Money{spent, "EUR"})
		if p.id != "" && !p.settled {
			c.late = c.late || p.ended && p.priced && spent > p.spent
			p.spent, p.priced = max(p.spent, spent), true
		}
	case "end":
		c.Ended(p.id, wire.Outcomes[a.part%len(wire.Outcomes)])
		if p.id != "" && !p.settled {
			p.ended = true
		}
	}
}

// age has what is over its life be settled.
func (c *clerk) age() {
	c.Advance()
	for _, p := range c.papers {
		if !p.settled && c.now() >= p.begun+20*time.Minute {
			p.spent += p.reserved()
			p.settled = true
		}
	}
}

func (c *clerk) sums() (settled, reserved int64) {
	for _, p := range c.papers {
		settled += p.spent
		reserved += p.reserved()
	}
	return settled, reserved
}

// TestBudgetModel has the guard's figures be those of an honest clerk at each moment, and
// never more than the cap; in the end nothing is reserved.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(acts, 20, 120).Draw(rt, "acts")
		limit := rapid.Int64Range(1, 60).Draw(rt, "cap")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			c := &clerk{Guard: New(only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Month, eur(limit)}} }))}
			check := func(what any) {
				settled, reserved := c.sums()
				b := c.Budgets()[0]
				if sum := b.Settled.Micro + b.Reserved.Micro; problem == "" && !c.late && sum > b.Cap.Micro {
					problem = fmt.Sprintf("after %+v: %d of %v", what, sum, b.Cap)
				}
				if problem == "" && (b.Settled.Micro != settled || b.Reserved.Micro != reserved) {
					problem = fmt.Sprintf("after %+v: settled %v, reserved %v; the clerk has %d, %d", what, b.Settled, b.Reserved, settled, reserved)
				}
			}
			var slept time.Duration
			for i, a := range plan {
				if slept += a.after; slept < 30*24*time.Hour {
					time.Sleep(a.after)
				}
				c.age()
				switch a.kind {
				case "start":
					settled, reserved := c.sums()
					price := 1 + a.part%9
					if fits := settled+reserved+eur(int64(price)).Micro <= eur(limit).Micro; c.start("shop", i, price) != fits && problem == "" {
						problem = fmt.Sprintf("%+v: %d and %d of %d cents; let through: %t", a, settled, reserved, limit, !fits)
					}
				default:
					c.do(a)
				}
				check(a)
			}
			time.Sleep(20 * time.Minute)
			c.age()
			check("the end")
			if b := c.Budgets()[0]; problem == "" && b.Reserved.Micro != 0 {
				problem = fmt.Sprintf("in the end %v is reserved", b.Reserved)
			}
			if n := len(c.records.waiting) + len(c.records.byID); problem == "" && n != 0 {
				problem = fmt.Sprintf("in the end %d verifications are kept", n)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// TestTrusted has whatever happens to what is trusted, and nothing refuse it.
func TestTrusted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(acts, 50, 150).Draw(rt, "acts")
		trusted := rapid.SampledFrom([]string{in(3), "44740012", "44", "4474001"}).Draw(rt, "trusted")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			r := Recommended(Enforce)
			r.Countries = Countries{Enforce, []string{"FR"}}
			r.DenyPrefix = DenyPrefix{Enforce, []string{trusted}}
			r.PerAddress = Velocity{Enforce, []Window{per(1, time.Hour)}}
			r.Budgets = []Budget{{Enforce, Day, eur(10)}}
			g := New(Settings{Account: r, Trusted: Trusted{Prefixes: []string{trusted}}})
			if err := g.Pin(Place{Everyone: true, Target: "GB"}); err != nil {
				t.Fatal(err)
			}
			for i, a := range plan {
				time.Sleep(a.after)
				s := to(in(3))
				s.Address, s.Type, s.Worst = "192.0.2.7", TypePremium, eur(int64(a.part))
				d := g.Decide(s)
				if _, refused := d.Refusal(); refused || !d.Trusted {
					problem = fmt.Sprintf("%+v", d)
				}
				switch a.kind {
				case "withdraw":
					g.Withdraw(d.Ticket)
				case "beat":
					g.Concurrent(d.Ticket, "elsewhere")
				default:
					g.Started(d.Ticket, fmt.Sprint(i))
					g.Ended(fmt.Sprint(a.which%(i+1)), wire.Outcomes[a.part%5])
				}
			}
			if b := g.Budgets()[0]; b.Settled.Micro != 0 || b.Reserved.Micro != 0 {
				problem = fmt.Sprintf("%+v", b)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
