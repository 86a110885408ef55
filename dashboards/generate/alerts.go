package main

import "fmt"

func alertCalls() []Rule {
	return append(alertBudget(),
		alert("VerifyLatencyHigh", ticket, "5m", "upstream",
			"The provider answers {{ $labels.operation }} slowly ({{ $labels.job }})",
			"{{ $value | humanizePercentage }} of the provider's answers to {{ $labels.operation }} took longer than 2.5 s within 10 minutes.",
			`(
  1 -
  (
    sum by (job, operation) (rate(verify_upstream_request_duration_seconds_bucket{outcome="answered",le="2.5"}[10m]))
    /
    sum by (job, operation) (rate(verify_upstream_request_duration_seconds_count{outcome="answered"}[10m]))
    or
    histogram_fraction(0, 2.5, sum by (job, operation) (rate(verify_upstream_request_duration_seconds{outcome="answered"}[10m])))
  )
) > 0.05
and
sum by (job, operation) (increase(verify_upstream_requests_total{outcome="answered"}[10m])) >= 50
`+unless(causes, "30m")),
		alert("VerifyThrottled", ticket, "5m", "upstream",
			`{{ if eq $labels.where "upstream" }}The provider throttles the account of {{ $labels.job }}{{ else }}Calls of {{ $labels.job }} come too fast for the gateway's own limits{{ end }}`,
			`Calls refused for coming too fast within 10 minutes are {{ $value | humanizePercentage }} of those that applications made: {{ if eq $labels.where "upstream" }}it is the provider's limit, whoever else uses the account{{ else }}it is the gateway's own limits, which applications exceed{{ end }}.`+refusedCaller("10m"),
			`(
  sum by (job, where) (increase(verify_throttled_total[10m]))
  / on (job) group_left ()
  sum by (job) (increase(verify_requests_total{source!="guard"}[10m]))
) > 0.02
and
sum by (job, where) (increase(verify_throttled_total[10m])) >= 20
unless on (job, where)
label_replace(sum by (job) (increase(verify_throttled_total{where="upstream"}[10m])) >= 20, "where", "local", "", "")
`+unlessBurning("30m")),
	)
}

// recordCountries records what becomes of the verifications started within an hour, by country, and before.
func recordCountries() []Rule {
	const (
		begun   = "verify_verifications_started_total"
		success = `verify_verifications_finished_total{outcome="success"}`
	)
	add := func(selector, window string) string {
		return fmt.Sprintf("sum by (job, country) (increase(%s[%s))", selector, window)
	}
	return []Rule{
		{Record: "job_country:verify_started:increase1h", Expr: add(begun, "1h]")},
		{Record: "job_country:verify_success:ratio1h", Expr: add(success, "1h]") + "\n/\n(job_country:verify_started:increase1h > 0)"},
		{Record: "job_country:verify_started:increase1d_before", Expr: add(begun, "1d] offset 1h")},
		{Record: "job_country:verify_success:ratio1d_before", Expr: add(success, "1d] offset 1h") + "\n/\n(job_country:verify_started:increase1d_before > 0)"},
		{Record: "job_country:verify_started:usual1h", Expr: "avg_over_time(job_country:verify_started:increase1h[7d] offset 1h)"},
	}
}

func alertCountries() []Rule {
	return []Rule{
		alert("VerifySuccessDrop", page, "10m", "funnel",
			"Far fewer verifications succeed in {{ $labels.country }} than the day before ({{ $labels.job }})",
			"Successes within an hour are {{ $value | humanizePercentage }} of the verifications started within it{{ with printf `job_country:verify_success:ratio1d_before{job=%q,country=%q}` $labels.job $labels.country | query }}; the day before they were {{ . | first | value | humanizePercentage }}{{ end }}.",
			`(
  job_country:verify_success:ratio1h
  < 0.7 *
  job_country:verify_success:ratio1d_before
)
and
job_country:verify_started:increase1h >= 50
and
job_country:verify_started:increase1d_before >= 200
unless
job_country:verify_started:increase1h > 5 * job_country:verify_started:usual1h
`+unless(causes, "1h")+"\n"+unlessBurning("1h")),
		alert("VerifySurgeLowSuccess", page, "10m", "cost",
			"Verifications to {{ $labels.country }} surge and few succeed: perhaps somebody pumps messages ({{ $labels.job }})",
			"{{ $value | humanize }} verifications were started within an hour; {{ with printf `job_country:verify_started:usual1h{job=%q,country=%q}` $labels.job $labels.country | query }}the usual is {{ . | first | value | humanize }}{{ else }}there is no usual yet{{ end }}. {{ with printf `job_country:verify_success:ratio1h{job=%q,country=%q}` $labels.job $labels.country | query }}Successes are {{ . | first | value | humanizePercentage }} of that.{{ end }}",
			`(
  job_country:verify_started:increase1h >= 100
  unless
  job_country:verify_started:increase1h <= 5 * job_country:verify_started:usual1h
)
and
job_country:verify_success:ratio1h < 0.3`),
	}
}

