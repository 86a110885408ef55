package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// budgeted are settings with budgets of the account and of a caller, in cents a day.
func budgeted(m Mode, account, shop int64) (s Settings) {
	if account > 0 {
		s.Account.Budgets = []Budget{{m, Day, eur(account)}}
	}
	if shop > 0 {
		s.Callers = map[string]RuleSet{"shop": {Budgets: []Budget{{m, Day, eur(shop)}}}}
	}
	return s
}

// wantsMoney compares the figures of a budget, in cents.
func (g *guardTest) wantsMoney(name string, settled, reserved int64) {
	g.t.Helper()
	for _, b := range g.Budgets() {
		if b.Name != name {
			continue
		}
		if b.Settled != eur(settled) || b.Reserved != eur(reserved) {
			g.t.Errorf("%s: settled %v, reserved %v; want %v, %v", name, b.Settled, b.Reserved, eur(settled), eur(reserved))
		}
		return
	}
	g.t.Errorf("no budget %s", name)
}

func TestBudget(t *testing.T) {
	const day = "account/day"
	number := func(i int) Start { return to(spread(i)) }
	bubble(t, "reserved, settled, full", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		var ids []string
		for i := range 7 {
			ids = append(ids, g.start(number(i)))
		}
		g.told()
		ids = append(ids, g.start(number(7)))
		g.told(Warned) // 40 of 50
		ids = append(ids, g.start(number(8)), g.start(number(9)))
		g.wants(number(10), "9 budget account/day: settled 0.00 EUR, reserved 0.50 EUR, cap 0.50 EUR")
		g.wants(number(11), "9 budget account/day: settled 0.00 EUR, reserved 0.50 EUR, cap 0.50 EUR")
		g.told(Exhausted)
		g.Settle(ids[0], eur(2))
		g.wantsMoney(day, 2, 48)
		g.wants(number(10), "9 budget account/day: settled 0.02 EUR, reserved 0.48 EUR, cap 0.50 EUR")
		g.Settle(ids[0], eur(3))
		g.Settle(ids[0], eur(1)) // older
		g.wantsMoney(day, 3, 47)
		g.Ended(ids[0], wire.OutcomeSuccess)
		g.wantsMoney(day, 3, 45)
		g.Settle(ids[0], eur(4)) // known late
		g.wantsMoney(day, 4, 45)
		g.Ended(ids[1], wire.OutcomeFailed) // at a price that nobody knows yet
		g.wantsMoney(day, 4, 45)
		g.Settle(ids[1], eur(1))
		g.wantsMoney(day, 5, 40)
		g.wants(number(12), "")
		g.wantsMoney(day, 5, 45)
		g.wants(number(12), "9 budget account/day: settled 0.05 EUR, reserved 0.45 EUR, cap 0.50 EUR")
	})
	bubble(t, "warned again once there was room", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		for i := range 10 {
			g.start(number(i))
		}
		g.wants(number(10), "9 budget account/day: settled 0.00 EUR, reserved 0.50 EUR, cap 0.50 EUR")
		g.told(Warned, Exhausted)
		for i, free := range []int{1, 2, 3, 4} { // 45, 40, 35 and 30 cents
			id := fmt.Sprint("id-", free)
			g.Settle(id, eur(0))
			g.Ended(id, wire.OutcomeFailed)
			if i == 2 {
				g.start(number(20)) // 40 again
				g.told()
				g.ids--
				last := fmt.Sprint("id-", 11)
				g.Settle(last, eur(0))
				g.Ended(last, wire.OutcomeFailed)
			}
		}
		g.ids = 100
		g.start(number(21))
		g.told()
		g.start(number(22))
		g.told(Warned)
	})
	bubble(t, "a reservation dies with the verification", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		g.start(number(1))                // nobody tells of it any more
		g.Decide(number(2))               // nor of this one
		sent := g.Decide(number(3))       // this one is not sent
		g.Withdraw(sent.Ticket)           //
		g.Withdraw(sent.Ticket)           // it is given back once
		g.Started(sent.Ticket, "late")    // and nothing can come of it
		free := g.start(number(4))        //
		g.Settle(free, eur(0))            // it costs nothing
		g.Ended(free, wire.OutcomeFailed) //
		g.wantsMoney(day, 0, 10)
		time.Sleep(20*minute - 1)
		g.Advance()
		g.wantsMoney(day, 0, 10)
		time.Sleep(time.Nanosecond)
		g.Advance()
		g.wantsMoney(day, 10, 0) // it may have cost that
		if n := len(g.records.waiting) + len(g.records.byID); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
	bubble(t, "answered with another's answer", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		a, b := g.Decide(number(1)), g.Decide(number(1))
		g.Started(a.Ticket, "one-ID")
		g.Started(b.Ticket, "oneid")
		g.wantsMoney(day, 0, 5)
	})
	bubble(t, "a day is the last 24 hours at least", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		time.Sleep(59 * minute)
		for i := range 10 {
			id := g.start(number(i))
			g.Settle(id, eur(5))
			g.Ended(id, wire.OutcomeSuccess)
		}
		time.Sleep(24 * time.Hour)
		g.wants(number(1), "9 budget account/day: settled 0.50 EUR, reserved 0.00 EUR, cap 0.50 EUR")
		time.Sleep(time.Hour)
		g.wants(number(1), "")
		g.wantsMoney(day, 0, 5)
		time.Sleep(1000 * time.Hour)
		g.wantsMoney(day, 0, 5) // nothing moves by reading
		g.Advance()
		g.wantsMoney(day, 5, 0)
	})
	bubble(t, "a month is the last 31 days at least", func(t *testing.T) {
		g := newTest(t, only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Month, eur(5)}} }))
		id := g.start(number(1))
		g.Settle(id, eur(5))
		g.Ended(id, wire.OutcomeSuccess)
		time.Sleep(32*24*time.Hour - 1)
		g.wants(number(1), "9 budget account/month: settled 0.05 EUR, reserved 0.00 EUR, cap 0.05 EUR")
		time.Sleep(time.Nanosecond)
		g.wants(number(1), "")
	})
	bubble(t, "of a caller and of all", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 20))
		for i := range 4 {
			g.wants(number(i), "")
		}
		g.wants(number(5), "9 budget caller/shop/day: settled 0.00 EUR, reserved 0.20 EUR, cap 0.20 EUR")
		bank := number(6)
		bank.Caller = "bank"
		for range 6 {
			g.wants(bank, "")
		}
		g.wants(bank, "9 budget account/day: settled 0.00 EUR, reserved 0.50 EUR, cap 0.50 EUR")
		if d := g.Decide(number(1)); len(d.Findings) != 2 {
			t.Errorf("%+v", d.Findings)
		}
		g.wantsMoney(day, 0, 50)
		g.wantsMoney("caller/shop/day", 0, 20)
	})
	bubble(t, "in Monitor all is counted", func(t *testing.T) {
		g := newTest(t, budgeted(Monitor, 50, 0))
		for i := range 20 {
			if d := g.wants(number(i), ""); len(d.Findings) != i/10 {
				t.Errorf("the %dth: %+v", i, d.Findings)
			}
		}
		g.wantsMoney(day, 0, 100)
		g.told(Warned, Exhausted)
		g.Configure(budgeted(Enforce, 200, 0)) // what was spent stays
		g.wantsMoney(day, 0, 100)
	})
	bubble(t, "trusted is spent beside it", func(t *testing.T) {
		s := budgeted(Enforce, 10, 0)
		s.Trusted.Prefixes = []string{"4499"}
		g := newTest(t, s)
		trusted := to("449912345678")
		for range 10 {
			id := g.start(trusted)
			g.Settle(id, eur(4))
			g.Ended(id, wire.OutcomeSuccess)
		}
		g.start(trusted)
		g.wantsMoney(day, 0, 0)
		time.Sleep(20 * minute)
		g.Advance()
		if b := g.Budgets()[0]; b.Trusted != eur(45) || b.Settled != eur(0) {
			t.Errorf("%+v", b)
		}
	})
	bubble(t, "a price that is none of its money", func(t *testing.T) {
		g := newTest(t, budgeted(Enforce, 50, 0))
		s := number(1)
		s.Worst.Currency = "USD"
		g.wants(s, `9 budget account/day: settled 0.00 EUR, reserved 0.00 EUR, cap 0.50 EUR; a price in "USD" is none of it`)
		s.Worst = Money{}
		g.wants(s, `9 budget account/day: settled 0.00 EUR, reserved 0.00 EUR, cap 0.50 EUR; a price in "" is none of it`)
		id := g.start(number(1))
		g.Settle(id, Money{1, "USD"})
		g.Ended(id, wire.OutcomeSuccess)
		g.wantsMoney(day, 0, 5)
	})
}

