package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// report prints the table.
func (m *month) report(w io.Writer, results []*result) {
	genuine, hits, spend := 0, 0, 0.0
	for i := range m.starts {
		if m.starts[i].attack == nil {
			genuine++
		} else {
			hits++
			spend += m.starts[i].cost() / m.starts[i].app.account.rate / 1e6
		}
	}
	fmt.Fprintf(w, "%d days, %d genuine starts, %d of attacks, which would cost %.0f EUR.\n\n", m.days, genuine, hits, spend)
	fmt.Fprint(w, "| rules | attack spend stopped | genuine refused |")
	for i := range attacks {
		fmt.Fprintf(w, " %s |", attacks[i].name)
	}
	fmt.Fprintf(w, "\n|---|---|---|%s\n", strings.Repeat("---|", len(attacks)))
	none := &result{set: ruleSet{name: "none"}, genuine: genuine}
	for _, r := range append([]*result{none}, results...) {
		fmt.Fprintf(w, "| %s | %.1f %% | %.3f %% |", r.set.name, 100*r.stopped(), 100*r.wrong())
		for i := range attacks {
			of := r.attacks[&attacks[i]]
			switch {
			case of == nil || !of.detected:
				fmt.Fprint(w, " 0 % |")
			default:
				fmt.Fprintf(w, " %.1f %%, after %d |", 100*of.saved/of.spend, of.before)
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, r := range results {
		if len(r.byRule) > 0 {
			var all []string
			for _, rule := range slices.Sorted(maps.Keys(r.byRule)) {
				all = append(all, fmt.Sprintf("%s %d", rule, r.byRule[rule]))
			}
			fmt.Fprintf(w, "Genuine starts refused with %s: %s.\n", r.set.name, strings.Join(all, ", "))
		}
	}
}

// stopped is the part of the attacks' spend.
func (r *result) stopped() float64 {
	spend, saved := 0.0, 0.0
	for _, of := range r.attacks {
		spend += of.spend
		saved += of.saved
	}
	if spend == 0 {
		return 0
	}
	return saved / spend
}

// wrong is the part of the genuine starts that is refused.
func (r *result) wrong() float64 { return float64(r.refused) / float64(r.genuine) }

const (
	leastStopped = 0.95
	mostWrong    = 0.002
)

// goals are those of the recommended set.
func (m *month) goals(results []*result) error {
	r := results[0]
	if r.stopped() < leastStopped || r.wrong() > mostWrong {
		return errors.New("the recommended rules do not reach their goals: 95 % of the attacks' spend, 0.2 % of genuine starts")
	}
	return nil
}
