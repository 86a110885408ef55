package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Settings say what a Guard refuses. The zero value refuses nothing. They are not to be
// changed once a Guard has them.
type Settings struct {
	// Account are the rules for all callers. Its budgets are for all of them together.
	Account RuleSet
	// Callers are callers' own, by name: a rule that is Unset is as the account has it. Their budgets
	// come on top of the account's.
	Callers map[string]RuleSet
	// Trusted is what no rule refuses.
	Trusted Trusted
	// Prices are what Worst goes by. Budgets are in their currency.
	Prices Prices
}

// RuleSet is how rules are set.
type RuleSet struct {
	Countries   Countries
	DenyPrefix  DenyPrefix
	NumberTypes NumberTypes
	CoolDown    Mode
	PerNumber   Velocity
	PerAddress  Velocity
	PerPrefix   PerPrefix
	Conversion  Mode
	Budgets     []Budget
}

// Countries are those that may be called.
type Countries struct {
	Mode Mode
	// Allowed are ISO 3166-1 alpha-2 codes. A number of no country is of none of them.
	Allowed []string
}

// DenyPrefix is how numbers begin that may not be called.
type DenyPrefix struct {
	Mode Mode
	// Denied are digits, with the calling code first. The longest that fits is named.
	Denied []string
}

// NumberTypes are types of numbers that may not be called.
type NumberTypes struct {
	Mode Mode
	// Denied are some of Types.
	Denied []string
}

// The types of numbers that cost more than others, for whoever pays: premium-rate,
// shared-cost, and universal access numbers.
const (
	TypePremium = "premium"
	TypeShared  = "shared"
	TypeUAN     = "uan"
)

// Types returns all types that can be denied.
func Types() []string { return []string{TypePremium, TypeShared, TypeUAN} }

// Velocity bounds starts for one and the same thing, by each of its windows.
type Velocity struct {
	Mode    Mode
	Windows []Window
}

// Window lets Most through within any span of time as long as Within.
type Window struct {
	Most   int
	Within time.Duration
}

// String returns 3/10m.
func (w Window) String() string { return fmt.Sprintf("%d/%s", w.Most, short(w.Within)) }

// short leaves out the zeros of time.Duration's String.
func short(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// PerPrefix blocks a caller's range of numbers: all that are alike but for their last four digits.
type PerPrefix struct {
	Mode Mode
	// Numbers is how many different ones of a range may be started and not verified. Default:
	// 10 within 10 minutes.
	Numbers Window
	// Neighbours is how many of those may be no further than 100 from the one that comes next.
	// Default: 5 within 10 minutes.
	Neighbours Window
}

// Period is what a Budget is for.
type Period uint8

const (
	// Day is any 24 hours.
	Day Period = iota
	// Month is any 31 days.
	Month
)

// String returns day or month.
func (p Period) String() string { return [...]string{"day", "month"}[p] }

// Budget is how much may be spent within a period.
type Budget struct {
	Mode   Mode
	Period Period
	Cap    Money
}

const (
	// maxCount bounds Window.Most: so many moments are kept of each number.
	maxCount = 32
	// maxWithin bounds Window.Within.
	maxWithin = 31 * 24 * time.Hour
	// maxDigits is as much of a number as is looked at. E.164 has 15.
	maxDigits = 20
)

// Recommended are the rules that need no knowledge of whom an application is for, all in
// one mode. Countries and budgets are the operator's to name.
func Recommended(m Mode) RuleSet {
	return RuleSet{
		NumberTypes: NumberTypes{Mode: m, Denied: Types()},
		CoolDown:    m,
		PerNumber:   Velocity{Mode: m, Windows: []Window{{3, 10 * time.Minute}, {6, 24 * time.Hour}}},
		PerPrefix:   PerPrefix{Mode: m},
		Conversion:  m,
	}
}

func (s Settings) on() bool {
	if s.Account.on() {
		return true
	}
	for _, own := range s.Callers {
		if own.on() {
			return true
		}
	}
	return false
}

func (r RuleSet) on() bool {
	for _, mode := range [...]Mode{r.Countries.Mode, r.DenyPrefix.Mode, r.NumberTypes.Mode, r.CoolDown, r.PerNumber.Mode, r.PerAddress.Mode, r.PerPrefix.Mode, r.Conversion} {
		if mode.on() {
			return true
		}
	}
	return slices.ContainsFunc(r.Budgets, func(b Budget) bool { return b.Mode.on() })
}

// withDefaults returns r with its zero windows set.
func (r RuleSet) withDefaults() RuleSet {
	if r.PerPrefix.Numbers == (Window{}) {
		r.PerPrefix.Numbers = Window{10, 10 * time.Minute}
	}
	if r.PerPrefix.Neighbours == (Window{}) {
		r.PerPrefix.Neighbours = Window{5, 10 * time.Minute}
	}
	return r
}

// over returns a caller's rules, with the account's where they are unset. Budgets are apart.
func (r RuleSet) over(account RuleSet) RuleSet {
	if r.Countries.Mode == Unset {
		r.Countries = account.Countries
	}
	if r.DenyPrefix.Mode == Unset {
		r.DenyPrefix = account.DenyPrefix
	}
	if r.NumberTypes.Mode == Unset {
		r.NumberTypes = account.NumberTypes
	}
	if r.CoolDown == Unset {
		r.CoolDown = account.CoolDown
	}
	if r.PerNumber.Mode == Unset {
		r.PerNumber = account.PerNumber
	}
	if r.PerAddress.Mode == Unset {
		r.PerAddress = account.PerAddress
	}
	if r.PerPrefix.Mode == Unset {
		r.PerPrefix = account.PerPrefix
	}
	if r.Conversion == Unset {
		r.Conversion = account.Conversion
	}
	return r
}

// Validate tells what is wrong with the settings, by the name of the rule.
func (s Settings) Validate() error {
	if err := s.Trusted.validate(); err != nil {
		return err
	}
	currency := ""
	if err := s.Account.validate(&currency); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Callers)) {
		if err := s.Callers[name].validate(&currency); err != nil {
			return fmt.Errorf("caller %q: %w", name, err)
		}
	}
	return nil
}