func TestValidate(t *testing.T) {
	for name, s := range map[string]Settings{
		"countries":     only(func(r *RuleSet) { r.Countries.Mode = Monitor }),
		"a country":     only(func(r *RuleSet) { r.Countries.Allowed = []string{"gb"} }),
		"prefixes":      only(func(r *RuleSet) { r.DenyPrefix.Mode = Monitor }),
		"a prefix":      only(func(r *RuleSet) { r.DenyPrefix.Denied = []string{"+44"} }),
		"types":         only(func(r *RuleSet) { r.NumberTypes.Mode = Enforce }),
		"a type":        only(func(r *RuleSet) { r.NumberTypes.Denied = []string{"mobile"} }),
		"windows":       only(func(r *RuleSet) { r.PerNumber.Mode = Enforce }),
		"a window":      only(func(r *RuleSet) { r.PerAddress.Windows = []Window{{33, time.Hour}} }),
		"none":          only(func(r *RuleSet) { r.PerPrefix.Numbers = Window{0, time.Hour} }),
		"a cap":         only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Day, eur(0)}} }),
		"too high":      only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Day, Money{maxCap + 1, "EUR"}}} }),
		"no mode":       only(func(r *RuleSet) { r.Budgets = []Budget{{Unset, Day, eur(1)}} }),
		"two days":      only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Day, eur(1)}, {Enforce, Day, eur(2)}} }),
		"no currency":   only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Day, Money{1, ""}}} }),
		"two":           {Account: RuleSet{Budgets: []Budget{{Enforce, Day, eur(1)}}}, Callers: map[string]RuleSet{"a": {Budgets: []Budget{{Enforce, Day, Money{1, "USD"}}}}}},
		"a trusted":     {Trusted: Trusted{Prefixes: []string{"x"}}},
		"hidden, how":   {Trusted: Trusted{Hidden: make([][32]byte, 1)}},
		"of a caller's": {Callers: map[string]RuleSet{"a": {Countries: Countries{Mode: Enforce}}}},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: it is taken for valid", name)
		}
	}
	if err := (Settings{Account: Recommended(Enforce), Callers: map[string]RuleSet{"a": {Budgets: []Budget{{Monitor, Month, eur(1)}, {Enforce, Day, eur(1)}}}}}).Validate(); err != nil {
		t.Error(err)
	}
}
