package caddyverify

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// metrics are the process's: Caddy makes a new registry with each configuration,
// and counters made with it would begin at 0 on every reload.
var metrics = observe.NewMetrics()

// registerMetrics adds the collectors to the configuration's registry, which
// Caddy serves and, with `metrics { otlp }`, pushes.
func registerMetrics(registry prometheus.Registerer) error {
	if err := metrics.Register(registry); err != nil {
		return err
	}
	return observe.Register(registry, stateCollector{})
}

// report says what became of a call: in metrics, on the span that Caddy's tracing
// began for it, and in the log.
func (h *Handler) report(r *http.Request, x *exchange, took time.Duration) {
	source := x.source()
	if x.found {
		h.account.metrics.Call(x.operation, observe.StatusLabel(&x.answer), source, took)
		if len(x.ignored) > 0 {
			h.reportIgnored(r, x)
		}
		if result := x.cacheResult(); result != "" {
			h.account.metrics.Search(string(result))
		}
		if x.delivered != "" {
			h.account.metrics.Delivery(string(x.delivered))
		}
		if observe.Recording(r.Context()) {
			h.span(r, x)
		}
	} else {
		observe.RedactPath(r.Context(), r.URL.EscapedPath())
	}
	observe.RedactHead(r)
	level := observe.Level(&x.answer)
	if level > slog.LevelDebug && h.refusals.count(x.answer.Fault, callerOf(r)) {
		level = slog.LevelDebug
	}
	if h.logger.Enabled(r.Context(), level) {
		h.logger.LogAttrs(r.Context(), level, "call", h.attrs(r, x, source, took)...)
	}
}

func (h *Handler) span(r *http.Request, x *exchange) {
	server := observe.Server{
		Method:    r.Method,
		Call:      x.call,
		Operation: x.operation,
		Cache:     string(x.cacheWord()),
		Collapsed: x.searched && x.result.Collapsed,
		Delivery:  string(x.delivered),
		Breaker:   h.circuit(x.operation),
	}
	if x.call != nil {
		server.Origins = h.origins(x.call)
	}
	server.Record(r.Context(), &x.answer)
}

// attrs are what is logged of a call. None of it is what a client wrote.
func (h *Handler) attrs(r *http.Request, x *exchange, source observe.Source, took time.Duration) []slog.Attr {
	var attrs []slog.Attr
	if x.found {
		attrs = append(attrs, slog.String("operation", x.operation.String()), slog.String("format", x.format.String()))
	}
	attrs = append(attrs,
		slog.String("status", observe.StatusLabel(&x.answer)),
		slog.String("source", string(source)),
		slog.Duration("duration", took),
	)
	if circuit := h.circuit(x.operation); circuit != "" && x.found {
		attrs = append(attrs, slog.String("breaker", circuit))
	}
	if x.answer.Fault != nil {
		attrs = append(attrs, slog.String("cause", string(x.answer.Fault.Cause)), slog.Bool("may_have_been_sent", x.answer.Fault.MayHaveSent))
		attrs = append(attrs, faultAttrs(x.answer.Fault)...)
	}
	if observe.Trouble(&x.answer) {
		attrs = append(attrs, h.troubleAttrs(x)...)
	}
	if word := x.cacheWord(); word != "" {
		attrs = append(attrs, slog.String("cache", string(word)))
	}
	if x.delivered != "" {
		attrs = append(attrs, slog.String("delivery", string(x.delivered)))
	}
	if caller := callerOf(r); caller != "" {
		attrs = append(attrs, slog.String("caller", caller))
	}
	return attrs
}

func (x *exchange) source() observe.Source {
	switch {
	case x.answer.Fault != nil:
		return observe.Gateway
	case x.searched && (x.result.Kind == wire.CacheHit || x.result.Kind == wire.CacheStale), x.delivered == wire.Replayed:
		return observe.Memory
	}
	return observe.Upstream
}

// cacheWord is what memory had for a search, as on spans and in logs.
func (x *exchange) cacheWord() wire.CacheResult {
	switch {
	case x.searched:
		return x.result.Kind
	case x.cacheStatus != "":
		return wire.CacheBypass
	}
	return ""
}

// cacheResult is the same as in metrics, where a search that shared another's call
// is neither hit nor miss.
func (x *exchange) cacheResult() wire.CacheResult {
	if x.searched {
		return x.result.Label()
	}
	return x.cacheWord()
}

