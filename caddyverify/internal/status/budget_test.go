package status

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// TestBudgets shows budgets with the figures of the guard.
func TestBudgets(t *testing.T) {
	eur := func(micro int64) guard.Money { return guard.Money{Micro: micro, Currency: "EUR"} }
	s := gateway.Snapshot{
		Guard: &guard.Status{Currency: "EUR"},
		Budgets: []guard.BudgetFigures{{
			Name: "account/day", Everyone: true, Mode: guard.Enforce,
			Settled: eur(41_200_000), Reserved: eur(8_700_001), Cap: eur(50_000_000), Trusted: eur(0),
		}},
		Prices: []guard.LearnedPrice{{Country: "GB", Seen: eur(200_001), Said: eur(150_000)}, {Seen: eur(1), Said: eur(2)}},
	}
	s.Guard.Tallies[guard.RuleBudget] = guard.Tally{Refused: 2, Saved: 900_000}
	s.Guard.Tallies[guard.RuleCountries] = guard.Tally{Would: 3, Regretted: 1}
	all := guardOf(&s)
	want := []GuardBudget{{"account/day", "enforce", "41.20 EUR", "8.700001 EUR", "50.00 EUR", 49_900_001.0 / 50_000_000, "0.00 EUR"}}
	if !reflect.DeepEqual(all.Budgets, want) {
		t.Errorf("%+v", all.Budgets)
	}
	if want := []GuardPrice{{"GB", "0.200001 EUR", "0.15 EUR"}, {"", "0.000001 EUR", "0.000002 EUR"}}; !reflect.DeepEqual(all.Prices, want) {
		t.Errorf("%+v", all.Prices)
	}
	var text strings.Builder
	all.write(&text)
	const lines = `guard countries	refused 0	would refuse 3	verified later 1
guard budget	refused 2	would refuse 0	verified later 0	saved 0.90 EUR
budget account/day	settled 41.20 EUR	reserved 8.700001 EUR	cap 50.00 EUR	100 %, enforce
price GB	0.200001 EUR a message	configured 0.15 EUR
price no country	0.000001 EUR a message	configured 0.000002 EUR
`
	if text.String() != lines {
		t.Errorf("it reads\n%s", text.String())
	}
}
