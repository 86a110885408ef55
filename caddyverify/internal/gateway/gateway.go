// Package gateway is the egress gateway to the Verify API: it takes clients' calls all
// the way to the provider and back. It runs in any net/http server; what is Caddy's it
// is given.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Config is what a Gateway needs. The zero value of a field without "required" is its
// default.
type Config struct {
	// Account is what this Gateway and others of the same account share. Required.
	Account *Account
	// Upstream is where calls go and with which credentials. Its Methods and Live are the
	// account's, and Use changes its secrets. Required.
	Upstream upstream.Config
	// V2 has calls answered from version 2 of the API; nil from version 1.
	V2 *V2
	// Timeout bounds one call to the upstream, its repetition included. Required.
	Timeout time.Duration
	// HTTPErrors has the gateway's own errors answered with HTTP codes in place of 200.
	HTTPErrors bool
	// Strict refuses parameters that the API does not have.
	Strict bool
	// AllowBrowsers takes calls that pages in browsers make.
	AllowBrowsers bool
	// Caller tells who makes a call; answers are kept for him alone. ok is false where
	// the call is not to be taken. Required.
	Caller func(*http.Request) (c *caller.Caller, ok bool)
	// Logger is where calls are logged. Required.
	Logger *slog.Logger
	// AccountLogger is where the account's changes are, under one name whatever the gateway is for. Default: Logger.
	AccountLogger *slog.Logger
	// Running counts the calls that are not to be cut off. Required.
	Running *Running
}

// Gateway answers the calls of the Verify API. Make it with New; it is an http.Handler.
type Gateway struct {
	Config
	base     *url.URL
	refusals *refusals

	// send makes a client's call, all of it with the secrets of its beginning.
	send wire.Sender
	// way is the one that calls take which begin now; a call keeps to the one that it has
	// begun with.
	way   atomic.Pointer[way]
	using sync.Mutex // held while the way changes
	inUse bool       // between Start and Close

	chain []*Gateway // this one, and those that FailOver names: of all accounts that a call may be about
	ends  []func()
}

// New returns a Gateway that has taken part in its account, until Close.
func New(c Config) (*Gateway, error) {
	g := &Gateway{Config: c}
	g.chain = []*Gateway{g}
	g.send = func(ctx context.Context, call *wire.Call) wire.Answer { return g.way.Load().send(ctx, call) }
	g.Upstream.Methods, g.Upstream.Live = &c.Account.methods, &c.Account.live
	base, err := url.Parse(c.Upstream.URL)
	if err != nil {
		return nil, err
	}
	g.base = base
	label := slog.String("account", c.Account.label)
	g.Logger = c.Logger.With(label)
	if c.AccountLogger != nil {
		g.AccountLogger = c.AccountLogger.With(label)
	}
	g.refusals = newRefusals(g.logRefused)
	if _, err := g.change(func(by *credentials) {
		*by = credentials{first: c.Upstream.Secret, next: c.Upstream.Next, drained: c.V2.drained()}
	}); err != nil {
		return nil, err
	}
	g.ends = append(g.ends, g.refusals.stop, g.leave)
	return g, nil
}

// Start has the gateway do what an account needs of one whose configuration is in force:
// probe, and have what changes logged. settle has it ask for outcomes, too.
func (g *Gateway) Start(settle bool) {
	a := g.Account
	if g.V2 != nil {
		a.metrics.PrepareV2()
		if s := a.inForce.Load(); s.Guard.Prices.Any.Currency != "" {
			a.metrics.PrepareEstimates(s.Guard.Prices.Any.Currency, s.Countries.Labels(), s.Callers)
		}
		if g.V2.Templates != nil {
			a.metrics.PrepareTemplates()
		}
	}
	g.ends = append(g.ends,
		a.logBy(g),
		g.begin(),
		a.breakers.ProbeWith(g.probeForBreaker))
	if settle {
		g.ends = append(g.ends, g.settle())
	}
}

// Close ends what New and Start have begun. Calls that are under way are answered.
func (g *Gateway) Close() {
	for _, end := range slices.Backward(g.ends) {
		end()
	}
	g.ends = nil
}

// Suspended returns the status for which the upstream refuses the account with these
// credentials, if it does.
func (g *Gateway) Suspended() (wire.Status, bool) { return g.way.Load().secrets.Status() }

// ServeHTTP takes a client's call all the way. What fails on the way is an answer too.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{begun: time.Now()}
	by := g           // whose account it is made with
	received := false // the answer, by the client; what comes below may panic
	defer func() { x.end(received) }()
	if g.parse(r, &x) {
		// Here is the place of the spend guard: who calls is known, and nothing is done yet.
		ctx := r.Context()
		if x.operation != wire.Search && g.shares() {
			ctx = store.WithBudget(ctx)
		}
		if x.operation == wire.Templates {
			g.manage(ctx, &x)
		} else {
			by = g.verify(ctx, &x)
		}
	}
	if x.answer.Fault != nil {
		x.answer = wire.Say(x.answer.Fault, x.operation, x.format, g.HTTPErrors)
	}
	g.keepSecret(&x)
	by.report(r, &x)
	// Whether the client has left is known before its answer is written, and from the
	// writing. After that a client may close in good order.
	here := r.Context().Err() == nil
	received = write(w, &x) == nil && here
}

// verify has a call about verifications made, by the gateway that it returns.
func (g *Gateway) verify(ctx context.Context, x *exchange) (by *Gateway) {
	by = g
	g.isolate(ctx, x)
	if x.operation == wire.Search {
		g.searchAll(ctx, x)
	} else {
		x.begin(g.Running) // before anything is asked for it, or the process could end in the midst
		by = g.forCall(ctx, x)
		by.deliver(ctx, x, g)
		g.tellSent(ctx, x, by)
	}
	g.reveal(ctx, x)
	return by
}

