package observe

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

type stateOnly struct{ State }

func (*stateOnly) Describe(to chan<- *prometheus.Desc)   { DescribeState(to) }
func (s *stateOnly) Collect(to chan<- prometheus.Metric) { s.State.Collect(to) }

func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	if err := Register(registry, &stateOnly{}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, family := range families {
		all[family.GetName()] = family
	}
	return all
}

// Every metric of the catalogue is there from the start, as it is described, but
// for those whose currencies, or what callers will do, are not known ahead, and for the
// store's and the guard's.
func TestCatalogue(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare([]string{"GB", "other"}, []string{"checkout"})
	a.PrepareV2()
	families := gather(t, m)
	for _, metric := range Catalogue {
		family := families[metric.Name]
		delete(families, metric.Name)
		if family == nil {
			switch metric.Name {
			default:
				t.Errorf("%s has no series", metric.Name)
			case costTotal.Name, callerCost.Name, callerRequests.Name, callerRefused.Name, failoversTotal.Name, guardStarts.Name,
				guardChanges.Name, guardSaved.Name, guardRegrets.Name, budgetSettled.Name, budgetReserved.Name, budgetCap.Name, webhooksTotal.Name, relaysTotal.Name, unknownTotal.Name,
				storeUp.Name, storeGateways.Name, storeCalls.Name, storeHits.Name, storeDrops.Name, storeUnasked.Name, storeAway.Name: // without a store
			}
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); kind != strings.TrimSuffix(metric.Type, ", native") || family.GetHelp() != metric.Help {
			t.Errorf("%s is a %s: %s", metric.Name, kind, family.GetHelp())
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want := metric.labelNames()
		slices.Sort(want)
		if !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, want %q", metric.Name, labels, want)
		}
	}
	for name := range families {
		t.Errorf("%s is not in the catalogue", name)
	}
}

// What happens every day adds to a series that was there from the start: a rate over
// one that begins at 1 misses the first.
func TestSeriesFromTheStart(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare([]string{"GB"}, nil)
	before := gather(t, m)
	for o, statuses := range map[wire.Operation][]string{
		wire.Request: {"0", "3", "10", "15"},
		wire.Check:   {"0", "6", "16", "17"},
		wire.Search:  {"IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED", "101", "list"},
		wire.Control: {"0", "19"},
		wire.PSD2:    {"0", "3", "10", "15"},
	} {
		for _, status := range statuses {
			a.Call("", o, status, FromUpstream, time.Second)
			if o == wire.Search {
				a.Call("", o, status, FromMemory, time.Second)
			}
		}
		a.Upstream("", o, &wire.Answer{}, time.Second, "")
		a.Refused("", o, wire.BreakerOpen)
		a.Refused("", o, wire.LimitReached)
		a.Refused("", o, wire.AccountThrottled)
		a.Retry(o)
	}
	a.Call("", wire.Request, "0", FromMemory, time.Second)
	a.Call("", wire.PSD2, "0", FromMemory, time.Second)
	for _, result := range wire.CacheResults {
		a.Search(result)
	}
	for _, source := range wire.DeliverySources {
		a.Delivery(source)
	}
	a.Started("", "GB", "default")
	a.Finished("", "success", "GB", "default", time.Second, 1)
	for name, family := range gather(t, m) {
		if n := len(family.GetMetric()) - len(before[name].GetMetric()); n != 0 {
			t.Errorf("%s has %d series more", name, n)
		}
	}
}

// An exemplar's labels must not be those of the OpenTelemetry specification.
func TestExemplars(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	answer := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success}}}
	a.Upstream("", wire.Check, &answer, 30*time.Millisecond, "0af7651916cd43dd8448eb211c80319c")
	a.Upstream("", wire.Search, &answer, 30*time.Millisecond, "")
	exemplars := 0
	for _, metric := range gather(t, m)[upstreamDuration.Name].GetMetric() {
		for _, bucket := range metric.GetHistogram().GetBucket() {
			if e := bucket.GetExemplar(); e != nil {
				exemplars++
				if l := e.GetLabel(); len(l) != 1 || l[0].GetName() != "traceID" || l[0].GetValue() != "0af7651916cd43dd8448eb211c80319c" {
					t.Errorf("the exemplar is %v", l)
				}
			}
		}
	}
	if exemplars != 1 {
		t.Errorf("%d exemplars, want 1", exemplars)
	}
}

