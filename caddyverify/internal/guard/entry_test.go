package guard

import (
	"fmt"
	"slices"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A record has what became of starts and what they have cost, with a budget and without one.
func TestEntries(t *testing.T) {
	for _, rules := range []RuleSet{
		{},
		{CoolDown: Monitor},
		{Budgets: []Budget{{Enforce, Day, eur(100)}}},
	} {
		g := New(Settings{Account: rules, Prices: Prices{Any: eur(1)}})
		var told []string
		g.Record(func(e Entry) { told = append(told, fmt.Sprint(e.Kind, e.Serial, e.Outcome, e.Spent.Micro)) })
		first := g.Decide(to(spread(1)))
		g.Started(first.Ticket, "a")
		g.Withdraw(g.Decide(to(spread(2))).Ticket)
		g.Concurrent(g.Decide(to(spread(3))).Ticket, "a")
		g.Spent("a", eur(1))
		g.Ended("a", wire.OutcomeSuccess)
		want := []string{
			fmt.Sprint(Decided, 1, "", 0), fmt.Sprint(Decided, 2, "", 0), fmt.Sprint(Withdrawn, 2, "", 0),
			fmt.Sprint(Decided, 3, "", 0), fmt.Sprint(Ran, 3, "", 0),
			fmt.Sprint(Settled, 1, "", eur(1).Micro), fmt.Sprint(Finished, 1, wire.OutcomeSuccess, 0),
		}
		if !slices.Equal(told, want) {
			t.Errorf("with %+v the record has\n%q, want\n%q", rules, told, want)
		}
	}
}

// TestEntriesBegin has a record that begins later know nothing of the starts before it.
func TestEntriesBegin(t *testing.T) {
	g := New(Settings{})
	g.Record(func(Entry) {})
	g.Started(g.Decide(to(spread(1))).Ticket, "a")
	var told []uint64
	g.Record(func(e Entry) { told = append(told, e.Serial) })
	g.Started(g.Decide(to(spread(2))).Ticket, "b")
	g.Ended("a", wire.OutcomeSuccess)
	g.Ended("b", wire.OutcomeSuccess)
	if want := []uint64{2, 2}; !slices.Equal(told, want) {
		t.Errorf("it has entries of the starts %v, want %v", told, want)
	}
}
