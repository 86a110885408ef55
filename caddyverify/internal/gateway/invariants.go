package gateway

import (
	"cmp"
	"context"
	"sync/atomic"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What is looked at here has been seen to already, and is looked at once more where it
// would do harm. What would break a promise is held back: that one call gets an error.

// onceOnly is one call that is to reach the provider once. Its attempts are made one
// after the other.
type onceOnly struct {
	sent atomic.Bool
	// refused is the secret for which the provider has done nothing, answering 4: by the
	// other one the call may be made once more. "" for none.
	refused wire.SecretName
}

type onceOnlyKey struct{}

// withOnceOnly returns ctx for the attempts at one call.
func withOnceOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, onceOnlyKey{}, new(onceOnly))
}

// oneDelivery holds back a request, check or control that may have been sent before.
func (a *Account) oneDelivery(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		once, _ := ctx.Value(onceOnlyKey{}).(*onceOnly)
		if once == nil || call.Operation.Repeatable() {
			return next(ctx, call)
		}
		secret := cmp.Or(wire.AttemptOf(ctx).Secret, wire.FirstSecret)
		if once.sent.Swap(true) && once.refused != secret.Other() {
			return a.broken(wire.OneDelivery, true)
		}
		answer := next(ctx, call)
		once.refused = ""
		if answer.Fault == nil && answer.Status == wire.BadCredentials {
			once.refused = secret
		}
		if f := answer.Fault; f != nil && (!f.MayHaveSent || f.MethodUnknown) {
			once.sent.Store(false)
		}
		return answer
	}
}

// keepSecret holds back an answer with a secret of any of the accounts in it.
func (g *Gateway) keepSecret(x *exchange) {
	for _, one := range g.chain {
		if one.Account.live.Shown(x.answer.Body) {
			fault := one.Account.broken(wire.SecretKept, true).Fault
			x.answer = wire.Say(fault, x.operation, x.format, g.HTTPErrors)
		}
	}
}

// broken tells of a fault of the gateway itself, and is the answer to a call that it
// would have harmed.
func (a *Account) broken(i wire.Invariant, mayHaveSent bool) wire.Answer {
	a.publish(InvariantBroken{i})
	return (&wire.Fault{Cause: wire.InvariantBroken, MayHaveSent: mayHaveSent}).Answer()
}
