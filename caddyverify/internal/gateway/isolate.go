package gateway

import (
	"bytes"
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
// What this gateway has not seen start is nobody's, and the provider says what it is.
func (g *Gateway) isolate(x *exchange) {
	c := x.caller
	if !c.Isolated || x.operation.Starts() || c.ReadsAll && x.operation == wire.Search {
		return
	}
	for i, p := range x.call.Params {
		if p.Name != "request_id" && p.Name != "request_ids" {
			continue
		}
		by, known := g.startedBy(p.Value)
		if known && (by == c.Name || by == "") { // those from before callers had names are everybody's
			continue
		}
		if x.sent == x.call {
			sent := *x.call
			sent.Params = slices.Clone(sent.Params)
			x.sent = &sent
		}
		used := g.Account.standInFor(p.Value)
		x.standIns = append(x.standIns, standIn{p.Value, used})
		if known {
			x.sent.Params[i].Value = used
			g.Account.publishLater(CallIsolated{Operation: x.operation, Caller: c.Name}) // to tell takes time, too
		}
	}
}

// startedBy is the caller that started a verification with any of the accounts.
func (g *Gateway) startedBy(id string) (caller string, known bool) {
	for _, one := range g.chain {
		if caller, known = one.Account.ledger.StartedBy(id); known {
			break
		}
	}
	return caller, known
}

// standInFor is a request_id as the provider gives them, the same for the same one.
func (a *Account) standInFor(id string) string {
	mac := hmac.New(sha256.New, a.salt[:])
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// reveal has the answer be about what was asked. The request_id of a verification under
// way, which the provider tells whoever starts another for the same number, is told to
// nobody but the caller that is known to have started it.
func (g *Gateway) reveal(x *exchange) {
	for _, s := range x.standIns {
		x.answer.Body = bytes.ReplaceAll(x.answer.Body, []byte(s.used), []byte(s.asked))
	}
	a := &x.answer
	if x.caller.Isolated && x.operation.Starts() && a.Fault == nil && a.Status == wire.Concurrent && a.RequestID != "" {
		if by, known := g.startedBy(a.RequestID); !known || by != x.caller.Name {
			*a = a.WithoutRequestID(x.operation, x.format)
		}
	}
}
