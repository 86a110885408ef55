//go:build e2e

package e2e

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// series is what a counter should have come to.
type series struct {
	metric string
	labels []string
	want   map[string]float64
	// more is how much more it may have come to.
	more map[string]float64
}

// expectations are the books, counter by counter.
func (p *script) expectations() []series {
	b := p.books
	outcomes, throttled, lookups := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, c := range p.sandbox.Calls() {
		outcomes[c.Operation+" "+outcomeOf(c)]++
		if c.Status == "1" {
			throttled["upstream"]++
		}
		if p.bySettler(c) {
			lookups["answered"]++
		}
	}
	maps.Copy(outcomes, b.count(func(x *exchange) string {
		if x.cause == "breaker_open" && x.operation != "search" { // for searches see spanChecker.rejections
			return x.operation + " rejected_open"
		}
		return ""
	}))
	for where, calls := range b.count(func(x *exchange) string {
		switch {
		case x.cause == "limit_reached", x.cause == "caller_limit_reached":
			return "local"
		case x.cause == "account_throttled" && x.operation != "search":
			return "upstream"
		}
		return ""
	}) {
		throttled[where] += calls
	}
	// One list that is refused is one call, whoever waits for it.
	inLists := b.count(func(x *exchange) string {
		if x.cause == "account_throttled" && x.operation == "search" {
			return "upstream"
		}
		return ""
	})
	return []series{
		{metric: "verify_requests_total", labels: []string{"operation", "status", "source"}, want: b.count(func(x *exchange) string {
			return x.operation + " " + x.status() + " " + x.source
		})},
		{metric: "verify_request_duration_seconds_count", labels: []string{"operation", "source"}, want: b.count(func(x *exchange) string {
			if x.source == "gateway" || x.source == "cache" && x.operation != "search" {
				return "any " + x.source
			}
			return x.operation + " " + x.source
		})},
		{metric: "verify_cache_requests_total", labels: []string{"result"}, want: b.count(func(x *exchange) string { return x.cache })},
		{metric: "verify_deliveries_total", labels: []string{"source"}, want: b.count(func(x *exchange) string { return x.delivered })},
		{metric: "verify_upstream_requests_total", labels: []string{"operation", "outcome"}, want: outcomes},
		{metric: "verify_throttled_total", labels: []string{"where"}, want: throttled, more: inLists},
		{metric: "verify_settler_lookups_total", labels: []string{"result"}, want: lookups},
		{metric: "verify_verifications_started_total", labels: []string{"country"}, want: b.sum(func(v *verification) (string, float64) {
			return v.country, 1
		})},
		{metric: "verify_workflow_verifications_started_total", labels: []string{"workflow"}, want: b.sum(func(v *verification) (string, float64) {
			return v.workflow, 1
		})},
		{metric: "verify_verifications_finished_total", labels: []string{"outcome", "country"}, want: b.sum(func(v *verification) (string, float64) {
			return v.outcome + " " + v.country, 1
		})},
		{metric: "verify_workflow_verifications_succeeded_total", labels: []string{"workflow"}, want: b.sum(func(v *verification) (string, float64) {
			if v.outcome != "success" {
				return "", 0
			}
			return v.workflow, 1
		})},
		{metric: "verify_verifications_untracked_total", labels: []string{"outcome"}, want: b.untracked},
		{metric: "verify_attempts_per_verification_count", labels: []string{"outcome"}, want: b.sum(func(v *verification) (string, float64) {
			return v.outcome, 1
		})},
		{metric: "verify_attempts_per_verification_sum", labels: []string{"outcome"}, want: b.sum(func(v *verification) (string, float64) {
			return v.outcome, float64(v.tries)
		})},
		{metric: "verify_time_to_success_seconds_count", want: map[string]float64{"": b.sum(func(v *verification) (string, float64) {
			if !v.checked {
				return "", 0
			}
			return "all", 1
		})["all"]}},
		{metric: "verify_cost_total", labels: []string{"currency", "kind", "country"}, want: b.cost()},
	}
}

// cost is in hundred-thousandths.
func (b *books) cost() map[string]float64 {
	cost := b.sum(func(v *verification) (string, float64) { return "EUR fee " + v.country, float64(b.costs[v.id].fee) })
	maps.Copy(cost, b.sum(func(v *verification) (string, float64) {
		return "EUR messages " + v.country, float64(b.costs[v.id].messages)
	}))
	return cost
}

// comparable rounds what is no whole number in the way the books do, and leaves out what may be more.
func (s *series) comparable(got map[string]float64) map[string]float64 {
	for key, more := range s.more {
		got[key] -= min(more, max(0, got[key]-s.want[key]))
	}
	if s.metric != "verify_cost_total" {
		return got
	}
	for key, value := range got {
		got[key] = math.Round(value * 100_000)
	}
	return got
}

// outcomeOf tells how a call that the sandbox saw looked to the gateway.
func outcomeOf(c sandbox.Call) string {
	switch {
	case strings.HasSuffix(c.Fault, "close"), strings.HasSuffix(c.Fault, "reset_after"):
		return "connection_lost"
	case c.HTTPStatus >= 500:
		return "http_5xx"
	}
	return "answered"
}

