package caddyverify

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// guardRule is what there is to know of a rule to read it.
type guardRule struct {
	name guard.Rule
	in   func(*Guard) **GuardRule
	// example is what it is written like; "" where it has no values.
	example string
	needed  bool // it means nothing without values
	set     func(*guard.RuleSet, guard.Mode, []string) error
}

// guardRules are those that can be configured, in the order in which they are asked.
var guardRules = []guardRule{
	{
		guard.RuleCountries, func(g *Guard) **GuardRule { return &g.Countries }, "countries GB DE", true,
		func(s *guard.RuleSet, m guard.Mode, values []string) (err error) {
			s.Countries.Mode = m
			s.Countries.Allowed, err = countryCodes(values)
			return err
		},
	},
	{
		guard.RuleDenyPrefix, func(g *Guard) **GuardRule { return &g.DenyPrefix }, "deny_prefix 4470 88213", true,
		func(s *guard.RuleSet, m guard.Mode, values []string) (err error) {
			s.DenyPrefix = guard.DenyPrefix{Mode: m, Denied: sorted(values)}
			return areDigits(values)
		},
	},
	{
		guard.RuleNumberTypes, func(g *Guard) **GuardRule { return &g.NumberTypes }, "number_types " + strings.Join(guard.Types(), " "), false,
		func(s *guard.RuleSet, m guard.Mode, values []string) error {
			if len(values) == 0 {
				values = guard.Types()
			}
			s.NumberTypes = guard.NumberTypes{Mode: m, Denied: sorted(values)}
			return each(values, func(v string) bool { return slices.Contains(guard.Types(), v) }, "none of the types that cost more")
		},
	},
	{
		guard.RuleCoolDown, func(g *Guard) **GuardRule { return &g.CoolDown }, "", false,
		func(s *guard.RuleSet, m guard.Mode, _ []string) error { s.CoolDown = m; return nil },
	},
	{
		guard.RulePerNumber, func(g *Guard) **GuardRule { return &g.PerNumber }, "per_number 3/10m 6/24h", false,
		func(s *guard.RuleSet, m guard.Mode, values []string) error {
			if len(values) == 0 {
				s.PerNumber = guard.Recommended(m).PerNumber
				return nil
			}
			return velocity(&s.PerNumber, m, values)
		},
	},
	{
		guard.RulePerAddress, func(g *Guard) **GuardRule { return &g.PerAddress }, "per_address 10/1h", true,
		func(s *guard.RuleSet, m guard.Mode, values []string) error { return velocity(&s.PerAddress, m, values) },
	},
	{
		guard.RulePerPrefix, func(g *Guard) **GuardRule { return &g.PerPrefix }, "", false,
		func(s *guard.RuleSet, m guard.Mode, _ []string) error { s.PerPrefix.Mode = m; return nil },
	},
	{
		guard.RuleConversion, func(g *Guard) **GuardRule { return &g.Conversion }, "", false,
		func(s *guard.RuleSet, m guard.Mode, _ []string) error { s.Conversion = m; return nil },
	},
	{guard.RuleBudget, func(g *Guard) **GuardRule { return &g.Budget }, budgetExample, true, budgets},
}

// apply sets a rule. Its errors show no value: a number may stand in the wrong place.
func (r *guardRule) apply(s *guard.RuleSet, given *GuardRule) error {
	mode, err := guardMode(given.Mode)
	switch {
	case err != nil:
	case r.example == "" && len(given.Values) > 0:
		err = errors.New("it takes nothing but a mode: off, monitor or enforce")
	case strings.ContainsAny(strings.Join(given.Values, ""), "{}"):
		err = errors.New("placeholders are not read here; " + writeItOut)
	case r.needed && len(given.Values) == 0 && mode != guard.Off:
		err = fmt.Errorf("it names none; write for example: %s%s", r.example, unset)
	default:
		if err = r.set(s, mode, given.Values); err != nil {
			err = fmt.Errorf("%w; write for example: %s", err, r.example)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// guardMode reads a mode, of which none stands for monitor.
func guardMode(word string) (guard.Mode, error) {
	if word == "" {
		return guard.Monitor, nil
	}
	for _, m := range []guard.Mode{guard.Off, guard.Monitor, guard.Enforce} {
		if m.String() == word {
			return m, nil
		}
	}
	return guard.Unset, errors.New("the mode must be off, monitor or enforce")
}

// each wants all values to be right.
func each(values []string, right func(string) bool, wrong string) error {
	for i, v := range values {
		if !right(v) {
			return fmt.Errorf("value %d is %s", i+1, wrong)
		}
	}
	return nil
}

// sorted has the same for the same values in any order.
func sorted(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

func countryCodes(values []string) ([]string, error) {
	if len(values) == 0 {
		return nil, nil // off
	}
	if err := each(values, func(v string) bool { _, err := country.NewList([]string{v}); return err == nil },
		"not the two-letter code of a country with a calling code"); err != nil {
		return nil, err
	}
	list, err := country.NewList(values)
	return list.Codes(), err
}

// areDigits wants numbers, or how they begin. No calling code begins with 0.
func areDigits(values []string) error {
	return each(values, func(v string) bool {
		return v != "" && len(v) <= 20 && strings.Trim(v, "0123456789") == "" && v[0] != '0'
	}, "not 1 to 20 digits with the calling code first, without a plus sign or zeros before it")
}

func velocity(v *guard.Velocity, m guard.Mode, values []string) error {
	*v = guard.Velocity{Mode: m}
	return each(values, func(written string) bool {
		most, within, _ := strings.Cut(written, "/")
		n, err := strconv.Atoi(most)
		if err != nil || n < 1 || n > 32 {
			return false
		}
		d, err := caddy.ParseDuration(within)
		v.Windows = append(v.Windows, guard.Window{Most: n, Within: d})
		slices.SortFunc(v.Windows, func(a, b guard.Window) int { return cmp.Compare(a.Within, b.Within) })
		return err == nil && d >= time.Second && d <= 31*24*time.Hour
	}, "not how many within how long, 1 to 32 within 1s to 31d")
}

// same tells whether two ways to write a rule mean the same.
func (r *guardRule) same(one, other *GuardRule) bool {
	var a, b guard.RuleSet
	return errors.Join(r.apply(&a, one), r.apply(&b, other)) == nil && reflect.DeepEqual(a, b)
}
