package guard

import (
	"crypto/sha256"
	"testing"
)

func TestPlaces(t *testing.T) {
	g := newTest(t, Settings{
		Account: RuleSet{
			Countries:   Countries{Enforce, []string{"GB", "DE", "RU"}},
			DenyPrefix:  DenyPrefix{Enforce, []string{"4470", "447012", "79", "4915112345678"}},
			NumberTypes: NumberTypes{Enforce, []string{TypePremium}},
		},
		Callers: map[string]RuleSet{
			"lab":  {Countries: Countries{Mode: Off}, DenyPrefix: DenyPrefix{Monitor, []string{"44"}}},
			"bank": {NumberTypes: NumberTypes{Enforce, []string{TypeUAN}}},
		},
		Trusted: Trusted{
			Prefixes: []string{"447099", "33612345678"},
			Hidden:   [][sha256.Size]byte{HideNumber([]byte("key"), "79123456789")},
			Key:      []byte("key"),
		},
	})
	tests := []struct {
		name  string
		start Start
		want  string
	}{
		{"allowed", Start{Number: "447400123456", Country: "GB"}, ""},
		{"of another country", Start{Number: "33612345679", Country: "FR"}, "15 countries FR"},
		{"of no country", Start{Number: "881612345678"}, "15 countries"},
		{"denied", Start{Number: "447011123456", Country: "GB"}, "15 deny_prefix 4470"},
		{"denied by the longest", Start{Number: "447012123456", Country: "GB"}, "15 deny_prefix 447012"},
		{"shorter than what is denied", Start{Number: "447", Country: "GB"}, ""},
		{"as short", Start{Number: "4470", Country: "GB"}, "15 deny_prefix"},
		{"a whole number", Start{Number: "4915112345678", Country: "DE"}, "15 deny_prefix"},
		{"next to a whole number", Start{Number: "49151123456789", Country: "DE"}, "15 deny_prefix"},
		{"as long as a range", Start{Number: "49151123456780000", Country: "DE"}, "15 deny_prefix 4915112345678"},
		{"premium", Start{Number: "449012345678", Country: "GB", Type: TypePremium}, "15 number_types premium"},
		{"a type that may be called", Start{Number: "448401234567", Country: "GB", Type: TypeShared}, ""},
		{"country before type", Start{Number: "33899123456", Country: "FR", Type: TypePremium}, "15 countries FR"},
		{"trusted prefix", Start{Number: "447099123456", Country: "GB", Type: TypePremium}, ""},
		{"trusted number", Start{Number: "33612345678", Country: "FR"}, ""},
		{"trusted number, hidden", Start{Number: "79123456789", Country: "RU"}, ""},
		{"its neighbour", Start{Number: "79123456788", Country: "RU"}, "15 deny_prefix 79"},
		{"a caller's own off", Start{Number: "33612345679", Country: "FR", Caller: "lab"}, ""},
		{"a caller's own monitor", Start{Number: "447012123456", Country: "GB", Caller: "lab"}, ""},
		{"a caller's own list", Start{Number: "449012345678", Country: "GB", Type: TypePremium, Caller: "bank"}, ""},
		{"the account's, else", Start{Number: "33612345679", Country: "FR", Caller: "bank"}, "15 countries FR"},
		{"empty", Start{Country: "GB"}, ""},
		{"far too long", Start{Number: "4470000000000000000000000000000000000000", Country: "GB"}, "15 deny_prefix 4470"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			g.wants(tt.start, tt.want)
		})
	}
	d := g.Decide(Start{Number: "447012123456", Country: "GB", Caller: "lab"})
	if len(d.Findings) != 1 || d.Findings[0].Mode != Monitor || d.Findings[0].Target != "44" || d.Trusted {
		t.Errorf("in monitor: %+v", d)
	}
	if d := g.Decide(Start{Number: "447099123456"}); !d.Trusted || len(d.Findings) != 0 {
		t.Errorf("trusted: %+v", d)
	}
	if g.WantsType("lab") != true || New(Settings{}).WantsType("") {
		t.Error("WantsType")
	}
	s := g.Status()
	if c, d := s.Tallies[RuleCountries], s.Tallies[RuleDenyPrefix]; c.Refused != 4 || d.Refused != 8 || d.Would != 2 {
		t.Errorf("countries %+v, deny_prefix %+v", c, d)
	}
}

func TestOff(t *testing.T) {
	g := newTest(t, Settings{})
	for range 1000 {
		if g.start(to("447400123456")) == "" {
			t.Fatal("refused by no rule")
		}
	}
	if s := g.Status(); s.Numbers+s.Prefixes+s.Cells+s.Blocks != 0 {
		t.Errorf("rules that are off keep something: %+v", s)
	}
}

// TestSentences holds the figures that status, logs and the page have in common to their words.
func TestSentences(t *testing.T) {
	for want, f := range map[string]Finding{
		"countries FR": {Rule: RuleCountries, Target: "FR"},
		"per_number: 3 in 10m, at most 3; for another 9m":            {Rule: RulePerNumber, Count: 3, Most: 3, Window: 10 * minute, Left: 9 * minute},
		"per_prefix 44740012: 10 in 10m, at most 10; for another 1h": {Rule: RulePerPrefix, Target: "44740012", Count: 10, Most: 10, Window: 10 * minute, Left: 60 * minute},
		"conversion GB: 1 of 20 verified in 15m; for another 30s":    {Rule: RuleConversion, Target: "GB", Count: 20, Verified: 1, Window: conversionWindow, Left: slowed},
		"budget account/day: settled 48.00 EUR, reserved 1.9755 EUR, cap 50.00 EUR": {
			Rule: RuleBudget, Target: "account/day", Settled: eur(4800), Reserved: Money{1_975_500, "EUR"}, Cap: eur(5000), Worst: eur(5),
		},
		`budget account/day: settled 0.00 EUR, reserved 0.00 EUR, cap 50.00 EUR; a price in "USD" is none of it`: {
			Rule: RuleBudget, Target: "account/day", Settled: eur(0), Reserved: eur(0), Cap: eur(5000), Worst: Money{1, "USD"},
		},
		"block 4477":                   {Rule: RuleBlock, Target: "4477"},
		"cool_down; for another 4m59s": {Rule: RuleCoolDown, Left: 5*minute - slowed/30},
	} {
		if got := f.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, m := range map[string]Money{"0.00 EUR": eur(0), "-0.05 EUR": eur(-5), "0.000001 EUR": {1, "EUR"}, "1.20": {1_200_000, ""}} {
		if got := m.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
