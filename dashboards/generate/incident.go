package main

import (
	"fmt"
	"strings"
)

// causes are the alerts that name the party at fault. While one of them fires, and
// until its traces have left the windows of others, those say nothing: an incident is
// one notification.
const causes = "VerifyCredentialsRejected|VerifyAccountBarred|VerifyOutOfCredit|VerifyBreakerOpen"

// unless is the end of an expression that says nothing while one of these alerts fires,
// or did within the window.
func unless(alerts, window string) string {
	return fmt.Sprintf("unless on (job)\nmax by (job) (max_over_time(ALERTS{alertname=~%q,alertstate=\"firing\"}[%s]))", alerts, window)
}

// unlessBurning is the same for the page of the error budget, and not for its ticket.
func unlessBurning(window string) string {
	return fmt.Sprintf("unless on (job)\nmax by (job) (max_over_time(ALERTS{alertname=\"VerifyErrorBudgetBurn\",severity=\"page\",alertstate=\"firing\"}[%s]))", window)
}

func indent(expr string) string {
	return "  " + strings.ReplaceAll(expr, "\n", "\n  ")
}

// endings tell how upstream calls ended, and whose matter that is, in the words of
// docs/failures.md.
var endings = []struct{ outcome, text string }{
	{"answered", "the provider: it answers with status 5, an error of its own"},
	{"connect", "the network: no connection to the provider is made (nobody listens, no route, no such name in DNS)"},
	{"tls", "the network: no trusted connection to the provider is made (its certificate, the CA bundle, the clock, or an inspecting proxy)"},
	{"timeout", "the provider: it does not answer in time, or packets to it are dropped"},
	{"connection_lost", "the provider, or a proxy or NAT before it: connections are lost before the answer is here"},
	{"http_5xx", "the provider: it answers with HTTP errors"},
	{"http_4xx", "the way to the provider: a wrong upstream, or a proxy that answers by itself, with HTTP errors"},
	{"http_3xx", "the way to the provider: a wrong upstream, or a proxy that answers by itself, with redirects"},
	{"bad_body", "something that answers in the provider's place: what comes is not the Verify API (a web page, another format)"},
}

// how is the sentence of an alert that tells how most upstream calls that failed within
// the window ended.
func how(window string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{{ with printf `topk(1, (sum by (outcome) (increase(verify_upstream_requests_total{job=%%[1]q,outcome!~\"answered|rejected_open|cancelled\"}[%[1]s]))"+
		" or label_replace(sum(increase(verify_requests_total{job=%%[1]q,status=\"5\",source=\"upstream\"}[%[1]s])), \"outcome\", \"answered\", \"\", \"\")) > 0)` $labels.job | query }}"+
		"{{ $how := . | first | label `outcome` }} Most likely it is ", window)
	for i, e := range endings {
		if i > 0 {
			b.WriteString("{{ else ")
		} else {
			b.WriteString("{{ ")
		}
		fmt.Fprintf(&b, "if eq $how `%s` }}%s", e.outcome, e.text)
	}
	b.WriteString("{{ end }}.{{ end }}")
	return b.String()
}

// whose is the sentence of an alert that tells whose matter most calls in trouble
// within the window are.
func whose(window string) string {
	return fmt.Sprintf("{{ with printf `topk(1, sum by (status) (increase(verify_requests_total{job=%%q,%[1]s}[%[2]s])) > 0)` $labels.job | query }}{{ $status := . | first | label `status` }}"+
		"{{ if eq $status `4` `8` `9` }} Most of it is status {{ $status }}: the account."+
		"{{ else if eq $status `1` }}{{ with printf `topk(1, sum by (where) (increase(verify_throttled_total{job=%%q}[%[2]s])) > 0)` $labels.job | query }} Most of it is status 1: {{ if eq (. | first | label `where`) `upstream` }}the provider's limit{{ else }}the gateway's own limit, which applications exceed{{ end }}.{{ end }}"+
		"{{ else }}%[3]s{{ end }}{{ end }}", inTrouble, window, how(window))
}
