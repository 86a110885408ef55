package v2

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A number whose verification was cancelled may be refused for another one as if the first were
// running, for a dozen seconds. A request within this time is made a second time at its end, if
// answerTime is left of its own then: nothing was done the first time.
const (
	afterCancel = 13 * time.Second
	answerTime  = 3 * time.Second
)

// start answers a request.
func (c *Client) start(ctx context.Context, call *wire.Call) wire.Answer {
	made, fault := translate(call)
	if fault != nil {
		return fault.Answer()
	}
	if c.Ref != nil {
		made.ClientRef = c.Ref(call)
	}
	start := made.start()
	start.Account = c.Key
	body, began := made.body(), time.Now()
	r := c.send(ctx, call, http.MethodPost, "", body)
	if r.conflicts() && c.waitOut(ctx, r, start.Number) {
		if _, may := c.again(ctx, call); may {
			began = time.Now()
			r = c.send(ctx, call, http.MethodPost, "", body)
		}
	}
	return c.started(ctx, call, start, began, r)
}

// started answers a request by what the provider has said to it.
func (c *Client) started(ctx context.Context, call *wire.Call, start state.Start, began time.Time, r *reply) wire.Answer {
	switch {
	case r.failed != nil:
		return *r.failed
	case r.conflicts():
		return c.concurrent(ctx, call, r, start.Number)
	case r.Code/100 != 2:
		return c.refused(call, r)
	}
	id := r.started()
	if id == "" {
		return r.useless()
	}
	start.Took, start.Caller = time.Since(began), call.Caller
	c.Book.Began(ctx, id, start)
	return wire.Done(call, id)
}

// started is the request_id of what has begun, "" where none is told.
func (r *reply) started() string {
	var answer struct {
		RequestID string `json:"request_id"`
	}
	if json.Unmarshal(r.Body, &answer) != nil {
		return ""
	}
	return undashed(answer.RequestID)
}

// conflicts tells that a verification of the number is running. SDKs' tests have it with
// HTTP 422 as well.
func (r *reply) conflicts() bool {
	if r.failed != nil || !r.isProblem {
		return false
	}
	return r.Code == http.StatusConflict || r.Code == http.StatusUnprocessableEntity && r.problem.says("concurrent", "conflict")
}

// waitOut waits until a verification that was cancelled counts as such. It reports false where
// there is none, or too little time.
func (c *Client) waitOut(ctx context.Context, r *reply, number string) bool {
	if c.running(ctx, r, number) != "" { // which learns from the store what another gateway has cancelled
		return false
	}
	ago, cancelled := c.Book.Cancelled(number)
	if !cancelled {
		return false
	}
	wait := afterCancel - ago
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline)-answerTime < wait {
		return false
	}
	return wait > 0 && pause(ctx, wait)
}

// running is the verification of a number that a conflict is about: the one that the provider
// names, unless it is known to have ended, or the one that is known to run. That its time is over
// by the clock here is not to know better.
func (c *Client) running(ctx context.Context, r *reply, number string) (requestID string) {
	id := undashed(r.problem.requestID)
	if id == "" {
		if number != "" { // which e-mail has not
			id, _ = c.Book.Running(number)
		}
		return id
	}
	v, known, _ := c.Book.Find(ctx, id)
	if status := v.Status(); known && status.Final() && status != wire.Expired {
		return ""
	}
	return id
}

func (c *Client) concurrent(ctx context.Context, call *wire.Call, r *reply, number string) wire.Answer {
	return refusal(call, wire.Concurrent, c.running(ctx, r, number))
}
