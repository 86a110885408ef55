package v2

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// check answers a check.
func (c *Client) check(ctx context.Context, call *wire.Call) wire.Answer {
	id := uuid(call.RequestID())
	r := c.send(ctx, call, http.MethodPost, "/"+id, codeBody(call.Get("code")))
	return c.checked(ctx, call, id, r)
}

// checked answers a check by what the provider has said to it.
func (c *Client) checked(ctx context.Context, call *wire.Call, id string, r *reply) wire.Answer {
	switch {
	case r.failed != nil:
		return c.doubted(ctx, id, r, *r.failed)
	case r.Code/100 == 2:
		if answer, wrong := r.aboutCheck(id); wrong {
			return c.doubted(ctx, id, r, answer)
		}
		c.Book.Checked(ctx, undashed(id), true, r.took)
		return wire.Done(call, undashed(id))
	case r.wrongCode():
		c.Book.Checked(ctx, undashed(id), false, r.took)
		return refusal(call, wire.WrongCode, undashed(id))
	case r.Code == http.StatusGone && r.isProblem:
		c.Book.Checked(ctx, undashed(id), false, r.took)
		c.Book.Ended(ctx, undashed(id), wire.Failed)
		return refusal(call, wire.TooManyWrongCodes, "")
	case r.Code == http.StatusNotFound && r.isProblem:
		c.Book.Gone(ctx, undashed(id), r.took)
	}
	return c.doubted(ctx, id, r, c.refused(call, r))
}

// doubted notes that a check or a cancel may have ended a verification, where answer says that it may have been
// sent and not what the provider has done.
func (c *Client) doubted(ctx context.Context, id string, r *reply, answer wire.Answer) wire.Answer {
	if fault := answer.Fault; fault != nil && fault.MayHaveSent {
		c.Book.Doubted(ctx, undashed(id), r.took)
	}
	return answer
}

func codeBody(code string) string {
	b, _ := json.Marshal(struct { // of a text
		Code string `json:"code"`
	}{code})
	return string(b)
}

// wrongCode tells of the code that it is not the one that was sent. Where a parameter is named
// the code cannot be one at all.
func (r *reply) wrongCode() bool {
	return r.Code == http.StatusBadRequest && r.isProblem && len(r.problem.invalid) == 0
}

// aboutCheck looks at what HTTP calls a success: it must say so itself, as a page of something on the way
// does not, and of this verification.
func (r *reply) aboutCheck(id string) (answer wire.Answer, wrong bool) {
	if r.Code == http.StatusNoContent {
		return answer, false
	}
	members := r.members()
	about, status := text(members["request_id"]), text(members["status"])
	switch {
	case about != "" && uuid(about) != id:
		return r.Useless(wire.Unreadable(wire.ReasonOtherID, nil)), true
	case status == "completed", status == "complete", status == "" && about != "":
		return answer, false
	}
	return r.useless(), true
}

// probe answers the gateway's own search for a sign of life, which v2 has no call for: a code
// for a verification that nobody has begun, which costs nothing.
func (c *Client) probe(ctx context.Context, call *wire.Call) wire.Answer {
	id := uuid(call.Get("request_id"))
	if id == "" {
		return wire.Refuse(wire.InvalidParameter, "request_id").Answer()
	}
	id = id[:14] + "4" + id[15:19] + "8" + id[20:] // a random one (RFC 9562)
	r := c.send(ctx, call, http.MethodPost, "/"+id, codeBody("0000"))
	if r.failed != nil {
		return *r.failed
	}
	answer := c.refused(call, r)
	if answer.Fault == nil && aboutCall(answer.Status) {
		return refusal(call, wire.NoResponse, "")
	}
	return answer
}

// aboutCall tells the statuses by which the provider has judged a call, and so has taken its
// credentials.
func aboutCall(s wire.Status) bool {
	switch s {
	case wire.Throttled, wire.BadCredentials, wire.InternalError, wire.AccountBarred, wire.NoCredit:
		return false
	}
	return true
}
