package main

import (
	"fmt"
	"slices"
	"strings"
)

// Expressions that several panels use.

// Trouble is what a user's wrong code or a caller's wrong parameter cannot cause: the statuses 1 (throttled),
// 4 (credentials), 5 (internal error, and all that the gateway says of a provider it cannot reach), 8 (barred) and
// 9 (no credit). Searches are left out: polling would hide the others' failures. What the guard refuses is as it should be.
const (
	objectiveDays = 30
	troubled      = `status=~"1|4|5|8|9"`
	trouble       = troubled + `,source!="guard"`
	inTrouble     = `operation!="search",` + trouble
	allCalls      = `operation!="search"`
)

// An objective is the share of some calls that the Verify API answers with something else than trouble.
type objective struct {
	name     string
	calls    string // which they are, in words
	selector string
	share    float64
}

// objectives are the two of calls. The third is the conversion, which is measured by itself: see recordConversion.
//
// A check matters most: its user has the code in hand.
var objectives = []objective{
	{"checks", "checks", `operation="check"`, 0.999},
	{"starts", "requests and controls", `operation=~"request|psd2|control",source!="guard"`, 0.995},
}

// leastObjective is the lowest of their shares.
const leastObjective = 0.995

func (o objective) budget() float64 { return 1 - o.share }

// counters select the objective's calls in trouble, and all of them, for panels.
func (o objective) counters() (bad, all string) {
	all = "verify_requests_total{" + gateways + "," + o.selector
	return all + "," + troubled + "}", all + "}"
}

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

// quantile of a histogram, by its buckets or, where Prometheus scrapes native histograms, by these.
func quantile(q float64, selector, window string, by ...string) string {
	return fmt.Sprintf("histogram_quantile(%[1]g, sum by (%[2]s) (rate(%[3]s[%[4]s]))) or histogram_quantile(%[1]g, sum%[5]s(rate(%[6]s[%[4]s])))",
		q, strings.Join(append([]string{"le"}, by...), ", "), selector, window, grouping(by), native(selector))
}

// native is the selector of native histograms for that of classic buckets.
func native(selector string) string { return strings.Replace(selector, "_bucket", "", 1) }

// Windows of Grafana.
const (
	step  = "$__rate_interval"
	shown = "$__range"
	back  = "$window"
)

// statuses are Verify's own, with their meaning, for legends, and in colours that stay: green is success, shades of
// orange are users' codes, of blue callers' mistakes, of red and yellow trouble.
func statuses() []Override {
	var all []Override
	for _, s := range [][3]string{
		{"0", "0 success", "green"},
		{"1", "1 throttled", "yellow"},
		{"2", "2 missing parameter", "light-blue"},
		{"3", "3 invalid parameter", "blue"},
		{"4", "4 bad credentials", "dark-red"},
		{"5", "5 internal error", "red"},
		{"6", "6 not routable or not found", "light-orange"},
		{"7", "7 blacklisted", "dark-blue"},
		{"8", "8 account barred", "semi-dark-red"},
		{"9", "9 no credit", "light-red"},
		{"10", "10 concurrent", "light-purple"},
		{"15", "15 network not supported", "semi-dark-blue"},
		{"16", "16 wrong code", "orange"},
		{"17", "17 too many wrong codes", "dark-orange"},
		{"18", "18 too many request_ids", "light-blue"},
		{"19", "19 cannot be controlled now", "purple"},
		{"20", "20 no such parameter for this account", "light-blue"},
		{"29", "29 demo mode", "dark-purple"},
		{"101", "101 no response found", "gray"},
	} {
		all = append(all, of(s[0], display(s[1]), colour(s[2])))
	}
	return append(all, of("IN PROGRESS", colour("blue")), of("SUCCESS", colour("green")), of("FAILED", colour("orange")),
		of("EXPIRED", colour("purple")), of("CANCELLED", colour("gray")))
}

// troubles are the statuses of trouble by who says so, as in "gateway 5": the provider's word is the darker.
func troubles() []Override {
	var all []Override
	for status, c := range map[string]string{"1": "yellow", "4": "purple", "5": "red", "8": "orange", "9": "blue"} {
		all = append(all, of("upstream "+status, colour("dark-"+c)), of("gateway "+status, colour("light-"+c)))
	}
	slices.SortFunc(all, func(a, b Override) int {
		return strings.Compare(a.Matcher.Options.(string), b.Matcher.Options.(string))
	})
	return all
}

// ends are how upstream calls ended, in colours that stay: blue is the network, red the provider, purple what
// answers in its place.
func ends() []Override {
	return []Override{
		of("answered", colour("green")), of("cancelled", colour("gray")), of("rejected_open", colour("light-yellow")),
		of("connect", colour("blue")), of("tls", colour("light-blue")), of("connection_lost", colour("dark-blue")),
		of("timeout", colour("orange")), of("http_5xx", colour("red")), of("http_4xx", colour("dark-orange")), of("http_3xx", colour("light-orange")),
		of("bad_body", colour("purple")),
	}
}

// outcomes are the ends of verifications, in colours that stay.
func outcomes() []Override {
	return []Override{
		of("success", colour("green")), of("failed", colour("orange")), of("expired", colour("purple")),
		of("cancelled", colour("blue")), of("unknown", colour("gray")),
	}
}
