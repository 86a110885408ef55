package status

import (
	"fmt"
	"io"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// GuardBudget is how much may be spent within a day or a month.
type GuardBudget struct {
	// Budget is account/day, or caller/checkout/day.
	Budget string `json:"budget"`
	Mode   string `json:"mode"`
	// Settled is what is known to be spent, Reserved what may yet be, and Cap what both together may
	// come to, such as 12.50 EUR.
	Settled  string `json:"settled"`
	Reserved string `json:"reserved"`
	Cap      string `json:"cap"`
	// Used is how much of the cap both are, from 0 to 1, and above where it was not kept.
	Used float64 `json:"used"`
	// Trusted is what trusted numbers have cost, which is no part of them.
	Trusted string `json:"trusted"`
}

// GuardPrice is what a message has cost at most.
type GuardPrice struct {
	// Country is a two-letter code; absent for numbers of none.
	Country string `json:"country,omitempty"`
	// Seen is the highest price, and Configured the one that it is above.
	Seen       string `json:"seen"`
	Configured string `json:"configured"`
}

func budgetsOf(all []guard.BudgetFigures) []GuardBudget {
	list := make([]GuardBudget, 0, len(all))
	for _, b := range all {
		list = append(list, GuardBudget{
			Budget: b.Name, Mode: b.Mode.String(), Settled: b.Settled.String(), Reserved: b.Reserved.String(), Cap: b.Cap.String(),
			Used: float64(b.Settled.Micro+b.Reserved.Micro) / float64(b.Cap.Micro), Trusted: b.Trusted.String(),
		})
	}
	return list
}

func pricesOf(all []guard.LearnedPrice) []GuardPrice {
	list := make([]GuardPrice, 0, len(all))
	for _, p := range all {
		list = append(list, GuardPrice{p.Country, p.Seen.String(), p.Said.String()})
	}
	return list
}

// amount is "" for none.
func amount(micro int64, currency string) string {
	if micro == 0 {
		return ""
	}
	return guard.Money{Micro: micro, Currency: currency}.String()
}

func (r *GuardRule) saved() (text string) {
	if r.Saved != "" {
		text = "\tsaved " + r.Saved
	}
	if r.WouldSave != "" {
		text += "\twould save " + r.WouldSave
	}
	return text
}

func (g *Guard) writeMoney(w io.Writer) {
	for _, b := range g.Budgets[:min(len(g.Budgets), maxRows)] {
		fmt.Fprintf(w, "budget %s\tsettled %s\treserved %s\tcap %s\t%.0f %%, %s\n", printable(b.Budget), b.Settled, b.Reserved, b.Cap, 100*b.Used, b.Mode)
	}
	for _, p := range g.Prices[:min(len(g.Prices), maxRows)] {
		where := p.Country
		if where == "" {
			where = "no country"
		}
		fmt.Fprintf(w, "price %s\t%s a message\tconfigured %s\n", where, p.Seen, p.Configured)
	}
}
