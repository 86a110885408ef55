package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// FailOver has new verifications start with the accounts of others, in their order, while
// this one's takes no requests. It is called before the first call.
func (g *Gateway) FailOver(others ...*Gateway) {
	if len(others) == 0 {
		return
	}
	g.chain = append([]*Gateway{g}, others...)
	for _, one := range g.chain {
		one.Account.deduper.Track()
	}
}

// takesRequests tells that an account can be expected to: the provider does not refuse
// it, and its circuit for requests is closed.
func (g *Gateway) takesRequests(caller string) bool {
	circuit := g.Account.circuit(wire.Request)
	return !g.way.Load().secrets.Refuses(caller, wire.Request) && (circuit == "" || circuit == wire.CircuitClosed)
}

// makes tells whether an account can make a call: those of version 2 only one that is there.
func (g *Gateway) makes(call *wire.Call) bool { return call.Raw == nil || g.V2 != nil }

// forCall is the gateway by which a request, check or control is made.
//
// A request goes to the first account that takes requests, but its repetition to where it
// has been: it is never sent to two. A check or control goes to the account that started
// the verification.
func (g *Gateway) forCall(ctx context.Context, x *exchange) *Gateway {
	if len(g.chain) == 1 {
		return g
	}
	if !x.operation.Starts() {
		of := g.ofVerification(context.WithoutCancel(ctx), x.sent.Caller, x.sent.RequestID())
		if !of.makes(x.sent) { // it is not one of version 2
			return g
		}
		return of
	}
	call := delivery.Call{Call: x.sent, IdempotencyKey: x.idempotencyKey}
	// What has ended elsewhere the ledgers learn before: others wait while one chooses.
	for _, one := range g.chain {
		if id, sent := one.Account.deduper.Sent(call); sent && id != "" {
			one.Account.ended(ctx, id)
		}
	}
	elsewhere := g.sentElsewhere(ctx, x)
	defer g.choosing()()
	chosen := g.forStart(x, call)
	if elsewhere != nil && elsewhere.makes(x.sent) { // also where this gateway was given another's answer
		chosen = elsewhere
	}
	x.reserved = chosen.Account.deduper.Reserve(call)
	return chosen
}

// sent is what gateways tell each other of a request that was made with one of several
// accounts: for how long a verification of the number may be under way.
func (g *Gateway) sent(call *wire.Call) store.Name {
	return store.Name{Kind: store.Topic, ID: fmt.Sprintf("sent:%q %q %q", call.Caller, call.Get("country"), delivery.Digits(call.Get("number")))}
}

// sentElsewhere is the gateway of the account with which another gateway has started a
// verification of the same number that is not known to be over; nil if none has.
func (g *Gateway) sentElsewhere(ctx context.Context, x *exchange) *Gateway {
	shared := g.Account.shared()
	if shared == nil {
		return nil
	}
	told, _, err := shared.Hinted(context.WithoutCancel(ctx), g.sent(x.sent))
	identity, id, ok := strings.Cut(string(told), " ")
	if err != nil || !ok {
		return nil
	}
	for _, one := range g.chain {
		if one.Account.identity == identity && (id == "" || !one.Account.ended(ctx, id)) {
			return one
		}
	}
	return nil
}

// tellSent has other gateways know with which account a verification was started, or may have
// been, before the client can ask them.
func (g *Gateway) tellSent(ctx context.Context, x *exchange, by *Gateway) {
	shared := g.Account.shared()
	started := x.delivered == wire.Sent && (x.answer.InDoubt() || x.answer.RequestID != "")
	if shared == nil || len(g.chain) == 1 || !x.operation.Starts() || !started {
		return
	}
	_ = shared.Hint(context.WithoutCancel(ctx), g.sent(x.sent), []byte(by.Account.identity+" "+x.answer.RequestID), min(delivery.KeepFor, x.sent.Lifetime()))
}

// stateOfAny is the state of a verification with the account that started it.
func (g *Gateway) stateOfAny(ctx context.Context, caller, requestID string) delivery.State {
	if len(g.chain) == 1 {
		return g.state(ctx, caller, requestID)
	}
	return g.ofVerification(ctx, caller, requestID).state(ctx, caller, requestID)
}

