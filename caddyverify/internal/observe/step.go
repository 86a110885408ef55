package observe

import (
	"cmp"
	"context"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Upstream observes the attempts at calls to an upstream.
type Upstream struct {
	// Base is the upstream's URL.
	Base *url.URL
	// Target is where below that a call goes, where it is not as in version 1 of the API.
	Target  func(*wire.Call) Target
	Metrics *AccountMetrics
	// Circuit is the present state of the circuit that an operation depends on.
	Circuit func(wire.Operation) wire.CircuitState
	// Origins are the requests that a call is about.
	Origins func(*wire.Call) []Origin
	// Told is told of each.
	Told func(answer *wire.Answer, took time.Duration)
}

// Target is where a call goes.
type Target struct {
	// Method is HTTP's; "" is that of the attempt.
	Method string
	// Path is below the upstream's URL, and Template the same without what differs.
	Path, Template string
}

func (u *Upstream) target(ctx context.Context, call *wire.Call) Target {
	t := Target{Path: wire.Path(call.Operation, call.Format), Template: wire.Route(call.Operation)}
	if u.Target != nil {
		t = u.Target(call)
	}
	t.Method = cmp.Or(t.Method, wire.AttemptOf(ctx).Method)
	return t
}

// Step has each attempt counted, and traced by a span of its own where the client's call
// has one.
func (u *Upstream) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		parent := trace.SpanFromContext(ctx)
		var span Client
		if parent.IsRecording() {
			span = StartClient(ctx, u.Base, u.target(ctx, call), call, u.Circuit(call.Operation), u.Origins(call))
		}
		begun := time.Now()
		answer := next(ctx, call)
		took := time.Since(begun)
		span.End(&answer)
		if answer.Fault == nil || !answer.Fault.MethodUnknown {
			u.Told(&answer, took)
			u.Metrics.Upstream(call.Caller, call.Operation, &answer, took, traceID(parent.SpanContext()))
		}
		return answer
	}
}

// traceID is that of a trace that somebody can look up, or "".
func traceID(span trace.SpanContext) string {
	if !span.IsSampled() {
		return ""
	}
	return span.TraceID().String()
}