// recordCost records what a success costs.
func recordCost() []Rule {
	ratio := func(window string) string {
		return fmt.Sprintf("sum by (job, currency) (increase(verify_cost_total[%[1]s]))\n/ on (job) group_left ()\n(sum by (job) (increase(verify_verifications_finished_total{outcome=\"success\"}[%[1]s])) > 0)", window)
	}
	return []Rule{
		{Record: "job_currency:verify_cost_per_success:ratio1d", Expr: ratio("1d")},
		{Record: "job_currency:verify_cost_per_success:ratio7d", Expr: ratio("7d")},
	}
}

func alertCost() []Rule {
	return []Rule{
		alert("VerifyCostPerSuccessHigh", ticket, "1h", "cost",
			"A success costs far more than it did ({{ $labels.job }}, {{ $labels.currency }})",
			"A success cost {{ printf \"%.4f\" $value }} {{ $labels.currency }} within 24 hours{{ with printf `job_currency:verify_cost_per_success:ratio7d{job=%q,currency=%q} offset 1d` $labels.job $labels.currency | query }}, and {{ . | first | value | printf \"%.4f\" }} in the seven days before{{ end }}.",
			`(
  job_currency:verify_cost_per_success:ratio1d
  > 1.5 *
  job_currency:verify_cost_per_success:ratio7d offset 1d
)
and on (job)
sum by (job) (increase(verify_verifications_finished_total{outcome="success"}[1d])) >= 50`),
	}
}

func alertGateway() []Rule {
	refused := func(status string) string {
		return fmt.Sprintf(`max by (job) (verify_account_trouble{status="%s"}) > 0`, status)
	}
	// A gateway with an old secret is none of the others' trouble.
	says := func(status, text string) string {
		return "The provider answers " + text + ` to {{ with printf "count(verify_account_trouble{job=%q,status=\"` + status + `\"} > 0)" $labels.job | query }}{{ . | first | value }}{{ end }} of {{ with printf "count(verify_account_trouble{job=%q,status=\"` + status + `\"})" $labels.job | query }}{{ . | first | value }}{{ end }} gateways: `
	}
	return []Rule{
		alert("VerifyCredentialsRejected", page, "1m", "upstream",
			"The provider rejects the credentials of {{ $labels.job }}",
			says("4", "status 4 or HTTP 401 or 403")+"there no verification can be started. It is the account's key and secret, not the provider's health.", refused("4")),
		alert("VerifyAccountBarred", page, "1m", "upstream",
			"The provider has barred the account of {{ $labels.job }}",
			says("8", "status 8")+"there no verification can be started. It is the account, not the provider's health.", refused("8")),
		alert("VerifyOutOfCredit", page, "1m", "upstream",
			"The account of {{ $labels.job }} has no credit",
			says("9", "status 9")+"there no verification can be started. It is the account, not the provider's health.", refused("9")),
		alert("VerifyBreakerOpen", page, "2m", "upstream",
			"Calls of {{ $labels.job }} to the provider are stopped",
			"For two minutes a circuit has not been closed{{ range $i, $c := printf `max by (breaker) (verify_breaker_state{job=%q,state!=\"closed\"}) > 0` $labels.job | query | sortByLabel `breaker` }}{{ if $i }} and{{ else }}:{{ end }} {{ $c.Labels.breaker }}{{ end }}. Its calls are answered with status 5 and not sent."+how("10m"),
			`max by (job) (verify_breaker_state{state!="closed"}) > 0`),
		alert("VerifyStoreAway", ticket, "2m", "upstream",
			"Gateways of {{ $labels.job }} do not reach the store that they share",
			"{{ $value }} of {{ with printf `count(verify_store_up{job=%q})` $labels.job | query }}{{ . | first | value }}{{ end }} go on alone: a request repeated at another gateway may be sent twice, each has a part of the limit, and what others started is not known.",
			"sum by (job) (1 - verify_store_up) > 0"),
		alert("VerifySettlerBehind", ticket, "15m", "cache",
			"The settler of {{ $labels.instance }} does not keep up",
			"{{ $value | humanize }} verifications are over and their outcome is not known; after an hour they count as unknown, and their cost is lost to the figures.",
			"max by (job, instance) (verify_settler_backlog) > 100\n"+unless(causes, "30m")),
		alert("VerifyInvariantBroken", page, "0s", "overview",
			"The gateway {{ $labels.job }} has noticed a fault of its own",
			"{{ $labels.invariant }}: what would have broken it was held back, and its call answered with status 5. It is a bug of the gateway, whatever the provider does.",
			"sum by (job, invariant) (increase(verify_invariant_broken_total[15m])) > 0"),
		alert("VerifyMetricsAbsent", page, "5m", "overview",
			"There are no metrics of the gateway {{ $labels.job }}",
			"No gateway has been scraped for 5 minutes: the gateways are down, or Prometheus does not reach them. No other alert can be raised.",
			`(
  group by (job) (max_over_time(verify_build_info[6h]))
  unless
  group by (job) (verify_build_info)
)
or
absent(max_over_time(verify_build_info[6h]))`),
	}
}