// manage makes a call about templates. It is about no verification, so nothing is looked up for it,
// or kept of it. Like others it is made once, and goes on when its client leaves.
func (g *Gateway) manage(ctx context.Context, x *exchange) {
	x.begin(g.Running)
	x.answer = g.way.Load().sendManage(withOnceOnly(context.WithoutCancel(ctx)), x.call)
}

// parse reads a call. Where it is none, the exchange has its answer already.
func (g *Gateway) parse(r *http.Request, x *exchange) (ok bool) {
	read, fault := g.route(r, x)
	var known bool
	x.caller, known = g.Caller(r)
	var err error
	switch {
	case !x.found:
		x.answer = fault.Answer()
		return false
	case !g.AllowBrowsers && fromBrowser(r.Header):
		err = wire.Refuse(wire.BrowserRefused, "")
	case !known:
		err = wire.Refuse(wire.CallerUnknown, "")
	case fault != nil:
		err = fault
	case x.operation == wire.Templates && !g.V2.Templates(x.caller):
		err = wire.Refuse(wire.TemplatesDenied, "")
	default:
		x.call, x.ignored, err = read()
	}
	if err == nil && x.operation != wire.Search && x.operation != wire.Templates {
		x.idempotencyKey, err = wire.IdempotencyKey(r.Header)
	}
	if err == nil {
		if x.entered = x.caller.Enter(); !x.entered {
			err = &wire.Fault{Cause: wire.CallerBusy, Refused: true, RetryAfter: time.Second}
			g.Account.publish(CallRefused{Operation: x.operation, Cause: wire.CallerBusy, Caller: x.caller.Name})
		}
	}
	if err != nil {
		x.answer = asAnswer(err)
		return false
	}
	x.call.Caller = x.caller.Name
	x.sent = x.call
	return true
}

// route finds the call that a path names, and what reads it.
func (g *Gateway) route(r *http.Request, x *exchange) (read func() (*wire.Call, []string, error), fault *wire.Fault) {
	path := r.URL.Path
	if g.V2 != nil && wire.IsV2(path) {
		var p wire.PathV2
		p, x.found, fault = wire.ParsePathV2(r.Method, path, g.V2.Templates != nil)
		if x.found && r.URL.RawPath != "" {
			x.found, fault = false, wire.Refuse(wire.UnknownPath, "")
		}
		x.operation, x.format, x.route = p.Operation, wire.V2, p.Route
		return func() (*wire.Call, []string, error) { return wire.ParseV2(p, r, g.Strict) }, fault
	}
	x.operation, x.format, x.found = wire.ParsePath(path)
	if x.found = x.found && r.URL.RawPath == ""; !x.found {
		fault, x.operation, x.format = wire.NoSuchCall(path)
		return nil, fault
	}
	x.route = wire.Route(x.operation)
	return func() (*wire.Call, []string, error) { return wire.Parse(x.operation, x.format, r, g.Strict) }, nil
}

// search answers from memory what memory has.
func (g *Gateway) search(ctx context.Context, x *exchange) {
	if g.Account.inForce.Load().CacheOff {
		x.searched, x.result = false, search.Result{} // another account's, perhaps
		x.answer = g.send(ctx, x.sent)
		x.cacheStatus = search.Bypassed(&x.answer)
		return
	}
	x.searched = true
	x.answer, x.result = g.Account.cache.Search(ctx, x.sent, g.send)
	x.cacheStatus = x.result.CacheStatus()
}

// deliver sees to it that a call is made once and its answer reaches the client.
// The call came to another gateway, perhaps, whose account this one's stands in for.
func (g *Gateway) deliver(ctx context.Context, x *exchange, asked *Gateway) {
	lift := g.fence(ctx, x.sent)
	defer lift()
	call := delivery.Call{Call: x.sent, IdempotencyKey: x.idempotencyKey}
	lasting := withOnceOnly(context.WithoutCancel(ctx)) // it may cost money by then
	var source wire.DeliverySource
	x.answer, source, x.ack = g.Account.deduper.Deliver(ctx, call, delivery.Upstream{
		Send:    func() wire.Answer { return g.send(lasting, x.sent) },
		State:   func(requestID string) delivery.State { return asked.stateOfAny(lasting, x.sent.Caller, requestID) },
		Timeout: g.Timeout,
		Store:   asked.Account.shared(),
	})
	if fault := x.answer.Fault; fault == nil || fault.MayHaveSent {
		x.delivered = source
	}
	if fault := x.answer.Fault; fault != nil && fault.Cause == wire.TooManyUnderWay {
		g.Account.publish(CallRefused{Operation: x.operation, Cause: fault.Cause, Caller: x.sent.Caller})
	}
}

// state finds out whether a verification is still running, and nobody has tried a code: an
// answer that nobody got is of no use after that. The ledger and the store know what gateways
// did; of what the provider did, they know nothing.
func (g *Gateway) state(ctx context.Context, caller, requestID string) delivery.State {
	if g.Account.done(ctx, requestID) {
		return delivery.Over
	}
	return g.stateAtProvider(ctx, caller, requestID)
}

func (g *Gateway) stateAtProvider(ctx context.Context, caller, requestID string) delivery.State {
	search := wire.SearchFor(wire.JSON, []string{requestID}, false)
	search.Caller = caller
	answer := g.send(ctx, search)
	if answer.Fault != nil || len(answer.Found) != 1 || wire.Spelling(answer.Found[0].RequestID) != wire.Spelling(requestID) {
		return delivery.Unknown
	}
	switch status := answer.Found[0].Status; {
	case status == wire.InProgress:
		return delivery.Running
	case status.Final():
		return delivery.Over
	}
	return delivery.Unknown
}
