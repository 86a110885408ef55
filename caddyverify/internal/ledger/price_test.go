package ledger

import (
	"fmt"
	"math"
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
		"0.123456789":                  12_345_679,
		"0.300000125":                  30_000_013,
		"0.100000000":                  10_000_000,
		"1000000.000000001":            -1,
		"0.12345678x":                  -1,
		"0.1234567890123456789":        -1,
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

// TestTotals tells what a verification has cost in all, once it has ended, and whether that is all.
func TestTotals(t *testing.T) {
	dated := func(o Observation, submitted, last, end string) Observation {
		o.Answer.Found[0].Raw = []byte(`{"date_submitted":"` + submitted + `","last_event_date":"` + last + `","date_finalized":"` + end + `"}`)
		return o
	}
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		total := func(o Observation) string {
			t.Helper()
			var all []string
			for _, one := range l.Observe(o).Totals {
				all = append(all, fmt.Sprintf("%s %d %s of %d, %t", one.RequestID, one.Micro, one.Currency, one.Messages, one.Final))
			}
			return strings.Join(all, "; ")
		}
		wants := func(o Observation, want string) {
			t.Helper()
			if got := total(o); got != want {
				t.Errorf("it is %q, want %q", got, want)
			}
		}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			total(request(id))
		}
		time.Sleep(100 * time.Second)
		wants(finds("a", wire.InProgress).costing("0", "0.05", "EUR"), "")
		wants(check("a", "16"), "")
		wants(check("a", "0").costing("0.05000001", "0.05", "EUR"), "a 100001 EUR of 1, false")
		wants(control("b", "cancel", "0"), "")
		wants(check("none", "0").costing("0.05", "", "EUR"), "")
		total(control("e", "trigger_next_event", "0"))
		wants(check("e", "0").costing("0.05", "", "EUR"), "e 50000 EUR of 3, false")
		time.Sleep(priceLag - 1)
		wants(finds("a", wire.Succeeded).costing("0.05000001", "0.15", "EUR"), "a 200001 EUR of 1, false")
		time.Sleep(time.Nanosecond)
		wants(finds("a", wire.Succeeded).costing("0.05000001", "0.15", "EUR"), "a 200001 EUR of 1, true")
		wants(finds("b", wire.Cancelled).costing("0", "0", ""), "b 0  of 1, true")
		wants(finds("a", wire.Succeeded).costing("0.5", "0.15", "USD"), "")
		wants(finds("b", wire.Cancelled), "")
		// Its end is noticed now, and was a minute ago.
		wants(dated(finds("c", wire.Failed), "2026-01-01 00:00:00", "2026-01-01 00:00:00", "2026-01-01 00:01:39").costing("0", "0.05", "EUR"), "c 50000 EUR of 1, true")
		time.Sleep(time.Hour)
		l.Advance()
		wants(finds("d", wire.Expired).costing("0", "0.15", "EUR"), "d 150000 EUR of 3, true")
	})
}

// TestEstimate stands for what nobody has told, once, and what is told later counts as far as it is more. Totals have what is
// told alone.
func TestEstimate(t *testing.T) {
	eur := func(kind wire.CostKind, amount float64) []Cost { return []Cost{{"EUR", kind, "GB", "", amount}} }
	told := func(price string) Observation { return finds("a", wire.Succeeded).costing(price, "", "EUR") }
	for _, tt := range []struct {
		name   string
		before []Observation
		micro  int64
		want   []Cost
		later  Observation
		more   []Cost
		total  int64
		spent  float64
	}{
		{"less is told", nil, 150_000, eur(wire.Estimated, 0.15), told("0.08"), nil, 80_000, 0.15},
		{"more is told", nil, 150_000, eur(wire.Estimated, 0.15), told("0.40"), eur(wire.Fee, 0.25), 400_000, 0.40},
		{"it was told before", []Observation{told("0.08")}, 150_000, nil, told("0.08"), nil, 80_000, 0.08},
		{"no price for the country", nil, 0, nil, told("0.08"), eur(wire.Fee, 0.08), 80_000, 0.08},
		{"more than is believed", nil, 2_000_000_000_000, eur(wire.Estimated, 1_000_000), told("0.08"), nil, 80_000, 1_000_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := New(Settings{})
			observe(l, request("a"), check("a", "0"))
			observe(l, tt.before...)
			if got, amount, ok := l.Estimate("a", tt.micro, "EUR"); ok != (len(tt.want) > 0) || ok && (got != tt.want[0] || float64(amount) != got.Amount*unit) {
				t.Errorf("estimated at %+v, %d, want %+v", got, amount, tt.want)
			}
			if again, _, ok := l.Estimate("a", tt.micro, "EUR"); ok {
				t.Errorf("and then at %+v", again)
			}
			got, again := l.Observe(tt.later), l.Observe(tt.later)
			if !slices.EqualFunc(got.Costs, tt.more, func(a, b Cost) bool {
				a.Amount = math.Round(a.Amount*1e6) / 1e6
				return a == b
			}) {
				t.Errorf("then %+v, want %+v", got.Costs, tt.more)
			}
			if len(again.Costs) != 0 || len(again.Totals) != 1 || again.Totals[0].Micro != tt.total {
				t.Errorf("once more: %+v, want a total of %d", again, tt.total)
			}
			if v, _ := l.Verification("a"); v.Cost != tt.spent {
				t.Errorf("it has cost %v, want %v", v.Cost, tt.spent)
			}
		})
	}
	l := New(Settings{})
	observe(l, request("dollars"), check("dollars", "0"))
	l.Estimate("dollars", 150_000, "USD")
	got := l.Observe(finds("dollars", wire.Succeeded).costing("0.40", "", "EUR"))
	if len(got.Costs) != 0 || len(got.Totals) != 1 || got.Totals[0].Micro != 400_000 || got.Totals[0].Currency != "EUR" {
		t.Errorf("told in another currency: %+v", got)
	}
	observe(l, check("untracked", "0"), request("a"), check("a", "0"))
	for id, currency := range map[string]string{"nobody's": "EUR", "untracked": "EUR", "a": "euros"} {
		if got, _, ok := l.Estimate(id, 1, currency); ok {
			t.Errorf("%s is estimated at %+v", id, got)
		}
	}
}
