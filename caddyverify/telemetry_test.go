package caddyverify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// traced makes calls within a span, as Caddy's tracing does.
type traced struct {
	*direct
	recorder *tracetest.SpanRecorder
	tracer   trace.Tracer
}

func newTraced(t *testing.T, h *Handler) *traced {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	return &traced{newDirect(t, h, sandboxConfig), recorder, provider.Tracer("caddy")}
}

// call returns the answer, the span of the call and those of the upstream calls.
func (d *traced) call(o wire.Operation, form string) (*httptest.ResponseRecorder, sdktrace.ReadOnlySpan, []sdktrace.ReadOnlySpan) {
	before := len(d.recorder.Ended())
	ctx, span := d.tracer.Start(context.Background(), "handler", trace.WithSpanKind(trace.SpanKindServer))
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, wire.Path(o, wire.JSON), strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Baggage", "user=alice")
	w := httptest.NewRecorder()
	_ = d.ServeHTTP(w, r, nil)
	span.End()
	ended := d.recorder.Ended()[before:]
	return w, ended[len(ended)-1], ended[:len(ended)-1]
}

func attributes(span sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range span.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func expectAttributes(t *testing.T, span sdktrace.ReadOnlySpan, want map[string]string) {
	t.Helper()
	got := attributes(span)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s is %q, want %q", span.Name(), name, got[name], value)
		}
	}
}

