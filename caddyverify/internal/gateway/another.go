package gateway

import (
	"context"

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
	}
	return refusal, may
}

// again is another for the same request once more.
func (a *Account) again(ctx context.Context, call *wire.Call) (refusal wire.Answer, may bool) {
	if refusal, may = a.another(ctx, call); may {
		a.retried(call.Operation)
	}
	return refusal, may
}
