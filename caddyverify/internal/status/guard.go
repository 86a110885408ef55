package status

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// Guard is what has kept verifications from being started, since the account is in use.
type Guard struct {
	// Rules are those that have found something.
	Rules []GuardRule `json:"rules"`
	// Blocks are in force, the latest first.
	Blocks []GuardBlock `json:"blocks"`
	// Budgets are the account's first.
	Budgets []GuardBudget `json:"budgets"`
	// Prices are those that have turned out higher than the configuration has.
	Prices []GuardPrice `json:"prices"`
}

// GuardRule is what a rule has found.
type GuardRule struct {
	Rule string `json:"rule"`
	// Refused is how many starts it refused, and WouldRefuse how many were sent that it would
	// have, in monitor.
	Refused     uint64 `json:"refused"`
	WouldRefuse uint64 `json:"would_refuse"`
	// Verified is of how many of both the number was verified later on: they may have been genuine.
	Verified uint64 `json:"verified"`
	// Saved is what those it refused could have cost at most, an estimate, and WouldSave the
	// others; absent without prices.
	Saved     string `json:"saved,omitempty"`
	WouldSave string `json:"would_save,omitempty"`
}

// GuardBlock is of what starts are refused for some time.
type GuardBlock struct {
	// Rule is the one that blocks, or block where an operator did, in Mode.
	Rule string `json:"rule"`
	Mode string `json:"mode"`
	// Caller is whose starts are refused, "" for all that nothing is known of; Everyone
	// for all callers.
	Caller   string `json:"caller,omitempty"`
	Everyone bool   `json:"everyone,omitempty"`
	// Target is how numbers begin, or a country.
	Target string `json:"target"`
	// Why has the rule's figures, as its log line does.
	Why string `json:"why"`
	// Since is when it began, and Until when it ends, absent where an operator is to lift it.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
	// Times is how many times in a row there was one.
	Times int `json:"times"`
	// Refused is how many starts it refused, or would have.
	Refused uint64 `json:"refused"`
}

func guardOf(all *gateway.Snapshot) *Guard {
	if all.Guard == nil {
		return nil
	}
	of := &Guard{Rules: []GuardRule{}, Blocks: []GuardBlock{}, Budgets: budgetsOf(all.Budgets), Prices: pricesOf(all.Prices)}
	for _, rule := range guard.Rules() {
		if t := all.Guard.Tallies[rule]; t.Refused+t.Would > 0 {
			of.Rules = append(of.Rules, GuardRule{
				rule.String(), t.Refused, t.Would, t.Regretted, amount(t.Saved, all.Guard.Currency), amount(t.WouldSave, all.Guard.Currency),
			})
		}
	}
	of.Blocks = guardBlocks(all.GuardBlocks)
	return of
}

func guardBlocks(all []guard.Block) []GuardBlock {
	list, now := make([]GuardBlock, 0, len(all)), time.Now()
	for _, b := range all {
		f := &b.Finding
		block := GuardBlock{
			Rule: f.Rule.String(), Mode: f.Mode.String(), Caller: b.Caller, Everyone: b.Everyone, Target: b.Target, Why: f.String(),
			Since: now.Add(-b.Age).UTC(), Times: b.Times, Refused: b.Refused,
		}
		if f.Left > 0 {
			block.Until = now.Add(f.Left).UTC()
		}
		list = append(list, block)
	}
	return list
}

// who is whose starts are refused.
func (b *GuardBlock) who() string {
	if b.Everyone {
		return "all callers"
	}
	return "caller " + cmp.Or(b.Caller, "-")
}

func (g *Guard) write(w io.Writer) {
	for _, r := range g.Rules {
		fmt.Fprintf(w, "guard %s\trefused %d\twould refuse %d\tverified later %d%s\n", r.Rule, r.Refused, r.WouldRefuse, r.Verified, r.saved())
	}
	g.writeMoney(w)
	for _, b := range g.Blocks[:min(len(g.Blocks), maxRows)] {
		fmt.Fprintf(w, "guard block\t%s (%s, %s)\n", b.Why, b.Mode, b.who())
	}
}
