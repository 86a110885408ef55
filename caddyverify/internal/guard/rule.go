package guard

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// Rule is one of the guard's. Its String is the word in the configuration, in logs, metrics
// and Proxy-Status.
type Rule uint8

// The rules, in the order in which they are asked: of several that refuse, the first one is
// the reason.
const (
	// RuleCountries refuses numbers of countries that are not listed.
	RuleCountries Rule = iota
	// RuleDenyPrefix refuses numbers by how they begin.
	RuleDenyPrefix
	// RuleNumberTypes refuses numbers of types that cost.
	RuleNumberTypes
	// RuleBlock is what an operator has pinned.
	RuleBlock
	// RuleCoolDown answers for the provider while it has said (status 10) that a verification
	// of the number is under way.
	RuleCoolDown
	// RulePerNumber bounds how often a caller starts verifications of one number.
	RulePerNumber
	// RulePerAddress bounds how often a caller does for one client's address.
	RulePerAddress
	// RulePerPrefix blocks ranges of which many numbers were started and not verified.
	RulePerPrefix
	// RuleConversion slows and blocks where too few verifications succeed.
	RuleConversion
	// RuleBudget refuses what could cost more than there is.
	RuleBudget

	rules = int(iota)
)

var ruleNames = [rules]string{
	"countries", "deny_prefix", "number_types", "block", "cool_down",
	"per_number", "per_address", "per_prefix", "conversion", "budget",
}

// String returns the rule's name.
func (r Rule) String() string { return ruleNames[r] }

// Rules lists all rules in their order.
func Rules() []Rule {
	all := make([]Rule, rules)
	for i := range all {
		all[i] = Rule(i) //nolint:gosec // there are ten
	}
	return all
}

// statuses are what Verify would say; RulePerNumber and RuleConversion have others, too.
var statuses = [rules]wire.Status{
	RuleCountries:   wire.UnsupportedNetwork,
	RuleDenyPrefix:  wire.UnsupportedNetwork,
	RuleNumberTypes: wire.UnsupportedNetwork,
	RuleBlock:       wire.NumberBlocked,
	RuleCoolDown:    wire.Concurrent,
	RulePerNumber:   wire.Throttled,
	RulePerAddress:  wire.Throttled,
	RulePerPrefix:   wire.NumberBlocked,
	RuleConversion:  wire.NumberBlocked,
	RuleBudget:      wire.NoCredit,
}

// Mode is what a rule does.
type Mode uint8

const (
	// Unset is as the account has it, and Off for the account.
	Unset Mode = iota
	// Off does nothing, and counts nothing.
	Off
	// Monitor refuses nothing, and tells what would be.
	Monitor
	// Enforce refuses.
	Enforce
)

// String returns the word of the configuration; "" for Unset.
func (m Mode) String() string { return [...]string{"", "off", "monitor", "enforce"}[m] }

// on tells whether the rule does anything.
func (m Mode) on() bool { return m >= Monitor }
