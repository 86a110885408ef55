package sim

import (
	"cmp"
	"slices"
	"time"
)

// checkFleet looks at what all processes together have done, where they share a store.
func (w *world) checkFleet() {
	if w.stores == nil {
		return
	}
	w.checkFleetRate()
	w.checkFleetBooks()
}

// sent is a call that has left for the provider.
type sent struct {
	at time.Time
	by *process
}

// checkFleetRate: all gateways together make no more than 30 calls a second while the store
// is there, nor while it is away; in the second in which it goes or comes, up to 46.
func (w *world) checkFleetRate() {
	const most, worst = 30, 46
	for account := range w.processes[0].uplinks {
		var all []sent
		for _, p := range w.processes {
			for _, at := range p.uplinks[account].sends {
				all = append(all, sent{at, p})
			}
		}
		slices.SortFunc(all, func(a, b sent) int { return cmp.Or(a.at.Compare(b.at), a.by.number-b.by.number) })
		first := 0
		for i := range all {
			for all[i].at.Sub(all[first].at) >= time.Second {
				first++
			}
			n, allowed := i-first+1, most
			if w.stores.changes(all[first].at, all[i].at) {
				allowed = worst
			}
			if n > allowed {
				w.violated(4, "%d calls of all gateways within a second, at %v; %d may be", n, all[i].at.Sub(w.begun), allowed)
				return
			}
		}
	}
}

// changes tells that the store goes or comes in a while, or before it so that it is felt.
func (s *stores) changes(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.troubles, func(t trouble) bool {
		near := func(edge time.Time) bool { return edge.Before(to) && edge.Add(recovery).After(from) }
		return near(t.from) || near(t.to) || t.odd && t.from.Before(to) && from.Before(t.to)
	})
}

// checkFleetBooks: what all gateways together count is what happened, once each, unless the
// store has forgotten what was counted, or could not be told by a gateway that ended then: that
// counts what it saw start, and another may see the end later.
func (w *world) checkFleetBooks() {
	b := &w.book
	b.mu.Lock()
	defer b.mu.Unlock()
	finished, started, ended, estimates, cost := map[string]int{}, 0, 0, 0, 0.0
	told := map[string]prices{}
	for _, p := range w.processes {
		started += p.tally.started
		cost += p.tally.cost
		estimates += p.tally.estimates - p.tally.untracked // of others a gateway may have seen the start
		for outcome, n := range p.tally.finished {
			finished[outcome] += n
			ended += n
		}
		for id, known := range p.tally.prices {
			for i := range known {
				known[i] = max(known[i], told[id][i])
			}
			told[id] = known
		}
	}
	paid := 0.0
	for _, known := range w.second.mergePrices(told) {
		paid += known[0] + known[1]
	}
	once := w.stores.remembers(w.begun) && !slices.ContainsFunc(w.processes, func(p *process) bool { return p.untold })
	states, counted := map[string]int{}, map[string]int{}
	for id, s := range b.byID {
		v, _ := w.verification(id)
		states[v.Status]++
		end, ok := b.ends[id]
		if ok && s.startedBy != nil && !end.by.dead() && end.by.born.Before(end.begun) && s.knowsStart(id, end.by, end.begun, end.at) &&
			w.stores.during(s.startedAt.Add(-settled), end.at.Add(settled), s.startedBy, end.by) {
			counted[end.state]++
		}
	}
	for outcome, state := range map[string]string{"success": "SUCCESS", "cancelled": "CANCELLED"} {
		n := finished[outcome]
		if n > states[state] && once {
			w.violated(5, "%d verifications have ended with %s by all ledgers, %d by the provider", n, outcome, states[state])
		}
		if n < counted[state] {
			w.violated(5, "%d verifications have ended with %s by all ledgers, of %d their gateways have been told", n, outcome, counted[state])
		}
	}
	if ended > started && once {
		w.violated(5, "%d verifications have started by all ledgers, %d have ended", started, ended)
	}
	if estimates > ended && once {
		w.violated(5, "%d verifications have ended by all ledgers, the cost of %d is estimated", ended, estimates)
	}
	if cost > paid+1e-6 && once {
		w.violated(5, "%v has been spent by all ledgers, %v by the provider", cost, paid)
	}
}
