package observe

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Source is where an answer comes from.
type Source string

// The sources.
const (
	Upstream Source = "upstream"
	Memory   Source = "cache"
	Gateway  Source = "gateway"
)

// Metrics holds the collectors. There is one for the process, registered anew
// with each configuration's registry, so that no reload begins them at 0.
type Metrics struct {
	requests, upstream, retries, throttled, deliveries *prometheus.CounterVec
	ignored                                            *prometheus.CounterVec
	transitions, cache, relabelled                     *prometheus.CounterVec
	started, finished, strangers, cost, lookups        *prometheus.CounterVec
	duration, upstreamDuration, timeToSuccess, tries   *prometheus.HistogramVec
	build                                              *prometheus.GaugeVec
	evictedSize, evictedExpired                        atomic.Uint64 // by caches that have ended

	// Of the series that exist from the beginning, those that every call adds to.
	calls         series[callLabels, prometheus.Counter]
	durations     series[sourceLabels, prometheus.Observer]
	searches      series[string, prometheus.Counter]
	outcomes      series[outcomeLabels, prometheus.Counter]
	outcomesTook  series[outcomeLabels, prometheus.Observer]
	deliveredFrom series[string, prometheus.Counter]
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
		outcome   string
	}
)

// series finds those of a vector. For those prepared that takes a third of the
// time that the vector takes, which hashes and compares the text of all labels.
type series[L comparable, M any] struct {
	ready map[L]M // not written to after NewMetrics
	find  func(L) M
}

func seriesOf[L comparable, M any](find func(L) M) series[L, M] {
	return series[L, M]{map[L]M{}, find}
}

func (s *series[L, M]) add(labels L) { s.ready[labels] = s.find(labels) }

func (s *series[L, M]) of(labels L) M {
	if found, ok := s.ready[labels]; ok {
		return found
	}
	return s.find(labels)
}

// NewMetrics returns Metrics whose series exist as far as they are known ahead,
// so that rates see zero rather than nothing.
func NewMetrics() *Metrics {
	short := []float64{.001, .0025, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	m := &Metrics{
		requests:         counter(requestsTotal),
		duration:         histogram(requestDuration, short),
		ignored:          counter(parametersIgnored),
		upstream:         counter(upstreamTotal),
		upstreamDuration: histogram(upstreamDuration, []float64{.025, .05, .1, .25, .5, .75, 1, 2.5, 5, 10, 30}),
		retries:          counter(upstreamRetries),
		relabelled:       counter(relabelledTotal),
		throttled:        counter(throttledTotal),
		deliveries:       counter(deliveriesTotal),
		transitions:      counter(breakerTransitions),
		cache:            counter(cacheRequests),
		started:          counter(startedTotal),
		finished:         counter(finishedTotal),
		strangers:        counter(strangersTotal),
		timeToSuccess:    histogram(timeToSuccess, []float64{5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600}),
		tries:            histogram(attempts, []float64{0, 1, 2, 3, 4, 6, 9}),
		cost:             counter(costTotal),
		lookups:          counter(settlerLookups),
		build:            prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.labelNames()),
	}
	m.build.WithLabelValues(version(), runtime.Version()).Set(1)
	m.calls = seriesOf(func(l callLabels) prometheus.Counter {
		return m.requests.WithLabelValues(l.operation.String(), l.status, string(l.source))
	})
	m.durations = seriesOf(func(l sourceLabels) prometheus.Observer {
		return m.duration.WithLabelValues(l.operation.String(), string(l.source))
	})
	m.searches = seriesOf(func(result string) prometheus.Counter { return m.cache.WithLabelValues(result) })
	m.outcomes = seriesOf(func(l outcomeLabels) prometheus.Counter {
		return m.upstream.WithLabelValues(l.operation.String(), l.outcome)
	})
	m.outcomesTook = seriesOf(func(l outcomeLabels) prometheus.Observer {
		return m.upstreamDuration.WithLabelValues(l.operation.String(), l.outcome)
	})
	m.deliveredFrom = seriesOf(func(source string) prometheus.Counter { return m.deliveries.WithLabelValues(source) })
	m.prepare()
	return m
}

func counter(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.labelNames())
}

func histogram(m Metric, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.labelNames())
}

// version is that of the module in the binary.
func version() string {
	const path = "github.com/caddyverify/caddy-verify"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == path && module.Version != "" {
			return module.Version
		}
	}
	return "unknown"
}

// prepare makes the series that every gateway will have.
func (m *Metrics) prepare() {
	for _, o := range wire.Operations {
		for _, s := range expected[o] {
			m.calls.add(callLabels{o, s, Upstream})
		}
		for _, s := range gatewayStatuses {
			m.calls.add(callLabels{o, s, Gateway})
		}
		for _, outcome := range Outcomes {
			m.outcomes.add(outcomeLabels{o, outcome})
		}
		m.retries.WithLabelValues(o.String())
		m.relabelled.WithLabelValues(o.String())
		m.ignored.WithLabelValues(o.String())
		m.durations.add(sourceLabels{o, Upstream})
		m.outcomesTook.add(outcomeLabels{o, OutcomeAnswered})
	}
	m.calls.add(callLabels{wire.Search, "6", Gateway})
	m.calls.add(callLabels{wire.Search, "18", Gateway})
	for _, o := range wire.Operations {
		if o.Starts() {
			m.calls.add(callLabels{o, "0", Memory})
		}
	}
	for _, s := range []string{"IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED", "101", "list"} {
		m.calls.add(callLabels{wire.Search, s, Memory})
	}
	m.durations.add(sourceLabels{wire.Search, Memory})
	for _, source := range []string{"sent", "shared", "replayed"} {
		m.deliveredFrom.add(source)
	}
	for _, result := range []string{"hit", "miss", "partial", "coalesced", "stale", "bypass"} {
		m.searches.add(result)
	}
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.throttled: {"local", "upstream"},
		m.strangers: {"success", "failed", "expired", "cancelled"},
		m.lookups:   {"answered", "failed"},
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	for _, class := range []string{"read", "write"} {
		for _, change := range [][2]string{{"closed", "open"}, {"open", "half_open"}, {"half_open", "open"}, {"half_open", "closed"}} {
			m.transitions.WithLabelValues(class, change[0], change[1])
		}
	}
	for _, outcome := range verificationOutcomes {
		m.tries.WithLabelValues(outcome)
	}
	m.timeToSuccess.WithLabelValues("default")
}

