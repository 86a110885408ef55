package main

func upstream() *Dashboard {
	tries := "verify_upstream_requests_total"
	times := "verify_upstream_request_duration_seconds_bucket{" + gateways + "}"
	sent := tries + `{` + gateways + `,outcome!="rejected_open"}`
	class := func(state, factor string) string {
		return factor + `(verify_breaker_state{` + gateways + `,state="` + state + `"} > bool 0)`
	}
	return frame("upstream", "Upstream and breaker",
		"Is the provider in trouble, or is it the account, the network or our own limit? What did the gateway do about it?", "6h",
		nil,
		lay(
			row{"States", 6, []*Panel{
				states("Circuit breakers", "read is of check and search, write of request and control; the worst of all gateways. Open: calls are answered with status 5 and not sent. Half open: the provider is asked for a sign of life. "+
					"Red for more than two minutes: runbook VerifyBreakerOpen.",
					in("none").colours(below(.5, 1.5)...).words(values(map[string]mapped{"0": {"closed", good, 0}, "1": {"half open", fair, 1}, "2": {"open", bad, 2}})),
					query("max by (breaker) ("+class("open", "2 * ")+" or "+class("half_open", "")+")", "{{breaker}}")),
				states("Account", "Whether the provider refuses the account: 4 bad credentials, 8 barred, 9 no credit. "+
					"Red: runbooks VerifyCredentialsRejected, VerifyAccountBarred, VerifyOutOfCredit.",
					in("none").colours(zero()...).words(accountWords()), query(accountExpr(), "account")),
				states("Secret in use", "Which of an account's two secrets calls are made with; the worst of all gateways. Yellow: the provider refuses credentials, and next_credentials stands in. "+
					"Write the new secret into credentials, and the one after it into next_credentials.",
					in("none").colours(below(.5, 1.5)...).words(values(map[string]mapped{"0": {"credentials", good, 0}, "1": {"next_credentials", fair, 1}})),
					query("max by (account) (verify_secret_in_use{"+gateways+`,secret="next"})`, "{{account}}")),
			}},
			row{"Now", 5, []*Panel{
				stat("Upstream requests/s", "Upstream calls a second. The provider takes 30. Red: nearly that; runbook VerifyThrottled.",
					in("reqps").digits(1).colours(below(20, 26)...), query(sum("rate", sent, step), byHand)),
				stat("Upstream error rate", "Share of the calls sent that brought no answer of the Verify API. Red: see Ends of upstream calls, then docs/failures.md.",
					in("percentunit").digits(2).colours(below(.005, .05)...),
					query(sum("rate", tries+`{`+gateways+`,outcome!~"answered|rejected_open|cancelled"}`, step)+" / "+sum("rate", sent, step), byHand)),
				stat("Rejected, circuit open", "Calls a second that the breaker stopped. Red: users are turned away; runbook VerifyBreakerOpen.",
					in("reqps").colours(zero()...), query(sum("rate", tries+`{`+gateways+`,outcome="rejected_open"}`, step), byHand)),
				stat("Throttled", "Calls a second answered with status 1, by the gateway's limit or the provider's. Red: runbook VerifyThrottled.",
					in("reqps").colours(zero()...), query(sum("rate", "verify_throttled_total{"+gateways+"}", step), byHand)),
			}},
			row{"Ends", 8, []*Panel{
				stack("Upstream requests by outcome", "Every try to make a call, by how it ended; answered is any answer of the Verify API. connect and tls: nothing was sent. timeout and connection_lost: it may have been. "+
					"What grows beside answered names the cause: docs/failures.md.",
					in("reqps").and(ends()...), query(sum("rate", tries+"{"+gateways+"}", step, "outcome")+" > 0", "{{outcome}}")),
				stack("Errors that applications read", "Answers with status 1, 4, 5, 8 or 9, by who gave them: upstream is the provider's word, gateway the gateway's own. "+
					"upstream 5: the provider. gateway 5: no answer, or the breaker. 1: too fast. 4, 8, 9: the account.",
					in("reqps").and(troubles()...), query(sum("rate", `verify_requests_total{`+gateways+`,`+trouble+`}`, step, "source", "status")+" > 0", "{{source}} {{status}}")),
				lines("Circuit breaker transitions", "Changes of state within a step. Many: the provider comes and goes; look at the traces of failing calls.",
					in("short").digits(0), query(sum("increase", "verify_breaker_transitions_total{"+gateways+"}", step, "breaker", "to"), "{{breaker}} to {{to}}")),
			}},
			row{"Time", 9, []*Panel{
				heatmap("Upstream latency", "All calls, by how long they took; points are single calls that lead to their traces. A second band higher up: a part of the provider, or retries of connections. A line at the timeout: calls that never came back.",
					in("s"), exemplars(query("sum by (le) (increase("+times+"[$__rate_interval])) or sum(increase("+native(times)+"[$__rate_interval]))", "{{le}}"))),
				lines("Upstream latency p99 by operation", "Of answers, by operation, and of calls that failed (any); points lead to traces. Above the line: users wait; runbook VerifyLatencyHigh.",
					in("s").colours(below(1, 2.5)...), exemplars(query(quantile(.99, times, step, "operation"), "{{operation}}"))),
				lines("Request latency", "p50 and p99 by where the answer came from: upstream, cache (memory) or gateway. gateway high: timeouts. upstream above the upstream latency: waiting for the limit.",
					in("s").colours(below(1, 2.5)...),
					query(quantile(.5, "verify_request_duration_seconds_bucket{"+gateways+"}", step, "source"), "{{source}} p50"),
					query(quantile(.99, "verify_request_duration_seconds_bucket{"+gateways+"}", step, "source"), "{{source}} p99")),
			}},
			row{"Store", 7, []*Panel{
				states("Store", "Whether the store that gateways share answers all of them; there is none without one. Red: those that it does not answer go on alone; runbook VerifyStoreAway.",
					in("none").colours(below(.5, 1)...).words(values(map[string]mapped{"0": {"away", bad, 0}, "1": {"answers", good, 1}})),
					query("min by (account) (verify_store_up{"+gateways+"})", "{{account}}")),
				lines("Gateways of the store", "How many gateways the store has heard of, and how many are scraped. Fewer than run: some do not reach it, or use another one.",
					in("none").digits(0), query("min by (account) (verify_store_gateways{"+gateways+"})", "seen, {{account}}"),
					query("count by (account) (verify_store_up{"+gateways+"})", "scraped, {{account}}")),
				lines("Calls to the store", "Calls a second by result. failed: it took longer than 20 ms, or there is none. skipped: it is known to be away. The rest is beats, six a second of each gateway and account, and what calls need.",
					in("reqps"), query(sum("rate", "verify_store_calls_total{"+gateways+"}", step, "result"), "{{result}}")),
			}},
			row{"With and without the store", 7, []*Panel{
				lines("Delivered alone", "Requests, checks and controls a second that were delivered without the store, which was away. A repetition of one of these at another gateway is sent again.",
					in("reqps"), query(sum("rate", "verify_store_deliveries_alone_total{"+gateways+"}", step, "instance"), "{{instance}}")),
				lines("Searches from the store", "Verifications that searches found in the store, having been asked for at another gateway, and entries dropped from memory since another gateway made a check or control.",
					in("short"), query(sum("rate", "verify_store_hits_total{"+gateways+"}", step), "found"), query(sum("rate", "verify_store_drops_total{"+gateways+"}", step), "dropped")),
				lines("Time alone", "Share of the time in which the store was away, by gateway. One gateway: its way to the store. All: the store.",
					in("percentunit"), query(sum("rate", "verify_store_away_seconds_total{"+gateways+"}", step, "instance"), "{{instance}}")),
			}},
			row{"Rate", 8, []*Panel{
				lines("Rate and limit", "Calls sent a second, and how many may be made at present, by account, of all gateways together. The limit falls by half when the provider throttles and recovers by one call a second. "+
					"They meet: calls wait and then get status 1; runbook VerifyThrottled.",
					in("reqps"), query(sum("rate", sent, step, "account"), "sent, {{account}}"), query("sum by (account) (verify_limit_rate{"+gateways+"})", "limit, {{account}}")),
				lines("Waiting and throttled", "Calls that wait for their turn, and those refused a second: local by the gateway's limit, upstream by the provider, or by the gateway while the provider has it go slower. "+
					"upstream with no local: others use the same account; lower limit.",
					in("short"), query("sum by (account) (verify_limit_waiting{"+gateways+"})", "waiting, {{account}}"),
					query(sum("rate", "verify_throttled_total{"+gateways+"}", step, "where"), "throttled, {{where}}")),
				stack("Upstream requests/s by operation", "Tries to call the provider. search dominates: applications poll, and a longer in_progress of the cache saves calls; see Search cache.",
					in("reqps"), query(sum("rate", sent, step, "operation"), "{{operation}}")),
				lines("Retries, shared and replayed answers", "Retries by operation, and deliveries that needed no call of their own: shared with an identical one under way, or replayed. "+
					"Retries grow: connections are dying. replayed grows: clients leave before the answer and ask again; see their timeouts.",
					in("reqps"), query(sum("rate", "verify_upstream_retries_total{"+gateways+"}", step, "operation"), "retry {{operation}}"),
					query(sum("rate", `verify_deliveries_total{`+gateways+`,source!="sent"}`, step, "source"), "{{source}}")),
			}},
		))
}