func TestSpans(t *testing.T) {
	const fresh = "447700900055"
	tests := []struct {
		name        string
		fault       string
		o           wire.Operation
		form        string // ID stands for a verification under way
		server      codes.Code
		client      []codes.Code // of each upstream call
		serverAttrs map[string]string
		clientAttrs map[string]string
		linked      bool
		method      string
	}{
		{
			name: "request", o: wire.Request, form: "brand=Acme&number=" + fresh, client: []codes.Code{codes.Unset},
			serverAttrs: map[string]string{"verify.status": "0", "verify.country": "GB", "verify.delivery": "sent", "verify.breaker": "closed"},
			clientAttrs: map[string]string{"verify.status": "0", "verify.country": "GB", "http.response.status_code": "200"},
		},
		{
			name: "psd2", o: wire.PSD2, form: "payee=Acme&amount=48.00&number=" + fresh, client: []codes.Code{codes.Unset},
			serverAttrs: map[string]string{"verify.status": "0", "verify.country": "GB", "verify.delivery": "sent", "verify.breaker": "closed"},
			clientAttrs: map[string]string{"verify.status": "0", "verify.country": "GB", "http.response.status_code": "200"},
		},
		{
			name: "right code", o: wire.Check, form: "request_id=ID&code=1234", client: []codes.Code{codes.Unset}, linked: true,
			serverAttrs: map[string]string{"verify.status": "0", "verify.request_id": "ID", "verify.country": "GB"},
			clientAttrs: map[string]string{"verify.status": "0", "verify.request_id": "ID", "verify.country": "GB"},
		},
		{
			name: "wrong code", o: wire.Check, form: "request_id=ID&code=9999", client: []codes.Code{codes.Unset}, linked: true,
			serverAttrs: map[string]string{"verify.status": "16", "error.type": ""}, clientAttrs: map[string]string{"verify.status": "16", "error.type": ""},
		},
		{
			name: "check of an unknown one", o: wire.Check, form: "request_id=unknown&code=1234", client: []codes.Code{codes.Unset},
			serverAttrs: map[string]string{"verify.status": "6"}, clientAttrs: map[string]string{"verify.status": "6", "error.type": ""},
		},
		{
			name: "search", o: wire.Search, form: "request_id=ID", client: []codes.Code{codes.Unset}, linked: true,
			serverAttrs: map[string]string{"verify.status": "IN PROGRESS", "verify.cache": "miss"}, clientAttrs: map[string]string{"verify.status": "IN PROGRESS"},
		},
		{
			name: "search of a list", o: wire.Search, form: "request_ids=ID&request_ids=b", client: []codes.Code{codes.Unset}, linked: true,
			serverAttrs: map[string]string{"verify.status": "", "verify.request_ids": `["ID","REDACTED"]`}, clientAttrs: map[string]string{"verify.status": ""},
		},
		{
			name: "search of nothing", o: wire.Search, form: "request_id=unknown", client: []codes.Code{codes.Unset},
			serverAttrs: map[string]string{"verify.status": "101"}, clientAttrs: map[string]string{"verify.status": "101", "error.type": ""},
		},
		{
			name: "early cancel", o: wire.Control, form: "request_id=ID&cmd=cancel", client: []codes.Code{codes.Unset}, linked: true,
			serverAttrs: map[string]string{"verify.status": "19"}, clientAttrs: map[string]string{"verify.status": "19"},
		},
		{
			name: "unsupported network", o: wire.Request, form: "brand=Acme&number=447700900115", client: []codes.Code{codes.Error},
			serverAttrs: map[string]string{"verify.status": "15", "error.type": ""}, clientAttrs: map[string]string{"verify.status": "15", "error.type": "verify_15"},
		},
		{
			name: "upstream's error", fault: "* status 5", o: wire.Check, form: "request_id=ID&code=1234", server: codes.Error, client: []codes.Code{codes.Error}, linked: true,
			serverAttrs: map[string]string{"verify.status": "5", "error.type": "verify_5"}, clientAttrs: map[string]string{"error.type": "verify_5"},
		},
		{
			name: "throttled", fault: "* status 1", o: wire.Control, form: "request_id=ID&cmd=cancel", server: codes.Error, client: []codes.Code{codes.Error}, linked: true,
			serverAttrs: map[string]string{"verify.status": "1", "error.type": "verify_1"}, clientAttrs: map[string]string{"error.type": "verify_1"},
		},
		{
			name: "garbage, twice", fault: "* garbage", o: wire.Search, form: "request_id=ID", server: codes.Error, client: []codes.Code{codes.Error, codes.Error}, linked: true,
			serverAttrs: map[string]string{"verify.status": "5", "verify.cause": "answer_unreadable", "verify.reason": "malformed", "error.type": "answer_unreadable"},
			clientAttrs: map[string]string{
				"error.type": "answer_unreadable", "http.request.resend_count": "1", "http.response.status_code": "200",
				"verify.reason": "malformed", "verify.upstream.content_type": "application/json", "http.response.body.size": "36",
			},
		},
		{
			name: "HTTP 502", fault: "* http 502", o: wire.Request, form: "brand=Acme&number=" + fresh, server: codes.Error, client: []codes.Code{codes.Error},
			serverAttrs: map[string]string{"error.type": "upstream_error", "verify.reason": "web_page"}, clientAttrs: map[string]string{"error.type": "upstream_error", "http.response.status_code": "502", "verify.reason": "web_page"},
		},
		{
			name: "request by GET", method: "get", o: wire.Request, form: "brand=Acme&number=" + fresh, client: []codes.Code{codes.Unset},
			serverAttrs: map[string]string{"verify.status": "0"}, clientAttrs: map[string]string{"verify.status": "0"},
		},
		{
			name: "check by GET, HTTP 502", method: "get", fault: "* http 502", o: wire.Check, form: "request_id=ID&code=1234", server: codes.Error, client: []codes.Code{codes.Error}, linked: true,
			serverAttrs: map[string]string{"error.type": "upstream_error", "verify.reason": "web_page"}, clientAttrs: map[string]string{"error.type": "upstream_error", "verify.reason": "web_page", "http.response.status_code": "502"},
		},
		{
			name: "a parameter is missing", o: wire.Request, form: "number=1",
			serverAttrs: map[string]string{"verify.status": "2", "verify.cause": "missing_parameter", "error.type": ""},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				method := http.MethodPost
				if test.method == "get" || test.o == wire.Search {
					method = http.MethodGet
				}
				d := newTraced(t, &Handler{Account: Account{Limit: -1, Method: test.method}})
				defer d.close(t)
				started, origin, _ := d.call(wire.Request, forms[wire.Request])
				id := reply{body: started.Body.String()}.field("request_id")
				if test.fault != "" {
					fault, err := sandbox.ParseFault(test.fault)
					if err != nil {
						t.Fatal(err)
					}
					if err := d.api.SetFaults(fault); err != nil {
						t.Fatal(err)
					}
				}
				w, server, clients := d.call(test.o, strings.ReplaceAll(test.form, "ID", id))

				if want := "POST " + wire.Route(test.o); server.Name() != want {
					t.Errorf("the server span is %q, want %q", server.Name(), want)
				}
				if server.Status().Code != test.server {
					t.Errorf("the server span's status is %v, want %v", server.Status().Code, test.server)
				}
				insert := func(attributes map[string]string) map[string]string {
					attributes = maps.Clone(attributes)
					for name, value := range attributes {
						attributes[name] = strings.ReplaceAll(value, "ID", id)
					}
					return attributes
				}
				expectAttributes(t, server, insert(test.serverAttrs))
				expectAttributes(t, server, map[string]string{"http.route": wire.Route(test.o), "verify.operation": test.o.String()})
				if test.o.Starts() && test.serverAttrs["verify.status"] == "0" {
					expectAttributes(t, server, map[string]string{"verify.request_id": reply{body: w.Body.String()}.field("request_id")})
				}
				if len(clients) != len(test.client) {
					t.Fatalf("%d upstream spans, want %d", len(clients), len(test.client))
				}
				for i, client := range clients {
					if client.Name() != method+" "+wire.Route(test.o) || client.SpanKind() != trace.SpanKindClient {
						t.Errorf("the upstream span is %q, %v", client.Name(), client.SpanKind())
					}
					if client.Status().Code != test.client[i] || client.Status().Description != "" {
						t.Errorf("the upstream span's status is %+v, want %v", client.Status(), test.client[i])
					}
					if client.Parent().SpanID() != server.SpanContext().SpanID() {
						t.Error("the upstream span is no child of the server span")
					}
					expectAttributes(t, client, map[string]string{
						"http.request.method": method, "server.address": "sandbox.invalid", "server.port": "443",
						"url.full": "https://sandbox.invalid" + wire.Path(test.o, wire.JSON), "url.template": wire.Route(test.o),
						"verify.operation": test.o.String(), "verify.breaker": "closed",
					})
					if i == len(clients)-1 {
						expectAttributes(t, client, insert(test.clientAttrs))
					}
				}
				for _, span := range append(clients, server) {
					if len(span.Events()) != 0 {
						t.Errorf("%s has events", span.Name())
					}
					linked := len(span.Links()) == 1 && span.Links()[0].SpanContext.SpanID() == origin.SpanContext().SpanID() &&
						slices.Contains(span.Links()[0].Attributes, attribute.String("verify.link.operation", "request"))
					if linked != test.linked || len(span.Links()) > 1 {
						t.Errorf("%s: the links are %v", span.Name(), span.Links())
					}
					for name, value := range attributes(span) {
						if strings.Contains(value, testNumber) || strings.Contains(value, fresh) || strings.Contains(value, testSecret) || strings.Contains(value, "alice") {
							t.Errorf("%s: %s is %s", span.Name(), name, value)
						}
					}
				}
			})
		})
	}
}

