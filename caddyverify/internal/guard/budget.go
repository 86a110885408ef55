package guard

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const (
	// A budget warns when it reaches warnAt hundredths of its cap, and again once it has been
	// below calmAt.
	warnAt = 80
	calmAt = 70
)

// spans are the slices by which a period moves, and how many make up one and the
// part of another.
var spans = [...]struct {
	length time.Duration
	n      int64
}{
	Day:   {time.Hour, 24 + 1},
	Month: {24 * time.Hour, 31 + 1},
}

const maxSlices = 31 + 1

// spending is money spent within a period.
type spending struct {
	slices [maxSlices]int64
	newest int64
	sum    int64
}

// roll forgets what is longer ago than the period.
func (s *spending) roll(p Period, now time.Duration) {
	n, newest := spans[p].n, int64(now/spans[p].length)
	for i := max(s.newest, newest-n) + 1; i <= newest; i++ {
		s.sum -= s.slices[i%n]
		s.slices[i%n] = 0
	}
	s.newest = max(s.newest, newest)
}

func (s *spending) add(p Period, amount int64) {
	s.slices[s.newest%spans[p].n] += amount
	s.sum += amount
}

// budgetKey is what a budget is kept by.
type budgetKey struct {
	caller   string
	all      bool // the account's
	period   Period
	currency string
}

func (k budgetKey) name() string {
	if k.all {
		return "account/" + k.period.String()
	}
	return "caller/" + k.caller + "/" + k.period.String()
}

// budget is what a cap is for. Amounts are in millionths of its currency.
type budget struct {
	key               budgetKey
	name              string
	cap               int64
	mode              Mode
	settled, trusted  spending
	reserved          int64
	warned, exhausted bool
	part
}

// allot returns the budgets that are on, with what they have spent already.
func (g *Guard) allot(list []Budget, caller string, all bool) (budgets []*budget) {
	for _, s := range list {
		if !s.Mode.on() {
			continue
		}
		key := budgetKey{caller, all, s.Period, s.Cap.Currency}
		b := g.budgets[key]
		if b == nil {
			b = &budget{key: key, name: key.name()}
			g.budgets[key] = b
		}
		b.cap, b.mode = s.Cap.Micro, s.Mode
		budgets = append(budgets, b)
	}
	return budgets
}

func (b *budget) roll(now time.Duration) {
	b.settled.roll(b.key.period, now)
	b.trusted.roll(b.key.period, now)
	if b.used()*100 < b.cap*calmAt {
		b.warned = false
	}
}

// recover has it be told again that the budget is exhausted, once there is room for starts and not
// nearly all is used. What lacks money for another reason, its part or the store, is told once.
func (b *budget) recover() {
	if b.used()*100 < b.cap*calmAt {
		b.exhausted = false
	}
}

// used is what is settled and reserved, by all gateways.
func (b *budget) used() int64 {
	return b.settled.sum + b.othersSettled + b.reserved + b.othersReserved
}

// fits tells whether there is room for an amount. The caller has called roll.
func (b *budget) fits(amount int64, sharing bool, now time.Duration) bool {
	if sharing && (b.reserved+b.unsaid+amount > b.limit || b.silent(now)) {
		return false
	}
	return b.used()+amount <= b.cap
}

// settle has a part of what was reserved be spent, and spent can be more than that.
func (b *budget) settle(reserved, spent int64, now time.Duration) {
	b.roll(now)
	b.reserved -= reserved
	b.settled.add(b.key.period, spent)
	b.unsaid += spent
}

func (b *budget) figures(now time.Duration) BudgetFigures {
	b.roll(now)
	money := func(micro int64) Money { return Money{micro, b.key.currency} }
	return BudgetFigures{
		Name: b.name, Caller: b.key.caller, Everyone: b.key.all, Period: b.key.period, Mode: b.mode,
		Settled:  money(b.settled.sum + b.othersSettled),
		Reserved: money(b.reserved + b.othersReserved),
		Cap:      money(b.cap), Trusted: money(b.trusted.sum),
	}
}

