package guard

import "slices"

// RuleCount is how many rules there are.
const RuleCount = rules

// All returns the settings with each rule that is on in a mode, and nothing trusted but prefixes.
func (s Settings) All(m Mode) Settings {
	all := Settings{Account: s.Account.all(m), Trusted: Trusted{Prefixes: s.Trusted.Prefixes}}
	if s.Callers != nil {
		all.Callers = make(map[string]RuleSet, len(s.Callers))
	}
	for name, own := range s.Callers {
		all.Callers[name] = own.all(m)
	}
	return all
}

// modes are those of all rules but budgets.
func (r *RuleSet) modes() map[Rule]*Mode {
	return map[Rule]*Mode{
		RuleCountries: &r.Countries.Mode, RuleDenyPrefix: &r.DenyPrefix.Mode, RuleNumberTypes: &r.NumberTypes.Mode,
		RuleCoolDown: &r.CoolDown, RulePerNumber: &r.PerNumber.Mode, RulePerAddress: &r.PerAddress.Mode,
		RulePerPrefix: &r.PerPrefix.Mode, RuleConversion: &r.Conversion,
	}
}

func (r RuleSet) all(m Mode) RuleSet {
	for _, mode := range r.modes() {
		if mode.on() {
			*mode = m
		}
	}
	r.Budgets = slices.Clone(r.Budgets)
	for i := range r.Budgets {
		if r.Budgets[i].Mode.on() {
			r.Budgets[i].Mode = m
		}
	}
	return r
}

// Has tells whether a rule is on for anybody.
func (s Settings) Has(rule Rule) bool {
	if s.Account.has(rule) {
		return true
	}
	for _, own := range s.Callers {
		if own.has(rule) {
			return true
		}
	}
	return false
}

func (r RuleSet) has(rule Rule) bool {
	if rule == RuleBudget {
		return slices.ContainsFunc(r.Budgets, func(b Budget) bool { return b.Mode.on() })
	}
	mode := r.modes()[rule]
	return mode != nil && mode.on()
}
