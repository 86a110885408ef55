package main

import (
	"fmt"
	"strings"
)

// Expressions that several panels use.

// The objective: of the calls that start, complete or control a verification, so many are answered by the Verify API
// with something else than trouble. Trouble is what a user's wrong code or a caller's wrong parameter cannot cause:
// the statuses 1 (throttled), 4 (credentials), 5 (internal error, and all that the gateway says of a provider it cannot
// reach), 8 (barred) and 9 (no credit). Searches are left out: polling would hide the others' failures.
const (
	objective     = 0.995
	objectiveDays = 30
	inTrouble     = `operation!="search",status=~"1|4|5|8|9"`
	allCalls      = `operation!="search"`
)

// started and ended select counters of verifications.
func started() string { return "verify_verifications_started_total{" + countries + "}" }

func ended(outcome string) string {
	if outcome == "" {
		return "verify_verifications_finished_total{" + countries + "}"
	}
	return "verify_verifications_finished_total{" + countries + `,outcome="` + outcome + `"}`
}

// sum adds up rates or increases of a counter. A window may have an offset: "1h offset 1d".
func sum(function, selector, window string, by ...string) string {
	window, offset, _ := strings.Cut(window, " ")
	return fmt.Sprintf("sum%s(%s(%s[%s]%s))", grouping(by), function, selector, window, strings.TrimSuffix(" "+offset, " "))
}

func grouping(by []string) string {
	if len(by) == 0 {
		return ""
	}
	return " by (" + strings.Join(by, ", ") + ") "
}

// successes is the share of the verifications started that ended in success.
func successes(window string, by ...string) string {
	return sum("increase", ended("success"), window, by...) + " / (" + sum("increase", started(), window, by...) + " > 0)"
}

// quantile of a histogram.
func quantile(q float64, selector, window string, by ...string) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s[%s])))", q, strings.Join(append([]string{"le"}, by...), ", "), selector, window)
}

// Windows of Grafana.
const (
	step  = "$__rate_interval"
	shown = "$__range"
	back  = "$window"
)

// statuses are Verify's own, with their meaning, for legends.
func statuses() []Override {
	var all []Override
	for _, s := range [][2]string{
		{"0", "0 success"}, {"1", "1 throttled"}, {"2", "2 missing parameter"}, {"3", "3 invalid parameter"},
		{"4", "4 bad credentials"}, {"5", "5 internal error"}, {"6", "6 not routable or not found"}, {"7", "7 blacklisted"},
		{"8", "8 account barred"}, {"9", "9 no credit"}, {"10", "10 concurrent"}, {"15", "15 network not supported"},
		{"16", "16 wrong code"}, {"17", "17 too many wrong codes"}, {"18", "18 too many request_ids"},
		{"19", "19 cannot be controlled now"}, {"20", "20 no such parameter for this account"}, {"29", "29 demo mode"},
		{"101", "101 no response found"},
	} {
		all = append(all, of(s[0], display(s[1])))
	}
	return all
}

// outcomes are the ends of verifications, in colours that stay.
func outcomes() []Override {
	return []Override{
		of("success", colour("green")), of("failed", colour("orange")), of("expired", colour("purple")),
		of("cancelled", colour("blue")), of("unknown", colour("gray")),
	}
}
