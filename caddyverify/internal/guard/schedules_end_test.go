package guard

import (
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// end has all verifications end, and compares the books.
func (s *schedule) end() {
	if s.problem != "" {
		return
	}
	s.doLate()
	for _, n := range s.nodes {
		n.cut = time.Time{}
	}
	s.calm = true
	s.beats(4, store.BudgetClosed/2) // what was told just before is told again with the second
	time.Sleep(20 * time.Minute)
	s.beats(2, againAfter)
	s.doLate()
	for _, n := range s.nodes {
		for _, b := range n.budgetsInForce() {
			if b.reserved != 0 {
				s.problem = fmt.Sprintf("in the end %d is reserved of %s", b.reserved, b.name)
			}
		}
		if len(n.records.waiting)+len(n.records.byID) > 0 {
			s.problem = "in the end verifications are kept"
		}
	}
	s.compare()
}

// books are sums of what was spent.
type books struct {
	total   int64
	callers map[string]int64
	places  map[string]int64
}

func (b *books) add(caller, place string, amount int64) {
	if b.callers == nil {
		b.callers, b.places = map[string]int64{}, map[string]int64{}
	}
	b.total += amount
	if amount != 0 {
		b.callers[caller] += amount
		b.places[place] += amount
	}
}

// compare has the provider's books be the gateways', as records and as budgets have it.
func (s *schedule) compare() {
	var provider, guards books
	for _, v := range s.verifs {
		if !v.sent {
			continue
		}
		r := v.ticket.r
		spent := r.spent
		if v.at.gone { // it has left, and taken it for spent; or is dead, and nobody heard
			spent += r.reserved
		}
		guards.add(r.caller, r.country, spent)
		if v.committed > 0 {
			provider.add(v.start.Caller, v.start.Country, v.price)
		}
	}
	s.spent.Add(provider.total)
	if want, got := fmt.Sprint(provider), fmt.Sprint(guards); got != want {
		s.problem = fmt.Sprintf("the provider has taken %s; by the gateways it is %s", want, got)
		return
	}
	settled := map[string]int64{}
	for _, n := range s.all {
		for _, b := range n.budgetsInForce() {
			settled[b.name] += b.settled.sum + b.reserved
		}
	}
	want := map[string]int64{"account/month": provider.total}
	for i := range callers {
		want[fmt.Sprintf("caller/caller%d/day", 1+i)] = provider.callers[fmt.Sprint("caller", 1+i)]
	}
	if fmt.Sprint(settled) != fmt.Sprint(want) {
		s.problem = fmt.Sprintf("the provider has taken %v; budgets have %v", want, settled)
	}
	for _, n := range s.nodes { // all know at least of that
		for _, f := range n.Budgets() {
			if f.Settled.Micro < want[f.Name] {
				s.problem = fmt.Sprintf("%s: %v settled, of %d", f.Name, f.Settled, want[f.Name])
			}
		}
	}
}
