package guard

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// pricedAt are settings with a price of a message, and one for Germany, in cents.
func pricedAt(anywhere, germany int64) Settings {
	s := budgeted(Enforce, 100, 0)
	s.Prices = Prices{Any: eur(anywhere), Of: map[string]int64{"DE": eur(germany).Micro}}
	return s
}

func TestWorst(t *testing.T) {
	g := newTest(t, pricedAt(15, 5))
	for _, test := range []struct {
		country  string
		messages int
		want     Money
	}{
		{"GB", 3, eur(45)},
		{"", 1, eur(15)},
		{"DE", 2, eur(10)},
	} {
		if got := g.Worst(test.country, test.messages); got != test.want {
			t.Errorf("%d to %q: %v, want %v", test.messages, test.country, got, test.want)
		}
	}
	if got := New(Settings{}).Worst("GB", 3); got != (Money{}) {
		t.Errorf("without prices: %v", got)
	}
}

// TestLearn takes a price for that of a country from when it is seen, until the settings change it.
func TestLearn(t *testing.T) {
	bubble(t, "by country, told once", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		s := to(spread(1))
		s.Worst, s.Messages = g.Worst("GB", 3), 3
		id := g.start(s)
		g.told()
		g.Learn("none", eur(90), 1) // not known of
		g.Learn(id, eur(45), 3)     // as it was said
		g.Learn(id, eur(0), 1)
		if got := g.Worst("GB", 1); got != eur(15) {
			t.Errorf("a price that is none was learnt: %v", got)
		}
		g.told()
		g.Learn(id, Money{400_001, "EUR"}, 2)
		if got := g.Worst("GB", 1); got != (Money{200_001, "EUR"}) {
			t.Errorf("half of it, rounded up, is not %v", got)
		}
		if text := g.changes[0].Text(); text != "budget GB: a message has cost 0.200001 EUR, and the configuration has 0.15 EUR" {
			t.Error(text)
		}
		g.told(PriceRaised)
		g.Learn(id, eur(30), 1)
		g.Learn(id, eur(25), 1) // less than is known
		if got := g.Worst("GB", 3); got != eur(90) {
			t.Errorf("the highest was forgotten: %v", got)
		}
		g.told()
		if list := g.Learned(); len(list) != 1 || list[0] != (LearnedPrice{"GB", eur(30), eur(15)}) {
			t.Errorf("%v", list)
		}
		if de, fr := g.Worst("DE", 1), g.Worst("FR", 1); de != eur(5) || fr != eur(15) {
			t.Errorf("others: %v, %v", de, fr)
		}
		g.Configure(pricedAt(15, 7))
		if got := g.Worst("GB", 1); got != eur(30) {
			t.Errorf("a reload has forgotten it: %v", got)
		}
		g.Configure(pricedAt(20, 7))
		if got := g.Worst("GB", 1); got != eur(20) {
			t.Errorf("who changes a price knows better: %v", got)
		}
	})
	bubble(t, "in another currency", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := g.start(to(spread(1)))
		for range 2 {
			g.Learn(id, Money{90_000_000, "USD"}, 1)
			g.Settle(id, Money{90_000_000, "USD"})
		}
		if text := g.changes[0].Text(); text != "budget account/day: the provider tells a price in USD; it counts as what was reserved, 0.05 EUR" {
			t.Error(text)
		}
		g.told(Foreign)
		g.Ended(id, wire.OutcomeSuccess)
		g.wantsMoney("account/day", 0, 5)
		time.Sleep(20 * minute)
		g.Advance()
		g.wantsMoney("account/day", 5, 0)
	})
}

// TestSpent keeps the last message's price until it is known, or nobody will tell it.
func TestSpent(t *testing.T) {
	const day = "account/day"
	three := func(g *guardTest, n int) string {
		s := to(spread(n))
		s.Worst, s.Messages = eur(45), 3
		return g.start(s)
	}
	bubble(t, "told later", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := three(g, 1)
		g.wantsMoney(day, 0, 45)
		g.Spent(id, eur(5))
		g.wantsMoney(day, 5, 40)
		g.Ended(id, wire.OutcomeSuccess)
		g.wantsMoney(day, 5, 15)
		if !g.Owes(id) || g.Owes("none") {
			t.Error("nobody would ask for its price")
		}
		g.Spent(id, eur(10))
		g.wantsMoney(day, 10, 10)
		g.Settle(id, eur(12))
		g.wantsMoney(day, 12, 0)
		if g.Owes(id) {
			t.Error("it is asked for again")
		}
	})
	bubble(t, "told with the end", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := three(g, 1)
		g.Settle(id, eur(12))
		g.wantsMoney(day, 12, 33)
		g.Ended(id, wire.OutcomeExpired)
		g.wantsMoney(day, 12, 0)
	})
	bubble(t, "free, in no currency", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := three(g, 1)
		g.Settle(id, Money{})
		g.Ended(id, wire.OutcomeFailed)
		g.wantsMoney(day, 0, 0)
	})
	bubble(t, "never told", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := three(g, 1)
		g.Spent(id, eur(5))
		g.Ended(id, wire.OutcomeSuccess)
		time.Sleep(20 * minute)
		g.Advance()
		g.wantsMoney(day, 20, 0)
	})
	bubble(t, "more than was reserved", func(t *testing.T) {
		g := newTest(t, pricedAt(15, 5))
		id := three(g, 1)
		g.Settle(id, eur(99))
		g.Ended(id, wire.OutcomeSuccess)
		g.wantsMoney(day, 99, 0)
		if three(g, 2) != "" {
			t.Error("it is not seen")
		}
	})
}
