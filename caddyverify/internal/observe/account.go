package observe

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// AccountMetrics counts what happens to one account. Get it from Metrics.
type AccountMetrics struct {
	vectors
	account string
	users   int // guarded by Metrics.mu

	// Of the series that Prepare makes, those that every call adds to.
	calls         series[callLabels, prometheus.Counter]
	durations     series[sourceLabels, prometheus.Observer]
	searches      series[wire.CacheResult, prometheus.Counter]
	outcomes      series[outcomeLabels, prometheus.Counter]
	outcomesTook  series[outcomeLabels, prometheus.Observer]
	deliveredFrom series[wire.DeliverySource, prometheus.Counter]

	named    atomic.Pointer[map[string]bool] // callers that have series of their own
	listed   atomic.Pointer[map[string]bool] // countries that do
	currency atomic.Pointer[string]          // the first one, whose amounts are told by country
}

type (
	callLabels struct {
		operation wire.Operation
		status    string
		source    Source
	}
	sourceLabels struct {
		operation wire.Operation
		source    Source
	}
	outcomeLabels struct {
		operation wire.Operation
		outcome   AttemptOutcome
	}
)

// series finds those of a vector. For those prepared that takes a third of the
// time that the vector takes, which hashes and compares the text of all labels.
type series[L comparable, M any] struct {
	ready atomic.Pointer[map[L]M] // not written to once it is here
	find  func(L) M
}

// prepare makes series ready.
func (s *series[L, M]) prepare(all []L) {
	ready := make(map[L]M, len(all))
	for _, labels := range all {
		ready[labels] = s.find(labels)
	}
	s.ready.Store(&ready)
}

func (s *series[L, M]) of(labels L) M {
	if ready := s.ready.Load(); ready != nil {
		if found, ok := (*ready)[labels]; ok {
			return found
		}
	}
	return s.find(labels)
}

func newAccountMetrics(all *vectors, label string) *AccountMetrics {
	only := prometheus.Labels{labelAccount.Name: label}
	count := func(v *prometheus.CounterVec) *prometheus.CounterVec { return v.MustCurryWith(only) }
	spread := func(v *prometheus.HistogramVec) *prometheus.HistogramVec {
		return v.MustCurryWith(only).(*prometheus.HistogramVec)
	}
	m := &AccountMetrics{account: label, vectors: vectors{
		requests:         count(all.requests),
		duration:         spread(all.duration),
		ignored:          count(all.ignored),
		upstream:         count(all.upstream),
		upstreamDuration: spread(all.upstreamDuration),
		retries:          count(all.retries),
		relabelled:       count(all.relabelled),
		v2Answers:        count(all.v2Answers),
		throttled:        count(all.throttled),
		deliveries:       count(all.deliveries),
		transitions:      count(all.transitions),
		cache:            count(all.cache),
		started:          count(all.started),
		finished:         count(all.finished),
		untracked:        count(all.untracked),
		timeToSuccess:    spread(all.timeToSuccess),
		tries:            spread(all.tries),
		cost:             count(all.cost),
		lookups:          count(all.lookups),
		broken:           count(all.broken),
		failovers:        count(all.failovers),
		guard:            count(all.guard),
		guardChanges:     count(all.guardChanges),
		webhooks:         count(all.webhooks),
		relays:           count(all.relays),
		workflow: workflowVectors{
			started:   count(all.workflow.started),
			succeeded: count(all.workflow.succeeded),
		},
		caller: callerVectors{
			requests:  count(all.caller.requests),
			refused:   count(all.caller.refused),
			isolated:  count(all.caller.isolated),
			upstream:  count(all.caller.upstream),
			started:   count(all.caller.started),
			finished:  count(all.caller.finished),
			unchecked: count(all.caller.unchecked),
			cost:      count(all.caller.cost),
		},
		switches: count(all.switches),
	}}
	m.calls.find = func(l callLabels) prometheus.Counter {
		if !slices.Contains(statusesOf(l.operation, l.source), l.status) {
			l.status = otherLabel
		}
		return m.requests.WithLabelValues(l.operation.String(), l.status, string(l.source))
	}
	m.durations.find = func(l sourceLabels) prometheus.Observer {
		operation := l.operation.String()
		if l.source == FromGuard {
			l.source = FromGateway
		}
		if l.source == FromGateway || l.source == FromMemory && l.operation != wire.Search {
			operation = anyLabel
		}
		return m.duration.WithLabelValues(operation, string(l.source))
	}
	m.searches.find = func(r wire.CacheResult) prometheus.Counter { return m.cache.WithLabelValues(string(r)) }
	m.outcomes.find = func(l outcomeLabels) prometheus.Counter {
		return m.upstream.WithLabelValues(l.operation.String(), string(l.outcome))
	}
	m.outcomesTook.find = func(l outcomeLabels) prometheus.Observer {
		if l.outcome != OutcomeAnswered {
			return m.upstreamDuration.WithLabelValues(anyLabel, failed)
		}
		return m.upstreamDuration.WithLabelValues(l.operation.String(), string(l.outcome))
	}
	m.deliveredFrom.find = func(s wire.DeliverySource) prometheus.Counter { return m.deliveries.WithLabelValues(string(s)) }
	return m
}