// A method may be any text of a client.
func TestSpanOfUnknownMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTraced(t, &Handler{Account: Account{Limit: -1}})
		defer d.close(t)
		ctx, span := d.tracer.Start(context.Background(), "handler")
		_ = d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, testNumber, "/verify/json", nil), nil)
		span.End()
		if name := d.recorder.Ended()[0].Name(); name != "HTTP /verify/{format}" {
			t.Errorf("the span is %q", name)
		}
	})
}

// Hits, refusals and rejections have no upstream span, but can be seen.
func TestSpansWithoutUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTraced(t, &Handler{Account: Account{Limit: 1}})
		defer d.close(t)
		started, origin, _ := d.call(wire.Request, forms[wire.Request])
		id := reply{body: started.Body.String()}.field("request_id")
		time.Sleep(2 * time.Second)
		d.call(wire.Search, "request_id="+id)
		_, server, clients := d.call(wire.Search, "request_id="+id)
		expectAttributes(t, server, map[string]string{"verify.cache": "hit", "verify.status": "IN PROGRESS"})
		if len(clients) != 0 || len(server.Links()) != 1 || server.Links()[0].SpanContext.SpanID() != origin.SpanContext().SpanID() {
			t.Errorf("%d upstream spans, links %v", len(clients), server.Links())
		}
		_, server, clients = d.call(wire.Control, forms[wire.Control]) // at once: over the limit
		expectAttributes(t, server, map[string]string{"verify.status": "1", "verify.cause": "limit_reached", "error.type": "limit_reached"})
		if len(clients) != 0 || server.Status().Code != codes.Error {
			t.Errorf("%d upstream spans, status %v", len(clients), server.Status())
		}
		time.Sleep(2 * time.Second)
		d.set(func() { d.down = http.ErrServerClosed })
		for n := 0; ; n++ {
			_, server, clients = d.call(wire.Control, forms[wire.Control])
			if attributes(server)["verify.cause"] == "breaker_open" {
				break
			}
			if n > 100 {
				t.Fatal("the breaker does not open")
			}
			time.Sleep(1100 * time.Millisecond)
		}
		expectAttributes(t, server, map[string]string{"verify.status": "5", "verify.breaker": "open", "error.type": "breaker_open"})
		if len(clients) != 0 {
			t.Errorf("%d upstream spans", len(clients))
		}
	})
}

