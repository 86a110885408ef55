package main

import "fmt"

// windows of the burn rates.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

const troubleName = "job_objective:verify_calls_in_trouble:"

// recordCalls records which share of each objective's calls is in trouble.
func recordCalls() []Rule {
	var all []Rule
	for _, o := range objectives {
		record := func(name, expr string) {
			all = append(all, Rule{Record: troubleName + name, Labels: map[string]string{"objective": o.name}, Expr: expr})
		}
		bad := fmt.Sprintf("verify_requests_total{%s,%s}", o.selector, troubled)
		for _, w := range windows {
			record("ratio_rate"+w, fmt.Sprintf("sum by (job) (rate(%s[%s]))\n/\nsum by (job) (rate(verify_requests_total{%s}[%s]))", bad, w, o.selector, w))
		}
		for _, w := range []string{"1h", "6h", "1d", "3d"} {
			record("increase"+w, fmt.Sprintf("sum by (job) (increase(%s[%s]))", bad, w))
		}
	}
	return all
}

// leastTrouble is how many calls must have been in trouble before anybody is told: one failure in a quiet night is a
// large share of little.
const leastTrouble = 10

// burn is an expression for a budget that is used up so many times too fast, now and for a while.
func burn(o objective, factor float64, long, short string) string {
	limit := factor * o.budget()
	return fmt.Sprintf("(\n  %[1]sratio_rate%[2]s{objective=%[6]q} > %.4[4]g\n  and\n  %[1]sratio_rate%[3]s{objective=%[6]q} > %.4[4]g\n  and\n  %[1]sincrease%[2]s{objective=%[6]q} >= %[5]d\n)",
		troubleName, long, short, limit, leastTrouble, o.name)
}

// pace is a pair of windows, and how many times too fast the budget is used up in both.
type pace struct {
	factor      float64
	long, short string
}

// burning is true of the objectives whose budget is used up at one of two paces. What is wrong with checks and requests
// alike is told of once, as of checks.
func burning(paces ...pace) string {
	of := func(o objective) string {
		return "(\n" + indent(burn(o, paces[0].factor, paces[0].long, paces[0].short)+"\nor\n"+burn(o, paces[1].factor, paces[1].long, paces[1].short)) + "\n)"
	}
	checks, starts := of(objectives[0]), of(objectives[1])
	return "(\n" + indent(checks+"\nor\n(\n"+indent(starts+"\nunless on (job)\n"+checks)+"\n)") + "\n)\n"
}

func alertBudget() []Rule {
	checks, starts := objectives[0], objectives[1]
	head := fmt.Sprintf("{{ $calls := `%s` }}{{ $budget := `%.1f` }}{{ if eq $labels.objective `%s` }}{{ $calls = `%s` }}{{ $budget = `%.1f` }}{{ end }}",
		starts.calls, 100*starts.budget(), checks.name, checks.calls, 100*checks.budget())
	// The value is the ratio of one of two windows.
	description := func(long, longer string) string {
		return head + fmt.Sprintf("{{ $value | humanizePercentage }} of {{ $calls }} were answered with status 1, 4, 5, 8 or 9 within {{ if printf `%[1]sratio_rate%[2]s{job=%%q,objective=%%q} == %%v` $labels.job $labels.objective $value | query }}%[2]s{{ else }}%[3]s{{ end }}; "+
			"at this pace the budget of a month, {{ $budget }} %%, lasts {{ with printf `%%s / 100 * %[4]d * 86400 / %%f` $budget $value | query }}{{ . | first | value | humanizeDuration }}{{ end }}.",
			troubleName, long, longer, objectiveDays) + whose(long)
	}
	const summary = "Too many {{ if eq $labels.objective `checks` }}checks{{ else }}requests{{ end }} of {{ $labels.job }} are in trouble"
	return []Rule{
		alert("VerifyErrorBudgetBurn", page, "3m", "upstream", summary, description("1h", "6h"),
			burning(pace{14.4, "1h", "5m"}, pace{6, "6h", "30m"})+unless(causes, "30m")),
		alert("VerifyErrorBudgetBurn", ticket, "3m", "upstream", summary, description("1d", "3d"),
			burning(pace{3, "1d", "2h"}, pace{1, "3d", "6h"})+unless(causes+"|VerifyThrottled", "6h")+"\n"+unlessBurning("6h")),
	}
}

// recordConversion records which share of a day's verifications succeeds, by country, and what is usual. Countries that
// are not told apart are left out: what they are changes. So are days of few, such as weekends of some.
func recordConversion() []Rule {
	return []Rule{
		{Record: "job_country:verify_started:increase1d", Expr: `sum by (job, country) (increase(verify_verifications_started_total{country!="other"}[1d]))`},
		{Record: "job_country:verify_success:ratio1d", Expr: `sum by (job, country) (increase(verify_verifications_finished_total{country!="other",outcome="success"}[1d]))` + "\n/\n(job_country:verify_started:increase1d >= 50)"},
		{Record: "job_country:verify_success:usual4w", Expr: "quantile_over_time(0.5, job_country:verify_success:ratio1d[28d] offset 1d)\nand\nmax_over_time(job_country:verify_success:ratio1d[7d] offset 14d)"},
	}
}

func alertConversion() Rule {
	return alert("VerifyConversionLow", ticket, "1h", "funnel",
		"Fewer verifications succeed in {{ $labels.country }} than in the four weeks before ({{ $labels.job }})",
		"Successes within a day are {{ $value | humanizePercentage }} of the verifications started within it{{ with printf `job_country:verify_success:usual4w{job=%q,country=%q}` $labels.job $labels.country | query }}; the usual of four weeks is {{ . | first | value | humanizePercentage }}{{ end }}.",
		`(
  job_country:verify_success:ratio1d
  < 0.8 *
  job_country:verify_success:usual4w
)
and
job_country:verify_started:increase1d >= 200
unless on (job, country)
max by (job, country) (max_over_time(ALERTS{alertname=~"VerifySuccessDrop|VerifySurgeLowSuccess",alertstate="firing"}[1d]))
`+unless(causes, "1d")+"\n"+unlessBurning("1d"))
}

// refusedCaller is the sentence of an alert that names the caller that is refused most by its own bounds.
func refusedCaller(window string) string {
	return "{{ if eq $labels.where `local` }}{{ with printf `topk(1, sum by (caller) (increase(verify_caller_refused_total{job=%q,cause=~\"caller_limit_reached|caller_busy\"}[" + window + "])) > 0)` $labels.job | query }}" +
		" Of the callers, {{ . | first | label `caller` }} exceeds its own limit most.{{ end }}{{ end }}"
}

func alertCallers() Rule {
	return alert("VerifyCallerUnchecked", ticket, "15m", "callers",
		"{{ $labels.caller }} starts verifications that nobody completes ({{ $labels.job }})",
		"{{ $value | humanizePercentage }} of the verifications of {{ $labels.caller }} that ended within an hour did so without any code tried. The provider blocks accounts for these.",
		`(
  sum by (job, caller) (increase(verify_caller_verifications_unchecked_total[1h]))
  /
  sum by (job, caller) (increase(verify_caller_verifications_finished_total[1h]))
) > 0.7
and
sum by (job, caller) (increase(verify_caller_verifications_finished_total[1h])) >= 20
`+unless(causes+"|VerifySuccessDrop|VerifySurgeLowSuccess", "2h")+"\n"+unlessBurning("2h"))
}
