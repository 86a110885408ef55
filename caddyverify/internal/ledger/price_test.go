package ledger

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestParsePrice(t *testing.T) {
	tests := map[string]units{
		"0":                            0,
		"0.10000000":                   10_000_000,
		"0.03330000":                   3_330_000,
		"0.00000001":                   1,
		"12":                           1_200_000_000,
		"12.5":                         1_250_000_000,
		"00.1":                         10_000_000,
		"1000000":                      maxPrice,
		"1000000.00000001":             -1, // -1 stands for no price
		"1000001":                      -1,
		"9999999999":                   -1,
		"99999999999999999":            -1,
		"0.123456789":                  -1,
		"":                             -1,
		".":                            -1,
		".5":                           -1,
		"5.":                           -1,
		"-1":                           -1,
		"+1":                           -1,
		"1e9":                          -1,
		"NaN":                          -1,
		"Inf":                          -1,
		"0x10":                         -1,
		"1_000":                        -1,
		"1,5":                          -1,
		" 1":                           -1,
		"1.2.3":                        -1,
		"١":                            -1,
		strings.Repeat("0", 100) + "1": -1,
	}
	for text, want := range tests {
		got, ok := parsePrice(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parsePrice(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestCosts(t *testing.T) {
	eur := func(kind wire.CostKind, amount float64) Cost { return Cost{"EUR", kind, "GB", "", amount} }
	tests := []struct {
		name string
		seen []Observation
		want []Cost
	}{
		{"a check", []Observation{check("a", "0").costing("0.10000000", "0.03330000", "EUR")}, []Cost{eur(wire.Fee, 0.1), eur(wire.Messages, 0.0333)}},
		{"twice", []Observation{check("a", "0").costing("0.1", "", "EUR"), check("a", "0").costing("0.1", "", "EUR")}, []Cost{eur(wire.Fee, 0.1)}},
		{"from memory", []Observation{check("a", "0").costing("0.1", "", "EUR").remembered()}, nil},
		{"a later estimate", []Observation{
			check("a", "0").costing("0.1", "0.25", "EUR"),
			finds("a", wire.Succeeded).costing("0.10000000", "0.75", "EUR"),
			finds("a", wire.Succeeded).costing("0.10000000", "0.75", "EUR"),
		}, []Cost{eur(wire.Fee, 0.1), eur(wire.Messages, 0.25), eur(wire.Messages, 0.5)}},
		{"an older estimate", []Observation{finds("a", wire.Succeeded).costing("", "0.75", "EUR"), finds("a", wire.InProgress).costing("0", "0.25", "EUR")}, []Cost{eur(wire.Messages, 0.75)}},
		{"while in progress", []Observation{finds("a", wire.InProgress).costing("0", "0.25", "EUR")}, []Cost{eur(wire.Messages, 0.25)}},
		{"from a list", []Observation{lists([]string{"a"}, wire.Verification{RequestID: "a", Status: wire.Failed, Price: "0.5", Currency: "EUR"})}, []Cost{eur(wire.Fee, 0.5)}},
		{"nothing to pay", []Observation{check("a", "0").costing("0", "0.00000000", "EUR")}, nil},
		{"garbage", []Observation{check("a", "0").costing("-1", "1e9", "EUR"), check("a", "0").costing("NaN", "99999999", "EUR")}, nil},
		{"garbage beside a price", []Observation{check("a", "0").costing("oops", "0.5", "EUR")}, []Cost{eur(wire.Messages, 0.5)}},
		{"no currency until later", []Observation{check("a", "0").costing("0.1", "", ""), finds("a", wire.Succeeded).costing("0.1", "", "EUR")}, []Cost{eur(wire.Fee, 0.1)}},
		{"no such currency", []Observation{check("a", "0").costing("0.1", "", "eur"), check("a", "0").costing("0.1", "", "EURO"), check("a", "0").costing("0.1", "", "€")}, nil},
		{"another currency", []Observation{check("a", "0").costing("0.1", "", "EUR"), finds("a", wire.Succeeded).costing("20", "3", "INR")}, []Cost{eur(wire.Fee, 0.1)}},
		{"an untracked one", []Observation{check("x", "0").costing("0.1", "0.1", "EUR"), finds("x", wire.Succeeded).costing("0.1", "0.2", "EUR")}, nil},
		{"an unknown one in progress", []Observation{finds("x", wire.InProgress).costing("0.1", "0.2", "EUR")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New(Settings{})
			observe(l, request("a"))
			if got := observe(l, tt.seen...).Costs; !slices.Equal(got, tt.want) {
				t.Errorf("Costs = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestCostWhileRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a"), check("a", "0").costing("0.5", "", "EUR"))
		time.Sleep(59 * time.Minute)
		if got := observe(l, finds("a", wire.Succeeded).costing("0.5", "0.25", "EUR")).Costs; len(got) != 1 || got[0].Amount != 0.25 {
			t.Errorf("Costs = %+v, want the estimate", got)
		}
		pass(l, time.Minute)
		if got := observe(l, finds("a", wire.Succeeded).costing("0.5", "0.75", "EUR")); len(got.Costs) != 0 || len(got.Finished) != 0 {
			t.Errorf("%+v, but it is forgotten", got)
		}
	})
}

func TestCurrenciesAreBounded(t *testing.T) {
	l := New(Settings{})
	var got []string
	for i, currency := range []string{"EUR", "USD", "EUR", "GBP", "INR", "JPY", "CHF", "USD"} {
		id := string(rune('a' + i))
		for _, c := range observe(l, request(id), check(id, "0").costing("1", "", currency)).Costs {
			got = append(got, c.Currency)
		}
	}
	if want := []string{"EUR", "USD", "EUR", "GBP", "INR", "other", "other", "USD"}; !slices.Equal(got, want) {
		t.Errorf("currencies = %v, want %v", got, want)
	}
}