// gather returns all series by name and labels, as "name{a=b,c=d}".
func gather(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	if err := registerMetrics(registry); err != nil { // by a second handler
		t.Fatal(err)
	}
	return gatherFrom(t, registry)
}

func gatherFrom(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "account" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			// Of all accounts together: most tests have one.
			series[family.GetName()+"{"+strings.Join(labels, ",")+"}"] += value(m)
		}
	}
	return series
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	}
	return float64(m.GetHistogram().GetSampleCount())
}

// expectGrowth compares how the counters of some names have grown.
func expectGrowth(t *testing.T, before map[string]float64, names []string, want map[string]float64) {
	t.Helper()
	got := map[string]float64{}
	for name, value := range gather(t) {
		if family, _, _ := strings.Cut(name, "{"); slices.Contains(names, family) && value != before[name] {
			got[name] = value - before[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if d := got[name] - want[name]; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s grew by %v, want %v", name, got[name], want[name])
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s did not grow", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		before := gather(t)
		start := func(number string) string {
			return reply{body: d.call(wire.Request, "brand=Acme&number="+number).Body.String()}.field("request_id")
		}
		first, second, third := start("447700900001"), start("4915123456789"), start("35799123456") // GB, DE, and Cyprus, which is not listed
		d.call(wire.Request, "brand=Acme&number=447700900001")                                      // 10
		d.call(wire.Check, "code=9999&request_id="+first)
		time.Sleep(20 * time.Second)
		d.call(wire.Check, "code=1234&request_id="+first)
		d.call(wire.Check, "code=1234&request_id="+first) // 6: adds nothing
		for range 3 {
			d.call(wire.Check, "code=9999&request_id="+second)
		}
		time.Sleep(20 * time.Second)
		d.call(wire.Control, "cmd=cancel&request_id="+third)
		for range 3 {
			d.call(wire.Search, "request_id="+first) // a miss and two hits
		}
		d.call(wire.Search, "request_ids="+first+"&request_ids="+second+"&request_ids="+third)
		d.call(wire.Search, "request_id=unknown")
		d.call(wire.Request, "brand=Acme")

		expectGrowth(t, before, []string{"verify_requests_total"}, map[string]float64{
			"verify_requests_total{operation=request,source=upstream,status=0}":      3,
			"verify_requests_total{operation=request,source=upstream,status=10}":     1,
			"verify_requests_total{operation=request,source=gateway,status=2}":       1,
			"verify_requests_total{operation=check,source=upstream,status=0}":        1,
			"verify_requests_total{operation=check,source=upstream,status=6}":        1,
			"verify_requests_total{operation=check,source=upstream,status=16}":       3,
			"verify_requests_total{operation=check,source=upstream,status=17}":       1,
			"verify_requests_total{operation=control,source=upstream,status=0}":      1,
			"verify_requests_total{operation=search,source=upstream,status=SUCCESS}": 1,
			"verify_requests_total{operation=search,source=cache,status=SUCCESS}":    2,
			"verify_requests_total{operation=search,source=upstream,status=list}":    1,
			"verify_requests_total{operation=search,source=upstream,status=101}":     1,
		})
		expectGrowth(t, before, []string{"verify_verifications_started_total", "verify_verifications_finished_total", "verify_verifications_untracked_total"}, map[string]float64{
			"verify_verifications_started_total{country=GB}":                       1,
			"verify_verifications_started_total{country=DE}":                       1,
			"verify_verifications_started_total{country=other}":                    1,
			"verify_verifications_finished_total{country=GB,outcome=success}":      1,
			"verify_verifications_finished_total{country=DE,outcome=failed}":       1,
			"verify_verifications_finished_total{country=other,outcome=cancelled}": 1,
		})
		expectGrowth(t, before, []string{"verify_cache_requests_total", "verify_time_to_success_seconds", "verify_upstream_requests_total", "verify_deliveries_total"}, map[string]float64{
			"verify_cache_requests_total{result=miss}":                           2,
			"verify_cache_requests_total{result=hit}":                            2,
			"verify_cache_requests_total{result=partial}":                        1,
			"verify_time_to_success_seconds{}":                                   1,
			"verify_upstream_requests_total{operation=request,outcome=answered}": 4,
			"verify_upstream_requests_total{operation=check,outcome=answered}":   6,
			"verify_upstream_requests_total{operation=control,outcome=answered}": 1,
			"verify_upstream_requests_total{operation=search,outcome=answered}":  3,
			"verify_deliveries_total{source=sent}":                               11,
		})
		now := gather(t)
		if n := now["verify_cost_total{country=GB,currency=EUR,kind=fee}"] - before["verify_cost_total{country=GB,currency=EUR,kind=fee}"]; n < 0.0499 || n > 0.0501 {
			t.Errorf("the fee is %v", n)
		}
		if n := now["verify_breaker_state{breaker=read,state=closed}"]; n < 1 {
			t.Errorf("%v circuits are closed", n)
		}
	})
}

// What nobody will learn about any more is given up when its time comes: a scrape only
// reads, and the first one finds what the second finds.
func TestScrapeMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{}, sandboxConfig)
		defer d.close(t)
		counters := prometheus.NewPedanticRegistry()
		if err := metrics.Register(counters); err != nil { // without what a scrape asks the accounts for
			t.Fatal(err)
		}
		const name = "verify_verifications_finished_total{country=GB,outcome=unknown}"
		before := gatherFrom(t, counters)[name]
		finished := func(when string, want float64) {
			t.Helper()
			if got := gatherFrom(t, counters)[name] - before; got != want {
				t.Errorf("%s: %v finished, want %v", when, got, want)
			}
		}
		d.call(wire.Request, "brand=Acme&number=447700900000")
		const over = (605 + 90 + 3600) * time.Second // its lifetime, the grace, and an hour unsettled
		time.Sleep(over - time.Second)
		finished("just before it is given up", 0)
		time.Sleep(2 * time.Second)
		finished("before a scrape", 1)
		for range 2 {
			gather(t)
			finished("after a scrape", 1)
		}
	})
}

