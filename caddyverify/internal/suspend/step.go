package suspend

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// causes are why a call is refused, by the status that the upstream would answer.
var causes = map[wire.Status]wire.Cause{
	wire.BadCredentials: wire.AccountBadCredentials,
	wire.AccountBarred:  wire.AccountIsBarred,
	wire.NoCredit:       wire.AccountNoCredit,
}

// Step refuses calls of which it is known what the upstream would say, and learns from
// the answers to those that are made.
func (s *Suspension) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) (answer wire.Answer) {
		trial, status, retryAfter, ok := s.Allow(call.Operation)
		if !ok {
			return (&wire.Fault{Cause: causes[status], Refused: true, RetryAfter: retryAfter}).Answer()
		}
		defer func() { trial.Done(&answer) }() // also where next panics
		answer = next(ctx, call)
		s.Observe(call.Operation, answer)
		return answer
	}
}
