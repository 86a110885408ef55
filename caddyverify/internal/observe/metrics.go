package observe

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
)

// Metrics holds the collectors. There is one for the process, registered anew
// with each configuration's registry, so that no reload begins them at 0.
type Metrics struct {
	vectors
	build  *prometheus.GaugeVec
	pushed atomic.Bool

	mu       sync.Mutex
	accounts map[string]*AccountMetrics
}

// vectors are those of all accounts, or with the label account set those of one.
type vectors struct {
	requests, upstream, retries, throttled, deliveries *prometheus.CounterVec
	ignored                                            *prometheus.CounterVec
	transitions, cache, relabelled, v2Answers          *prometheus.CounterVec
	started, finished, untracked, cost, lookups        *prometheus.CounterVec
	broken, failovers, switches, guard, guardChanges   *prometheus.CounterVec
	webhooks, relays                                   *prometheus.CounterVec
	caller                                             callerVectors
	workflow                                           workflowVectors
	duration, upstreamDuration, timeToSuccess, tries   *prometheus.HistogramVec
}

// vector is what all of them can do.
type vector interface {
	prometheus.Collector
	DeletePartialMatch(prometheus.Labels) int
}

func (v *vectors) all() []vector {
	return []vector{
		v.requests, v.duration, v.ignored, v.upstream, v.upstreamDuration, v.retries, v.relabelled, v.v2Answers, v.throttled, v.deliveries,
		v.transitions, v.cache, v.started, v.finished, v.untracked, v.timeToSuccess, v.tries, v.cost, v.lookups, v.broken, v.failovers, v.switches, v.guard, v.guardChanges, v.webhooks, v.relays,
		v.workflow.started, v.workflow.succeeded,
		v.caller.requests, v.caller.refused, v.caller.isolated, v.caller.upstream,
		v.caller.started, v.caller.finished, v.caller.unchecked, v.caller.cost,
	}
}

// NewMetrics returns Metrics of no account yet.
func NewMetrics() *Metrics {
	m := &Metrics{accounts: map[string]*AccountMetrics{}, vectors: vectors{
		requests:         counter(requestsTotal),
		duration:         latency(requestDuration, []float64{.001, .005, .025, .1, .5, 2.5, 10}),
		ignored:          counter(parametersIgnored),
		upstream:         counter(upstreamTotal),
		upstreamDuration: latency(upstreamDuration, []float64{.05, .1, .25, .5, 1, 2.5, 5, 10}),
		retries:          counter(upstreamRetries),
		relabelled:       counter(relabelledTotal),
		v2Answers:        counter(v2Answers),
		throttled:        counter(throttledTotal),
		deliveries:       counter(deliveriesTotal),
		transitions:      counter(breakerTransitions),
		cache:            counter(cacheRequests),
		started:          counter(startedTotal),
		finished:         counter(finishedTotal),
		untracked:        counter(untrackedTotal),
		timeToSuccess:    latency(timeToSuccess, []float64{10, 20, 30, 45, 60, 90, 120, 180, 300, 600}),
		tries:            histogram(attempts, []float64{0, 1, 2, 3}),
		cost:             counter(costTotal),
		lookups:          counter(settlerLookups),
		broken:           counter(invariantBroken),
		failovers:        counter(failoversTotal),
		guard:            counter(guardStarts),
		guardChanges:     counter(guardChanges),
		webhooks:         counter(webhooksTotal),
		relays:           counter(relaysTotal),
		workflow: workflowVectors{
			started:   counter(workflowStarted),
			succeeded: counter(workflowSucceeded),
		},
		caller: callerVectors{
			requests:  counter(callerRequests),
			refused:   counter(callerRefused),
			isolated:  counter(callerIsolated),
			upstream:  counter(callerUpstream),
			started:   counter(callerStarted),
			finished:  counter(callerFinished),
			unchecked: counter(callerUnchecked),
			cost:      counter(callerCost),
		},
		switches: counter(secretSwitches),
	}}
	m.build = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.labelNames())
	m.build.WithLabelValues(version.String(), runtime.Version()).Set(1)
	return m
}

// Account returns the metrics of an account, which AccountLabel names. They are there
// until as many have been told to Drop.
func (m *Metrics) Account(label string) *AccountMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[label]
	if a == nil {
		a = newAccountMetrics(&m.vectors, label)
		m.accounts[label] = a
	}
	a.users++
	return a
}

// Drop ends the series of an account that nobody uses any more.
func (m *Metrics) Drop(a *AccountMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.users--; a.users > 0 {
		return
	}
	delete(m.accounts, a.account)
	only := prometheus.Labels{labelAccount.Name: a.account}
	for _, v := range m.all() {
		v.DeletePartialMatch(only)
	}
}

func counter(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.labelNames())
}

func histogram(m Metric, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.labelNames())
}

// Register adds the collectors to a registry. A registry that has them already
// is one that another handler of the same configuration registered with.
func (m *Metrics) Register(registry prometheus.Registerer) error {
	for _, v := range m.all() {
		var c prometheus.Collector = v
		if histograms, ok := v.(*prometheus.HistogramVec); ok {
			c = &nativeUnlessPushed{histograms, &m.pushed}
		}
		if err := Register(registry, c); err != nil {
			return err
		}
	}
	return Register(registry, m.build)
}

// Register adds a collector to a registry unless it is there.
func Register(registry prometheus.Registerer, c prometheus.Collector) error {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(c); err != nil && !errors.As(err, &already) {
		return err
	}
	return nil
}
