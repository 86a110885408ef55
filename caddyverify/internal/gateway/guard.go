package gateway

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// untold is for how long after its documented lifetime a verification's end may yet become known.
const untold = 5 * time.Minute

// guarded asks the guard whether a verification may be started, once for each that would be sent,
// and tells it what became of that. All other calls pass: what was started can be completed.
func (a *Account) guarded(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if !call.Operation.Starts() || !a.guard.On() {
			return next(ctx, call)
		}
		start := a.startOf(call)
		d := a.fundAndDecide(ctx, start)
		if f, refused := d.Refusal(); refused {
			a.publish(GuardFound{Caller: call.Caller, Finding: f})
			return refusal(f, d.RequestID).Answer()
		}
		for _, f := range d.Findings {
			a.publish(GuardFound{Caller: call.Caller, Finding: f})
		}
		answer := next(ctx, call)
		a.tellGuard(d.Ticket, &answer)
		if answer.Fault == nil && answer.Status == wire.Success && !d.Trusted {
			a.guardShared.started(start, answer.RequestID, d.Findings...)
		}
		return answer
	}
}

// startOf is what the guard is told of a request.
func (a *Account) startOf(call *wire.Call) guard.Start {
	s := guard.Start{Caller: call.Caller, Address: call.Address, Expiry: call.Timing().PIN, Life: call.Lifetime() + untold}
	s.Number, s.Country = country.Parse(call.Get("number"), call.Get("country"))
	s.Messages = call.Messages()
	s.Worst = a.guard.Worst(s.Country, s.Messages)
	if a.guard.WantsType(call.Caller) {
		s.Type = country.Type(s.Number)
	}
	return s
}

// refusal is what the client reads of it: no more than that there is a guard.
func refusal(f guard.Finding, requestID string) *wire.Fault {
	fault := &wire.Fault{
		Cause: wire.GuardRefused, Reason: wire.Reason(f.Rule.String()), As: f.Status, Refused: true, Finding: f.String(),
	}
	switch f.Status {
	case wire.Concurrent:
		fault.RequestID = requestID
	case wire.Throttled:
		fault.RetryAfter = f.Left
	}
	return fault
}

// tellGuard tells what became of a start that it let through. Where nobody knows, it counts as
// started.
func (a *Account) tellGuard(t guard.Ticket, answer *wire.Answer) {
	switch fault := answer.Fault; {
	case fault != nil && fault.MayHaveSent:
	case fault != nil:
		a.guard.Withdraw(t)
	case answer.Status == wire.Success:
		a.guard.Started(t, answer.RequestID)
	case answer.Status == wire.Concurrent:
		a.guard.Concurrent(t, answer.RequestID)
	default:
		a.guard.Withdraw(t)
	}
}
