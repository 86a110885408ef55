package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what there is to tell at the end of a run.
type report struct {
	options
	*audit
	network         *network
	upstream        *upstream
	took            time.Duration
	recovered, lost int
	most            int            // the most deliveries that any one mark had
	openings        map[string]int // by circuit
	panics          int
}

// mostShown is how many violations are printed one by one.
const mostShown = 20

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d calls of %d clients in %s, seed %d\n\nWhat the clients read\n", r.made.Load(), r.clients, r.took.Round(time.Second/10), r.seed)
	fmt.Fprintf(t, "\t%s\tin all\thandled upstream\t\n", strings.Join(outcomeNames, "\t"))
	for _, operation := range []string{"request", "psd2", "check", "search", "control"} {
		fmt.Fprintf(t, "%s\t", operation)
		all := 0
		for _, name := range outcomeNames {
			fmt.Fprintf(t, "%d\t", r.outcomes[operation][name])
			all += r.outcomes[operation][name]
		}
		fmt.Fprintf(t, "%d\t%d\t\n", all, r.upstream.handled[operation])
	}
	_ = t.Flush() // as with all that is printed
	section(w, "What the gateway said by itself", r.causes)

	injected := map[string]int{}
	resets := 0
	for f := resetBefore; f < faults; f++ {
		injected[f.String()] = r.network.injected[f]
		if f < latency {
			resets += r.network.injected[f]
		}
	}
	section(w, fmt.Sprintf("Faults: %d upstream calls, %.1f %% of them reset; %d outages of %s or longer", r.network.passed,
		100*float64(resets)/float64(max(1, r.network.passed)), r.network.outages, outageTime), injected)
	started, again := 0, 0
	for _, ids := range r.upstream.started {
		started += len(ids)
		again += len(ids) - 1
	}
	r.notes["verifications started"] = started
	r.notes["verifications started after the number's last one was over"] = again
	r.notes["searches that came upstream again after a fault"] = r.network.retries
	for circuit, n := range r.openings {
		r.notes["openings of the breaker for "+circuit+"s"] = n
	}
	r.notes["request_ids that their client got by repeating the request in the end"] = r.recovered
	unknown := 0
	for _, operation := range []string{"request", "psd2", "check", "control"} {
		unknown += r.outcomes[operation]["may have been sent"]
	}
	r.notes["requests, checks and controls whose outcome their client was not told"] = unknown
	section(w, "Besides", r.notes)

	verdicts := map[string]int{
		"double deliveries": r.count("double:"),
		"lost request_ids":  r.lost,
		"request_ids of a finished verification given again": r.count("dead:"),
		"searches that showed a state from before a check":   r.count("stale:"),
		"violations of any kind":                             len(r.violations),
	}
	section(w, "Verdict", verdicts)
	for i, violation := range r.violations {
		if i == mostShown {
			fmt.Fprintf(w, "and %d more\n", len(r.violations)-i)
			break
		}
		fmt.Fprintln(w, violation)
	}
}

// count tells how many violations are of a kind.
func (r *report) count(kind string) int {
	n := 0
	for _, violation := range r.violations {
		if strings.HasPrefix(violation, kind) {
			n++
		}
	}
	return n
}

// section prints numbers, the largest first.
func section(w io.Writer, title string, numbers map[string]int) {
	fmt.Fprintf(w, "\n%s\n", title)
	names := make([]string, 0, len(numbers))
	for name := range numbers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(numbers[y], numbers[x]), strings.Compare(x, y))
	})
	for _, name := range names {
		fmt.Fprintf(w, "%9d  %s\n", numbers[name], name)
	}
}
