package gateway

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// untold is for how long after its documented lifetime a verification's end may yet become known.
const untold = 5 * time.Minute

// numbered comes after the request_id under which the guard keeps further numbers of one
// verification.
const numbered = "."

// guarded asks the guard whether a verification may be started, once for each that would be sent,
// and tells it what became of that. All other calls pass: what was started can be completed.
func (a *Account) guarded(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if !call.Operation.Starts() || !a.guard.On() {
			return next(ctx, call)
		}
		// One of version 2 may go to several numbers, of which each must be let through.
		starts := a.startsOf(call)
		decided := make([]guard.Decision, 0, len(starts))
		for _, start := range starts {
			d := a.fundAndDecide(ctx, start)
			if f, refused := d.Refusal(); refused {
				a.publish(GuardFound{Caller: call.Caller, Finding: f})
				for _, before := range decided {
					a.guard.Withdraw(before.Ticket)
				}
				running, _, _ := strings.Cut(d.RequestID, numbered)
				return refusal(f, running).Answer()
			}
			decided = append(decided, d)
		}
		for _, d := range decided {
			for _, f := range d.Findings {
				a.publish(GuardFound{Caller: call.Caller, Finding: f})
			}
		}
		answer := next(ctx, call)
		for i, d := range decided {
			told := answer
			if i > 0 && answer.Status == wire.Success {
				// The verification is one, of the first number. That the others are verified nobody
				// learns.
				told.RequestID += numbered + strconv.Itoa(i+1)
			}
			a.tellGuard(d.Ticket, &told)
			if told.Fault == nil && told.Status == wire.Success && !d.Trusted {
				a.guardShared.started(starts[i], told.RequestID, d.Findings...)
			}
		}
		return answer
	}
}

// startsOf is what the guard is told of a request: one start for each number that it goes to.
// What goes to e-mail addresses alone is none of its business.
func (a *Account) startsOf(call *wire.Call) []guard.Start {
	if call.Raw == nil {
		return []guard.Start{a.startOf(call)}
	}
	numbers, messages := call.Raw.Numbers()
	starts := make([]guard.Start, len(numbers))
	for i, number := range numbers {
		one, raw := *call, *call.Raw
		raw.Workflow = make([]wire.Message, messages[number])
		one.Raw, one.Params = &raw, []wire.Param{{Name: "number", Value: number}}
		starts[i] = a.startOf(&one)
		starts[i].Life = call.Lifetime() + untold
	}
	return starts
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
	switch {
	case answer.InDoubt():
	case answer.Fault != nil:
		a.guard.Withdraw(t)
	case answer.Status == wire.Success:
		a.guard.Started(t, answer.RequestID)
	case answer.Status == wire.Concurrent:
		a.guard.Concurrent(t, answer.RequestID)
	default:
		a.guard.Withdraw(t)
	}
}
