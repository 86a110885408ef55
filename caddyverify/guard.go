package caddyverify

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// Guard says which verifications the gateway does not start, before they cost money. Each of its
// rules is `off`, in `monitor`, where it refuses nothing and tells what it would refuse, or in
// `enforce`. Checks, searches and controls of what has been started always pass.
type Guard struct {
	// Recommended is the mode of number_types, cool_down, per_number, per_prefix and
	// conversion with their defaults, of those that are not given themselves. Default: they
	// are off; of a caller, as the account has them.
	Recommended string `json:"recommended,omitempty"`

	// Countries are those that may be called, as ISO 3166-1 alpha-2 codes: a number of any
	// other is refused. Default: off.
	Countries *GuardRule `json:"countries,omitempty"`

	// DenyPrefix is how numbers begin that may not be called: 1 to 20 digits, the calling code
	// first. Default: off.
	DenyPrefix *GuardRule `json:"deny_prefix,omitempty"`

	// NumberTypes are the types of numbers that may not be called: `premium`, `shared` (cost)
	// and `uan` (universal access numbers). Default: off; all three where it names none.
	NumberTypes *GuardRule `json:"number_types,omitempty"`

	// CoolDown answers status 10 itself while the provider has said that a verification of the
	// number is under way. It has no values. Default: off.
	CoolDown *GuardRule `json:"cool_down,omitempty"`

	// PerNumber is how often a caller may start verifications of one number: windows such as
	// `3/10m`, of 1 to 32 within 1s to 31d, each of which holds. Default: off; `3/10m` and
	// `6/24h` where it names none.
	PerNumber *GuardRule `json:"per_number,omitempty"`

	// PerAddress is how often it may for one `ip_address`, by windows as of PerNumber.
	// Default: off.
	PerAddress *GuardRule `json:"per_address,omitempty"`

	// PerPrefix blocks a range of a caller, the numbers that are alike but for their last four
	// digits, when 10 of them are started within 10 minutes and not verified, or 5 that are
	// no further than 100 apart: for an hour, and twice as long each time up to a day. It has no
	// values. Default: off.
	PerPrefix *GuardRule `json:"per_prefix,omitempty"`

	// Conversion slows and blocks a range or a country of a caller where too few of 20 or more
	// verifications succeed. It has no values. Default: off.
	Conversion *GuardRule `json:"conversion,omitempty"`

	// Budget is how much all callers together may spend, or of a caller, this one: values such as
	// `50 EUR/day` and `1000 EUR/month`, at most one of each. It needs Prices. A caller's comes on top
	// of the account's. Default: off.
	Budget *GuardRule `json:"budget,omitempty"`

	// Prices are what a message may cost at most, for Budget, and with version 2 of the API also for what a
	// verification costs where no webhook tells. Callers have none of their own. Default: none.
	Prices []GuardPrice `json:"prices,omitempty"`

	// Trusted are numbers, or how they begin, that no rule refuses: 1 to 20 digits, the
	// calling code first. Callers have none of their own. Default: none.
	Trusted []string `json:"trusted,omitempty"`

	// TrustedFile has more of them, which nobody can read from it. Callers have none of their
	// own. Default: none.
	TrustedFile *TrustedFile `json:"trusted_file,omitempty"`

	// Record is the path of a file in which starts and what becomes of them are written down, with
	// numbers that nobody can read, for `caddy verify guard replay`. It is rolled over as Caddy's
	// logs are. Callers have none of their own. Default: none.
	Record string `json:"record,omitempty"`
}

// GuardRule is how a rule of the guard is set.
type GuardRule struct {
	// Mode is `off`, `monitor` or `enforce`. Default: `monitor`.
	Mode string `json:"mode,omitempty"`

	// Values are what the rule goes by, if it goes by any. A rule that is `off` needs none.
	Values []string `json:"values,omitempty"`
}

