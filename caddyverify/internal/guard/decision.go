package guard

import (
	"cmp"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Start is a verification that is about to be started.
type Start struct {
	// Number is its digits with the calling code first, without a plus sign or zeros before it:
	// one number must always come in one form.
	Number string
	// Country is the ISO 3166-1 alpha-2 code that the number belongs to, "" for none. It is
	// not a label of metrics, which has countries that are not listed as one.
	Country string
	// Type is one of Types, or "". It need be known only where WantsType says so.
	Type string
	// Caller is who starts it, "" for all that nothing is known of.
	Caller string
	// Address is the end user's, as the application says; "" where it does not.
	Address string
	// Worst is the most that it can cost, by country and workflow. A budget refuses what
	// has no price in its currency.
	Worst Money
	// Messages is how many it may send. Default: 1.
	Messages int
	// Expiry is how long its code can be checked. Default: 5m.
	Expiry time.Duration
	// Life is after how long nobody will tell any more how it ended or what it cost, at least
	// Expiry. Default: 20m.
	Life time.Duration
}

func (s *Start) setDefaults() {
	s.Number = s.Number[:min(len(s.Number), maxDigits)]
	s.Expiry = cmp.Or(s.Expiry, wire.DefaultPINExpiry)
	s.Life = max(cmp.Or(s.Life, 20*time.Minute), s.Expiry)
	s.Messages = max(s.Messages, 1)
	s.Worst.Micro = min(max(s.Worst.Micro, 0), maxPrice)
}

// Decision is what becomes of a Start.
type Decision struct {
	// Findings are of the rules that refuse it, and of those in Monitor that would, in the
	// order of rules.
	Findings []Finding
	// RequestID is for status 10: the caller's own verification of the number that is under
	// way; "" where none is known.
	RequestID string
	// Trusted tells that no rule was asked.
	Trusted bool
	// Ticket is what to tell by what became of it, where it is not refused.
	Ticket Ticket
}

// Refusal returns the finding of the rule that refuses the start; false if it may be sent.
func (d *Decision) Refusal() (f Finding, refused bool) {
	for i := range d.Findings {
		if d.Findings[i].Mode == Enforce {
			return d.Findings[i], true
		}
	}
	return Finding{}, false
}

// Finding is why a rule refuses a start, or would. Status, logs and the live page all print the
// same String of it, and never a number or an address.
type Finding struct {
	Rule Rule
	Mode Mode
	// Status is what Verify would say, for clients.
	Status wire.Status
	// Target is what it is about: a prefix, a country, a type of numbers, a budget's name. It is
	// empty for a number or an address.
	Target string
	// Count starts were made within Window, of which Verified succeeded; at most Most may be.
	Count, Verified, Most int
	Window                time.Duration
	// Settled and Reserved are what is spent of Cap and what may yet be; Worst is what this
	// start may cost.
	Settled, Reserved, Cap, Worst Money
	// Left is for how long the rule refuses what is like this start; 0 where it is not known.
	Left time.Duration
}

// String is the sentence for operators.
func (f Finding) String() string {
	text := f.Rule.String()
	if f.Target != "" {
		text += " " + f.Target
	}
	switch f.Rule {
	case RuleBudget:
		text += fmt.Sprintf(": settled %v, reserved %v, cap %v", f.Settled, f.Reserved, f.Cap)
		if f.Worst.Currency != f.Cap.Currency {
			text += fmt.Sprintf("; a price in %q is none of it", f.Worst.Currency)
		}
	case RuleConversion:
		text += fmt.Sprintf(": %d of %d verified in %s", f.Verified, f.Count, short(f.Window))
	case RulePerNumber, RulePerAddress, RulePerPrefix:
		text += fmt.Sprintf(": %d in %s, at most %d", f.Count, short(f.Window), f.Most)
	default: // they keep no figures
	}
	if f.Left > 0 {
		text += "; for another " + short(max(f.Left, time.Second))
	}
	return text
}

// look is a Start and what is to be looked up for it.
type look struct {
	Start
	now   time.Duration
	rules *inForce
	// number, address, phone and prefix are keys of tables: of the caller's number and
	// address, of the number whoever calls, of the caller's prefix.
	number, address, phone, prefix uint64
	// suffix is the digits of the number that its prefix, targets[0], lacks.
	suffix uint16
	// targets are what conversion is looked at for, the narrowest first; "" for none.
	targets [levels]string
	cells   [levels]uint64
	// found tells which rules have refused it, or would have.
	found [rules]bool
	d     Decision
}

// levels are the widths at which conversion is looked at: less its last four digits, less its
// last six, its country.
const levels = 3

const (
	suffixDigits = 4
	wideDigits   = 6
	// fewestDigits are those of a number of which a prefix is not about a whole country.
	fewestDigits = 8
)

// names are what keys are made of.
type names struct{ caller, country, target string }

func (g *Guard) lookAt(s Start, now time.Duration) (l look) {
	s.setDefaults()
	l = look{Start: s, now: now, rules: g.inForce(s.Caller)}
	l.number, l.phone = g.key(names{s.Caller, "", s.Number}), g.key(names{"", "", s.Number})
	if s.Address != "" {
		l.address = g.key(names{s.Caller, "", s.Address})
	}
	if n := len(s.Number); n >= fewestDigits {
		l.targets[0] = s.Number[:n-suffixDigits]
		for i := n - suffixDigits; i < n; i++ {
			l.suffix = l.suffix*10 + uint16(s.Number[i]-'0')%10
		}
		l.prefix = g.key(names{s.Caller, "", l.targets[0]})
		if n >= fewestDigits+wideDigits-suffixDigits {
			l.targets[1] = s.Number[:n-wideDigits]
		}
	}
	l.targets[2] = s.Country
	for i, target := range l.targets {
		l.cells[i] = g.key(names{s.Caller, s.Country, target})
	}
	return l
}

// find notes what a rule has found.
func (l *look) find(f Finding) {
	if f.Status == "" {
		f.Status = statuses[f.Rule]
	}
	l.found[f.Rule] = true
	l.d.Findings = append(l.d.Findings, f)
}