// What expires unseen is unsettled, until the settler asks.
func TestSettler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Settle: true}}, sandboxConfig)
		defer d.close(t)
		before := gather(t)
		for n := range 25 {
			d.call(wire.Request, fmt.Sprintf("brand=Acme&workflow_id=6&number=4477009%05d", n))
			time.Sleep(100 * time.Millisecond)
		}
		if n := gather(t)["verify_verifications_under_way{}"]; n != 25 {
			t.Errorf("%v are under way", n)
		}
		d.set(func() { d.asks = nil })
		time.Sleep(10 * time.Minute)
		expectGrowth(t, before, []string{"verify_verifications_finished_total", "verify_verifications_started_total", "verify_workflow_verifications_started_total", "verify_settler_lookups_total"}, map[string]float64{
			"verify_verifications_started_total{country=GB}":                  25,
			"verify_workflow_verifications_started_total{workflow=6}":         25,
			"verify_verifications_finished_total{country=GB,outcome=expired}": 25,
			"verify_settler_lookups_total{result=answered}":                   float64(d.sent()),
		})
		if d.sent() > 5 {
			t.Errorf("it took %d searches", d.sent())
		}
	})
}

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(p)
	return len(p), nil
}

// next takes out the first line.
func (l *lines) next() (line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, l.text, _ = strings.Cut(l.text, "\n")
	return line
}

