package main

func funnel() *Dashboard {
	finished := func(outcome string) string {
		return sum("increase", ended(outcome), shown, "country") + " and " + sum("increase", started(), shown, "country") + " > 0"
	}
	refused := `verify_requests_total{` + gateways + `,operation=~"request|psd2",status!="0"}`
	tries := "verify_attempts_per_verification"
	timeTo := "verify_time_to_success_seconds_bucket{" + gateways + "}"
	return frame("funnel", "Funnel and success rate",
		"How far do verifications get, where do they end otherwise, in which countries and with which workflow?", "24h",
		[]Variable{country, window},
		lay(
			row{"The time shown", 7, []*Panel{
				bars("Funnel, all countries", "Calls of request and psd2; verifications started (status 0); ended after at least one code; ended in success. Version 1 of the API tells nobody whether a message was delivered. "+
					"A gap after requests: see Requests refused. After started: messages do not arrive, or bots start what nobody ends. After codes: users mistype, or guess.",
					in("locale").digits(0).from(0),
					latest(sum("increase", `verify_requests_total{`+gateways+`,operation=~"request|psd2"}`, shown), "requests"),
					latest(sum("increase", "verify_verifications_started_total{"+gateways+"}", shown), "started"),
					latest(sum("increase", tries+"_count{"+gateways+"}", shown)+" - "+sum("increase", tries+`_bucket{`+gateways+`,le=~"0|0.0"}`, shown), "a code was entered"),
					latest(sum("increase", `verify_verifications_finished_total{`+gateways+`,outcome="success"}`, shown), "success")),
				stat("Success rate", "Verifications that ended in success, of those started. Red: see the countries and workflows below; runbook VerifySuccessDrop.",
					in("percentunit").digits(1).colours(above(.4, .6)...), latest(successes(shown), byHand)),
				stat("Verifications", "Under way: can still be completed. Unsettled: over, but nobody has asked how they ended; with settle the gateway asks. "+
					"Unsettled in the hundreds: runbook VerifySettlerBehind, or write settle into the configuration.",
					in("locale").digits(0).and(of("unsettled", thresholds(below(100, 1000)))),
					latest("sum(verify_verifications_under_way{"+gateways+"})", "under way"),
					latest("sum(verify_verifications_unsettled{"+gateways+"})", "unsettled")),
			}},
			row{"Ends", 8, []*Panel{
				stack("Finished/min by outcome", "Over the last $window. success: the right code. failed: three wrong ones. expired: nobody entered one. cancelled: by an application. unknown: the provider never told. "+
					"expired grows: messages do not arrive. failed grows: users mistype or somebody guesses. unknown: write settle into the configuration.",
					in("short").and(outcomes()...), query("60 * "+sum("rate", ended(""), back, "outcome"), "{{outcome}}")),
				lines("Success rate over time", "Verifications that ended in success, of those started, over the last $window, and over the $window a day before. "+
					"Far under the day before: runbook VerifySuccessDrop.",
					in("percentunit").to(1.05).colours(above(.4, .6)...),
					query(successes(back), "now"),
					query(sum("increase", ended("success"), back+" offset 1d")+" / ("+sum("increase", started(), back+" offset 1d")+" > 0)", "a day before")),
			}},
			row{"For whom", 10, []*Panel{
				table("Countries", "The time shown. Change is against the time before it, of the same length. "+
					"Red rate with many started: if change is red too, messages there stopped arriving or somebody pumps the country; runbooks VerifySuccessDrop and VerifySurgeLowSuccess.",
					in("locale").digits(0), []string{"country"}, "Started",
					cell{"Started", sum("increase", started(), shown, "country") + " > 0", nil},
					cell{"Success", finished("success"), nil},
					cell{"Failed", finished("failed"), nil},
					cell{"Expired", finished("expired"), nil},
					cell{"Cancelled", finished("cancelled"), nil},
					cell{"Unknown", finished("unknown"), nil},
					cell{"Success rate", successes(shown, "country"), []Property{unit("percentunit"), decimals(1), coloured(), thresholds(above(.4, .6))}},
					cell{
						"Change", successes(shown, "country") + " - (" + sum("increase", ended("success"), shown+" offset "+shown, "country") + " / (" + sum("increase", started(), shown+" offset "+shown, "country") + " > 0))",
						[]Property{unit("percentunit"), decimals(1), coloured(), thresholds(above(-.2, -.05))},
					}),
			}},
			row{"Users", 8, []*Panel{
				bars("Success rate by workflow", "Verifications that ended in success, of those started, by workflow_id, without the country chosen; default is none given. "+
					"One is red: its first message (SMS or call) may not suit your users, or does not arrive.",
					in("percentunit").digits(1).from(0).to(1).colours(above(.4, .6)...), latest(sum("increase", "verify_workflow_verifications_succeeded_total{"+gateways+"}", shown, "workflow")+" / ("+sum("increase", "verify_workflow_verifications_started_total{"+gateways+"}", shown, "workflow")+" > 0)", "{{workflow}}")),
				lines("Time to success", "p50, p90 and p99 of the users, over the last $window, without the country chosen. "+
					"Half above a minute: messages are slow, and the second one of the workflow, which costs again, is often sent for nothing.",
					in("s").colours(below(60, 120)...),
					query(quantile(.5, timeTo, back), "p50"), query(quantile(.9, timeTo, back), "p90"), query(quantile(.99, timeTo, back), "p99")),
				lines("Attempts per verification, mean", "Codes entered before the end, over the last $window. success above 1.5: the message or the form misleads users. expired near 0 is natural: nobody entered one.",
					in("none").digits(2).and(outcomes()...),
					query(sum("rate", tries+"_sum{"+gateways+"}", back, "outcome")+" / ("+sum("rate", tries+"_count{"+gateways+"}", back, "outcome")+" > 0)", "{{outcome}}")),
				lines("Checks by status", "Shares of checks. 16: a wrong code; 17: the third one; 6: of a verification that is over or never was. "+
					"6 grows: applications check too late, or twice. 16 and 17 grow: users mistype, or somebody guesses.",
					in("percentunit").and(statuses()...),
					query(sum("rate", `verify_requests_total{`+gateways+`,operation="check",status=~"0|6|16|17"}`, step, "status")+" / ignoring (status) group_left () "+sum("rate", `verify_requests_total{`+gateways+`,operation="check"}`, step), "{{status}}")),
			}},
			row{"Not started", 8, []*Panel{
				stack("Requests refused, by status", "Requests that started nothing. 3: the number is invalid; 7: blacklisted; 10: one is under way for that number already; 15: the network is not supported; 29: demo account. "+
					"3 grows: the form lets through what is no number. 10 grows: users press twice, or an application repeats. 1, 4, 5, 8, 9: see Upstream and breaker.",
					in("reqps").and(statuses()...), query(sum("rate", refused, step, "status")+" > 0", "{{status}}")),
				bars("Requests refused, total", "The same as totals. The longest bar names what to look at first.",
					in("locale").digits(0).from(0).and(statuses()...), latest(sum("increase", refused, shown, "status")+" > 0", "{{status}}")),
				lines("Untracked ends/min", "Ends whose start this gateway did not see: started on another gateway, or before a restart. "+
					"They are missing above. Many: let calls of one verification reach the same gateway, or share the state.",
					in("short").and(outcomes()...), query("60 * "+sum("rate", "verify_verifications_untracked_total{"+gateways+"}", back, "outcome"), "{{outcome}}")),
			}},
		))
}