// BudgetFigures are those of a budget, over all gateways that share it.
type BudgetFigures struct {
	// Name is account/day, or caller/shop/day.
	Name string
	// Caller whose it is; or, with Everyone, all callers'.
	Caller   string
	Everyone bool
	Period   Period
	Mode     Mode
	// Settled is what is known to be spent within the period, and Reserved what may yet be.
	Settled, Reserved, Cap Money
	// Trusted is what this gateway's starts cost that no rule refuses. It is no part of Settled.
	Trusted Money
}

// String is the sentence for operators, which a refusal's Finding has, too.
func (b BudgetFigures) String() string {
	return Finding{Rule: RuleBudget, Target: b.Name, Settled: b.Settled, Reserved: b.Reserved, Cap: b.Cap, Worst: b.Cap}.String()
}

// checkBudgets asks whether there is money for a start.
func (g *Guard) checkBudgets(l *look) {
	for _, b := range l.rules.budgets {
		b.roll(l.now)
		if l.Worst.Currency == b.key.currency && b.fits(l.Worst.Micro, g.sharing, l.now) {
			b.recover()
			continue
		}
		f := b.finding(l.now)
		f.Worst = l.Worst
		l.find(f)
		if !b.exhausted && l.Worst.Currency == b.key.currency && g.isOut(b, l.Worst.Micro) {
			b.exhausted = true
			g.changes.Push(Change{Kind: Exhausted, Caller: b.key.caller, Finding: f})
		}
	}
}

// isOut tells that a budget lacks an amount, and not this gateway's part of it for a moment.
func (g *Guard) isOut(b *budget, amount int64) bool {
	return !g.sharing || b.dry || !b.answered || b.used()+amount > b.cap
}

func (b *budget) finding(now time.Duration) Finding {
	s := b.figures(now)
	return Finding{
		Rule: RuleBudget, Mode: b.mode, Status: statuses[RuleBudget], Target: b.name,
		Settled: s.Settled, Reserved: s.Reserved, Cap: s.Cap, Worst: Money{0, b.key.currency},
	}
}

// reserve takes a start's worst price from its budgets, all of which have room or are
// in Monitor, and notes them. All are in one currency.
func (g *Guard) reserve(l *look, r *record) {
	budgets := l.rules.budgets
	if len(budgets) == 0 || budgets[0].key.currency != l.Worst.Currency {
		return
	}
	r.budgets, r.worst, r.currency = budgets, l.Worst.Micro, budgets[0].key.currency
	if r.trusted {
		return
	}
	r.reserved = r.worst
	for _, b := range budgets {
		b.roll(l.now)
		b.reserved += r.worst
		if !b.warned && b.used()*100 >= b.cap*warnAt {
			b.warned = true
			g.changes.Push(Change{Kind: Warned, Caller: b.key.caller, Finding: b.finding(l.now)})
		}
	}
}

// spend notes that a verification has cost an amount more than was known, and gives back a part of
// what is reserved for it.
func (r *record) spend(amount, giveBack int64, now time.Duration) {
	r.spent += amount
	r.reserved -= giveBack
	for _, b := range r.budgets {
		if r.trusted {
			b.roll(now)
			b.trusted.add(b.key.period, amount)
			continue
		}
		b.settle(giveBack, amount, now)
	}
}

// Budgets returns the figures of all budgets in force.
func (g *Guard) Budgets() (list []BudgetFigures) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, b := range g.budgetsInForce() {
		list = append(list, b.figures(now))
	}
	return list
}

// budgetsInForce are the account's first, and callers' by name.
func (g *Guard) budgetsInForce() (list []*budget) {
	seen := map[*budget]bool{}
	add := func(budgets []*budget) {
		for _, b := range budgets {
			if !seen[b] {
				seen[b] = true
				list = append(list, b)
			}
		}
	}
	add(g.account.budgets)
	for _, own := range g.callers {
		add(own.budgets)
	}
	slices.SortFunc(list, func(a, b *budget) int {
		if a.key.all != b.key.all {
			if a.key.all {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.key.caller, b.key.caller), cmp.Compare(a.key.period, b.key.period))
	})
	return list
}