func (l *lines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = ""
}

// One line for each call, at warn or info for trouble and debug for all else; changes
// of a breaker's or the account's state at warn.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		logged := new(lines)
		d.gateway.Logger = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		line := func(want map[string]any) {
			t.Helper()
			var got map[string]any
			text := logged.next()
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s is %v, want %v: %s", name, got[name], value, text)
				}
			}
		}
		id := reply{body: d.call(wire.Request, forms[wire.Request]).Body.String()}.field("request_id")
		line(map[string]any{"level": "DEBUG", "msg": "call", "operation": "request", "status": "0", "source": "upstream", "delivery": "sent", "breaker": "closed", "cause": nil})
		d.call(wire.Search, "request_id="+id)
		line(map[string]any{"level": "DEBUG", "operation": "search", "status": "IN PROGRESS", "cache": "miss"})
		d.call(wire.Search, "request_id="+id)
		line(map[string]any{"level": "DEBUG", "status": "IN PROGRESS", "source": "cache", "cache": "hit"})
		d.call(wire.Check, "request_id="+id)
		line(map[string]any{"level": "DEBUG", "operation": "check", "status": "2", "source": "gateway", "cause": "missing_parameter", "may_have_been_sent": false})
		d.set(func() { d.down = http.ErrServerClosed })
		d.call(wire.Check, "code=1234&request_id="+id)
		line(map[string]any{"level": "WARN", "status": "5", "cause": "connect_failed", "may_have_been_sent": false, "reason": "other", "upstream": "sandbox.invalid", "request_id": id, "delivery": nil})
		for d.gateway.Account.Snapshot().Circuits[0].State == wire.CircuitClosed {
			logged.reset()
			d.call(wire.Check, "code=1234&request_id="+id)
		}
		line(map[string]any{"level": "WARN", "msg": "breaker changed", "breaker": "read", "from": "closed", "to": "open", "why": "connect_failed", "reason": "other", "upstream": "sandbox.invalid"})
		d.set(func() { d.down = nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		logged.reset()
		if err := d.api.SetFaults(sandbox.Fault{Kind: "status", Value: "4"}); err != nil {
			t.Fatal(err)
		}
		d.call(wire.Check, "code=1234&request_id="+id)
		line(map[string]any{"level": "WARN", "msg": "account trouble changed", "from": "", "to": "4", "upstream": "sandbox.invalid"})
		line(map[string]any{"level": "WARN", "status": "4", "source": "upstream", "delivery": "sent", "upstream": "sandbox.invalid"})
	})
}

// Accounts of one process are told apart, and their limits are not added up.
func TestAccountsAreToldApart(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	for key, limit := range map[string]int{"shop-1234": 7, "login-5678": 9} {
		h := newGatewayWith(t, &Handler{
			Account: Account{
				Upstream: "https://verify.example", Limit: limit,
				Credentials: &Credentials{APIKey: key, APISecret: testSecret},
			},
		})
		if label := h.gateway.Account.Snapshot().Account; label != key[len(key)-4:]+"@verify.example" {
			t.Errorf("the account of %s is %s", key, label)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "account" && family.GetName() == "verify_limit_rate" {
					limits[l.GetValue()] = value(m)
				}
			}
		}
	}
	if limits["1234@verify.example"] != 7 || limits["5678@verify.example"] != 9 {
		t.Errorf("the limits are %v", limits)
	}
}