// rules are those of an account, or of a caller.
func (g *Guard) rules() (s guard.RuleSet, err error) {
	if g == nil {
		return s, nil
	}
	if g.Recommended != "" {
		mode, err := guardMode(g.Recommended)
		if err != nil {
			return s, fmt.Errorf("recommended: %w", err)
		}
		s = guard.Recommended(mode)
	}
	for _, rule := range guardRules {
		if given := *rule.in(g); given != nil {
			if err := rule.apply(&s, given); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// settings are those of an account of some names, with the rules of its callers. They have the
// trusted file read.
func (g *Guard) settings(callers *Callers, names []string) (s guard.Settings, err error) {
	if s.Account, err = g.rules(); err != nil {
		return s, err
	}
	if s.Prices, err = g.prices(); err != nil {
		return s, fmt.Errorf("price: %w", err)
	}
	s.Trusted.Prefixes = g.Trusted
	if g.TrustedFile != nil {
		if s.Trusted.Hidden, s.Trusted.Key, err = g.TrustedFile.read(); err != nil {
			return s, fmt.Errorf("trusted_file: %w", err)
		}
	}
	var known []*Caller
	var mine []string // who may come; another account may yet fail over to this one
	if callers != nil {
		known = callers.Known
	}
	for _, c := range known {
		if c.Guard == nil {
			continue
		}
		if s.Callers == nil {
			s.Callers = map[string]guard.RuleSet{}
		}
		if s.Callers[c.Name], err = c.Guard.rules(); err != nil {
			return s, fmt.Errorf("caller %s: %w", c.Name, err)
		}
		if c.Account == "" || slices.Contains(names, c.Account) {
			mine = append(mine, c.Name)
		}
	}
	if err := priced(&s, mine); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// checkAccount tells what is wrong with an account's guard.
func (g *Guard) checkAccount() error {
	err := g.check()
	if g == nil || err != nil {
		return err
	}
	var s guard.Settings
	s.Account, _ = g.rules() // both are right, by check
	s.Prices, _ = g.prices()
	return priced(&s, nil)
}

// check tells what is wrong with a guard as far as it is written.
func (g *Guard) check() error {
	if g == nil {
		return nil
	}
	if reflect.DeepEqual(g, new(Guard)) {
		return errors.New("it has no rule; write for example: recommended monitor")
	}
	if _, err := g.rules(); err != nil {
		return err
	}
	if _, err := g.prices(); err != nil {
		return fmt.Errorf("price: %w", err)
	}
	if err := areDigits(g.Trusted); err != nil {
		return fmt.Errorf("trusted: %w; write for example: trusted 447700900000 4479", err)
	}
	if err := g.TrustedFile.check(); err != nil {
		return fmt.Errorf("trusted_file: %w", err)
	}
	if strings.ContainsAny(g.Record, "{}") {
		return errors.New("record: placeholders are not read here; " + writeItOut)
	}
	return nil
}

// checkCaller does that for a caller's.
func (g *Guard) checkCaller() error {
	if g != nil && (g.Trusted != nil || g.TrustedFile != nil || g.Prices != nil || g.Record != "") {
		return errors.New("price, trusted, trusted_file and record are for all callers of an account; write them in the guard of the account")
	}
	return g.check()
}

// with returns the guard with what a further handler of the account says, which must not be
// different. Numbers are not shown.
func (g Guard) with(one *Guard) (Guard, error) {
	if one == nil {
		return g, nil
	}
	var err error
	agree(&err, "guard: recommended", &g.Recommended, one.Recommended)
	agree(&err, "guard: record", &g.Record, one.Record)
	differs := func(name string) {
		if err == nil {
			err = fmt.Errorf("guard: %s: it is another one here than in another handler of this account; write it in one of them, or the same in all", name)
		}
	}
	for _, rule := range guardRules {
		all, said := rule.in(&g), *rule.in(one)
		switch {
		case said == nil:
		case *all == nil:
			*all = said
		case !rule.same(*all, said):
			differs(rule.name.String())
		}
	}
	switch {
	case one.Prices == nil:
	case g.Prices == nil:
		g.Prices = one.Prices
	case !samePrices(&g, one):
		differs("price")
	}
	switch {
	case one.Trusted == nil:
	case g.Trusted == nil:
		g.Trusted = one.Trusted
	case !slices.Equal(sorted(g.Trusted), sorted(one.Trusted)):
		differs("trusted")
	}
	switch {
	case one.TrustedFile == nil:
	case g.TrustedFile == nil:
		g.TrustedFile = one.TrustedFile
	case *g.TrustedFile != *one.TrustedFile:
		differs("trusted_file")
	}
	return g, err
}

func parseGuard(d *caddyfile.Dispenser) (*Guard, error) {
	if d.CountRemainingArgs() > 0 {
		return nil, d.Err("guard takes a block in braces")
	}
	g, known := new(Guard), []string{"recommended", "price", "trusted", "trusted_file", "record"}
	for _, rule := range guardRules {
		known = append(known, rule.name.String())
	}
	return g, block(d, "guard", known, func(name string) error {
		if err := g.unmarshalRule(name, d.RemainingArgs()); err != nil {
			return d.WrapErr(err)
		}
		if err := g.check(); err != nil {
			return d.WrapErr(fmt.Errorf("guard: %w", err))
		}
		return nil
	}, "price")
}

// unmarshalRule reads a line of the guard.
func (g *Guard) unmarshalRule(name string, words []string) error {
	switch name {
	case "recommended":
		if len(words) > 1 {
			return errors.New("recommended takes one argument: recommended off|monitor|enforce")
		}
		g.Recommended = guard.Monitor.String()
		if len(words) == 1 {
			g.Recommended = words[0]
		}
		return nil
	case "price":
		return g.unmarshalPrice(words)
	case "trusted":
		if g.Trusted = words; len(words) == 0 {
			return errors.New("trusted takes numbers, or how they begin: trusted 447700900000 4479" + unset)
		}
		return nil
	case "trusted_file":
		if len(words) != 2 {
			return errors.New("trusted_file takes two arguments: trusted_file <path> <key>" + unset)
		}
		g.TrustedFile = &TrustedFile{Path: words[0], Key: words[1]}
		return nil
	case "record":
		if len(words) != 1 {
			return errors.New("record takes one argument: record <path>" + unset)
		}
		g.Record = words[0]
		return nil
	}
	for _, rule := range guardRules {
		if rule.name.String() != name {
			continue
		}
		given := new(GuardRule)
		if len(words) > 0 && words[0] != "" {
			if _, err := guardMode(words[0]); err == nil {
				given.Mode, words = words[0], words[1:]
			}
		}
		if rule.name == guard.RuleBudget {
			words = inPairs(words)
		}
		if len(words) > 0 {
			given.Values = words
		}
		*rule.in(g) = given
		return nil
	}
	return nil
}