// bySettler tells the searches of the settler.
func (p *script) bySettler(c sandbox.Call) bool {
	return c.Operation == "search" && c.Time.After(p.waiting) && c.Time.Before(p.settled)
}

// byProbe tells the searches by which the breaker looks for a sign of life: for what no client has asked about.
func byProbe(c sandbox.Call, asked map[string]bool) bool {
	ids := idsOf(c)
	return c.Operation == "search" && len(ids) == 1 && !asked[ids[0]]
}

// asked are the verifications that clients have asked about.
func (p *script) asked() map[string]bool {
	all := map[string]bool{}
	for _, x := range p.books.exchanges {
		for _, id := range x.ids {
			all[id] = true
		}
	}
	return all
}

func idsOf(c sandbox.Call) []string { return idsIn(c.Params) }

// compareMetrics wants PromQL to give the books.
func compareMetrics(t *testing.T, p *script, prom *prometheus) {
	t.Helper()
	for _, s := range p.expectations() {
		got, err := prom.vector("sum by ("+strings.Join(s.labels, ", ")+") ("+s.metric+")", s.labels...)
		if err != nil {
			t.Error(err)
			continue
		}
		got = s.comparable(got)
		delete(got, "search rejected_open")
		for _, difference := range differences(got, s.want) {
			t.Errorf("Prometheus, %s%s", s.metric, difference)
		}
		t.Logf("%s: %v", s.metric, got)
	}
	value := func(promQL string) float64 {
		got, err := prom.vector(promQL)
		if err != nil || len(got) > 1 {
			t.Errorf("%s is %v (%v)", promQL, got, err)
		}
		for _, value := range got {
			return value
		}
		return 0
	}
	for promQL, want := range map[string]float64{
		`sum(verify_verifications_started_total) - sum(verify_verifications_finished_total)`: 0,
		// No counter began anew, whatever Caddy did with its registry.
		`sum(resets(verify_requests_total[1h]))`:              0,
		`sum(resets(verify_verifications_started_total[1h]))`: 0,
		`sum(verify_breaker_state{state="closed"})`:           2,
		`sum(verify_breaker_state{state!="closed"})`:          0,
		`sum(verify_breaker_transitions_total)`:               float64(strings.Count(p.gateway.log(t), `"msg":"breaker changed"`)),
		`verify_limit_waiting`:                                0,
		`sum(verify_account_trouble)`:                         0,
		`verify_settler_backlog`:                              0,
		`sum(verify_build_info)`:                              1,
	} {
		if got := value(promQL); got != want {
			t.Errorf("%s is %v, want %v", promQL, got, want)
		}
	}
	for _, breaker := range []string{"read", "write"} {
		if value(`sum(verify_breaker_transitions_total{to="open", breaker="`+breaker+`"})`) == 0 {
			t.Errorf("the outages have not opened the breaker %q", breaker)
		}
	}
	p.stopped = value(`sum(verify_upstream_requests_total{operation="search", outcome="rejected_open"})`)
	p.retries = value(`sum(verify_upstream_retries_total)`)
}

// comparePushed wants the same to have come over OTLP.
func comparePushed(t *testing.T, p *script, otel *collector) {
	t.Helper()
	metrics := otel.metrics(t)
	f := few{t: t}
	for _, s := range p.expectations() {
		name, isCount := strings.CutSuffix(s.metric, "_count")
		if strings.HasSuffix(name, "_sum") {
			continue
		}
		if !isCount {
			name = s.metric
		}
		got := s.comparable(metrics.sum(name, s.labels...))
		delete(got, "search rejected_open")
		for _, difference := range differences(got, s.want) {
			f.errorf("OTLP, %s%s", s.metric, difference)
		}
	}
	if len(metrics["caddy_http_requests_total"]) == 0 {
		t.Error("OTLP, Caddy's own metrics are missing")
	}
	text, err := os.ReadFile(filepath.Join(otel.folder, "metrics.jsonl"))
	if err != nil || !strings.Contains(string(text), `"filteredAttributes":[{"key":"traceID"`) {
		t.Errorf("OTLP, there are no exemplars (%v)", err)
	}
}

// checkExemplars wants latencies to lead to traces.
func checkExemplars(t *testing.T, b *books, prom *prometheus) {
	t.Helper()
	traces := map[string]bool{}
	for _, x := range b.exchanges {
		traces[x.trace] = true
	}
	exemplars := prom.exemplars(t, "verify_upstream_request_duration_seconds_bucket")
	if len(exemplars) == 0 {
		t.Error("Prometheus has no exemplars of verify_upstream_request_duration_seconds")
	}
	f := few{t: t}
	for _, e := range exemplars {
		if !traces[e.Labels["traceID"]] || len(e.Labels) != 1 {
			f.errorf("the exemplar %v leads to no trace of a client", e.Labels)
		}
	}
	t.Logf("%d exemplars", len(exemplars))
}
