package gateway

import (
	"context"
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	v2 "github.com/caddyverify/caddy-verify/caddyverify/internal/upstream/v2"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// drain starts verifications with version 2 of the API, and checks, controls and searches
// those that version 1 has started with version 1. Ids tell nothing of the version.
type drain struct {
	v2   *v2.Client
	v1   *upstream.Client
	book *state.Book
	// another waits until both may be asked for one call.
	another anotherRequest
}

// known tells that nothing a search is about can be version 1's.
func (d *drain) known(ctx context.Context, call *wire.Call) bool {
	ids, _ := call.IDs()
	for _, id := range ids {
		if known, _ := d.book.Known(ctx, id); !known {
			return false
		}
	}
	return true
}

// unsent is for what starts: all else may be version 1's.
func (d *drain) unsent(next wire.Sender) wire.Sender {
	starts := d.v2.Step(next)
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if call.Operation.Starts() {
			return starts(ctx, call)
		}
		return next(ctx, call)
	}
}

// roundTrip is for one attempt. What the book does not know is version 1's, or was started
// with version 2 before a restart: version 1 is asked first, and where that says that it knows
// nothing of it, and so has done nothing, version 2.
func (d *drain) roundTrip(ctx context.Context, call *wire.Call) wire.Answer {
	switch {
	case d.isV2s(ctx, call):
		return d.v2.RoundTrip(ctx, call)
	case call.Operation == wire.Search:
		return d.search(ctx, call)
	}
	answer := d.askV1(ctx, call)
	if answer.Fault == nil && (answer.Status == wire.NotFoundOrFinished || answer.Status == wire.NoResponse) && ctx.Err() == nil {
		asked := false
		second := d.v2.Step(func(ctx context.Context, call *wire.Call) wire.Answer {
			asked = true
			if refusal, may := d.another(ctx, call); !may {
				return refusal
			}
			return d.v2.RoundTrip(ctx, call)
		})
		if other := second(ctx, call); asked && (other.Fault != nil || other.Status != answer.Status) {
			return other
		}
	}
	return answer
}

// isV2s tells that nothing of a call can be version 1's.
func (d *drain) isV2s(ctx context.Context, call *wire.Call) bool {
	if call.Probe || call.Raw != nil || call.Operation.Starts() {
		return true
	}
	known, _ := d.book.Known(ctx, call.RequestID())
	return known
}

// search takes what version 1 is asked together with what is known of the others. What neither it nor
// the store has said anything of may be version 2's.
func (d *drain) search(ctx context.Context, call *wire.Call) wire.Answer {
	ids, list := call.IDs()
	var asked, known, unsure []string
	for _, id := range ids {
		isV2s, sure := d.book.Known(ctx, id)
		if isV2s {
			known = append(known, id)
			continue
		}
		asked = append(asked, id)
		if !sure {
			unsure = append(unsure, id)
		}
	}
	if len(known) > 0 {
		call = wire.SearchFor(call.Format, asked, list)
	}
	answer := d.askV1(ctx, call)
	if answer.Fault != nil || answer.Status.Numeric() && answer.Status != wire.NoResponse {
		return answer
	}
	for _, id := range unsure {
		if !slices.ContainsFunc(answer.Found, func(v *wire.Verification) bool { return wire.Spelling(v.RequestID) == wire.Spelling(id) }) {
			return (&wire.Fault{Cause: wire.StoreAway, MayHaveSent: true}).Answer()
		}
	}
	if len(known) == 0 {
		return answer
	}
	parts := map[string][]byte{}
	takeParts(&answer, call.Format, parts)
	if answer = d.v2.Search(ctx, wire.SearchFor(call.Format, known, list)); answer.Fault != nil {
		return answer
	}
	takeParts(&answer, call.Format, parts)
	if len(parts) == 0 {
		return answer
	}
	answer = compose(call.Format, ids, parts)
	var err error
	if answer.Reading, err = wire.Read(wire.Search, call.Format, answer.Body); err != nil {
		return asAnswer(err)
	}
	return answer
}

// askV1 is for one attempt with version 1. That it refuses the account's credentials is no trouble
// of version 2's, which has others.
func (d *drain) askV1(ctx context.Context, call *wire.Call) wire.Answer {
	answer := d.v1.RoundTrip(ctx, call)
	if answer.Fault == nil && (answer.Status == wire.BadCredentials || answer.Status == wire.AccountBarred || answer.Status == wire.NoCredit) {
		return (&wire.Fault{Cause: wire.UpstreamUnauthorized}).Answer()
	}
	return answer
}

// target is where the first attempt at a call goes.
func (d *drain) target(call *wire.Call) observe.Target {
	if d.isV2s(context.Background(), call) {
		return target(call)
	}
	return observe.Target{Path: wire.Path(call.Operation, call.Format), Template: wire.Route(call.Operation)}
}
