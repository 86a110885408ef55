package caddyverify

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/retry"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// send makes a call, a second time where that may help and cannot harm.
func (h *Handler) send(ctx context.Context, call *wire.Call) wire.Answer {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(h.Timeout))
	defer cancel()
	h.account.retries.Called()
	answer := h.try(ctx, call)
	if !retry.Worth(call.Operation, &answer) || !h.account.retries.Spend() {
		return answer
	}
	select {
	case <-time.After(retry.Delay()):
		return h.try(ctx, call)
	case <-ctx.Done():
		return answer
	}
}

// try makes a call unless it is known to be of no use.
func (h *Handler) try(ctx context.Context, call *wire.Call) (answer wire.Answer) {
	a := &h.account
	if status, retryAfter, blocked := a.trouble.Check(call.Operation); blocked {
		return notNow(troubles[status], retryAfter)
	}
	if a.breakers != nil {
		pass, retryAfter, ok := a.breakers.For(call.Operation).Allow()
		if !ok {
			return notNow(wire.BreakerOpen, retryAfter)
		}
		defer func() { pass.Done(answer) }()
	}
	return h.ask(ctx, call)
}

// ask waits for the call's turn, makes it, and learns from its answer.
func (h *Handler) ask(ctx context.Context, call *wire.Call) wire.Answer {
	a := &h.account
	if retryAfter, ok := a.limiter.Wait(ctx, call.Operation); !ok {
		if ctx.Err() != nil {
			return (&wire.Fault{Cause: wire.ClientLeft}).Answer()
		}
		return notNow(wire.LimitReached, retryAfter)
	}
	answer := h.client.Send(ctx, call)
	a.limiter.Observe(answer)
	a.trouble.Observe(call.Operation, answer)
	return answer
}

// probe asks for a sign of life: a search that costs nobody anything.
func (h *Handler) probe(ctx context.Context) wire.Answer {
	return h.ask(ctx, wire.SearchFor(wire.JSON, []string{unusedID()}, false))
}

// troubles are the causes for what the account is refused for.
var troubles = map[wire.Status]wire.Cause{
	wire.BadCredentials: wire.AccountBadCredentials,
	wire.AccountBarred:  wire.AccountIsBarred,
	wire.NoCredit:       wire.AccountNoCredit,
}

func notNow(cause wire.Cause, retryAfter time.Duration) wire.Answer {
	return (&wire.Fault{Cause: cause, RetryAfter: retryAfter}).Answer()
}
