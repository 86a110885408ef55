package status

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// GuardReports are what operators are told of the guards of all accounts that have one.
type GuardReports struct {
	Accounts []GuardReport `json:"accounts"`
	// OnlyBlocks has Write print no more than these.
	OnlyBlocks bool `json:"-"`
}

// GuardReport is of one account.
type GuardReport struct {
	Account string   `json:"account"`
	Names   []string `json:"names,omitempty"`
	// Rules are those that are on.
	Rules   []GuardRuleReport `json:"rules"`
	Budgets []BudgetReport    `json:"budgets,omitempty"`
	Blocks  []GuardBlock      `json:"blocks"`
	Callers []GuardCaller     `json:"callers"`
	// Record is the file in which starts are written down, and RecordMissing how many of its lines are
	// missing.
	Record        string `json:"record,omitempty"`
	RecordMissing uint64 `json:"record_missing,omitempty"`
}

// GuardRuleReport is what a rule does, and has done since the account is in use.
type GuardRuleReport struct {
	Rule string `json:"rule"`
	// Mode is the account's, and Callers are those that have another.
	Mode    string            `json:"mode"`
	Callers map[string]string `json:"callers,omitempty"`
	// Refused, WouldRefuse and Verified are as of GuardRule.
	Refused     uint64 `json:"refused"`
	WouldRefuse uint64 `json:"would_refuse"`
	Verified    uint64 `json:"verified"`
	// Saved is what the refused starts could have cost at most, and WouldSave the others:
	// estimates, with their currency.
	Saved     string `json:"saved,omitempty"`
	WouldSave string `json:"would_save,omitempty"`
}

// BudgetReport is what a budget has spent.
type BudgetReport struct {
	Budget string `json:"budget"`
	Mode   string `json:"mode"`
	// Figures are as the log line of a refusal has them.
	Figures string `json:"figures"`
}

// GuardCaller is how a caller's verifications ended, of those that were started.
type GuardCaller struct {
	Caller   string `json:"caller"`
	Started  uint64 `json:"started"`
	Verified uint64 `json:"verified"`
	Failed   uint64 `json:"failed"`
	// Unseen are those whose code has expired with nobody having told how they ended.
	Unseen uint64 `json:"unseen"`
}

// GuardReportOf reports on an account; false where it has no guard.
func GuardReportOf(a *gateway.Account) (r GuardReport, on bool) {
	all, on := a.GuardReport()
	if !on {
		return r, false
	}
	r = GuardReport{Account: a.Label(), Names: a.Names(), Rules: []GuardRuleReport{}, Blocks: guardBlocks(all.Blocks), Callers: []GuardCaller{}, Record: all.Record, RecordMissing: all.Missing}
	money := func(micro int64) string {
		if micro == 0 {
			return ""
		}
		return guard.Money{Micro: micro, Currency: all.Status.Currency}.String()
	}
	for _, rule := range guard.Rules() {
		t := all.Status.Tallies[rule]
		mode, callers := all.Settings.Modes(rule)
		if mode == guard.Off && callers == nil && t.Refused+t.Would == 0 {
			continue
		}
		one := GuardRuleReport{
			Rule: rule.String(), Mode: mode.String(), Refused: t.Refused, WouldRefuse: t.Would, Verified: t.Regretted, Saved: money(t.Saved), WouldSave: money(t.WouldSave),
		}
		for name, m := range callers {
			if one.Callers == nil {
				one.Callers = map[string]string{}
			}
			one.Callers[name] = m.String()
		}
		r.Rules = append(r.Rules, one)
	}
	for _, b := range all.Budgets {
		r.Budgets = append(r.Budgets, BudgetReport{b.Name, b.Mode.String(), b.String()})
	}
	for _, c := range all.Status.Callers {
		r.Callers = append(r.Callers, GuardCaller{c.Caller, c.Started, c.Verified, c.Failed, c.Unseen})
	}
	return r, true
}

// Write prints them for people.
func (g *GuardReports) Write(to io.Writer) error {
	if len(g.Accounts) == 0 {
		_, err := fmt.Fprintln(to, "There is no guard with rules to tell of: docs/guard.md tells how to begin.")
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for i := range g.Accounts {
		a := &g.Accounts[i]
		name := a.Account
		if len(a.Names) > 0 {
			name += " (" + strings.Join(a.Names, ", ") + ")"
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, name+":")
		if !g.OnlyBlocks {
			a.writeRules(w)
		}
		a.writeBlocks(w)
	}
	return w.Flush()
}

func (g *GuardReport) writeRules(w io.Writer) {
	for _, r := range g.Rules {
		modes := append(make([]string, 0, 1+len(r.Callers)), r.Mode)
		for _, name := range slices.Sorted(maps.Keys(r.Callers)) {
			modes = append(modes, name+" "+r.Callers[name])
		}
		fmt.Fprintf(w, "  %s\t%s\trefused %d\tsaved %s\twould refuse %d\twould save %s\tverified later %d\n",
			r.Rule, strings.Join(modes, ", "), r.Refused, cmp.Or(r.Saved, "-"), r.WouldRefuse, cmp.Or(r.WouldSave, "-"), r.Verified)
	}
	if g.Record != "" {
		fmt.Fprintf(w, "  record %s\tmissing lines %d\n", g.Record, g.RecordMissing)
	}
	for _, b := range g.Budgets {
		fmt.Fprintf(w, "  %s (%s)\n", b.Figures, b.Mode)
	}
	for _, c := range g.Callers {
		fmt.Fprintf(w, "  caller %s\tstarted %d\tverified %d\tfailed %d\tunseen %d\n", cmp.Or(c.Caller, "-"), c.Started, c.Verified, c.Failed, c.Unseen)
	}
}

func (g *GuardReport) writeBlocks(w io.Writer) {
	now := time.Now()
	if len(g.Blocks) == 0 {
		fmt.Fprintln(w, "  no block is in force")
	}
	for _, b := range g.Blocks {
		left := "until it is lifted"
		if !b.Until.IsZero() {
			left = "until " + moment(b.Until, now)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\ttimes %d\trefused %d\n", b.Target, b.who(), b.Why, b.Mode, left, b.Times, b.Refused)
	}
}
