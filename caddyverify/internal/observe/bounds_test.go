package observe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// seriesOf is how many series Prometheus makes of a metric.
func seriesOf(family *dto.MetricFamily) (n int) {
	for _, m := range family.GetMetric() {
		n++
		if h := m.GetHistogram(); h != nil {
			n += len(h.GetBucket()) + 2 // le="+Inf", _sum, and _count
		}
	}
	return n
}

func allSeries(t *testing.T, m *Metrics) (n int) {
	t.Helper()
	for _, family := range gather(t, m) {
		n += seriesOf(family)
	}
	return n
}

// oddCalls counts what can happen, and what cannot, many times over.
func oddCalls(a *AccountMetrics, countries, callers []string) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	odd := func(all ...string) string {
		if i := r.IntN(len(all) + 1); i < len(all) {
			return all[i]
		}
		return fmt.Sprint("odd-", r.Uint32())
	}
	statuses := []string{"", "list", "other", "IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED"}
	for i := range 120 {
		statuses = append(statuses, fmt.Sprint(i))
	}
	causes := []wire.Cause{wire.BreakerOpen, wire.LimitReached, wire.CallerLimitReached, wire.CallerBusy, wire.AccountThrottled, wire.TooManyUnderWay, wire.AccountBadCredentials, wire.AccountIsBarred, wire.AccountNoCredit}
	for range 100_000 {
		caller, at := odd(callers...), odd(countries...)
		o := wire.Operations[r.IntN(len(wire.Operations))]
		took := time.Duration(r.ExpFloat64() * float64(time.Second))
		a.Call(caller, o, odd(statuses...), sources[r.IntN(len(sources))], took)
		fault := &wire.Fault{Cause: oneOf(r, wire.ConnectFailed, wire.TLSFailed, wire.UpstreamTimeout, wire.ConnectionLost, wire.UpstreamError, wire.AnswerUnreadable, wire.ClientLeft, wire.InvariantBroken), UpstreamCode: 100 * r.IntN(8)}
		answer := fault.Answer()
		answer.Relabelled = true
		if r.IntN(2) == 0 {
			answer = wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Status(odd(statuses...))}}}
		}
		a.Upstream(caller, o, &answer, took, "")
		a.Refused(caller, o, oneOf(r, causes...))
		a.Isolated(caller, o)
		a.Ignored(o, 1)
		a.Retry(o)
		a.Search(oneOf(r, wire.CacheResults[:]...))
		a.Delivery(oneOf(r, wire.DeliverySources[:]...))
		if from, to := oneOf(r, wire.CircuitStates[:]...), oneOf(r, wire.CircuitStates[:]...); from != to {
			a.Transition(oneOf(r, wire.Classes[:]...), from, to)
		}
		a.Started(caller, at, oneOf(r, workflows[:]...))
		outcome := oneOf(r, wire.Outcomes[:]...)
		a.Finished(caller, outcome, at, oneOf(r, workflows[:]...), took, r.IntN(12))
		if outcome != wire.OutcomeUnknown {
			a.Untracked(outcome)
		}
		a.Cost(caller, oneOf(r, "EUR", "USD", "GBP", "XAU", otherLabel), oneOf(r, wire.Fee, wire.Messages), at, 0.05)
		a.Broken(oneOf(r, wire.Invariants[:]...))
		a.Switched(oneOf(r, wire.SwitchReasons[:]...))
		a.Lookup(r.IntN(2) == 0)
	}
}

func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// TestBound keeps what docs/telemetry.md says of the number of series.
func TestBound(t *testing.T) {
	countries, err := country.NewList(nil)
	if err != nil {
		t.Fatal(err)
	}
	after := func(countries, callers []string) (before, after int) {
		m := NewMetrics()
		a := m.Account("cdef@example.com")
		a.Prepare(countries, callers)
		before = allSeries(t, m)
		oddCalls(a, countries, callers)
		return before, allSeries(t, m)
	}
	begun, most := after(countries.Labels(), nil)
	t.Logf("%d series from the start, %d at most", begun, most)
	if begun != 534 || most != 587 {
		t.Errorf("docs/telemetry.md has other figures than %d and %d", begun, most)
	}
	if most > 600 {
		t.Errorf("%d series: no traffic may make more than 600", most)
	}
	if begun < most-60 {
		t.Errorf("%d series from the start, and %d at most: what happens every day is there from the start", begun, most)
	}
	if _, more := after(append(countries.Labels(), "DK", "SE"), nil); more != most+2*8 {
		t.Errorf("two countries more are %d series, want 16", more-most)
	}
	_, one := after(countries.Labels(), []string{"checkout"}) // and other
	if _, two := after(countries.Labels(), []string{"checkout", "support"}); one-most != 2*(two-one) || two-one > 110 {
		t.Errorf("the first caller and other are %d series, the second %d", one-most, two-one)
	} else {
		t.Logf("%d series a caller", two-one)
	}
}