// validate looks at one rule set. An account is billed in one currency, and so are its budgets.
func (r RuleSet) validate(currency *string) error {
	r = r.withDefaults()
	switch {
	case r.Countries.Mode.on() && len(r.Countries.Allowed) == 0:
		return fmt.Errorf("%s: none is named", RuleCountries)
	case r.DenyPrefix.Mode.on() && len(r.DenyPrefix.Denied) == 0:
		return fmt.Errorf("%s: none is named", RuleDenyPrefix)
	case r.NumberTypes.Mode.on() && len(r.NumberTypes.Denied) == 0:
		return fmt.Errorf("%s: none is named", RuleNumberTypes)
	case r.PerNumber.Mode.on() && len(r.PerNumber.Windows) == 0:
		return fmt.Errorf("%s: no window is named, such as 3/10m", RulePerNumber)
	case r.PerAddress.Mode.on() && len(r.PerAddress.Windows) == 0:
		return fmt.Errorf("%s: no window is named, such as 10/1h", RulePerAddress)
	}
	for _, code := range r.Countries.Allowed {
		if len(code) != 2 || strings.ToUpper(code) != code {
			return fmt.Errorf("%s: %q is no code of a country in capitals", RuleCountries, code)
		}
	}
	for _, prefix := range r.DenyPrefix.Denied {
		if !isDigits(prefix) {
			return fmt.Errorf("%s: %q is not 1 to %d digits", RuleDenyPrefix, prefix, maxDigits)
		}
	}
	for _, kind := range r.NumberTypes.Denied {
		if !slices.Contains(Types(), kind) {
			return fmt.Errorf("%s: %q is none of %s", RuleNumberTypes, kind, strings.Join(Types(), ", "))
		}
	}
	for rule, windows := range map[Rule][]Window{RulePerNumber: r.PerNumber.Windows, RulePerAddress: r.PerAddress.Windows, RulePerPrefix: {r.PerPrefix.Numbers, r.PerPrefix.Neighbours}} {
		for _, w := range windows {
			if w.Most < 1 || w.Most > maxCount || w.Within < time.Second || w.Within > maxWithin {
				return fmt.Errorf("%s: %v is not 1 to %d within a second to %s", rule, w, maxCount, short(maxWithin))
			}
		}
	}
	return r.validateBudgets(currency)
}

func (r RuleSet) validateBudgets(currency *string) error {
	var named [Month + 1]bool
	for _, b := range r.Budgets {
		if *currency == "" {
			*currency = b.Cap.Currency
		}
		switch {
		case b.Mode == Unset:
			return fmt.Errorf("%s: no mode", RuleBudget)
		case b.Cap.Micro <= 0 || b.Cap.Micro > maxCap:
			return fmt.Errorf("%s: a cap is more than 0 and at most %v, not %v", RuleBudget, Money{maxCap, b.Cap.Currency}, b.Cap)
		case b.Cap.Currency == "" || b.Cap.Currency != *currency:
			return fmt.Errorf("%s: an account is billed in one currency: %q and %q", RuleBudget, *currency, b.Cap.Currency)
		case named[b.Period]:
			return fmt.Errorf("%s: two for a %s", RuleBudget, b.Period)
		}
		named[b.Period] = true
	}
	return nil
}

// isDigits tells whether s can be a number or the beginning of one.
func isDigits(s string) bool {
	return s != "" && len(s) <= maxDigits && strings.Trim(s, "0123456789") == ""
}
