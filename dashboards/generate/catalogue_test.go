package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// metric is one that the gateway has.
type metric struct {
	kind   string
	labels map[string]string // with what is said of their values
}

// catalogue reads the metrics from docs/telemetry.md. A test beside the metrics keeps that table equal to them.
func catalogue(t *testing.T) map[string]metric {
	t.Helper()
	content, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	line := regexp.MustCompile("(?m)^\\| `(verify_[a-z_]+)` \\| ([a-z, ]+) \\| (.*) \\| .* \\|$")
	label := regexp.MustCompile("^`([a-z]+)`: (.*)$")
	for _, m := range line.FindAllStringSubmatch(string(content), -1) {
		labels := map[string]string{}
		for text := range strings.SplitSeq(m[3], "<br>") {
			if l := label.FindStringSubmatch(text); l != nil {
				labels[l[1]] = l[2]
			} else if text != "" {
				t.Fatalf("docs/telemetry.md: labels of %s: %q", m[1], text)
			}
		}
		all[m[1]] = metric{m[2], labels}
	}
	if len(all) < 20 {
		t.Fatalf("docs/telemetry.md tells of %d metrics only", len(all))
	}
	return all
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	spans     = regexp.MustCompile(`\[[^\]]*\]|offset \$?[a-z0-9_]+`)
	groupings = regexp.MustCompile(`\b(?:by|on|ignoring|group_left|group_right) \(([^)]*)\)`)
	word      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	selection = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})?`)
	condition = regexp.MustCompile(`^([a-z]+)(=|!=|=~|!~)"([^"]*)"$`)
)

// language is what is no metric and no label in the expressions.
var language = []string{
	"sum", "rate", "increase", "max", "min", "count", "topk", "group", "histogram_quantile", "max_over_time", "avg_over_time", "absent", "vector",
	"label_replace", "clamp_min", "histogram_fraction", "quantile_over_time",
	"and", "or", "unless", "bool",
}

// unknowns lists what an expression names and the gateway does not have. recorded are the names of recording rules.
func unknowns(expr string, known map[string]metric, recorded []string) []string {
	var wrong []string
	labels := map[string]bool{"job": true, "instance": true, "account": true}
	rest := spans.ReplaceAllString(expr, "")
	rest = selection.ReplaceAllStringFunc(rest, func(found string) string {
		m := selection.FindStringSubmatch(found)
		name, conditions := m[1], m[2]
		mine := map[string]string{"job": "", "instance": ""}
		switch of, part := whole(name, known); {
		case of != "":
			if part == "bucket" {
				labels["le"], mine["le"] = true, ""
			}
			for label, values := range known[of].labels {
				labels[label], mine[label] = true, values
			}
		case slices.Contains(recorded, name):
			for _, label := range []string{"country", "currency", "objective"} {
				labels[label], mine[label] = true, ""
			}
		case name == "ALERTS" || name == "ALERTS_FOR_STATE":
			for _, label := range []string{"alertname", "alertstate", "severity", "country"} {
				labels[label], mine[label] = true, ""
			}
		default:
			return found
		}
		for text := range strings.SplitSeq(conditions, ",") {
			if text == "" {
				continue
			}
			c := condition.FindStringSubmatch(text)
			if c == nil {
				wrong = append(wrong, fmt.Sprintf("condition %q", text))
				continue
			}
			values, has := mine[c[1]]
			if !has {
				wrong = append(wrong, fmt.Sprintf("label %s of %s", c[1], name))
			}
			if values == "" || c[1] == "status" || c[1] == "country" || strings.HasPrefix(c[3], "$") {
				continue
			}
			for value := range strings.SplitSeq(c[3], "|") {
				if !slices.Contains(word.FindAllString(values, -1), value) {
					wrong = append(wrong, fmt.Sprintf("value %q of label %s of %s", value, c[1], name))
				}
			}
		}
		return ""
	})
	rest = groupings.ReplaceAllStringFunc(rest, func(found string) string {
		for _, label := range word.FindAllString(groupings.FindStringSubmatch(found)[1], -1) {
			if !labels[label] {
				wrong = append(wrong, "label "+label)
			}
		}
		return ""
	})
	for _, name := range word.FindAllString(quoted.ReplaceAllString(rest, ""), -1) {
		if !slices.Contains(language, name) {
			wrong = append(wrong, "name "+name)
		}
	}
	return wrong
}

// whole returns the metric that a name is of, and which part of a histogram it is.
func whole(name string, known map[string]metric) (of, part string) {
	for _, part := range []string{"bucket", "sum", "count"} {
		if of, is := strings.CutSuffix(name, "_"+part); is && strings.HasPrefix(known[of].kind, "histogram") {
			return of, part
		}
	}
	if m, has := known[name]; has && m.kind != "histogram" {
		return name, ""
	}
	return "", ""
}

func TestUnknowns(t *testing.T) {
	known := map[string]metric{
		"verify_a_total":   {"counter", map[string]string{"where": "local, upstream"}},
		"verify_b_seconds": {"histogram", map[string]string{"source": "cache (from memory)"}},
	}
	for expr, want := range map[string][]string{
		`sum by (where) (rate(verify_a_total{where="local"}[5m]))`:                           nil,
		`histogram_quantile(0.5, sum by (le) (rate(verify_b_seconds_bucket[5m] offset 1d)))`: nil,
		`verify_c_total`:                       {"name verify_c_total"},
		`verify_a_total{whre="local"}`:         {"label whre of verify_a_total"},
		`verify_a_total{where=~"local|there"}`: {`value "there" of label where of verify_a_total`},
		`sum by (source) (verify_a_total)`:     {"label source"},
		`verify_b_seconds`:                     {"name verify_b_seconds"},
		`sam(verify_a_total)`:                  {"name sam"},
		`rule:a > 1`:                           nil,
	} {
		if got := unknowns(expr, known, []string{"rule:a"}); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
}
