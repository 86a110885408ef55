package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Group is a group of rules that Prometheus evaluates one after another.
type Group struct {
	Name     string
	Interval string // how often; "" for Prometheus's own
	Rules    []Rule
}

// Rule records an expression's value under a name, or raises an alert while it has one.
type Rule struct {
	Record string
	Alert  string
	Expr   string
	For    string
	Labels map[string]string
	Notes  Notes
}

// Notes are an alert's annotations.
type Notes struct {
	Summary, Description, RunbookURL, Dashboard string
}

// printRules writes groups as Prometheus reads them.
func printRules(groups []Group) []byte {
	var b strings.Builder
	b.WriteString("# Made by go run -C dashboards/generate .; change that. What each alert means is in runbooks/.\ngroups:\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "  - name: %s\n", g.Name)
		if g.Interval != "" {
			fmt.Fprintf(&b, "    interval: %s\n", g.Interval)
		}
		b.WriteString("    rules:\n")
		for _, r := range g.Rules {
			printRule(&b, r)
		}
	}
	return []byte(b.String())
}

func printRule(b *strings.Builder, r Rule) {
	if r.Record != "" {
		fmt.Fprintf(b, "      - record: %s\n", r.Record)
	} else {
		fmt.Fprintf(b, "      - alert: %s\n", r.Alert)
	}
	b.WriteString("        expr: |-\n")
	for line := range strings.Lines(strings.TrimSpace(r.Expr)) {
		b.WriteString("          " + strings.TrimRight(line, "\n") + "\n")
	}
	if r.For != "" {
		fmt.Fprintf(b, "        for: %s\n", r.For)
	}
	if len(r.Labels) > 0 {
		b.WriteString("        labels:\n")
		for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
			fmt.Fprintf(b, "          %s: %s\n", name, r.Labels[name])
		}
	}
	if r.Alert == "" {
		return
	}
	b.WriteString("        annotations:\n")
	for _, note := range [][2]string{
		{"summary", r.Notes.Summary},
		{"description", r.Notes.Description},
		{"runbook_url", r.Notes.RunbookURL},
		{"dashboard", r.Notes.Dashboard},
	} {
		fmt.Fprintf(b, "          %s: %s\n", note[0], strconv.Quote(note[1]))
	}
}

// groups are all rules.
func groups() []Group {
	return []Group{
		{"verify-calls", "", append(recordCalls(), alertCalls()...)},
		{"verify-countries", "", append(recordCountries(), alertCountries()...)},
		{"verify-conversion", "4m", append(recordConversion(), alertConversion())}, // four weeks of each minute would be many
		{"verify-cost", "", append(recordCost(), alertCost()...)},
		{"verify-callers", "", []Rule{alertCallers()}},
		{"verify-guard", "", alertGuard()},
		{"verify-gateway", "", alertGateway()},
	}
}

// Severities.
const (
	page   = "page"   // somebody must look now
	ticket = "ticket" // somebody must look in working hours
)

// alert makes a rule with its runbook and the dashboard that shows it.
func alert(name, severity, pending, dashboard, summary, description, expr string) Rule {
	return Rule{
		Alert: name, Expr: expr, For: pending, Labels: map[string]string{"severity": severity},
		Notes: Notes{
			Summary: summary, Description: description,
			RunbookURL: "https://github.com/caddyverify/caddy-verify/blob/main/dashboards/runbooks/" + name + ".md",
			// A path of Grafana: which Grafana it is, only its operators know.
			Dashboard: "/d/" + tag + "-" + dashboard + "?var-job={{ $labels.job }}",
		},
	}
}
