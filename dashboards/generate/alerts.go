package main

import "fmt"

// windows of the burn rates.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

const troubleName = "job:verify_calls_in_trouble:"

// recordCalls records which share of calls is in trouble, see objective.
func recordCalls() []Rule {
	var all []Rule
	for _, w := range windows {
		all = append(all, Rule{
			Record: troubleName + "ratio_rate" + w,
			Expr: fmt.Sprintf("sum by (job) (rate(verify_requests_total{%s}[%s]))\n/\nsum by (job) (rate(verify_requests_total{%s}[%s]))",
				inTrouble, w, allCalls, w),
		})
	}
	for _, w := range []string{"1h", "6h", "1d", "3d"} {
		all = append(all, Rule{
			Record: troubleName + "increase" + w,
			Expr:   fmt.Sprintf("sum by (job) (increase(verify_requests_total{%s}[%s]))", inTrouble, w),
		})
	}
	return all
}

// leastTrouble is how many calls must have been in trouble before anybody is told: one failure in a quiet night is a
// large share of little.
const leastTrouble = 10

// burn is an expression for a budget that is used up so many times too fast, now and for a while.
func burn(factor float64, long, short string) string {
	limit := factor * (1 - objective)
	return fmt.Sprintf("(\n  %[1]sratio_rate%[2]s > %.4[4]g\n  and\n  %[1]sratio_rate%[3]s > %.4[4]g\n  and\n  %[1]sincrease%[2]s >= %[5]d\n)",
		troubleName, long, short, limit, leastTrouble)
}

func alertCalls() []Rule {
	const (
		summary     = "Too many calls of {{ $labels.job }} are in trouble"
		description = "{{ $value | humanizePercentage }} of requests, checks and controls were answered with status 1, 4, 5, 8 or 9; the objective is 0.5 % over 30 days. "
	)
	return []Rule{
		alert("VerifyErrorBudgetBurn", page, "", "upstream", summary,
			description+"At this pace the budget of the month lasts two to five days.",
			burn(14.4, "1h", "5m")+"\nor\n"+burn(6, "6h", "30m")),
		alert("VerifyErrorBudgetBurn", ticket, "", "upstream", summary,
			description+"At this pace the budget of the month lasts ten to thirty days.",
			burn(3, "1d", "2h")+"\nor\n"+burn(1, "3d", "6h")),
		alert("VerifyLatencyHigh", ticket, "5m", "upstream",
			"The provider answers {{ $labels.operation }} slowly ({{ $labels.job }})",
			"{{ $value | humanizePercentage }} of the answers to {{ $labels.operation }} took longer than 2.5 s within 10 minutes.",
			`(
  1 -
  sum by (job, operation) (rate(verify_upstream_request_duration_seconds_bucket{outcome="answered",le="2.5"}[10m]))
  /
  sum by (job, operation) (rate(verify_upstream_request_duration_seconds_count{outcome="answered"}[10m]))
) > 0.05
and
sum by (job, operation) (increase(verify_upstream_request_duration_seconds_count{outcome="answered"}[10m])) >= 50`),
		alert("VerifyThrottled", ticket, "5m", "upstream",
			"Calls of {{ $labels.job }} come too fast for the {{ $labels.where }} limit",
			"{{ $value | humanizePercentage }} of all calls were answered with status 1 within 10 minutes.",
			`(
  sum by (job, where) (increase(verify_throttled_total[10m]))
  / on (job) group_left ()
  sum by (job) (increase(verify_requests_total[10m]))
) > 0.02
and
sum by (job, where) (increase(verify_throttled_total[10m])) >= 20`),
	}
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
			"Of the verifications started within an hour, {{ $value | humanizePercentage }} ended in success: less than 70 % of the day before.",
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
job_country:verify_started:increase1h > 5 * job_country:verify_started:usual1h`),
		alert("VerifySurgeLowSuccess", page, "10m", "cost",
			"Verifications to {{ $labels.country }} surge and few succeed: perhaps somebody pumps messages ({{ $labels.job }})",
			"{{ $value | humanize }} verifications were started within an hour, more than five times the usual, and fewer than 30 % ended in success.",
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
			"A success costs {{ printf \"%.4f\" $value }} {{ $labels.currency }} today: more than one and a half times the mean of the seven days before.",
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
	return []Rule{
		alert("VerifyCredentialsRejected", page, "1m", "upstream",
			"The provider rejects the credentials of {{ $labels.job }}",
			"The Verify API answers status 4 or HTTP 401: nobody can be verified.", refused("4")),
		alert("VerifyAccountBarred", page, "1m", "upstream",
			"The provider has barred the account of {{ $labels.job }}",
			"The Verify API answers status 8: nobody can be verified.", refused("8")),
		alert("VerifyOutOfCredit", page, "1m", "upstream",
			"The account of {{ $labels.job }} has no credit",
			"The Verify API answers status 9: no verification can be started.", refused("9")),
		alert("VerifyBreakerOpen", page, "2m", "upstream",
			"The breaker for {{ $labels.breaker }} calls is open ({{ $labels.job }})",
			"For two minutes the provider has not shown a sign of life; calls are answered with status 5 and not sent.",
			`max by (job, breaker) (verify_breaker_state{state!="closed"}) > 0`),
		alert("VerifySettlerBehind", ticket, "15m", "cache",
			"The settler of {{ $labels.instance }} does not keep up",
			"{{ $value | humanize }} verifications are over and their outcome is not known; after an hour they count as unknown, and their cost is lost to the figures.",
			"max by (job, instance) (verify_settler_backlog) > 100"),
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
