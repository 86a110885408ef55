package caddyverify

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/retry"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// send makes a call, a second time where that may help and cannot harm.
func (h *Handler) send(ctx context.Context, call *wire.Call) wire.Answer {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(h.Timeout))
	defer cancel()
	h.account.retries.Called()
	answer := h.try(ctx, call, 0)
	if !retry.Worth(call.Operation, &answer) || !h.account.retries.Spend() {
		return answer
	}
	select {
	case <-time.After(retry.Delay()):
		h.account.metrics.Retry(call.Operation)
		return h.try(ctx, call, 1)
	case <-ctx.Done():
		return answer
	}
}

// try makes a call, for the resend-th time again, unless it is known to be of no
// use.
func (h *Handler) try(ctx context.Context, call *wire.Call, resend int) (answer wire.Answer) {
	trial, status, retryAfter, ok := h.trouble.Allow(call.Operation)
	if !ok {
		return h.notNow(call.Operation, troubles[status], retryAfter)
	}
	defer func() { trial.Done(&answer) }()
	breakers := h.account.circuits()
	if breakers == nil {
		return h.ask(ctx, call, resend)
	}
	pass, retryAfter, ok := breakers.For(call.Operation).Allow()
	if !ok {
		return h.notNow(call.Operation, wire.BreakerOpen, retryAfter)
	}
	answered := false
	defer func() {
		if !answered { // the call has panicked
			answer = (&wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonOther, MayHaveSent: true}).Answer()
		}
		pass.Done(answer)
	}()
	answer = h.ask(ctx, call, resend)
	answered = true
	return answer
}

// askBy waits for the call's turn, and makes it. again tells that it was made by the
// other method before.
func (h *Handler) askBy(ctx context.Context, method string, call *wire.Call, resend int, again bool) wire.Answer {
	refusal, ok := h.account.limiter.Wait(ctx, call.Operation)
	switch {
	case ok:
		answer := h.sendNow(ctx, method, call, resend, again)
		h.trouble.Observe(call.Operation, answer)
		return answer
	case ctx.Err() != nil:
		return ended(ctx)
	case refusal.Throttled:
		return h.notNow(call.Operation, wire.AccountThrottled, refusal.RetryAfter)
	}
	return h.notNow(call.Operation, wire.LimitReached, refusal.RetryAfter)
}

// ended is the answer to a call that has not been made when its context ends.
func ended(ctx context.Context) wire.Answer {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return (&wire.Fault{Cause: wire.UpstreamTimeout, Reason: wire.ReasonQueue}).Answer()
	}
	return (&wire.Fault{Cause: wire.ClientLeft}).Answer()
}

// sendNow makes a call whose turn it is, and notes its answer; for again see askBy.
func (h *Handler) sendNow(ctx context.Context, method string, call *wire.Call, resend int, again bool) wire.Answer {
	a := h.account
	var (
		span    observe.Client
		origins []observe.Origin
		parent  = trace.SpanFromContext(ctx)
		traced  = parent.IsRecording()
	)
	if traced || call.Operation.Starts() {
		origins = h.origins(call)
	}
	if traced {
		span = observe.StartClient(ctx, h.base, method, call, resend, h.circuit(call.Operation), origins)
	}
	ownStandardLog()
	begun := time.Now()
	// The transport notes in the request's variables that it used a proxy. They are a
	// plain map, and the call may outlive the request.
	answer := h.client.Send(context.WithValue(ctx, caddyhttp.VarsCtxKey, nil), call, method)
	took := time.Since(begun)
	span.End(&answer)
	if other, ok := h.client.Instead(call.Operation, method, &answer); ok && !again {
		return h.askInstead(ctx, other, call, resend, answer.Fault.UpstreamCode)
	}
	a.limiter.Observe(answer)
	h.note(parent.SpanContext(), call, &answer, origins, took)
	return answer
}

// probe asks for a sign of life: a search that costs nobody anything. It waits
// behind no customer's call.
func (h *Handler) probe(ctx context.Context) wire.Answer {
	ctx, cancel := context.WithTimeout(withReplacer(ctx), time.Duration(h.Timeout))
	defer cancel()
	if !h.account.limiter.WaitFirst(ctx) {
		return ended(ctx)
	}
	return h.sendNow(ctx, h.client.MethodOf(wire.Search), wire.SearchFor(wire.JSON, []string{unusedID()}, false), 0, false)
}

// probeForBreaker is probe; the account learns from its answer, too.
func (h *Handler) probeForBreaker(ctx context.Context) wire.Answer {
	answer := h.probe(ctx)
	h.trouble.Searched(answer)
	return answer
}

// withReplacer makes a context of the gateway's own fit for Caddy's transport,
// which takes for granted that there is a replacer for its placeholders.
func withReplacer(ctx context.Context) context.Context {
	return context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
}

// troubles are the causes for what the account is refused for.
var troubles = map[wire.Status]wire.Cause{
	wire.BadCredentials: wire.AccountBadCredentials,
	wire.AccountBarred:  wire.AccountIsBarred,
	wire.NoCredit:       wire.AccountNoCredit,
}

func (h *Handler) notNow(o wire.Operation, cause wire.Cause, retryAfter time.Duration) wire.Answer {
	h.account.metrics.Refused(o, cause)
	return (&wire.Fault{Cause: cause, Refused: true, RetryAfter: retryAfter}).Answer()
}