func TestWords(t *testing.T) {
	status := func(s wire.Status) *wire.Answer {
		return &wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: s}}}
	}
	fault := func(cause wire.Cause, code int) *wire.Answer {
		a := (&wire.Fault{Cause: cause, UpstreamCode: code}).Answer()
		return &a
	}
	tests := []struct {
		answer  *wire.Answer
		label   string
		outcome AttemptOutcome
		kind    string
		errs    []wire.Operation
		trouble bool
	}{
		{status("0"), "0", "answered", "verify_0", nil, false},
		{status("1"), "1", "answered", "verify_1", wire.Operations[:], true},
		{status("3"), "3", "answered", "verify_3", wire.Operations[:], false},
		{status("4"), "4", "answered", "verify_4", wire.Operations[:], true},
		{status("5"), "5", "answered", "verify_5", wire.Operations[:], true},
		{status("6"), "6", "answered", "verify_6", []wire.Operation{wire.Request, wire.Search, wire.PSD2}, false},
		{status("9"), "9", "answered", "verify_9", wire.Operations[:], true},
		{status("10"), "10", "answered", "verify_10", nil, false},
		{status("16"), "16", "answered", "verify_16", nil, false},
		{status("17"), "17", "answered", "verify_17", nil, false},
		{status("19"), "19", "answered", "verify_19", nil, false},
		{status("101"), "101", "answered", "verify_101", nil, false},
		{status("77"), "other", "answered", "verify_other", wire.Operations[:], false},
		{status("IN PROGRESS"), "IN PROGRESS", "answered", "verify_IN PROGRESS", nil, false},
		{status("PENDING"), "other", "answered", "verify_other", nil, false},
		{&wire.Answer{Reading: wire.Reading{List: true}}, "list", "answered", "verify_list", nil, false},
		{fault(wire.UpstreamTimeout, 0), "5", "timeout", "upstream_timeout", wire.Operations[:], true},
		{fault(wire.ConnectFailed, 0), "5", "connect", "connect_failed", wire.Operations[:], true},
		{fault(wire.TLSFailed, 0), "5", "tls", "tls_failed", wire.Operations[:], true},
		{fault(wire.ConnectionLost, 0), "5", "connection_lost", "connection_lost", wire.Operations[:], true},
		{fault(wire.UpstreamError, 502), "5", "http_5xx", "upstream_error", wire.Operations[:], true},
		{fault(wire.UpstreamError, 404), "5", "http_4xx", "upstream_error", wire.Operations[:], true},
		{fault(wire.UpstreamError, 302), "5", "http_3xx", "upstream_error", wire.Operations[:], true},
		{fault(wire.UpstreamThrottled, 429), "1", "http_4xx", "upstream_throttled", wire.Operations[:], true},
		{fault(wire.UpstreamUnauthorized, 401), "4", "http_4xx", "upstream_unauthorized", wire.Operations[:], true},
		{fault(wire.AnswerUnreadable, 200), "5", "bad_body", "answer_unreadable", wire.Operations[:], true},
		{fault(wire.ClientLeft, 0), "5", "cancelled", "client_left", nil, false},
	}
	for _, test := range tests {
		if label, outcome := StatusLabel(test.answer), OutcomeOf(test.answer); label != test.label || outcome != test.outcome {
			t.Errorf("%+v: label %q, outcome %q", test.answer.Status, label, outcome)
		}
		if !slices.Contains(AttemptOutcomes[:], OutcomeOf(test.answer)) {
			t.Errorf("%q is not in the list", OutcomeOf(test.answer))
		}
		if kind, trouble := ErrorType(test.answer), Trouble(test.answer); kind != test.kind || trouble != test.trouble {
			t.Errorf("%+v: error.type %q, trouble %v", test.answer.Status, kind, trouble)
		}
		for _, o := range wire.Operations {
			if got := IsError(o, test.answer); got != slices.Contains(test.errs, o) {
				t.Errorf("%v %+v: an error: %v", o, test.answer.Status, got)
			}
		}
	}
}

