package gateway

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The steps of a call give it one slot of the account's limit, and count it as one that was sent. What makes
// several requests for it asks for each further one.

// anotherRequest waits until one more request may be made for a call. Where none may, there is what to say.
type anotherRequest func(context.Context, *wire.Call) (refusal wire.Answer, may bool)

// another takes a slot of the limit's for a further request of a call, within the call's time, and counts
// that.
func (a *Account) another(ctx context.Context, call *wire.Call) (refusal wire.Answer, may bool) {
	turn := a.limiter.Step
	if call.Probe {
		turn = a.limiter.StepFirst
	}
	refusal = turn(func(context.Context, *wire.Call) wire.Answer {
		may = true
		return wire.Answer{}
	})(ctx, call)
	if may {
		a.metrics.Another(call.Caller, call.Operation)
	} else if refusal.Fault == nil || !refusal.Fault.Refused { // its time is over: the provider has answered in time
		refusal = (&wire.Fault{Cause: wire.LimitReached, Refused: true, RetryAfter: time.Second}).Answer()
	}
	return refusal, may
}

// anotherInTime is another that asks for as long as the call has time.
func (a *Account) anotherInTime(ctx context.Context, call *wire.Call) (refusal wire.Answer, may bool) {
	for {
		refusal, may = a.another(ctx, call)
		if may {
			return refusal, true
		}
		wait := refusal.Fault.RetryAfter
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return refusal, false
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return refusal, false
		}
	}
}

// again is another for the same request once more.
func (a *Account) again(ctx context.Context, call *wire.Call) (refusal wire.Answer, may bool) {
	if refusal, may = a.another(ctx, call); may {
		a.retried(call.Operation)
	}
	return refusal, may
}
