package guard

import "slices"

// RuleCount is how many rules there are.
const RuleCount = rules

// All returns the settings with each rule that is on in a mode, and nothing trusted but prefixes.
func (s Settings) All(m Mode) Settings {
	all := s
	all.Account, all.Trusted = s.Account.all(m), Trusted{Prefixes: s.Trusted.Prefixes}
	all.Callers = make(map[string]RuleSet, len(s.Callers))
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
	if s.Account.mode(rule).on() {
		return true
	}
	for _, own := range s.Callers {
		if own.mode(rule).on() {
			return true
		}
	}
	return false
}

// Modes returns a rule's mode for the account, Off where it has none, and those of callers that have
// another. Of budgets, callers have their own besides.
func (s Settings) Modes(rule Rule) (account Mode, callers map[string]Mode) {
	account = max(s.Account.mode(rule), Off)
	if rule == RuleBlock {
		account = Enforce
	}
	for name, own := range s.Callers {
		if m := own.mode(rule); m != Unset && m != account {
			if callers == nil {
				callers = map[string]Mode{}
			}
			callers[name] = m
		}
	}
	return account, callers
}

// mode is a rule's; of budgets, that of the strictest.
func (r RuleSet) mode(rule Rule) (m Mode) {
	if rule == RuleBudget {
		for _, b := range r.Budgets {
			m = max(m, b.Mode)
		}
		return m
	}
	if mode := r.modes()[rule]; mode != nil {
		return *mode
	}
	return Unset
}
