package limit

import (
	"context"
	"errors"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Step has calls wait for their turn, and refuses those that would have to wait too long
// (load shedding). It learns from the answers to the others.
func (l *Limiter) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		refusal, ok := l.Wait(ctx, call.Operation)
		if !ok {
			return refusal.answer(ctx)
		}
		answer := next(ctx, call)
		l.Observe(answer)
		return answer
	}
}

// StepFirst is Step for calls by which the gateway finds out whether trouble is over, see
// WaitFirst.
func (l *Limiter) StepFirst(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if !l.WaitFirst(ctx) {
			return Refusal{}.answer(ctx)
		}
		answer := next(ctx, call)
		l.Observe(answer)
		return answer
	}
}

// answer says why a call was not made.
func (r Refusal) answer(ctx context.Context) wire.Answer {
	fault := &wire.Fault{Cause: wire.LimitReached, Refused: true, RetryAfter: r.RetryAfter}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fault = &wire.Fault{Cause: wire.UpstreamTimeout, Reason: wire.ReasonQueue}
	case ctx.Err() != nil:
		fault = &wire.Fault{Cause: wire.ClientLeft}
	case r.Throttled:
		fault.Cause = wire.AccountThrottled
	}
	return fault.Answer()
}
