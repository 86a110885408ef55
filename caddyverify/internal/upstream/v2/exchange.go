package v2

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// reply is what the provider has said.
type reply struct {
	upstream.Received
	problem   problem
	isProblem bool
	// failed is what to say where there is nothing that could be read.
	failed *wire.Answer
	took   time.Duration
}

// send makes a request, and once more where the provider says that the credentials have
// expired and there are others: it has done nothing then.
func (c *Client) send(ctx context.Context, call *wire.Call, method, path, body string) *reply {
	auth := c.Auth
	if wire.AttemptOf(ctx).Secret == wire.NextSecret {
		auth = c.Next
	}
	r, used := c.sendOnce(ctx, auth, method, path, body)
	if r.failed == nil && r.expired() && ctx.Err() == nil && auth.Renew(used) {
		if refusal, may := c.again(ctx, call); !may {
			return &reply{failed: &refusal}
		}
		r, _ = c.sendOnce(ctx, auth, method, path, body)
	}
	return r
}

// again asks whether a further request may be made for a call.
func (c *Client) again(ctx context.Context, call *wire.Call) (refusal wire.Answer, may bool) {
	if c.Again == nil {
		return refusal, true
	}
	return c.Again(ctx, call)
}

func (c *Client) sendOnce(ctx context.Context, auth Authorizer, method, path, body string) (r *reply, used string) {
	o := upstream.Outgoing{Template: c.by[method], Body: body}
	if path != "" {
		target := *c.base
		path, target.RawQuery, _ = strings.Cut(path, "?")
		target.Path += path
		o.URL = &target
	}
	o.Header = maps.Clone(o.Template.Header)
	if err := auth.Authorize(o.Header); err != nil {
		answer := (&wire.Fault{Cause: wire.InvariantBroken, Err: err}).Answer()
		return &reply{failed: &answer}, ""
	}
	began := time.Now()
	r = &reply{Received: upstream.Exchange(ctx, c.Transport, o)}
	r.took = time.Since(began)
	if answer, failed := r.Failed(); failed {
		r.failed = &answer
		return r, ""
	}
	if c.Live.In(r.Body) {
		answer := r.Withheld(&wire.Fault{Cause: wire.AnswerWithSecret, MayHaveSent: true})
		r.failed = &answer
		return r, ""
	}
	if r.Code/100 == 4 {
		r.problem, r.isProblem = readProblem(r.Body)
	}
	return r, o.Header.Get("Authorization")
}

func (r *reply) expired() bool {
	return r.Code == http.StatusUnauthorized && r.isProblem && r.problem.says("jwt expired", "has expired")
}

// useless is what to say of what is no answer to the call.
func (r *reply) useless() wire.Answer {
	fault := &wire.Fault{Cause: wire.AnswerUnreadable, Reason: wire.WhatCame(wire.JSON, r.Body), MayHaveSent: true}
	switch r.Code / 100 {
	case 3: // a redirect is never an answer
		fault.Cause, fault.Reason = wire.UpstreamError, wire.ReasonRedirect
	case 4, 5:
		fault.Cause = wire.UpstreamError
	}
	return r.Useless(fault)
}

// done tells that the provider has done what it was asked to. It may say so without a body. A web
// page with HTTP 200 is no such word.
func (r *reply) done() bool {
	return r.Code/100 == 2 && (len(r.Body) == 0 || r.members() != nil)
}

// members are those of the JSON object that came, nil for anything else.
func (r *reply) members() (members map[string]json.RawMessage) {
	if json.Unmarshal(r.Body, &members) != nil {
		return nil
	}
	return members
}

// pause waits, unless the time of ctx is too short for that and a request after it. It reports
// whether it has.
func pause(ctx context.Context, d time.Duration) bool {
	const request = time.Second
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d+request {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// undashed is a request_id of v2 as v1 has it; "" for what is none.
func undashed(id string) string {
	digits := wire.Spelling(id)
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return digits
}
