package main

func cost() *Dashboard {
	spent := "verify_cost_total{" + countries + "}"
	success := ended("success")
	perSuccess := func(window string) string {
		return sum("increase", spent, window, "currency") + " / on () group_left () (" + sum("increase", success, window) + " > 0)"
	}
	usual := "(" + sum("increase", started(), "7d", "country") + " / 7 / 24)"
	surge := sum("increase", started(), "1h", "country") + " / (" + usual + " > 0)"
	return frame("cost", "Cost and fraud",
		"What does it cost, where, for how many successes, and does somebody spend our money?", "24h",
		[]Variable{country, window},
		lay(
			row{"The time shown", 5, []*Panel{
				stat("Spent", "As told by checks and searches: the fee (price) and the estimate for messages; with api v2 by webhooks, or else by the guard's price. It is complete with settle, or where applications search for every verification. "+
					"More than expected: see the countries below.",
					in("short").digits(2).and(money()...), latest(sum("increase", spent, shown, "currency"), "{{currency}}")),
				stat("Cost per success", "Spent divided by successes. It rises when users need more messages or fewer succeed. Far above the usual: runbook VerifyCostPerSuccessHigh.",
					in("short").digits(4).and(money()...), latest(perSuccess(shown), "{{currency}}")),
				stat("Highest surge", "Verifications started within the last hour against the mean hour of seven days, in the country with the highest. "+
					"Red: if it is no campaign of yours and few succeed, somebody pumps messages; runbook VerifySurgeLowSuccess.",
					in("short").digits(1).colours(below(3, 5)...), latest("topk(1, "+surge+")", "{{country}}")),
				stat("Share of other countries", "Verifications started to countries that the gateway does not list. "+
					"Red: pumping likes countries that nobody looks at; add yours to countries.",
					in("percentunit").digits(1).colours(below(.1, .25)...),
					latest(sum("increase", `verify_verifications_started_total{`+gateways+`,country="other"}`, shown)+" / "+sum("increase", "verify_verifications_started_total{"+gateways+"}", shown), byHand)),
			}},
			row{"Money", 8, []*Panel{
				stack("Spent by country", "An hour, over the last $window. One that grows without successes: see the table.",
					in("short").digits(2), query("3600 * "+sum("rate", spent, back, "currency", "country")+" > 0", "{{country}} {{currency}}")),
				stack("Spent by kind", "An hour, over the last $window. fee is paid for a success, messages for each one sent. With api v2 fee is all that a webhook has told, and estimated is by the guard's price. messages grow alone: many are sent for nothing.",
					in("short").digits(2), query("3600 * "+sum("rate", spent, back, "currency", "kind"), "{{kind}} {{currency}}")),
				lines("Cost per success over time", "Over the last $window. Up: more messages for each user, dearer countries, or pumping; runbook VerifyCostPerSuccessHigh.",
					in("short").digits(4).and(money()...), query(perSuccess(back), "{{currency}}")),
			}},
			row{"Countries", 11, []*Panel{
				table("Countries", "The time shown. Much spent, a red rate and a surge: somebody pumps messages; runbook VerifySurgeLowSuccess. Cost per success is missing where nobody succeeded.",
					in("locale").digits(0), []string{"country"}, "Spent",
					cell{"Spent", sum("increase", spent, shown, "country") + " > 0", []Property{decimals(2)}},
					cell{"Started", sum("increase", started(), shown, "country") + " > 0", nil},
					cell{"Success", sum("increase", success, shown, "country") + " and " + sum("increase", started(), shown, "country") + " > 0", nil},
					cell{"Success rate", successes(shown, "country"), []Property{unit("percentunit"), decimals(1), coloured(), thresholds(above(.3, .5))}},
					cell{"Cost per success", sum("increase", spent, shown, "country") + " / (" + sum("increase", success, shown, "country") + " > 0)", []Property{decimals(4)}},
					cell{"Surge", surge + " and " + sum("increase", started(), shown, "country") + " > 0", []Property{decimals(1), coloured(), thresholds(below(3, 5))}}),
			}},
			budgetRow(),
			row{"Fraud", 8, []*Panel{
				lines("Starts against the usual", "Verifications started within an hour against the mean hour of seven days, the five countries with the highest. "+
					"Above 5 with few successes: runbook VerifySurgeLowSuccess. Above 5 with the usual success rate: a campaign.",
					in("short").digits(1).colours(below(3, 5)...), query("topk(5, "+surge+")", "{{country}}")),
				lines("Not completed/min", "Verifications started without success, over the last $window, the ten countries with most. Each cost a message at least. "+
					"A country that rises alone: restrict it in your application, or with the provider.",
					in("short"), query("topk(10, 60 * ("+sum("rate", started(), back, "country")+" - "+sum("rate", success, back, "country")+") > 0)", "{{country}}")),
				lines("Guessed codes/min", "Verifications that failed by three wrong codes, over the last $window. A jump: somebody guesses codes; find the caller in the logs (field caller) and limit it.",
					in("short"), query("60 * "+sum("rate", ended("failed"), back, "country")+" > 0", "{{country}}")),
			}},
		))
}
