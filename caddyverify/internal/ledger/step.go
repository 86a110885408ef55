package ledger

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Step returns the step that has the ledger learn from answers. about says what is kept
// of a request, and its Observation.Timing, and told is given what became known.
func (l *Ledger) Step(about func(context.Context, *wire.Call) (country string, link Link, timing wire.Timing), told func(context.Context, Events)) wire.Step {
	return func(next wire.Sender) wire.Sender {
		return func(ctx context.Context, call *wire.Call) wire.Answer {
			begun := l.now()
			checked := l.checking(call)
			answer := next(ctx, call)
			o := Observation{Call: call, Answer: &answer, Took: l.now() - begun, checked: checked}
			if call.Operation.Starts() {
				o.Country, o.Link, o.Timing = about(ctx, call)
			}
			told(ctx, l.Observe(o))
			return answer
		}
	}
}