// TestBoundOfGuard keeps what docs/telemetry.md says of the guard's series: no traffic makes more.
func TestBoundOfGuard(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	begun := allSeries(t, m)
	state := NewState("cdef@example.com")
	for _, rule := range wire.GuardReasons {
		for _, refused := range []bool{false, true} {
			state.Saved[Saved{string(rule), "EUR", refused}] = 1
		}
		state.Regrets[string(rule)] = 1
	}
	a.PrepareGuard([]string{"watched", "slowed", "blocked", "lifted", "warned", "exhausted", "price_raised", "foreign_currency"})
	count := func() int { return allSeries(t, m) + len(collected(state)) }
	bare := begun + len(collected(NewState("cdef@example.com")))
	most := count()
	if most-bare != 68 {
		t.Errorf("the guard has %d series at most", most-bare)
	}
	state.Budgets[Budget{"account/day", "EUR"}] = BudgetFigures{Cap: 50}
	if more := count() - most; more != 3 {
		t.Errorf("a budget has %d series", more)
	}
}

// TestBoundOfTemplates keeps what docs/telemetry.md says of the series of an account at which templates may be managed.
func TestBoundOfTemplates(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare(nil, nil)
	bare := allSeries(t, m)
	a.PrepareTemplates()
	begun := allSeries(t, m) - bare
	for _, source := range []Source{FromUpstream, FromGateway} {
		for status := range 200 {
			a.Call("", wire.Templates, strconv.Itoa(status), source, time.Second)
		}
	}
	for _, cause := range []wire.Cause{"", wire.UpstreamTimeout, wire.ConnectFailed, wire.BreakerOpen, wire.LimitReached} {
		answer := wire.Answer{Relabelled: true}
		if cause != "" {
			answer.Fault = &wire.Fault{Cause: cause}
		}
		a.Upstream("", wire.Templates, &answer, time.Second, "")
		a.Refused("", wire.Templates, cause)
	}
	a.Ignored(wire.Templates, 1)
	if most := allSeries(t, m) - bare; begun != 22 || most != 47 {
		t.Errorf("docs/telemetry.md has other figures than %d and %d", begun, most)
	}
}

// TestBoundOfV2 keeps what docs/telemetry.md says of the series of an account at version 2.
func TestBoundOfV2(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare([]string{"GB", "DE", "other"}, []string{"checkout"})
	bare := allSeries(t, m)
	a.PrepareV2()
	begun := allSeries(t, m) - bare
	slugs := []string{"", "x", "conflict", "concurrent", "invalid-code", "unauthorized", "throttled"}
	for code := range 700 {
		for _, slug := range slugs {
			for _, body := range []string{"", "{}", `{"type":"https://developer.nexmo.com/api-errors#` + slug + `"}`, `{"type":7}`} {
				a.V2Answer(&wire.Answer{Code: code, Body: []byte(body)})
			}
		}
	}
	most := allSeries(t, m) - bare
	if begun != 31 || most != 54 {
		t.Errorf("docs/telemetry.md has other figures than %d and %d", begun, most)
	}
	a.PrepareEstimates("EUR", []string{"GB", "DE"}, []string{"checkout"})
	for _, at := range []string{"GB", "DE", "other"} {
		a.Cost("checkout", "EUR", wire.Estimated, at, 0.05)
	}
	if more := allSeries(t, m) - bare - most; more != 3+2 { // it, and other
		t.Errorf("estimates of callers and for three countries have %d series", more)
	}
}

func collected(s *State) (all []prometheus.Metric) {
	series := make(chan prometheus.Metric, 1000)
	s.Collect(series)
	close(series)
	for one := range series {
		all = append(all, one)
	}
	return all
}

// TestTroubleHasItsStatus: what alerts look for is never among all the others.
func TestTroubleHasItsStatus(t *testing.T) {
	for _, o := range wire.Operations {
		for _, s := range []wire.Status{wire.Throttled, wire.BadCredentials, wire.InternalError, wire.AccountBarred, wire.NoCredit} {
			for _, source := range []Source{FromUpstream, FromGateway} {
				if !slices.Contains(statusesOf(o, source), string(s)) {
					t.Errorf("%s, %s: status %s is among the others", o, source, s)
				}
			}
		}
		if o != wire.Search && !slices.Contains(statusesOf(o, FromMemory), string(wire.InternalError)) {
			t.Errorf("%s from memory: status 5 is among the others", o)
		}
	}
}

// TestCountriesOfReload: those that the configuration lists no more leave nothing behind,
// and what began with them is counted as of others.
func TestCountriesOfReload(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare([]string{"GB", "other"}, nil)
	a.Started("", "GB", "default")
	a.Cost("", "EUR", wire.Fee, "GB", 1)
	a.Prepare([]string{"FR", "other"}, nil)
	a.Finished("", wire.OutcomeSuccess, "GB", "default", time.Second, 1)
	a.Cost("", "EUR", wire.Fee, "GB", 1)
	families := gather(t, m)
	for _, metric := range []Metric{startedTotal, finishedTotal, costTotal} {
		for _, one := range families[metric.Name].GetMetric() {
			for _, l := range one.GetLabel() {
				if l.GetName() == "country" && l.GetValue() == "GB" {
					t.Errorf("%s has GB still", metric.Name)
				}
			}
		}
	}
}