// Prepare makes the series that are known ahead, so that rates see zero rather than
// nothing. They are nearly all that there can be: see TestBound.
//
// callers are the names that the configuration has for callers; none where it has no such
// thing.
func (m *AccountMetrics) Prepare(countries, callers []string) {
	m.prepareCallers(callers)
	m.prepareCountries(countries)
	var (
		calls     []callLabels
		durations []sourceLabels
		outcomes  []outcomeLabels
	)
	for _, o := range wire.Operations {
		for _, source := range sources {
			durations = append(durations, sourceLabels{o, source})
			for _, s := range statusesOf(o, source) {
				calls = append(calls, callLabels{o, s, source})
			}
		}
		for _, outcome := range AttemptOutcomes {
			outcomes = append(outcomes, outcomeLabels{o, outcome})
		}
		m.retries.WithLabelValues(o.String())
		m.relabelled.WithLabelValues(o.String())
		m.ignored.WithLabelValues(o.String())
	}
	m.calls.prepare(calls)
	m.durations.prepare(durations)
	m.outcomes.prepare(outcomes)
	m.outcomesTook.prepare(outcomes)
	m.deliveredFrom.prepare(wire.DeliverySources[:])
	m.searches.prepare(wire.CacheResults[:])
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.throttled: {"local", "upstream"},
		m.lookups:   {"answered", "failed"},
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	for _, invariant := range wire.Invariants {
		m.broken.WithLabelValues(string(invariant))
	}
	for _, reason := range wire.SwitchReasons {
		m.switches.WithLabelValues(string(reason))
	}
	for _, class := range wire.Classes {
		for _, change := range [][2]wire.CircuitState{
			{wire.CircuitClosed, wire.CircuitOpen},
			{wire.CircuitOpen, wire.CircuitHalfOpen},
			{wire.CircuitHalfOpen, wire.CircuitOpen},
			{wire.CircuitHalfOpen, wire.CircuitClosed},
		} {
			m.transitions.WithLabelValues(string(class), string(change[0]), string(change[1]))
		}
	}
	for _, outcome := range wire.Outcomes {
		m.tries.WithLabelValues(string(outcome))
		if outcome != wire.OutcomeUnknown { // nobody saw it begin, so nobody gives it up
			m.untracked.WithLabelValues(string(outcome))
		}
	}
	m.timeToSuccess.WithLabelValues()
	for _, workflow := range workflows {
		m.workflow.started.WithLabelValues(workflow)
		m.workflow.succeeded.WithLabelValues(workflow)
	}
}

// Call counts a call of a client.
func (m *AccountMetrics) Call(caller string, o wire.Operation, status string, source Source, took time.Duration) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.requests.WithLabelValues(label, o.String(), callerStatus(o, status)).Inc()
	}
	m.calls.of(callLabels{o, status, source}).Inc()
	m.durations.of(sourceLabels{o, source}).Observe(took.Seconds())
}

// Ignored counts parameters that were left out of a call.
func (m *AccountMetrics) Ignored(o wire.Operation, parameters int) {
	m.ignored.WithLabelValues(o.String()).Add(float64(parameters))
}

// Search counts what memory had for a search.
func (m *AccountMetrics) Search(result wire.CacheResult) { m.searches.of(result).Inc() }

// Delivery counts where the answer to a call that is sent once came from.
func (m *AccountMetrics) Delivery(source wire.DeliverySource) { m.deliveredFrom.of(source).Inc() }

// Guard counts a start that a rule of the guard refused, or would have.
func (m *AccountMetrics) Guard(rule string, refused bool) {
	m.guard.WithLabelValues(rule, guardAction(refused)).Inc()
}

func guardAction(refused bool) string {
	if refused {
		return "refused"
	}
	return "would_refuse"
}

// PrepareGuard makes the series of a guard, so that rates see the first start that is refused.
func (m *AccountMetrics) PrepareGuard(changes []string) {
	for _, rule := range wire.GuardReasons {
		for _, refused := range []bool{false, true} {
			m.guard.WithLabelValues(string(rule), guardAction(refused))
		}
	}
	for _, o := range []wire.Operation{wire.Request, wire.PSD2} {
		for _, status := range statusesOf(o, FromGuard) {
			m.requests.WithLabelValues(o.String(), status, string(FromGuard))
		}
	}
	for _, kind := range changes {
		m.guardChanges.WithLabelValues(kind)
	}
}

