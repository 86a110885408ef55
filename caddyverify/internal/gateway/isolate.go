package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// standIn takes the place of another caller's verification.
type standIn struct{ asked, used string }

// isolate has an isolated caller's call about a verification that another caller has
// started be made about one that nobody has. So it is answered as one that the provider
// does not know: by the provider itself, and in the same time. For that the same is done
// for those that nobody has.
//
// What no gateway has seen start is nobody's, and the provider says what it is; while the store
// is away, what this one has not seen start, unless such calls are denied.
func (g *Gateway) isolate(ctx context.Context, x *exchange) {
	c := x.caller
	if !c.Isolated || x.operation.Starts() || c.ReadsAll && x.operation == wire.Search {
		return
	}
	his := func(s started) bool { return s.known() && (s.caller == c.Name || s.caller == "") } // those from before callers had names are everybody's
	var ids []string
	var places []int // among the parameters
	for i, p := range x.call.Params {
		if p.Name == "request_id" || p.Name == "request_ids" {
			ids, places = append(ids, p.Value), append(places, i)
		}
	}
	for n, start := range g.whose(ctx, ids, his) {
		if his(start) {
			continue
		}
		if x.sent == x.call {
			sent := *x.call
			sent.Params = slices.Clone(sent.Params)
			x.sent = &sent
		}
		used := g.Account.standInFor(ids[n])
		x.standIns = append(x.standIns, standIn{ids[n], used})
		denied := !start.known() && start.away && g.Account.inForce.Load().DenyUnknown
		if start.known() || denied {
			x.sent.Params[places[n]].Value = used
			g.Account.publishLater(CallIsolated{Operation: x.operation, Caller: c.Name, Unknown: denied}) // to tell takes time, too
		}
	}
}

// standInFor is a request_id as the provider gives them, a random UUID (RFC 9562) without
// dashes, the same for the same one.
func (a *Account) standInFor(id string) string {
	mac := hmac.New(sha256.New, a.salt[:])
	mac.Write([]byte(id))
	sum := mac.Sum(nil)[:16]
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return hex.EncodeToString(sum)
}

// reveal has the answer be about what was asked. The request_id of a verification under
// way, which the provider tells whoever starts another for the same number, is told to
// nobody but the caller that is known to have started it.
func (g *Gateway) reveal(ctx context.Context, x *exchange) {
	for _, s := range x.standIns {
		x.answer.Body = bytes.ReplaceAll(x.answer.Body, []byte(s.used), []byte(s.asked))
		if x.format == wire.V2 {
			x.answer.Body = bytes.ReplaceAll(x.answer.Body, []byte(wire.UUID(s.used)), []byte(wire.UUID(s.asked)))
		}
	}
	a := &x.answer
	if x.caller.Isolated && x.operation.Starts() && a.Fault == nil && a.Status == wire.Concurrent && a.RequestID != "" {
		his := func(s started) bool { return s.known() && s.caller == x.caller.Name }
		if !his(g.whose(ctx, []string{a.RequestID}, his)[0]) {
			*a = a.WithoutRequestID(x.operation, x.format)
		}
	}
}
