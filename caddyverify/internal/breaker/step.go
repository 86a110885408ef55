package breaker

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Step refuses calls whose circuit is not closed, and tells it what becomes of the
// others. It is a wire.Step.
func (p *Pair) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) (answer wire.Answer) {
		pass, retryAfter, ok := p.For(call.Operation).Allow()
		if !ok {
			return (&wire.Fault{Cause: wire.BreakerOpen, Refused: true, RetryAfter: retryAfter}).Answer()
		}
		answered := false
		defer func() {
			if !answered { // next has panicked
				answer = (&wire.Fault{Cause: wire.ConnectionLost, Reason: wire.ReasonOther, MayHaveSent: true}).Answer()
			}
			told := answer
			if call.Operation == wire.Templates && Classify(answer).Verdict == Success {
				told.Status = wire.Invalid // alive: who reads templates must not make up for starts that fail
			}
			pass.Done(told)
		}()
		answer = next(ctx, call)
		answered = true
		return answer
	}
}
