package sim

import (
	"math/rand/v2"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	// trusted is how numbers begin that no rule refuses.
	trusted = "4477129"
	// What the sandbox takes for a message to these numbers and for a success, in millionths of a
	// EUR, and what the configuration says that a message costs at most.
	messagePrice, successPrice, saidPrice = 46_750, 50_000, 150_000
)

// guardUp has the guard be on in a part of the runs, with a budget that is not enough for all.
// It is drawn apart, so that other runs are what they were.
func (w *world) guardUp() {
	r := rand.New(rand.NewPCG(w.seed, 7))
	if r.IntN(3) > 0 || w.seed%2 == 1 {
		return
	}
	var rules guard.RuleSet
	if r.IntN(2) == 0 {
		rules = guard.Recommended(guard.Enforce)
	}
	euro := func(micro int64) guard.Money { return guard.Money{Micro: micro, Currency: "EUR"} }
	limit := int64(1_000_000 << r.IntN(4))
	rules.Budgets = []guard.Budget{{Mode: guard.Enforce, Period: guard.Day, Cap: euro(limit)}}
	w.guard = guard.Settings{Account: rules, Prices: guard.Prices{Any: euro(saidPrice)}, Trusted: guard.Trusted{Prefixes: []string{trusted}}}
	w.limit = limit
}

// costOf is what the provider takes for a verification.
func costOf(v *sandbox.Verification) int64 {
	cost := int64(len(v.Events)) * messagePrice
	if v.Status == "SUCCESS" {
		cost += successPrice
	}
	return cost
}

// guarded looks at what the guard has to do with an answer.
func (u *user) guarded(operation string, answer *reply) {
	switch refused := strings.Contains(answer.Text, "guard_refused"); {
	case refused && operation != "request":
		u.violated(10, "the guard has refused %s's %s", u.name, operation)
	case refused && strings.HasPrefix(u.number, trusted):
		u.violated(10, "the guard has refused a number that is trusted, of %s: %s", u.name, answer.Text)
	}
}

// purse is whose budget it is.
type purse struct {
	account int
	process *process
}

// checkSpending: what verifications have cost is within the budget. Without a store each process
// has its own; with one all together, unless it has forgotten what those have spent that are gone.
func (w *world) checkSpending() {
	if w.limit == 0 {
		return
	}
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	spent := map[purse]int64{}
	for number, s := range w.book.byNumber {
		if strings.HasPrefix(number, trusted) {
			continue
		}
		for _, id := range s.accepted {
			if v, ok := w.verification(id); ok {
				spent[purse{s.accounts[id], w.book.sender[id]}] += costOf(&v)
			}
		}
	}
	if w.stores != nil {
		together := map[int]int64{}
		for of, micro := range spent {
			together[of.account] += micro
		}
		for account, micro := range together {
			if micro > w.limit && w.stores.remembers(w.begun) {
				w.violated(10, "verifications with account %d have cost %d millionths, of %d", account, micro, w.limit)
			}
		}
	}
	for of, micro := range spent {
		if micro > w.limit {
			w.violated(10, "gateway %d has had verifications with account %d for %d millionths, of %d", of.process.number, of.account, micro, w.limit)
		}
		if of.process.ended || of.process.dead() {
			continue
		}
		for _, b := range of.process.accounts[of.account].Snapshot().Budgets {
			if b.Settled.Micro < micro {
				w.violated(10, "gateway %d has settled %v with account %d, and %d millionths were spent", of.process.number, b.Settled, of.account, micro)
			}
		}
	}
}

// checkReserved: when all verifications are over, nothing is kept for them, but what other gateways
// hold in advance.
func (p *process) checkReserved() {
	for i, account := range p.accounts {
		for _, b := range account.Snapshot().Budgets {
			ahead := int64(0)
			if p.stores != nil {
				ahead = int64(len(p.slots)-1) * p.limit / 64
			}
			if b.Reserved.Micro > ahead {
				p.violated(10, "%v is reserved with account %d for nothing", b.Reserved, i)
			}
		}
	}
}