// GuardChange counts what the guard has told operators of.
func (m *AccountMetrics) GuardChange(kind string) { m.guardChanges.WithLabelValues(kind).Inc() }

// Retry counts a second try.
func (m *AccountMetrics) Retry(o wire.Operation) { m.retries.WithLabelValues(o.String()).Inc() }

// Refused counts a call that was not made because the breaker is open, the limit
// reached, the account throttled, or too many calls are under way.
func (m *AccountMetrics) Refused(caller string, o wire.Operation, cause wire.Cause) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.refused.WithLabelValues(label, string(cause)).Inc()
	}
	switch cause {
	case wire.BreakerOpen:
		m.outcomes.of(outcomeLabels{o, OutcomeRejected}).Inc()
	case wire.LimitReached, wire.CallerLimitReached, wire.CallerBusy, wire.TooManyUnderWay:
		m.throttled.WithLabelValues("local").Inc()
	case wire.AccountThrottled:
		m.throttled.WithLabelValues("upstream").Inc()
	}
}

// Another counts a further request of a call, after one that was answered. How long all of them take is
// Upstream's.
func (m *AccountMetrics) Another(caller string, o wire.Operation) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.upstream.WithLabelValues(label, o.String()).Inc()
	}
	m.outcomes.of(outcomeLabels{o, OutcomeAnswered}).Inc()
}

// Upstream counts a call that was made. traceID is that of a recorded trace, or "".
func (m *AccountMetrics) Upstream(caller string, o wire.Operation, answer *wire.Answer, took time.Duration, traceID string) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.upstream.WithLabelValues(label, o.String()).Inc()
	}
	outcome := OutcomeOf(answer)
	m.outcomes.of(outcomeLabels{o, outcome}).Inc()
	observer := m.outcomesTook.of(outcomeLabels{o, outcome})
	if traceID != "" {
		// Not trace_id: Caddy's OTLP export of metrics drops everything if it meets an
		// exemplar with the label names of the OpenTelemetry specification.
		observer.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"traceID": traceID})
	} else {
		observer.Observe(took.Seconds())
	}
	if answer.Relabelled {
		m.relabelled.WithLabelValues(o.String()).Inc()
	}
	if answer.Status == wire.Throttled {
		m.throttled.WithLabelValues("upstream").Inc()
	}
}

// Transition counts a change of a circuit's state.
func (m *AccountMetrics) Transition(class wire.Class, from, to wire.CircuitState) {
	m.transitions.WithLabelValues(string(class), string(from), string(to)).Inc()
}

// Started counts a verification that began.
func (m *AccountMetrics) Started(caller, country, workflow string) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.started.WithLabelValues(label).Inc()
	}
	m.started.WithLabelValues(m.countryLabel(country)).Inc()
	m.workflow.started.WithLabelValues(workflow).Inc()
}

// Finished counts a verification that ended. took is above 0 only where a check
// said success.
func (m *AccountMetrics) Finished(caller string, outcome wire.Outcome, country, workflow string, took time.Duration, tries int) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.finished.WithLabelValues(label, string(outcome)).Inc()
		if tries == 0 {
			m.caller.unchecked.WithLabelValues(label).Inc()
		}
	}
	m.finished.WithLabelValues(string(outcome), m.countryLabel(country)).Inc()
	if outcome == wire.OutcomeSuccess {
		m.workflow.succeeded.WithLabelValues(workflow).Inc()
	}
	m.tries.WithLabelValues(string(outcome)).Observe(float64(tries))
	if took > 0 {
		m.timeToSuccess.WithLabelValues().Observe(took.Seconds())
	}
}

// Untracked counts the end of a verification whose start was not seen.
func (m *AccountMetrics) Untracked(outcome wire.Outcome) {
	m.untracked.WithLabelValues(string(outcome)).Inc()
}

// Cost adds money spent.
func (m *AccountMetrics) Cost(caller, currency string, kind wire.CostKind, country string, amount float64) {
	if label := m.callerLabel(caller); label != "" {
		m.caller.cost.WithLabelValues(label, currency, string(kind)).Add(amount)
	}
	m.cost.WithLabelValues(currency, string(kind), m.costCountry(currency, country)).Add(amount)
}

// Broken counts a fault of the gateway itself.
func (m *AccountMetrics) Broken(i wire.Invariant) { m.broken.WithLabelValues(string(i)).Inc() }

// FailedOver counts a request that is made with another account.
func (m *AccountMetrics) FailedOver(to string) { m.failovers.WithLabelValues(to).Inc() }

// Switched counts a change of the secret that calls are made with.
func (m *AccountMetrics) Switched(why wire.SwitchReason) {
	m.switches.WithLabelValues(string(why)).Inc()
}

// Lookup counts a search of the settler.
func (m *AccountMetrics) Lookup(answered bool) {
	result := "failed"
	if answered {
		result = "answered"
	}
	m.lookups.WithLabelValues(result).Inc()
}
