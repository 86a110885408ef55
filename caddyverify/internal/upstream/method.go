package upstream

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Method is by which of HTTP's methods calls are made.
type Method string

// The API's document has had all calls as GET with everything in the query
// (version 1.0.0), and later all but the search as POST with a form.
const (
	// Auto searches by GET, which every version has. All else goes by POST, or by GET
	// where the upstream turns out not to know it by POST.
	Auto Method = "auto"
	Get  Method = "get"
	Post Method = "post"
)

// DefaultMethod is the one that goes with a way of passing credentials: GET to
// upstreams that may read nothing but the query.
func (a Auth) DefaultMethod() Method {
	if a == Query {
		return Get
	}
	return Auto
}

// Methods is what calls have shown of the methods that an upstream knows. The zero
// Methods has seen nothing.
type Methods struct {
	get [len(wire.Operations)]atomic.Bool // known by GET only
}

// MethodOf is HTTP's method for the next call of an operation.
func (c *Client) MethodOf(o wire.Operation) string {
	if c.Method == Get || c.Method == Auto && (o == wire.Search || c.Methods.get[o].Load()) {
		return http.MethodGet
	}
	return http.MethodPost
}

// RoundTrip makes one attempt at a call. It is the last Sender on the way of a call.
func (c *Client) RoundTrip(ctx context.Context, call *wire.Call) wire.Answer {
	attempt := wire.AttemptOf(ctx)
	method := cmp.Or(attempt.Method, c.MethodOf(call.Operation))
	answer := c.Send(ctx, call, method)
	if !attempt.MethodChanged && c.instead(call.Operation, method, &answer) != "" {
		answer.Fault.MethodUnknown = true
	}
	return answer
}

// MethodStep returns the step that makes a call by the HTTP method that the upstream is
// known to take. Where the upstream has no such call by that one it has done nothing, so
// the call is made once more by the other method; the provider counts both, and so both
// go all the way. changed is told when that was right.
func (c *Client) MethodStep(changed func(o wire.Operation, method string, code int)) wire.Step {
	return func(next wire.Sender) wire.Sender {
		return func(ctx context.Context, call *wire.Call) wire.Answer {
			attempt := wire.AttemptOf(ctx)
			attempt.Method = c.MethodOf(call.Operation)
			answer := next(wire.WithAttempt(ctx, attempt), call)
			if answer.Fault == nil || !answer.Fault.MethodUnknown {
				return answer
			}
			code := answer.Fault.UpstreamCode
			attempt.Method = c.instead(call.Operation, attempt.Method, &answer)
			attempt.Resend++
			attempt.MethodChanged = true
			answer = next(wire.WithAttempt(ctx, attempt), call)
			if answer.Fault == nil && c.answered(call.Operation, attempt.Method) {
				changed(call.Operation, attempt.Method, code)
			}
			return answer
		}
	}
}

// instead is the method by which to make a call once more, where the answer says that
// the upstream has no such call by the one that was used; "" where it does not.
func (c *Client) instead(o wire.Operation, method string, answer *wire.Answer) string {
	switch {
	case c.Method != Auto || o == wire.Search || !unknownCall(answer):
		return ""
	case method == http.MethodGet:
		return http.MethodPost
	}
	return http.MethodGet
}

// answered notes that the upstream knows an operation by a method, and not by the other.
// It reports whether that is news.
func (c *Client) answered(o wire.Operation, method string) (changed bool) {
	get := method == http.MethodGet
	return c.Methods.get[o].CompareAndSwap(!get, get)
}

// unknownCall tells an answer by which a server says that it has no such call. One
// with a Verify body is the API's own and no fault; one that was not read to its
// end may be.
func unknownCall(answer *wire.Answer) bool {
	if answer.Fault == nil || answer.Fault.Cause != wire.UpstreamError || !answer.Fault.UpstreamWhole {
		return false
	}
	switch answer.Fault.UpstreamCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}
