package main

import (
	"fmt"
	"strings"
)

func overview() *Dashboard {
	calls := "verify_requests_total{" + gateways + "," + allCalls + "}"
	trouble := "verify_requests_total{" + gateways + "," + inTrouble + "}"
	return frame("overview", "Overview",
		"Is verification working, for whom is it not, whose fault is it, what does it cost?", "24h",
		[]Variable{country, window},
		lay(
			row{"Now", 5, []*Panel{
				stat("Success rate", "Verifications that ended in success, of those started in the time shown. "+
					"Red: open Funnel and success rate; one country or one workflow usually tells. If all fall together, look at Error rate.",
					in("percentunit").digits(1).colours(above(.4, .6)...), latest(successes(shown), byHand)),
				stat("Error rate", "Share of requests, checks and controls answered with status 1, 4, 5, 8 or 9: the provider, the network or the account, never a user's wrong code. "+
					"Yellow from the objective's 0.5 %, red from where the month's budget lasts two days. Red: open Upstream and breaker; runbook VerifyErrorBudgetBurn.",
					in("percentunit").digits(2).colours(below(1-leastObjective, 14.4*(1-leastObjective))...),
					latest(sum("rate", trouble, step)+" / "+sum("rate", strings.TrimSuffix(calls, "}")+`,source!="guard"}`, step), byHand)),
				stat("Error budget left", "What is left of the calls that may be in trouble within 30 days, or since Prometheus knows: 0.1 % of checks, and 0.5 % of requests and controls (starts). "+
					"Red: it is used up; put reliability first, and see Upstream and breaker for what took it.",
					in("percentunit").digits(0).from(0).to(1).colours(above(1e-9, .25)...).words(values(map[string]mapped{"0": {"used up", bad, 0}})),
					budgets()...),
				stat("Upstream latency p99", "p99 of the upstream calls. "+
					"Red: the provider or the way to it is slow; runbook VerifyLatencyHigh.",
					in("s").colours(below(1, 2.5)...).without("no calls"),
					latest(quantile(.99, "verify_upstream_request_duration_seconds_bucket{"+gateways+"}", step), byHand)),
				stat("Circuit breakers not closed", "Circuits that stop calls at present, or try whether the provider is back. "+
					"Red: calls are answered with status 5 without being sent; runbook VerifyBreakerOpen.",
					in("short").colours(zero()...),
					latest(`sum(verify_breaker_state{`+gateways+`,state!="closed"})`, byHand)),
				stat("Account", "What the provider says of the account: 4, 8 and 9 are Verify's statuses. "+
					"Red: nobody can be verified until the account is set right; runbooks VerifyCredentialsRejected, VerifyAccountBarred, VerifyOutOfCredit.",
					in("none").colours(zero()...).words(accountWords()), latest(accountExpr(), byHand)),
			}},
			row{"Objectives", 7, []*Panel{
				lines("Budget burnt, times too fast", "How many times faster than 30 days allow the calls in trouble use up the budget, over the last $window. At 1 it lasts just that long. "+
					"Above 6 for hours, or 14.4 for one: runbook VerifyErrorBudgetBurn.",
					in("short").digits(1).colours(below(1, 14.4)...), burns()...),
				lines("Conversion against four weeks", "The success rate of a day, divided by that of the four weeks before, in the ten countries with most. 1 is as usual. "+
					"Below 0.8: runbook VerifyConversionLow.",
					in("percentunit").digits(0).from(0).to(1.5).colours(above(.8, .9)...),
					query(successes("1d", "country")+" / ("+successes("4w offset 1d", "country")+") and topk(10, "+sum("increase", started(), "1d", "country")+" > 50)", "{{country}}")),
			}},
			row{"For whom", 8, []*Panel{
				lines("Success rate by country", "Verifications that ended in success, of those started, over the last $window; the ten countries with most. "+
					"A line that falls alone: messages to that country do not arrive, or somebody pumps it; runbooks VerifySuccessDrop and VerifySurgeLowSuccess.",
					in("percentunit").to(1.05).colours(above(.4, .6)...),
					query(successes(back, "country")+" and topk(10, "+sum("increase", started(), back, "country")+")", "{{country}}")),
				stack("Starts/min by country", "Over the last $window. A country that rises without a reason of yours: see Cost and fraud. None at all while users are awake: look at Calls by status.",
					in("short"), query("60 * "+sum("rate", started(), back, "country")+" > 0", "{{country}}")),
			}},
			row{"Whose fault", 7, []*Panel{
				stack("Requests, checks and controls by status", "What applications read. 16 and 17 are users' wrong codes, 2 and 3 callers' mistakes, 1, 4, 5, 8 and 9 trouble. "+
					"Where trouble grows: open Upstream and breaker.",
					in("reqps").and(statuses()...), query(sum("rate", calls, step, "status")+" > 0", "{{status}}")),
				stack("Upstream errors by kind", "Tries to call the provider, by how they ended. connect, tls, timeout and connection_lost: the network or the provider's front; http_5xx and bad_body: the provider; rejected_open: not sent, the breaker is open. "+
					"Anything lasting: check the provider's status page and your egress; docs/failures.md explains each word.",
					in("reqps").and(ends()...), query(sum("rate", `verify_upstream_requests_total{`+gateways+`,outcome!="answered"}`, step, "outcome"), "{{outcome}}")),
			}},
			row{"Alerts", 7, []*Panel{
				table("Alerts", "Alerts of dashboards/rules that are pending or firing. Each has a runbook: dashboards/runbooks/<name>.md. Red: begin there.",
					in("short").without("none"), []string{"alertname", "severity", "alertstate", "job", "country"}, "Since",
					cell{
						"Since", `1000 * max by (alertname, severity, job, country) (ALERTS_FOR_STATE{alertname=~"Verify.+",job=~"$job|"}) * on (alertname, severity, job, country) group_right () max by (alertname, severity, alertstate, job, country) (ALERTS{alertname=~"Verify.+",job=~"$job|"})`,
						[]Property{unit("dateTimeFromNow")},
					}),
			}},
			row{"Money and gateways", 5, []*Panel{
				stat("Spent", "Money spent in the time shown, as told by checks and searches. It is complete with settle, or where applications search for every verification. "+
					"More than you expect: open Cost and fraud.",
					in("short").digits(2).and(money()...), latest(sum("increase", "verify_cost_total{"+countries+"}", shown, "currency"), "{{currency}}")),
				stat("Gateways", "Gateways by version. More than one version for longer than a rollout takes, or fewer gateways than you run: look at the rollout.",
					in("short").digits(0), latest("count by (version) (verify_build_info{"+gateways+"})", "{{version}}")),
			}},
		))
}

