package v2

import (
	"context"
	"net/http"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// manage makes a client's call about templates, once, and passes on what comes. It is about no
// verification, so the status says no more than what the steps around want to know: whether it was
// done (0), refused (3), throttled (1), or has met the provider's own trouble (5). That an account may
// not write templates (403), say, is no trouble of its.
func (c *Client) manage(ctx context.Context, call *wire.Call) wire.Answer {
	m := call.Raw.Managed
	path := strings.TrimPrefix(m.Path, "/v2/verify")
	if m.Query != "" {
		path += "?" + m.Query
	}
	r := c.send(ctx, call, m.Method, path, call.Raw.Body)
	return r.asItIs(call, r.managed(call))
}

// managed is what an answer about templates says.
func (r *reply) managed(call *wire.Call) wire.Answer {
	said := func(status wire.Status) wire.Answer {
		return wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: status}}}
	}
	switch {
	case r.failed != nil:
		return *r.failed
	case r.Code == http.StatusNoContent, r.done() && len(r.Body) > 0: // an empty 200 may be anybody's
		return said(wire.Success)
	case r.Code == http.StatusUnauthorized && r.isProblem && !r.problem.says("quota"):
		return r.unauthorized(call, wire.BadCredentials)
	case r.Code == http.StatusTooManyRequests && r.isProblem:
		return said(wire.Throttled)
	case r.Code/100 == 4 && r.isProblem:
		return said(wire.Invalid)
	}
	return r.useless()
}
