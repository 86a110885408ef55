package upstream

import (
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

// Instead tells by which method to make a call once more: the answer says that the
// upstream does not know it by the one that was used, and so has done nothing.
func (c *Client) Instead(o wire.Operation, method string, answer *wire.Answer) (other string, ok bool) {
	if c.Method != Auto || o == wire.Search || !unknownCall(answer) {
		return "", false
	}
	if method == http.MethodGet {
		return http.MethodPost, true
	}
	return http.MethodGet, true
}

// Answered notes that the upstream knows an operation by the method that Instead
// gave, and not by the other. It reports whether that is news.
func (c *Client) Answered(o wire.Operation, method string) (changed bool) {
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