// choosing has no other request choose between these accounts meanwhile: of two for the
// same number, the second goes where the first has.
func (g *Gateway) choosing() (chosen func()) {
	var accounts []*Account
	for _, one := range g.chain {
		if !slices.Contains(accounts, one.Account) {
			accounts = append(accounts, one.Account)
		}
	}
	// In one order, whatever that of the chain, so that two never wait for each other.
	slices.SortFunc(accounts, func(a, b *Account) int { return bytes.Compare(a.salt[:], b.salt[:]) })
	for _, a := range accounts {
		a.choosing.Lock()
	}
	return func() {
		for _, a := range accounts {
			a.choosing.Unlock()
		}
	}
}

// forStart chooses for a request.
func (g *Gateway) forStart(x *exchange, call delivery.Call) *Gateway {
	for _, one := range g.chain {
		if id, sent := one.Account.deduper.Sent(call); sent && !one.Account.ledger.Over(id) && one.makes(call.Call) {
			return one
		}
	}
	for _, one := range g.chain {
		if one.makes(call.Call) && one.takesRequests(x.sent.Caller) {
			if one != g {
				g.Account.publish(FailedOver{To: one.Account.label})
			}
			return one
		}
	}
	return g
}

// ofVerification is the gateway of the account that started a verification. Where none of
// them has seen that, each is asked.
func (g *Gateway) ofVerification(ctx context.Context, caller, id string) *Gateway {
	if start := g.whose(ctx, []string{id}, started.known)[0]; start.known() {
		return start.at
	}
	for _, one := range g.chain {
		if one.Account.ledger.Over(id) || one.stateAtProvider(ctx, caller, id) != delivery.Unknown {
			return one
		}
	}
	return g
}

// searchAll searches with each account for what it has started, and for what nobody knows
// with one after the other until one does.
func (g *Gateway) searchAll(ctx context.Context, x *exchange) {
	if len(g.chain) == 1 {
		g.search(ctx, x)
		return
	}
	sent := x.sent
	defer func() { x.sent = sent }()
	ids, list := sent.IDs()
	starts := g.whose(ctx, ids, started.known)
	parts, searches := map[string][]byte{}, 0
	var away *wire.Fault // of an account whose store would have to tell
	for _, one := range g.chain {
		var ask []string
		for i, id := range ids {
			// Where none is known to have started it, each account may have.
			if mayBe := !starts[i].known() || starts[i].at.Account == one.Account; mayBe && parts[wire.Spelling(id)] == nil {
				ask = append(ask, id)
			}
		}
		if len(ask) == 0 {
			continue
		}
		searches++
		x.result.Release()
		x.sent = wire.SearchFor(sent.Format, ask, list)
		x.sent.Caller = sent.Caller
		one.search(ctx, x)
		switch found := x.answer.Status != wire.NoResponse; {
		case x.answer.Fault != nil && x.answer.Fault.Cause == wire.StoreAway:
			away = x.answer.Fault // the next one may know it
		case x.answer.Fault != nil, found && x.answer.Status.Numeric():
			return // never a list that is silently shorter
		case found && !list:
			return
		case found:
			takeParts(&x.answer, sent.Format, parts)
		}
	}
	lacks := func(id string) bool { return parts[wire.Spelling(id)] == nil }
	if away != nil && slices.ContainsFunc(ids, lacks) {
		x.answer = away.Answer()
		return
	}
	if list && searches > 1 && len(parts) > 0 {
		x.answer = compose(sent.Format, ids, parts)
	}
}

// takeParts copies out of a list what it says of each verification, by the spelling of its id: one
// provider answers with another than it was asked with.
func takeParts(a *wire.Answer, f wire.Format, parts map[string][]byte) {
	reading, err := wire.Read(wire.Search, f, a.Body)
	if err != nil {
		return // it has been read before
	}
	for _, v := range reading.Found {
		parts[wire.Spelling(v.RequestID)] = bytes.Clone(v.Raw)
	}
}

// compose makes a list of what several accounts have said, in the order asked.
func compose(f wire.Format, ids []string, parts map[string][]byte) wire.Answer {
	var raw [][]byte
	for _, id := range ids {
		if part := parts[wire.Spelling(id)]; part != nil {
			raw = append(raw, part)
		}
	}
	return wire.Answer{
		Code: http.StatusOK, ContentType: f.ContentType(), Body: wire.AppendList(nil, f, raw), Reading: wire.Reading{List: true},
	}
}
