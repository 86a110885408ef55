package suspend

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// causes are what calls are told while they are refused for a status.
var causes = map[wire.Status]wire.Cause{
	wire.BadCredentials: wire.AccountBadCredentials,
	wire.AccountBarred:  wire.AccountIsBarred,
	wire.NoCredit:       wire.AccountNoCredit,
}

// Step refuses calls that the upstream would refuse for the account, and learns from
// the answers to others. It is a wire.Step.
func (s *Suspension) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) (answer wire.Answer) {
		trial, status, retryAfter, ok := s.Allow(call.Caller, call.Operation)
		if !ok {
			return (&wire.Fault{Cause: causes[status], Refused: true, RetryAfter: retryAfter}).Answer()
		}
		answered := false
		defer func() {
			if !answered { // next has panicked, which says nothing of the account
				answer = (&wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonOther, MayHaveSent: true}).Answer()
			}
			trial.Done(&answer)
		}()
		answer = next(ctx, call)
		answered = true
		// The steps after this one refuse calls, too, but a refusal of the gateway's own
		// is a Fault that Observe takes nothing from.
		s.Observe(call.Operation, answer)
		return answer
	}
}