// PrepareCountries makes the series of countries for verifications without a
// workflow_id, which are nearly all.
func (m *Metrics) PrepareCountries(countries []string) {
	for _, country := range countries {
		m.started.WithLabelValues(country, "default")
		for _, outcome := range verificationOutcomes {
			m.finished.WithLabelValues(outcome, country, "default")
		}
	}
}

// Register adds the collectors to a registry. A registry that has them already
// is one that another handler of the same configuration registered with.
func (m *Metrics) Register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.requests, m.duration, m.ignored, m.upstream, m.upstreamDuration, m.retries, m.relabelled, m.throttled, m.deliveries, m.transitions, m.cache,
		m.started, m.finished, m.strangers, m.timeToSuccess, m.tries, m.cost, m.lookups, m.build,
	} {
		if err := Register(registry, c); err != nil {
			return err
		}
	}
	return nil
}

// Register adds a collector to a registry unless it is there.
func Register(registry prometheus.Registerer, c prometheus.Collector) error {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(c); err != nil && !errors.As(err, &already) {
		return err
	}
	return nil
}

// Call counts a call of a client.
func (m *Metrics) Call(o wire.Operation, status string, source Source, took time.Duration) {
	m.calls.of(callLabels{o, status, source}).Inc()
	m.durations.of(sourceLabels{o, source}).Observe(took.Seconds())
}

// Ignored counts parameters that were left out of a call.
func (m *Metrics) Ignored(o wire.Operation, parameters int) {
	m.ignored.WithLabelValues(o.String()).Add(float64(parameters))
}

// Search counts what memory had for a search.
func (m *Metrics) Search(result string) { m.searches.of(result).Inc() }

// Delivery counts where the answer to a call that is sent once came from.
func (m *Metrics) Delivery(source string) { m.deliveredFrom.of(source).Inc() }

// Retry counts a second try.
func (m *Metrics) Retry(o wire.Operation) { m.retries.WithLabelValues(o.String()).Inc() }

// Refused counts a call that was not made because the breaker is open, the limit
// reached, the account throttled, or too many calls are under way.
func (m *Metrics) Refused(o wire.Operation, cause wire.Cause) {
	switch cause {
	case wire.BreakerOpen:
		m.outcomes.of(outcomeLabels{o, OutcomeRejected}).Inc()
	case wire.LimitReached, wire.TooManyUnderWay:
		m.throttled.WithLabelValues("local").Inc()
	case wire.AccountThrottled:
		m.throttled.WithLabelValues("upstream").Inc()
	}
}

// Upstream counts a call that was made. traceID is that of a recorded trace, or "".
func (m *Metrics) Upstream(o wire.Operation, answer *wire.Answer, took time.Duration, traceID string) {
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

// Evicted keeps the counts of a cache that ends.
func (m *Metrics) Evicted(size, expired uint64) {
	m.evictedSize.Add(size)
	m.evictedExpired.Add(expired)
}

// State returns a State to add up in, with what has ended in it.
func (m *Metrics) State() State {
	return State{Breakers: map[[2]string]int{}, EvictedSize: m.evictedSize.Load(), EvictedExpired: m.evictedExpired.Load()}
}

// Transition counts a change of a circuit's state.
func (m *Metrics) Transition(class, from, to string) {
	m.transitions.WithLabelValues(class, from, to).Inc()
}

// Started counts a verification that began.
func (m *Metrics) Started(country, workflow string) {
	m.started.WithLabelValues(country, workflow).Inc()
}

// Finished counts a verification that ended. took is above 0 only where a check
// said success.
func (m *Metrics) Finished(outcome, country, workflow string, took time.Duration, tries int) {
	m.finished.WithLabelValues(outcome, country, workflow).Inc()
	m.tries.WithLabelValues(outcome).Observe(float64(tries))
	if took > 0 {
		m.timeToSuccess.WithLabelValues(workflow).Observe(took.Seconds())
	}
}

// Stranger counts the end of a verification whose start was not seen.
func (m *Metrics) Stranger(outcome string) { m.strangers.WithLabelValues(outcome).Inc() }

// Cost adds money spent.
func (m *Metrics) Cost(currency, kind, country string, amount float64) {
	m.cost.WithLabelValues(currency, kind, country).Add(amount)
}

// Lookup counts a search of the settler.
func (m *Metrics) Lookup(answered bool) {
	result := "failed"
	if answered {
		result = "answered"
	}
	m.lookups.WithLabelValues(result).Inc()
}
