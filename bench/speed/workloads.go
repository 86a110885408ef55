package main

import (
	"slices"
	"strings"
)

// workload is what wrk asks of some sides, as wrk.lua has it.
type workload struct {
	name      string
	sides     []string
	reference figure // to whose cost in the same round the others' is compared
	passed    bool   // every call goes upstream
}

// figure names what is measured: a side under a workload.
type figure struct{ workload, side string }

// These end the name of a side of Caddy with spans, of which one in a hundred is kept.
const (
	tracing  = "+tracing"  // each call has a span, and OpenTelemetry's sampler decides
	sampling = "+sampling" // a matcher decides which calls have one
)

var workloads = []workload{
	{
		name: "hit", reference: figure{"hit", "respond"},
		sides: []string{"respond", "floor", "caddy-verify", "respond" + tracing, "floor" + tracing, "caddy-verify" + tracing, "caddy-verify" + sampling, "nginx", "haproxy"},
	},
	{
		name: "hit10", reference: figure{"hit", "caddy-verify"},
		sides: []string{"caddy-verify", "respond10"},
	},
	{
		name: "request", reference: figure{"request", "floor"}, passed: true,
		sides: []string{"floor", "caddy-verify", "floor" + tracing, "caddy-verify" + tracing, "caddy-verify" + sampling, "reverse_proxy", "nginx", "haproxy"},
	},
	{
		name: "check", reference: figure{"check", "floor"}, passed: true,
		sides: []string{"floor", "caddy-verify"},
	},
}

// variant divides the name of a side into that of the handler and what ends it.
func variant(side string) (handler, spans string) {
	for _, spans := range []string{tracing, sampling} {
		if handler, ok := strings.CutSuffix(side, spans); ok {
			return handler, spans
		}
	}
	return side, ""
}

// named returns the names of all workloads, and of all sides.
func named() (all, sides []string) {
	for _, w := range workloads {
		all = append(all, w.name)
		for _, side := range w.sides {
			if !slices.Contains(sides, side) {
				sides = append(sides, side)
			}
		}
	}
	return all, sides
}

// chosen are the workloads wanted, with the sides that are wanted and there.
func chosen(names, sides []string) (all []workload) {
	for _, w := range workloads {
		if !slices.Contains(names, w.name) {
			continue
		}
		w.sides = slices.DeleteFunc(slices.Clone(w.sides), func(side string) bool { return !slices.Contains(sides, side) })
		if len(w.sides) > 0 {
			all = append(all, w)
		}
	}
	return all
}

// together divides workloads into those that are compared with each other.
func together(all []workload) (groups [][]workload) {
	for _, w := range all {
		if n := len(groups); n > 0 && groups[n-1][0].name == w.reference.workload {
			groups[n-1] = append(groups[n-1], w)
		} else {
			groups = append(groups, []workload{w})
		}
	}
	return groups
}