// An account that nobody uses any more leaves nothing behind.
func TestDrop(t *testing.T) {
	m := NewMetrics()
	series := func() (n int) {
		for _, family := range gather(t, m) {
			n += len(family.GetMetric())
		}
		return n
	}
	before := series()
	a, again := m.Account("cdef@example.com"), m.Account("cdef@example.com")
	a.Prepare([]string{"GB"}, []string{"checkout"})
	if a != again || series() <= before {
		t.Error("the account is not there")
	}
	m.Drop(a) // a reload
	again.Call("", wire.Check, "0", FromUpstream, time.Second)
	if series() <= before {
		t.Error("the account is gone while it is used")
	}
	m.Drop(again)
	if n := series(); n != before {
		t.Errorf("%d series are left", n-before)
	}
}

// TestCallers has series for the callers that the configuration names, one for all others, and none where it names none.
func TestCallers(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	calls := func() string {
		var all []string
		for _, metric := range gather(t, m)[callerUpstream.Name].GetMetric() {
			if n := metric.GetCounter().GetValue(); n > 0 {
				all = append(all, metric.GetLabel()[1].GetValue()+" "+strconv.Itoa(int(n)))
			}
		}
		return strings.Join(all, ", ")
	}
	call := func(caller string) {
		a.Upstream(caller, wire.Check, &wire.Answer{}, time.Second, "")
	}
	a.Prepare(nil, nil)
	call("user-1")
	if got := calls(); got != "" {
		t.Errorf("without names: %s", got)
	}
	a.Prepare(nil, []string{"checkout", "support"})
	for _, caller := range []string{"checkout", "checkout", "user-1", "", "support"} {
		call(caller)
	}
	if got := calls(); got != "checkout 2, other 2, support 1" {
		t.Errorf("with names: %s", got)
	}
}

// TestNative has a native histogram beside the classic buckets of latencies, which are
// the same, unless Caddy pushes the metrics.
func TestNative(t *testing.T) {
	m := NewMetrics()
	a := m.Account("cdef@example.com")
	a.Prepare(nil, nil)
	for range 20 {
		a.Upstream("", wire.Check, &wire.Answer{}, 300*time.Millisecond, "0af7651916cd43dd8448eb211c80319c")
	}
	for _, pushed := range []bool{false, true, false} {
		m.Pushed(pushed)
		families := gather(t, m)
		for _, metric := range []Metric{requestDuration, upstreamDuration, timeToSuccess, attempts} {
			for _, one := range families[metric.Name].GetMetric() {
				native := one.GetHistogram().GetZeroThreshold() > 0
				if want := metric.Type == nativeHistogram && !pushed; native != want || len(one.GetHistogram().GetBucket()) == 0 {
					t.Errorf("%s, pushed %t: native: %t", metric.Name, pushed, native)
				}
			}
		}
		exemplars := 0
		for _, one := range families[upstreamDuration.Name].GetMetric() {
			for _, bucket := range one.GetHistogram().GetBucket() {
				if bucket.GetExemplar() != nil {
					exemplars++
				}
			}
			if h := one.GetHistogram(); h.GetSampleCount() == 20 && !pushed && len(h.GetPositiveDelta()) == 0 {
				t.Error("the native histogram is empty")
			}
		}
		if exemplars != 1 {
			t.Errorf("pushed %t: %d exemplars", pushed, exemplars)
		}
	}
}
