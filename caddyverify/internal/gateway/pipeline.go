package gateway

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// way is how calls get to the provider with the same secrets. It never changes.
type way struct {
	*Account
	by      credentials
	secrets *secrets // what is known of the first two
	// unauthorized tells that a 401 or 403 to a client's call may be about them, too: version 2
	// says so by nothing else.
	unauthorized bool
	sum          [32]byte
	letGo        func(after time.Duration)
	stop         func() // probing; nil until Start

	send       wire.Sender // a client's call
	sendManage wire.Sender // one about templates
	sendProbe  wire.Sender
	sendSettle wire.Sender
	sendOther  wire.Sender // a probe with the other secret
	known      wire.Sender // a search that is answered without the provider
}

// pipelines makes the ways of a call to the provider, each a list with the outermost
// step first. What a step refuses goes no further in.
func (g *Gateway) pipelines(w *way, p *api) {
	a := g.Account
	observed := (&observe.Upstream{Base: g.base, Target: p.target, Metrics: a.metrics, Circuit: a.circuit, Origins: a.origins, Told: a.sent}).Step
	recorded := a.ledger.Step(p.about(a), a.publishEvents)

	w.send = wire.Chain(p.call,
		p.unsent,
		a.guarded,
		a.countRefused,
		g.withinTimeout,
		a.retries.Step(a.retried),
		w.secrets.Step,
		a.breakers.Step,
		w.eitherSecret,
		p.method,
		a.limiter.Step,
		a.oneDelivery,
		observed,
		recorded,
		a.acquainted,
	)
	// No ledger, cache or delivery knows of what is about no verification.
	w.sendManage = wire.Chain(p.call,
		a.countRefused,
		g.withinTimeout,
		w.secrets.Step,
		a.breakers.Step,
		w.eitherSecret,
		a.limiter.Step,
		a.oneDelivery,
		observed,
	)
	w.known = wire.Chain(p.search, recorded, a.acquainted)
	w.send = p.orSearch(w.send, w.known)
	// A search of the settler can wait: it comes again later.
	w.sendSettle = wire.Chain(p.call,
		g.withinTimeout,
		w.secrets.Step,
		a.breakers.Step,
		w.eitherSecret,
		p.method,
		a.limiter.Step,
		observed,
		recorded,
	)
	w.sendSettle = p.orSearch(w.sendSettle, w.known)
	// A probe finds out about trouble, so nothing that is in trouble holds it up. Its
	// answer is about the account, by HTTP's codes, too.
	w.sendProbe = wire.Chain(p.call,
		g.withinTimeout,
		w.eitherSecretOfProbe,
		p.method,
		a.limiter.StepFirst,
		observed,
		recorded,
	)
	w.sendOther = wire.Chain(p.call,
		g.withinTimeout,
		p.method,
		a.limiter.StepFirst,
		observed,
		recorded,
	)
}

// withinTimeout bounds all that is done for a call.
func (g *Gateway) withinTimeout(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		ctx, cancel := context.WithTimeout(ctx, g.Timeout)
		defer cancel()
		return next(ctx, call)
	}
}

// countRefused tells of calls that a policy has refused.
func (a *Account) countRefused(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		answer := next(ctx, call)
		if fault := answer.Fault; fault != nil && fault.Refused {
			a.publish(CallRefused{Operation: call.Operation, Cause: fault.Cause, Caller: call.Caller})
		}
		return answer
	}
}

// origins are the requests that a call is about. For a request itself it is where that
// goes to.
func (a *Account) origins(call *wire.Call) []observe.Origin {
	ids, _ := call.IDs()
	switch call.Operation {
	case wire.Request, wire.PSD2:
		return []observe.Origin{{Country: a.country(call)}}
	case wire.Check, wire.Control:
		ids = []string{call.RequestID()}
	case wire.Search: // all that it asks for
	case wire.Templates: // none
	}
	var origins []observe.Origin
	for _, id := range ids {
		if country, link, ok := a.ledger.Origin(id); ok {
			span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: link.Trace, SpanID: link.Span, TraceFlags: trace.FlagsSampled})
			origins = append(origins, observe.Origin{Span: span, Country: country})
		}
	}
	return origins
}

// about is what an account's ledger keeps of a request.
func (p *api) about(a *Account) func(context.Context, *wire.Call) (string, ledger.Link, wire.Timing) {
	return func(ctx context.Context, call *wire.Call) (country string, link ledger.Link, timing wire.Timing) {
		if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
			// Nobody could follow one that is not sampled.
			link = ledger.Link{Trace: span.TraceID(), Span: span.SpanID()}
		}
		if p.timing != nil {
			timing = p.timing(call)
		}
		return a.country(call), link, timing
	}
}

// country is the label of where a request goes to.
func (a *Account) country(call *wire.Call) string {
	return a.inForce.Load().Countries.Label(call.Get("number"), call.Get("country"))
}

// circuit is the present state of the circuit that an operation depends on, "" without
// circuits.
func (a *Account) circuit(o wire.Operation) wire.CircuitState {
	if a.breakers.Off() {
		return ""
	}
	return a.breakers.For(o).State()
}