// budgets are what is left of each objective's.
func budgets() []Target {
	var all []Target
	days := fmt.Sprintf("%dd", objectiveDays)
	for _, o := range objectives {
		bad, calls := o.counters()
		all = append(all, latest(fmt.Sprintf("clamp_min(1 - %s / %s / %.3f, 0)", sum("increase", bad, days), sum("increase", calls, days), o.budget()), o.name))
	}
	return all
}

// burns are how many times too fast each is used up.
func burns() []Target {
	var all []Target
	for _, o := range objectives {
		bad, calls := o.counters()
		all = append(all, query(fmt.Sprintf("%s / %s / %.3f", sum("rate", bad, back), sum("rate", calls, back), o.budget()), o.name))
	}
	return all
}

// accountExpr is the highest status that the provider refuses the account with, or 0.
func accountExpr() string {
	var each []string
	for _, status := range []string{"4", "8", "9"} {
		each = append(each, fmt.Sprintf(`%s * verify_account_trouble{%s,status="%s"}`, status, gateways, status))
	}
	return "max(" + strings.Join(each, " or ") + ")"
}

func accountWords() Mapping {
	return values(map[string]mapped{
		"0": {"accepted", good, 0}, "4": {"4 bad credentials", bad, 1}, "8": {"8 barred", bad, 2}, "9": {"9 no credit", bad, 3},
	})
}
