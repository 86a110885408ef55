package main

func callers() *Dashboard {
	counter := func(metric string) string { return metric + "{" + gateways + `,caller=~"$caller"}` }
	starts, finished := counter("verify_caller_verifications_started_total"), func(outcome string) string {
		return "verify_caller_verifications_finished_total{" + gateways + `,caller=~"$caller",outcome="` + outcome + `"}`
	}
	unchecked, spent := counter("verify_caller_verifications_unchecked_total"), counter("verify_caller_cost_total")
	refused, sent := counter("verify_caller_refused_total"), counter("verify_caller_upstream_requests_total")
	isolated := counter("verify_caller_isolated_total")
	rate := func(window string) string {
		return sum("increase", finished("success"), window, "caller") + " / (" + sum("increase", starts, window, "caller") + " > 0)"
	}
	// Of all accounts together: calls of a caller may go to several.
	share := func(window string) string {
		return sum("rate", sent, window, "caller") + " / on () group_left () (sum(verify_limit_rate{" + gateways + "}) > 0)"
	}
	return frame("callers", "Callers and accounts",
		"Which application fails, spends, is refused or takes too much, and which account stands in for which?", "6h",
		[]Variable{caller, window},
		lay(
			row{"The time shown", 9, []*Panel{
				table("Callers", "The time shown; without callers in the configuration there are none. A red rate: look at its messages and its form. Much unchecked: it starts verifications that nobody completes, "+
					"and the provider may block the account for these; runbook VerifyCallerUnchecked. Much refused: see below.",
					in("locale").digits(0), []string{"caller"}, "Started",
					cell{"Started", sum("increase", starts, shown, "caller"), nil},
					cell{"Success rate", rate(shown), []Property{unit("percentunit"), decimals(1), coloured(), thresholds(above(.4, .6))}},
					cell{"Unchecked", sum("increase", unchecked, shown, "caller") + " / (" + sum("increase", starts, shown, "caller") + " > 0)", []Property{unit("percentunit"), decimals(1), coloured(), thresholds(below(.4, .6))}},
					cell{"Spent", sum("increase", spent, shown, "caller"), []Property{decimals(2)}},
					cell{"Upstream requests", sum("increase", sent, shown, "caller"), nil},
					cell{"Share of the limit", share(shown), []Property{unit("percentunit"), decimals(1)}},
					cell{"Refused", sum("increase", refused, shown, "caller"), nil},
					cell{"About others' verifications", sum("increase", isolated, shown, "caller"), nil}),
			}},
			row{"Verifications", 8, []*Panel{
				lines("Success rate by caller", "Over the last $window. One falls alone: it is that application. All fall: see Funnel and success rate.",
					in("percentunit").digits(1).from(0).to(1).colours(above(.4, .6)...), query(rate(back), "{{caller}}")),
				lines("Unchecked by caller", "Verifications that ended without any code tried, of those started, over the last $window. A jump: its users do not get their codes, or somebody uses its form to send messages; runbook VerifyCallerUnchecked.",
					in("percentunit").digits(1).from(0),
					query(sum("increase", unchecked, back, "caller")+" / ("+sum("increase", starts, back, "caller")+" > 0)", "{{caller}}")),
				stack("Spent by caller", "An hour, over the last $window. One that grows without successes is being pumped.",
					in("short").digits(2), query("3600 * "+sum("rate", spent, back, "caller", "currency"), "{{caller}} {{currency}}")),
			}},
			row{"The limit", 8, []*Panel{
				stack("Upstream requests by caller", "Which application uses the account's limit. One fills it: the others get their share all the same; give it a weight or a limit of its own if it should have another.",
					in("reqps"), query(sum("rate", sent, step, "caller"), "{{caller}}")),
				lines("Share of the limit by caller", "What a caller uses of the calls a second that all accounts may make; the bounds of one that has its own are in the configuration. All together near 100 %: calls wait, and the provider should raise the limit, or another account should stand by.",
					in("percentunit").digits(1).from(0).colours(below(.5, .9)...), query(share(step), "{{caller}}")),
				stack("Refused by caller", "By cause. caller_limit_reached and caller_busy: its own bounds. limit_reached: it wants more than its share. breaker_open and account_…: not its fault, see Upstream and breaker.",
					in("reqps"), query(sum("rate", refused, step, "caller", "cause"), "{{caller}} {{cause}}")),
				lines("About others' verifications", "Calls about a verification that another caller started, by caller, answered as for one that nobody has. More than none: a mistake in its configuration, or somebody tries ids.",
					in("reqps"), query(sum("rate", isolated, step, "caller"), "{{caller}}")),
			}},
			row{"Accounts", 8, []*Panel{
				lines("Upstream requests by account", "Each account's use. See Upstream and breaker for what it has.",
					in("reqps"), query(sum("rate", "verify_upstream_requests_total{"+gateways+"}", step, "account"), "{{account}}")),
				lines("Verifications started with another account", "Requests a minute that went to the account that stands in, since the first took none. More than none: see why the first takes none, in Upstream and breaker.",
					in("short"), query("60 * "+sum("rate", "verify_failovers_total{"+gateways+"}", step, "account", "to")+" or vector(0)", "{{account}} to {{to}}")),
				lines("Changes of the secret", "By account and reason. status_4 and unauthorized: the provider refused the secret in use, and calls are made with the other; see Secret in use. file: a new one in its file, as somebody wanted.",
					in("short").digits(0), query(sum("increase", "verify_secret_switches_total{"+gateways+"}", step, "account", "reason"), "{{account}} {{reason}}")),
			}},
			guardRow(),
		))
}

// caller is the variable of the dashboard of callers.
var caller = choice("caller", "Caller", "The applications that the configuration names, and other",
	`label_values(verify_caller_verifications_started_total{job=~"$job"}, caller)`)
