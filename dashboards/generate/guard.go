package main

const (
	budgetUsed = "max by (job, account, budget, currency) (verify_guard_budget_settled + verify_guard_budget_reserved)\n/\nmax by (job, account, budget, currency) (verify_guard_budget_cap)"
	noMoney    = `sum by (job, account) (increase(verify_guard_starts_total{rule="budget",action="refused"}[10m])) > 0`
)

// alertGuard are the alerts of the spend guard.
func alertGuard() []Rule {
	const refused = `sum by (job) (increase(verify_guard_starts_total{action="refused",rule!="budget"}[10m]))`
	return []Rule{
		alert("VerifyBudgetLow", ticket, "5m", "cost",
			"The budget {{ $labels.budget }} of {{ $labels.account }} is nearly spent ({{ $labels.job }})",
			"{{ $value | humanizePercentage }} of its cap in {{ $labels.currency }} is spent, or reserved for verifications under way. At 100 % a budget in enforce refuses new verifications; checks go on.",
			"(\n"+indent(budgetUsed)+"\n) >= 0.8\nunless on (job, account)\n"+noMoney),
		alert("VerifyBudgetExhausted", page, "1m", "cost",
			"A budget of {{ $labels.account }} is spent, and new verifications are refused ({{ $labels.job }})",
			"{{ $value | humanize }} verifications were refused within 10 minutes, with status 9"+
				"{{ range printf `max by (account, budget) (verify_guard_budget_settled{job=%[1]q} + verify_guard_budget_reserved{job=%[1]q}) / max by (account, budget) (verify_guard_budget_cap{job=%[1]q}) >= 0.8` $labels.job | query | sortByLabel `budget` }}{{ if eq .Labels.account $labels.account }}; {{ .Labels.budget }} is at {{ .Value | humanizePercentage }}{{ end }}{{ end }}. Checks go on.",
			noMoney),
		alert("VerifyGuardRefusing", ticket, "5m", "callers",
			"The guard of {{ $labels.job }} refuses many verifications",
			"{{ $value | humanizePercentage }} of the verifications that applications wanted within 10 minutes were refused"+
				"{{ with printf `topk(1, sum by (rule) (increase(verify_guard_starts_total{job=%q,action=\"refused\",rule!=\"budget\"}[10m])))` $labels.job | query }}, most by the rule {{ . | first | label `rule` }}{{ end }}: an attack, or a rule that does not fit.",
			"(\n  "+refused+"\n  /\n  sum by (job) (increase(verify_requests_total{operation=~\"request|psd2\"}[10m]))\n) > 0.1\nand\n"+refused+" >= 20"),
	}
}

// guardRow shows what the guard refuses, and whether it should.
func guardRow() row {
	by := func(metric string, labels ...string) string {
		return sum("rate", metric+"{"+gateways+"}", step, append([]string{"account", "rule"}, labels...)...)
	}
	return row{"The guard", 8, []*Panel{
		lines("Refused by the guard", "Starts of verifications a minute, by rule. would_refuse: the rule is in monitor, and they were sent. A jump of per_prefix, conversion or per_number: somebody has messages sent for their own sake; docs/guard.md, runbook VerifyGuardRefusing.",
			in("short"), query("60 * "+by("verify_guard_starts_total", "action")+" or vector(0)", "{{account}} {{rule}} {{action}}")),
		stack("Saved by the guard", "An hour, by rule: what refused starts could have cost at most, an estimate that needs price in the guard. would_refuse: what the rule would save in enforce.",
			in("short").digits(2), query("3600 * "+by("verify_guard_saved_total", "action", "currency")+" or vector(0)", "{{rule}} {{action}} {{currency}}")),
		lines("Refused and verified later", "Starts an hour, by rule, that were refused, or would have been, and whose number was verified later on: they may have been genuine. A rule with many should stay in monitor, or is too strict.",
			in("short"), query("3600 * "+by("verify_guard_verified_later_total")+" or vector(0)", "{{account}} {{rule}}")),
	}}
}

// budgetRow shows how much of budgets is spent.
func budgetRow() row {
	of := func(metric string) string {
		return "max by (account, budget, currency) (" + metric + "{" + gateways + "})"
	}
	used := "(" + of("verify_guard_budget_settled") + " + " + of("verify_guard_budget_reserved") + ") / " + of("verify_guard_budget_cap")
	return row{"Budgets", 7, []*Panel{
		table("Budgets", "Those of the guard; none without one. settled is known to be spent within the last day or month, reserved what verifications under way may cost yet. Red: new verifications are refused, or soon will be; runbook VerifyBudgetExhausted.",
			in("short").digits(2), []string{"account", "budget", "currency"}, "Used",
			cell{"Settled", of("verify_guard_budget_settled"), nil},
			cell{"Reserved", of("verify_guard_budget_reserved"), nil},
			cell{"Cap", of("verify_guard_budget_cap"), nil},
			cell{"Used", used, []Property{unit("percentunit"), decimals(1), coloured(), thresholds(below(.8, .95))}}),
		lines("Used of budgets", "Settled and reserved, of the cap. Above 80 %: runbook VerifyBudgetLow. Far above what the time of day has: look at the countries above.",
			in("percentunit").digits(1).from(0).colours(below(.8, .95)...), query(used, "{{account}} {{budget}}")),
	}}
}
