package main

import (
	"fmt"
	"io"
	"slices"
)

// spread is what several rounds have of a figure.
type spread struct{ median, least, most float64 }

// spreadOf needs one value at least.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

func (s spread) format(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.median, digits, s.least, digits, s.most)
}

// each takes a value from every round.
func each(results []result, value func(result) float64) (values []float64) {
	for _, r := range results {
		values = append(values, value(r))
	}
	return values
}

// cost is the CPU time of a call in µs.
func (r result) cost() float64 { return float64(r.cpu.Nanoseconds()) / 1000 / float64(r.Requests) }

func (r result) perSecond() float64 { return float64(r.Requests) / (float64(r.Micros) / 1e6) }

// ratio compares costs round by round.
func ratio(results, reference []result) (spread, bool) {
	if len(reference) != len(results) {
		return spread{}, false
	}
	var values []float64
	for i := range results {
		values = append(values, results[i].cost()/reference[i].cost())
	}
	return spreadOf(values), true
}

// report writes a table for each workload.
func report(w io.Writer, all []workload, results map[figure][]result) {
	for _, load := range all {
		fmt.Fprintf(w, "\n%s\n\n", load.name)
		fmt.Fprintf(w, "| side | CPU per call, µs | ratio to %s, %s | calls/s | p50, ms | p99, ms | RSS, MiB |\n", load.reference.side, load.reference.workload)
		fmt.Fprint(w, "|---|---:|---:|---:|---:|---:|---:|\n")
		for _, name := range load.sides {
			of := results[figure{load.name, name}]
			if len(of) == 0 {
				continue
			}
			median := func(value func(result) float64) float64 { return spreadOf(each(of, value)).median }
			compared := "–"
			if s, ok := ratio(of, results[load.reference]); ok {
				compared = s.format(2)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %.0f | %.2f | %.2f | %.0f |\n", name,
				spreadOf(each(of, result.cost)).format(1), compared, median(result.perSecond),
				median(func(r result) float64 { return float64(r.P50) / 1000 }),
				median(func(r result) float64 { return float64(r.P99) / 1000 }),
				float64(of[len(of)-1].rss)/(1<<20))
		}
	}
}
