package v2

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// pass makes a call that a client has made of v2 itself. It is answered with the provider's own
// bytes and HTTP code; what they say is read as it is for calls of v1, so that every step around
// knows the outcome. Unlike those it is never sent a second time, but where the gateway's own JWT
// has expired: the client knows v2's refusals and what to do after them.
func (c *Client) pass(ctx context.Context, call *wire.Call) wire.Answer {
	id := uuid(call.RequestID())
	switch {
	case call.Operation == wire.Request:
		began := time.Now()
		r := c.send(ctx, call, http.MethodPost, "", call.Raw.Body)
		return r.asItIs(call, c.started(ctx, call, c.startOf(call), began, r))
	case call.Operation == wire.Check:
		r := c.send(ctx, call, http.MethodPost, "/"+id, call.Raw.Body)
		return r.asItIs(call, c.checked(ctx, call, id, r))
	case call.Get("cmd") == cancel:
		r := c.send(ctx, call, http.MethodDelete, "/"+id, "")
		return r.asItIs(call, c.cancelled(ctx, call, id, r))
	default:
		r := c.send(ctx, call, http.MethodPost, "/"+id+"/next_workflow", "{}") // see trigger
		return r.asItIs(call, c.triggered(ctx, call, id, r))
	}
}

// startOf is what there is to note of the verification that a client begins by v2.
func (c *Client) startOf(call *wire.Call) state.Start {
	s := state.Start{Account: c.Key, Number: call.Get("number"), Wait: call.Raw.Wait}
	for _, m := range call.Raw.Workflow {
		s.Sender = cmp.Or(s.Sender, m.From)
		s.Channels = append(s.Channels, cmp.Or(map[string]string{voice: "tts"}[m.Channel], m.Channel))
	}
	s.Sender = cmp.Or(s.Sender, call.Get("brand")) // v2's default
	if slices.ContainsFunc(call.Raw.Workflow, func(m wire.Message) bool { return m.To != s.Number }) {
		for _, m := range call.Raw.Workflow {
			number := m.To
			if strings.Contains(number, "@") {
				number = ""
			}
			s.Numbers = append(s.Numbers, number)
		}
	}
	return s
}

// asItIs is what came, where answer is what it says: what has nothing of the API in it is not
// passed on. An error of the provider's own is, if it is a problem.
func (r *reply) asItIs(call *wire.Call, answer wire.Answer) wire.Answer {
	if fault := answer.Fault; fault != nil {
		_, isProblem := readProblem(r.Body)
		if fault.Cause != wire.UpstreamError || r.Code/100 != 5 || !isProblem {
			return answer
		}
		answer = wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.InternalError}}, Unsure: fault.MayHaveSent}
	}
	if call.Operation == wire.Request && r.isProblem {
		// What is told of another's verification is for the gateway to take out.
		answer.RequestID = cmp.Or(undashed(r.problem.requestID), r.problem.requestID, answer.RequestID)
	}
	answer.Code, answer.Body = r.Code, r.Body
	answer.ContentType, answer.Relabelled = r.mediaType()
	return answer
}

// mediaType is the Content-Type of what came. Another one than the API's is not passed on.
func (r *reply) mediaType() (contentType string, relabelled bool) {
	if len(r.Body) == 0 {
		return "", false
	}
	if media, _, err := mime.ParseMediaType(r.ContentType); err == nil && slices.Contains([]string{"application/json", wire.ProblemJSON}, media) {
		return media, false
	}
	if r.Code/100 == 2 {
		return "application/json", true
	}
	return wire.ProblemJSON, true
}
