package v2

import (
	"context"
	"net/http"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// cancel answers a control that cancels.
func (c *Client) cancel(ctx context.Context, call *wire.Call) wire.Answer {
	id := uuid(call.RequestID())
	r := c.send(ctx, call, http.MethodDelete, "/"+id, "")
	return c.cancelled(ctx, call, id, r)
}

// cancelled answers a cancel by what the provider has said to it.
func (c *Client) cancelled(ctx context.Context, call *wire.Call, id string, r *reply) wire.Answer {
	switch {
	case r.failed != nil:
		return c.doubted(ctx, id, r, *r.failed)
	case r.Code == http.StatusNoContent, r.done() && len(r.Body) > 0: // an empty 200 may be anybody's
		c.Book.Ended(ctx, undashed(id), wire.Cancelled)
		return wire.Done(call, "")
	case r.Code == http.StatusNotFound && r.isProblem:
		v, known, sure := c.Book.Find(ctx, undashed(id))
		switch {
		case !sure && call.Raw == nil: // by another gateway it may be running, which a client of v2 is told nothing of
			return (&wire.Fault{Cause: wire.StoreAway, MayHaveSent: true}).Answer()
		case !known || v.Status() != wire.InProgress:
		case v.InDoubt() && v.Messages() <= 1 && v.Age() >= uncancellable: // neither too early nor too late
			c.Book.Gone(ctx, undashed(id), r.took)
		default:
			return tooEarlyOrLate(call, &v)
		}
	}
	return c.doubted(ctx, id, r, c.uncontrolled(ctx, call, id, r))
}

// uncancellable is how long a verification cannot be cancelled.
const uncancellable = 30 * time.Second

// tooEarlyOrLate says of a verification that is running why the provider does not cancel it: it
// does so after 30 s and before the second message. v2 says of either only that it finds none.
func tooEarlyOrLate(call *wire.Call, v *state.Verification) wire.Answer {
	text := "Verification request  ['" + call.RequestID() + "'] can't be cancelled now. Too many attempts to re-deliver have already been made."
	if v.Messages() <= 1 && v.Age() < uncancellable {
		text = "Verification request ['" + call.RequestID() + "'] can't be cancelled within the first 30 seconds."
	}
	return wire.Refusal(call.Operation, call.Format, wire.CannotControl, "", text)
}

// The provider may answer that a verification cannot be moved on yet (replication delay): it has
// done nothing then, and is asked again.
const (
	triggerPause = 500 * time.Millisecond // before the second time; twice as long before each further one
	triggerTimes = 5
)

// trigger answers a control that triggers the next event.
func (c *Client) trigger(ctx context.Context, call *wire.Call) wire.Answer {
	id := uuid(call.RequestID())
	// The API's document has no body here, and an SDK sends one that is empty. With one, the
	// request is sent once over HTTP/2 too.
	r := c.send(ctx, call, http.MethodPost, "/"+id+"/next_workflow", "{}")
	for n := range triggerTimes - 1 {
		if !r.tooSoon() || !pause(ctx, triggerPause<<n) {
			break
		}
		if _, may := c.again(ctx, call); !may {
			continue
		}
		r = c.send(ctx, call, http.MethodPost, "/"+id+"/next_workflow", "{}")
	}
	return c.triggered(ctx, call, id, r)
}

// triggered answers a trigger by what the provider has said to it.
func (c *Client) triggered(ctx context.Context, call *wire.Call, id string, r *reply) wire.Answer {
	switch {
	case r.failed != nil:
		return *r.failed
	case r.done():
		c.Book.Triggered(ctx, undashed(id), r.took)
		return wire.Done(call, "")
	}
	return c.uncontrolled(ctx, call, id, r)
}

// uncontrolled says why the provider has not done it. By 410 it tells that too many wrong codes have ended
// the verification.
func (c *Client) uncontrolled(ctx context.Context, call *wire.Call, id string, r *reply) wire.Answer {
	if r.Code == http.StatusGone && r.isProblem {
		c.Book.Ended(ctx, undashed(id), wire.Failed)
	}
	return c.refused(call, r)
}

// tooSoon tells that the provider cannot say yet.
func (r *reply) tooSoon() bool {
	return r.failed == nil && r.Code == http.StatusConflict && r.isProblem && r.problem.says("try again")
}