// circuit is the present state of the circuit that an operation depends on.
func (h *Handler) circuit(o wire.Operation) string {
	breakers := h.account.circuits()
	if breakers == nil {
		return ""
	}
	return breakers.For(o).State().String()
}

// origins are the requests that a call is about. For a request itself it is where
// that goes to.
func (h *Handler) origins(call *wire.Call) []observe.Origin {
	ids, _ := call.IDs()
	switch call.Operation {
	case wire.Request, wire.PSD2:
		return []observe.Origin{{Country: h.account.inForce.Load().countries.Label(call.Get("number"), call.Get("country"))}}
	case wire.Check, wire.Control:
		ids = []string{call.RequestID()}
	}
	var origins []observe.Origin
	for _, id := range ids {
		if country, link, ok := h.account.book.Origin(id); ok {
			span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: link.Trace, SpanID: link.Span, TraceFlags: trace.FlagsSampled})
			origins = append(origins, observe.Origin{Span: span, Country: country})
		}
	}
	return origins
}

// note counts an answer of the upstream, and what it tells of verifications.
func (h *Handler) note(span trace.SpanContext, call *wire.Call, answer *wire.Answer, origins []observe.Origin, took time.Duration) {
	traceID := ""
	if span.IsSampled() {
		traceID = span.TraceID().String()
	}
	h.account.metrics.Upstream(call.Operation, answer, took, traceID)
	observation := ledger.Observation{Call: call, Answer: answer}
	if call.Operation.Starts() {
		observation.Country = origins[0].Country
		if span.IsSampled() {
			// Nobody could follow one that is not sampled.
			observation.Link = ledger.Link{Trace: span.TraceID(), Span: span.SpanID()}
		}
	}
	h.account.tally(h.account.book.Observe(observation))
}

// tally turns what the ledger learnt into metrics.
func (a *account) tally(events ledger.Events) {
	for _, start := range events.Started {
		a.metrics.Started(start.Country, start.Workflow)
	}
	for _, end := range events.Finished {
		a.metrics.Finished(string(end.Outcome), end.Country, end.Workflow, end.TimeToSuccess, end.Attempts)
	}
	for _, cost := range events.Costs {
		a.metrics.Cost(cost.Currency, string(cost.Kind), cost.Country, cost.Amount)
	}
	for _, outcome := range events.Untracked {
		a.metrics.Untracked(string(outcome))
	}
}

// stateCollector tells of what the gateway holds at the moment of a scrape.
type stateCollector struct{}

// Describe implements prometheus.Collector.
func (stateCollector) Describe(to chan<- *prometheus.Desc) { observe.DescribeState(to) }

// Collect implements prometheus.Collector.
func (stateCollector) Collect(to chan<- prometheus.Metric) {
	// Two accounts may have the same label.
	accounts := map[string]*observe.State{}
	of := func(label string) *observe.State {
		if accounts[label] == nil {
			accounts[label] = &observe.State{Account: label, Breakers: map[[2]string]int{}}
		}
		return accounts[label]
	}
	state.Range(func(_, value any) bool {
		switch part := value.(type) {
		case *kept[*account]:
			part.value.collect(of(part.value.label))
		case *kept[*accountTrouble]:
			if status, inTrouble := part.value.Trouble(); inTrouble {
				now := of(part.value.label)
				now.AccountTroubles = append(now.AccountTroubles, string(status))
			}
		}
		return true
	})
	for _, now := range accounts {
		now.Collect(to)
	}
}

func (a *account) collect(now *observe.State) {
	cached := a.cache.Stats()
	now.CacheEntries += cached.Entries
	now.CacheBytes += cached.Bytes
	now.EvictedSize += cached.EvictedSize
	now.EvictedExpired += cached.EvictedExpired
	if breakers := a.circuits(); breakers != nil {
		now.Breakers[[2]string{"read", breakers.Read.State().String()}]++
		now.Breakers[[2]string{"write", breakers.Write.State().String()}]++
	}
	limits := a.limiter.Stats()
	now.LimitRate += limits.Rate
	now.LimitWaiting += limits.Waiting
	verifications := a.book.Stats()
	now.UnderWay += verifications.UnderWay
	now.Unsettled += verifications.Unsettled
	if a.book.settlers.Load() > 0 {
		now.SettlerBacklog += verifications.Unsettled
	}
}
