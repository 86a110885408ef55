package guard

import (
	"maps"
	"slices"
	"strings"
)

// Prices are what a message or a call of a verification may cost at most, with its part of what the
// provider takes for the verification itself.
type Prices struct {
	// Any is for countries that have none of their own. The zero Money is no price.
	Any Money
	// Of are countries' own, by ISO 3166-1 alpha-2 codes, in the currency of Any.
	Of map[string]int64
}

// In returns what is said of a country, in millionths of the currency.
func (p Prices) In(country string) int64 {
	if own, has := p.Of[country]; has {
		return own
	}
	return p.Any.Micro
}

// LearnedPrice is a price that has turned out higher than the settings say.
type LearnedPrice struct {
	// Country is an ISO 3166-1 alpha-2 code, "" for numbers of none.
	Country string
	// Seen is the highest one, and Said what the settings have.
	Seen, Said Money
}

// learned are prices by country, of which there are no more than countries.
type learned map[string]LearnedPrice

// keep drops what was learnt beside other settings: who has changed a price knows better.
func (l learned) keep(p Prices) {
	for country, price := range l {
		if price.Said != (Money{p.In(country), p.Any.Currency}) {
			delete(l, country)
		}
	}
}

// Worst returns the most that a verification can cost which sends so many messages to a country.
func (g *Guard) Worst(country string, messages int) Money {
	g.mu.Lock()
	defer g.mu.Unlock()
	prices := g.settings.Prices
	each := max(prices.In(country), g.learned[country].Seen.Micro)
	return Money{min(each*int64(messages), maxPrice), prices.Any.Currency}
}

// Learn tells what a verification has cost in all, for at most so many messages, so that the next
// ones reserve as much. It comes before Ended.
func (g *Guard) Learn(requestID string, total Money, messages int) {
	g.mu.Lock()
	defer g.done()
	r := g.records.find(requestID)
	prices := g.settings.Prices
	if r == nil || messages < 1 || total.Micro <= 0 || prices.Any.Micro == 0 {
		return
	}
	if total.Currency != prices.Any.Currency {
		g.foreign(r, total)
		return
	}
	n := int64(messages)
	seen := (min(total.Micro, maxPrice) + n - 1) / n
	known, told := g.learned[r.country]
	said := prices.In(r.country)
	if seen <= max(said, known.Seen.Micro) {
		return
	}
	price := LearnedPrice{r.country, Money{seen, prices.Any.Currency}, Money{said, prices.Any.Currency}}
	g.learned[r.country] = price
	if !told {
		g.changes.Push(Change{Kind: PriceRaised, Price: price, Finding: Finding{Rule: RuleBudget, Mode: g.budgetMode(r), Target: r.country}})
	}
}

// foreign tells once of each currency that no budget is in: an account is billed in one.
func (g *Guard) foreign(r *record, total Money) {
	if len(r.budgets) == 0 || len(g.strange) >= maxStrange || g.strange[total.Currency] {
		return
	}
	currency := strings.Clone(total.Currency)
	g.strange[currency] = true
	g.changes.Push(Change{
		Kind: Foreign, Price: LearnedPrice{Seen: Money{total.Micro, currency}, Said: Money{r.worst, r.currency}},
		Finding: Finding{Rule: RuleBudget, Mode: g.budgetMode(r), Target: r.budgets[0].name},
	})
}

// maxStrange is of how many currencies it is told.
const maxStrange = 8

// budgetMode is the strictest one of the budgets of a record.
func (g *Guard) budgetMode(r *record) (m Mode) {
	for _, b := range r.budgets {
		m = max(m, b.mode)
	}
	return m
}

// Learned returns what has turned out dearer than the settings say, by country.
func (g *Guard) Learned() (list []LearnedPrice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, country := range slices.Sorted(maps.Keys(g.learned)) {
		list = append(list, g.learned[country])
	}
	return list
}

// Text is the sentence for operators.
func (c Change) Text() string {
	switch c.Kind {
	case PriceRaised:
		return RuleBudget.String() + " " + placeOf(c.Price.Country) + ": a message has cost " + c.Price.Seen.String() + ", and the configuration has " + c.Price.Said.String()
	case Foreign:
		return RuleBudget.String() + " " + c.Finding.Target + ": the provider tells a price in " + c.Price.Seen.Currency + "; it counts as what was reserved, " + c.Price.Said.String()
	default:
		return c.Finding.String()
	}
}

func placeOf(country string) string {
	if country == "" {
		return "of no country"
	}
	return country
}
