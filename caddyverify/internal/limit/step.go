package limit

import (
	"context"
	"errors"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Step has each call wait for its turn or refuses it, see Wait, and learns from the
// answers. It is a wire.Step.
func (l *Limiter) Step(next wire.Sender) wire.Sender {
	next = l.observed(next)
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		refusal, ok := l.Wait(ctx, call.Caller, call.Operation)
		switch {
		case ok:
			return next(ctx, call)
		case ctx.Err() != nil:
			return ended(ctx)
		case refusal.Own:
			return refuse(wire.CallerLimitReached, refusal)
		case refusal.Throttled:
			return refuse(wire.AccountThrottled, refusal)
		}
		return refuse(wire.LimitReached, refusal)
	}
}

// StepFirst is Step for calls by which the gateway finds out whether trouble is over,
// see WaitFirst.
func (l *Limiter) StepFirst(next wire.Sender) wire.Sender {
	next = l.observed(next)
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if !l.WaitFirst(ctx) {
			return ended(ctx)
		}
		return next(ctx, call)
	}
}

// observed is next, whose answers are learned from.
func (l *Limiter) observed(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		answer := next(ctx, call)
		l.Observe(call.Operation, answer)
		return answer
	}
}

func refuse(cause wire.Cause, r Refusal) wire.Answer {
	return (&wire.Fault{Cause: cause, Refused: true, RetryAfter: r.RetryAfter}).Answer()
}

// ended is the answer to a call that has not been made when its context ends.
func ended(ctx context.Context) wire.Answer {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return (&wire.Fault{Cause: wire.UpstreamTimeout, Reason: wire.ReasonQueue}).Answer()
	}
	return (&wire.Fault{Cause: wire.ClientLeft}).Answer()
}
