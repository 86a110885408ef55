package main

func cache() *Dashboard {
	searches := "verify_cache_requests_total{" + gateways + "}"
	saved := `verify_cache_requests_total{` + gateways + `,result=~"hit|stale|coalesced"}`
	times := `verify_request_duration_seconds_bucket{` + gateways + `,operation="search"}`
	return frame("cache", "Search cache",
		"How many searches does memory answer, what does that save, and does it have room?", "6h",
		nil,
		lay(
			row{"The time shown", 5, []*Panel{
				stat("Cache hit ratio", "Share of searches that needed no call of their own: from memory, or with a call under way. "+
					"Red is no fault by itself: applications that search once per verification cannot hit. If they poll: raise in_progress.",
					in("percentunit").digits(1).colours(above(.2, .5)...), latest(sum("increase", saved, shown)+" / "+sum("increase", searches, shown), byHand)),
				stat("Upstream requests saved", "Searches that the provider did not have to answer, and that took nothing of the calls a second it allows.",
					in("locale").digits(0), latest(sum("increase", saved, shown), byHand)),
				stat("Stale hits", "Searches answered from what memory knew before the provider got into trouble. Red: there was trouble; see Upstream and breaker.",
					in("locale").digits(0).colours(zero()...), latest(sum("increase", `verify_cache_requests_total{`+gateways+`,result="stale"}`, shown), byHand)),
				stat("Evictions for size", "States removed early for want of room. Red: memory is too small for your traffic; raise max_entries or max_bytes.",
					in("locale").digits(0).colours(zero()...), latest(sum("increase", `verify_cache_evictions_total{`+gateways+`,reason="size"}`, shown), byHand)),
			}},
			row{"Searches", 8, []*Panel{
				stack("Searches by cache result", "hit: from memory. coalesced: shared a call under way. partial: some of a list. miss: asked the provider. stale: the provider is in trouble. bypass: the cache is off. "+
					"stale: see Upstream and breaker. bypass: cache off stands in the configuration.",
					in("reqps").and(of("hit", colour("green")), of("coalesced", colour("light-green")), of("partial", colour("yellow")), of("miss", colour("blue")), of("stale", colour("red")), of("bypass", colour("gray"))),
					query(sum("rate", searches, step, "result"), "{{result}}")),
				lines("Cache hit ratio over time", "Over time. A fall with more searches: many new verifications, or too little room. A fall to 0: cache off, or a reload that changed upstream or account.",
					in("percentunit").to(1.05), query(sum("rate", saved, step)+" / "+sum("rate", searches, step), "without a call"),
					query(sum("rate", `verify_cache_requests_total{`+gateways+`,result="hit"}`, step)+" / "+sum("rate", searches, step), "from memory")),
				stack("Searches by state", "What searches said. Mostly IN PROGRESS: applications poll; they could wait, or look at the outcome of their checks. 101: they ask for what never was, or long ago. "+
					"1, 4 and 5: see Upstream and breaker.",
					in("reqps").and(statuses()...), query(sum("rate", `verify_requests_total{`+gateways+`,operation="search"}`, step, "status")+" > 0", "{{status}}")),
			}},
			row{"Time and calls", 8, []*Panel{
				lines("Search latency", "p50 and p99, from memory (cache) and from the provider (upstream). cache above 10 ms: the gateway lacks CPU.",
					in("s"), query(quantile(.5, times, step, "source"), "{{source}} p50"), exemplars(query(quantile(.99, times, step, "source"), "{{source}} p99"))),
				lines("Searches: clients and upstream", "A second. The space between is what the cache saves. upstream above clients: the settler, which asks in quiet moments, or second tries.",
					in("reqps"), query(sum("rate", `verify_requests_total{`+gateways+`,operation="search"}`, step), "clients"),
					query(sum("rate", `verify_upstream_requests_total{`+gateways+`,operation="search",outcome!="rejected_open"}`, step), "upstream")),
				lines("The settler", "Its searches a second, and verifications that it has yet to ask about. It runs in quiet moments, at most once a second for ten. "+
					"The backlog grows: runbook VerifySettlerBehind.",
					in("short"), query(sum("rate", "verify_settler_lookups_total{"+gateways+"}", step, "result"), "lookups a second, {{result}}"),
					query("sum(verify_settler_backlog{"+gateways+"})", "backlog")),
			}},
			row{"Room", 8, []*Panel{
				lines("Cache entries", "By gateway, one for each verification and format. At max_entries (100000 unless set): see Evictions a second.",
					in("locale").digits(0), query("sum by (instance) (verify_cache_entries{"+gateways+"})", "{{instance}}")),
				lines("Cache memory", "By gateway. At max_bytes (64 MiB unless set): see Evictions a second.",
					in("bytes"), query("sum by (instance) (verify_cache_bytes{"+gateways+"})", "{{instance}}")),
				lines("Evictions/s", "States removed. expired is the natural end. size: there is no room; raise max_entries or max_bytes.",
					in("short"), query(sum("rate", "verify_cache_evictions_total{"+gateways+"}", step, "reason"), "{{reason}}")),
			}},
		))
}
