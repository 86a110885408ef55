package guard

import (
	"cmp"
	"slices"
	"strings"
)

// ChangeKind is what a Change is.
type ChangeKind uint8

const (
	// Watched tells that fewer verifications succeed somewhere than is normal for the caller.
	Watched ChangeKind = iota
	// Slowed tells that next to none does.
	Slowed
	// Blocked tells that a block began, by a rule or an operator.
	Blocked
	// Lifted tells that an operator has lifted one.
	Lifted
	// Warned tells that a budget has come to 80 % of its cap.
	Warned
	// Exhausted tells that there is no money for a start.
	Exhausted
	// PriceRaised tells that a message has cost more than the settings say, once of a country.
	PriceRaised
	// Foreign tells that the provider has told a price in another currency than the budgets', once
	// of a currency.
	Foreign
)

// String returns the word for logs.
func (k ChangeKind) String() string {
	return [...]string{"watched", "slowed", "blocked", "lifted", "warned", "exhausted", "price_raised", "foreign_currency"}[k]
}

// Change is what an operator should know of.
type Change struct {
	Kind ChangeKind
	// Caller is whom it is about, "" for all.
	Caller string
	// Finding tells why, and in which mode.
	Finding Finding
	// Price is of PriceRaised and Foreign.
	Price LearnedPrice
}

// ChangeKinds lists the words of all kinds.
func ChangeKinds() (words []string) {
	for kind := Watched; kind <= Foreign; kind++ {
		words = append(words, kind.String())
	}
	return words
}

// Tally is what a rule has done since the Guard was made.
type Tally struct {
	// Refused counts starts that it has refused, and Would those that were sent although it
	// would have, in Monitor.
	Refused, Would uint64
	// Saved is what the refused ones could have cost, and WouldSave the others: estimates, in
	// millionths of the currency that the account's budgets, or else its first start, had.
	Saved, WouldSave int64
	// Regretted counts starts, of both, whose number was verified later on.
	Regretted uint64
}

// CallerStats is how a caller's verifications ended. Those that were let through and are in none of
// the others may still be verified.
type CallerStats struct {
	Caller string
	// Unseen are those whose code has expired with nobody having told how they ended. A caller
	// of which all are does not check its verifications.
	Started, Verified, Failed, Unseen uint64
}

// Status is what a Guard has done and what it holds.
type Status struct {
	// Tallies are by Rule.
	Tallies  [rules]Tally
	Currency string
	Callers  []CallerStats
	// How much is kept of what, each of which is bounded.
	Verifications, Numbers, Addresses, Prefixes, Cells, CoolDowns, Blocks int
}

// Status changes nothing.
func (g *Guard) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{
		Tallies: g.tallies, Currency: g.currency, Callers: make([]CallerStats, 0, len(g.known.entries)),
		Verifications: len(g.records.waiting), Numbers: len(g.numbers.entries), Addresses: len(g.addresses.entries),
		Prefixes: len(g.prefixes.entries), Cells: len(g.cells.entries), CoolDowns: len(g.cools.entries), Blocks: len(g.blocks.all),
	}
	for _, e := range g.known.entries {
		s.Callers = append(s.Callers, e.value.CallerStats)
	}
	slices.SortFunc(s.Callers, func(a, b CallerStats) int {
		return cmp.Or(cmp.Compare(b.Started, a.Started), strings.Compare(a.Caller, b.Caller))
	})
	return s
}

// tally counts what rules have done to a start.
func (g *Guard) tally(l *look, refusal Rule, refused bool) {
	if len(l.d.Findings) == 0 {
		return
	}
	if g.currency == "" {
		g.currency = strings.Clone(l.Worst.Currency)
	}
	worth := l.Worst.Micro
	if l.Worst.Currency != g.currency {
		worth = 0
	}
	first := l.d.Findings[0].Rule
	if refused {
		first = refusal
		t := &g.tallies[refusal]
		t.Refused++
		t.Saved += worth
	} else {
		for rule, found := range l.found {
			if found {
				t := &g.tallies[rule]
				t.Would++
				t.WouldSave += worth
			}
		}
	}
	*g.refused.get(l.Caller, l.number) = first
}
