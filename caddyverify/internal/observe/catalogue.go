// Package observe tells operators what the gateway does: metrics, spans and the
// labels that both use. It knows no Caddy.
package observe

import (
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Label is a label of a metric. Its values are a bounded list.
type Label struct {
	Name string
	// Values says which there are.
	Values string
}

// Metric describes a metric.
type Metric struct {
	Name, Type, Help string
	Labels           []Label
}

// nativeHistogram is the type of a histogram that has native buckets beside the classic ones.
const nativeHistogram = "histogram, native"

// values lists the values of a label, some with a note.
func values[L ~string](all []L, notes map[L]string) string {
	words := make([]string, len(all))
	for i, l := range all {
		if words[i] = string(l); notes[l] != "" {
			words[i] += " (" + notes[l] + ")"
		}
	}
	return strings.Join(words, ", ")
}

var (
	// labelAccount is a label of all metrics but buildInfo, and the first.
	labelAccount   = Label{"account", "the end of its api_key and its upstream, such as `cdef@api.nexmo.com`"}
	labelOperation = Label{"operation", "request, check, search, control, psd2; templates where `api v2` lets them through"}
	labelCountry   = Label{"country", "those of `countries`, other"}
	labelWorkflow  = Label{"workflow", "default, 1 to 7, other"}
	labelBreaker   = Label{"breaker", values(wire.Classes[:], map[wire.Class]string{wire.ReadClass: "check, search", wire.WriteClass: "request, psd2, control"})}
	labelEnd       = Label{"outcome", values(wire.Outcomes[:], nil)}
	labelState     = Label{"state", values(wire.CircuitStates[:], nil)}
	labelSecret    = Label{"secret", values(wire.SecretNames[:], map[wire.SecretName]string{wire.FirstSecret: "credentials", wire.NextSecret: "next_credentials"})}
	labelSource    = Label{"source", values([]Source{FromUpstream, FromMemory, FromGateway, FromGuard}, map[Source]string{FromMemory: "from memory", FromGateway: "its own answer", FromGuard: "a start that it refused"})}
	labelBudget    = Label{"budget", "account/day, account/month; caller/<name>/day and …/month of those of `callers`"}
	labelRule      = Label{"rule", values(wire.GuardReasons[:], nil)}
	labelMoney     = Label{"currency", "that of the budgets"}
	labelCaller    = Label{"caller", "those of `callers`, other"}
	labelOutcome   = Label{"outcome", values(AttemptOutcomes[:], nil)}
)

// The metrics, in the order of docs/telemetry.md.
var (
	requestsTotal = Metric{"verify_requests_total", "counter", "Requests of clients, by the status that they were answered with.", []Label{
		labelOperation, {"status", "Verify's number, or a search's word; list for a list, other for what is not documented of that operation and source"}, labelSource,
	}}
	requestDuration   = Metric{"verify_request_duration_seconds", nativeHistogram, "Request latency, from a call's arrival to its answer.", []Label{{"operation", "request, check, search, control, psd2, templates; from memory search and any, of the gateway any"}, {"source", values(sources[:], map[Source]string{FromMemory: "from memory", FromGateway: "its own answer, or the guard's"})}}}
	parametersIgnored = Metric{"verify_parameters_ignored_total", "counter", "Parameters left out of calls, since the API does not have them.", []Label{labelOperation}}

	upstreamTotal    = Metric{"verify_upstream_requests_total", "counter", "Upstream requests, by how they ended.", []Label{labelOperation, labelOutcome}}
	upstreamDuration = Metric{"verify_upstream_request_duration_seconds", nativeHistogram, "Upstream latency; exemplars carry traceID.", []Label{{"operation", "request, check, search, control, psd2, templates; any where it failed"}, {"outcome", "answered, failed"}}}
	upstreamRetries  = Metric{"verify_upstream_retries_total", "counter", "Retries of upstream requests.", []Label{labelOperation}}
	relabelledTotal  = Metric{"verify_answers_relabelled_total", "counter", "Answers that came without a Content-Type or with a foreign one, and were passed on with their own.", []Label{labelOperation}}
	v2Answers        = Metric{"verify_v2_answers_total", "counter", "Answers of version 2 of the API to clients' own calls of it. There is none without `api v2`.", []Label{{"code", values(codesV2(), nil)}, {"slug", "the last part of the problem's type, as documented for the code; none, other"}}}
	throttledTotal   = Metric{"verify_throttled_total", "counter", "Requests refused by a rate limit, by whose limit it was.", []Label{{"where", "local, upstream (its own refusals, and the gateway's while these keep its rate down). A list for several applications is one."}}}
	deliveriesTotal  = Metric{"verify_deliveries_total", "counter", "Calls other than searches of which something may have been sent, by where their answer came from.", []Label{{"source", values(wire.DeliverySources[:], map[wire.DeliverySource]string{wire.Shared: "with an identical one under way", wire.Replayed: "kept from an earlier one"})}}}

	breakerState       = Metric{"verify_breaker_state", "gauge", "1 for the present state of a circuit breaker.", []Label{labelBreaker, labelState}}
	breakerTransitions = Metric{"verify_breaker_transitions_total", "counter", "Transitions of a circuit breaker.", []Label{labelBreaker, {"from", labelState.Values}, {"to", labelState.Values}}}
	accountTrouble     = Metric{"verify_account_trouble", "gauge", "1 while the upstream refuses the account with a status.", []Label{{"status", "4 (credentials), 8 (barred), 9 (no credit)"}}}
	secretInUse        = Metric{"verify_secret_in_use", "gauge", "1 for the secret that calls are made with; both where sites differ.", []Label{labelSecret}}
	secretSwitches     = Metric{"verify_secret_switches_total", "counter", "Changes of the secret that calls are made with.", []Label{{"reason", values(wire.SwitchReasons[:], map[wire.SwitchReason]string{wire.SwitchStatus4: "to the other, since the upstream refuses the one in use", wire.SwitchUnauthorized: "the same by HTTP 401 or 403", wire.SwitchFile: "a new one in its file"})}}}
	limitRate          = Metric{"verify_limit_rate", "gauge", "Upstream requests a second that may be made at present; 0 for no limit. With a store, this gateway's part of what all may make. What searches have by themselves is not in it.", nil}
	limitWaiting       = Metric{"verify_limit_waiting", "gauge", "Upstream requests that wait for their turn.", nil}

	cacheRequests  = Metric{"verify_cache_requests_total", "counter", "Searches, by cache result.", []Label{{"result", values(wire.CacheResults[:], map[wire.CacheResult]string{wire.CacheCoalesced: "with a call under way", wire.CacheBypass: "cache off"})}}}
	cacheEntries   = Metric{"verify_cache_entries", "gauge", "Cache entries.", nil}
	cacheBytes     = Metric{"verify_cache_bytes", "gauge", "Memory that the cache entries take, in bytes.", nil}
	cacheEvictions = Metric{"verify_cache_evictions_total", "counter", "Cache entries removed.", []Label{{"reason", "size, expired"}}}

	storeUp       = Metric{"verify_store_up", "gauge", "1 while the store answers, 0 while the gateway goes on alone. There is none without a store; so it is with all of the store.", nil}
	storeGateways = Metric{"verify_store_gateways", "gauge", "Gateways that share the store, as it was heard last.", nil}
	storeCalls    = Metric{"verify_store_calls_total", "counter", "Calls to the store.", []Label{{"result", "answered, failed (not in time, or not at all), skipped (not made, since the store is away or too many are under way)"}}}
	storeHits     = Metric{"verify_store_hits_total", "counter", "Verifications that searches found in the store, and not in memory.", nil}
	storeDrops    = Metric{"verify_store_drops_total", "counter", "Cache entries dropped since another gateway made a check or control, or pushes were lost.", nil}
	storeUnasked  = Metric{"verify_store_deliveries_alone_total", "counter", "Requests, checks and controls that were delivered without the store, which was away.", nil}
	storeAway     = Metric{"verify_store_away_seconds_total", "counter", "Time in which the store was away, in seconds.", nil}

	startedTotal  = Metric{"verify_verifications_started_total", "counter", "Verifications started: requests and psd2 with status 0, each once.", []Label{labelCountry}}
	finishedTotal = Metric{"verify_verifications_finished_total", "counter", "Verifications that ended, each once. unknown: given up, the provider never told.", []Label{
		labelEnd, labelCountry,
	}}
	workflowStarted   = Metric{"verify_workflow_verifications_started_total", "counter", "The same verifications started, by workflow.", []Label{labelWorkflow}}
	workflowSucceeded = Metric{"verify_workflow_verifications_succeeded_total", "counter", "Of these, those that ended in success.", []Label{labelWorkflow}}
	untrackedTotal    = Metric{"verify_verifications_untracked_total", "counter", "Ends of verifications whose start this gateway did not see.", []Label{{"outcome", values(wire.Outcomes[:len(wire.Outcomes)-1], nil)}}}
	underWay          = Metric{"verify_verifications_under_way", "gauge", "Verifications that can still be completed.", nil}
	unsettled         = Metric{"verify_verifications_unsettled", "gauge", "Verifications whose time is over and whose outcome is not known.", nil}
	timeToSuccess     = Metric{"verify_time_to_success_seconds", nativeHistogram, "Time to success, from the request to the right code.", nil}
	attempts          = Metric{"verify_attempts_per_verification", "histogram", "Attempts per verification: codes tried before its end.", []Label{labelEnd}}
	costTotal         = Metric{"verify_cost_total", "counter", "Money spent, as told by checks, searches and webhooks, or estimated, in units of the currency; by country in the first one seen alone.", []Label{
		{"currency", "the first four seen, other"}, {"kind", values(wire.CostKinds[:], map[wire.CostKind]string{wire.Fee: "price", wire.Messages: "estimated_price_messages_sent", wire.Estimated: "both, by the guard's price, with api v2"})}, labelCountry,
	}}

	settlerBacklog = Metric{"verify_settler_backlog", "gauge", "Verifications that the settler has yet to ask about; the same as unsettled, 0 without settle.", nil}
	settlerLookups = Metric{"verify_settler_lookups_total", "counter", "The settler's searches.", []Label{{"result", "answered, failed"}}}

	callerRequests  = Metric{"verify_caller_requests_total", "counter", "Requests of a caller, by the status that they were answered with.", []Label{labelCaller, labelOperation, {"status", "as in verify_requests_total"}}}
	callerRefused   = Metric{"verify_caller_refused_total", "counter", "Requests of a caller that the gateway refused.", []Label{labelCaller, {"cause", "breaker_open, limit_reached, caller_limit_reached, caller_busy, too_many_under_way, account_throttled, account_bad_credentials, account_barred, account_no_credit"}}}
	callerIsolated  = Metric{"verify_caller_isolated_total", "counter", "Requests of a caller about a verification that another caller had started, answered as for one that nobody has.", []Label{labelCaller, labelOperation}}
	callerUpstream  = Metric{"verify_caller_upstream_requests_total", "counter", "Upstream requests made for a caller: its share of the limit.", []Label{labelCaller, labelOperation}}
	callerStarted   = Metric{"verify_caller_verifications_started_total", "counter", "Verifications that a caller started.", []Label{labelCaller}}
	callerFinished  = Metric{"verify_caller_verifications_finished_total", "counter", "Verifications that a caller started and that ended.", []Label{labelCaller, labelEnd}}
	callerUnchecked = Metric{"verify_caller_verifications_unchecked_total", "counter", "Verifications that a caller started and that ended without any code tried.", []Label{labelCaller}}
	callerCost      = Metric{"verify_caller_cost_total", "counter", "Money spent on a caller's verifications, in units of the currency.", []Label{labelCaller, {"currency", "as in verify_cost_total"}, {"kind", "as in verify_cost_total"}}}

	guardStarts    = Metric{"verify_guard_starts_total", "counter", "Starts of verifications that the guard refused, or would have; none without a guard.", []Label{labelRule, {"action", "refused, would_refuse (a rule in monitor; the start was sent)"}}}
	guardChanges   = Metric{"verify_guard_changes_total", "counter", "What the guard has told operators of; none without a guard.", []Label{{"kind", "watched, slowed, blocked, lifted, warned (a budget is at 80 %), exhausted (it has no money for a start), price_raised, foreign_currency"}}}
	guardSaved     = Metric{"verify_guard_saved_total", "counter", "What refused starts could have cost at most, an estimate by price, in units of the currency. There is none before the first.", []Label{labelRule, {"action", "as in verify_guard_starts_total"}, labelMoney}}
	guardRegrets   = Metric{"verify_guard_verified_later_total", "counter", "Starts that a rule refused, or would have, whose number was verified later on: they may have been genuine. There is none before the first.", []Label{labelRule}}
	budgetSettled  = Metric{"verify_guard_budget_settled", "gauge", "What is known to be spent within a budget's period, in units of the currency.", []Label{labelBudget, labelMoney}}
	budgetReserved = Metric{"verify_guard_budget_reserved", "gauge", "What verifications under way, or without a price yet, may cost at most.", []Label{labelBudget, labelMoney}}
	budgetCap      = Metric{"verify_guard_budget_cap", "gauge", "How much may be spent within a budget's period.", []Label{labelBudget, labelMoney}}

	unknownTotal  = Metric{"verify_v2_unknown_total", "counter", "Verifications that were searched for at Verify v2 and of which nothing is known; none with version 1.", []Label{{"reason", "begun_elsewhere (past the gateways, or before a restart without a store), store_away (it cannot say)"}}}
	webhooksTotal = Metric{"verify_webhooks_total", "counter", "Webhooks of Verify v2, by what became of them; none without `verify_webhook`.", []Label{{"result", values(WebhookResults[:], map[WebhookResult]string{WebhookUnknown: "of a verification that no gateway of the account has started", WebhookStoreAway: "it cannot say whether one has; the provider sends it again", WebhookUndecided: "its start may be under way, or it is being taken in; the provider sends it again", WebhookRepeated: "taken before", WebhookRefused: "its signature"})}}}

	relaysTotal = Metric{"verify_webhook_relays_total", "counter", "Webhooks passed on to the callers whose verifications they are about, by what became of each try; none without `relay`.", []Label{{"result", values(relay.Results[:], map[relay.Result]string{relay.Retried: "it was not taken, and is tried again", relay.GaveUp: "nor the last time", relay.Dropped: "too many were waiting, the gateway ended, nobody knows any more who started the verification, or no `relay` is sure to be its caller's"})}}}

	failoversTotal = Metric{"verify_failovers_total", "counter", "Requests made with another account, since this one takes none.", []Label{{"to", "the other, as in account"}}}

	invariantBroken = Metric{"verify_invariant_broken_total", "counter", "Faults of the gateway itself, noticed in time: what would have broken a promise was held back.", []Label{{"invariant", values(wire.Invariants[:], map[wire.Invariant]string{wire.OneDelivery: "a second send", wire.FreshState: "a state from before a check", wire.SecretKept: "the secret in an answer"})}}}

	buildInfo = Metric{"verify_build_info", "gauge", "1.", []Label{{"version", "of the module"}, {"goversion", "of Go"}}}
)

// Catalogue lists all metrics.
var Catalogue = []Metric{
	requestsTotal, requestDuration, parametersIgnored,
	upstreamTotal, upstreamDuration, upstreamRetries, relabelledTotal, v2Answers, throttledTotal, deliveriesTotal,
	breakerState, breakerTransitions, accountTrouble, secretInUse, secretSwitches, limitRate, limitWaiting,
	cacheRequests, cacheEntries, cacheBytes, cacheEvictions,
	storeUp, storeGateways, storeCalls, storeHits, storeDrops, storeUnasked, storeAway,
	startedTotal, finishedTotal, workflowStarted, workflowSucceeded, untrackedTotal, underWay, unsettled, timeToSuccess, attempts, costTotal,
	settlerBacklog, settlerLookups,
	callerRequests, callerRefused, callerIsolated, callerUpstream, callerStarted, callerFinished, callerUnchecked, callerCost,
	guardStarts, guardChanges, guardSaved, guardRegrets, budgetSettled, budgetReserved, budgetCap, unknownTotal, webhooksTotal, relaysTotal, failoversTotal, invariantBroken, buildInfo,
}

// OfAccount tells the metrics that each account has for itself, by the label account.
func (m Metric) OfAccount() bool { return m.Name != buildInfo.Name }

func (m Metric) labelNames() []string {
	var names []string
	if m.OfAccount() {
		names = append(names, labelAccount.Name)
	}
	for _, l := range m.Labels {
		names = append(names, l.Name)
	}
	return names
}

// AccountLabel is the value of the label account. An API key is no secret, but its end
// is enough.
func AccountLabel(host, apiKey string) string {
	return apiKey[max(0, len(apiKey)-4):] + "@" + host
}
