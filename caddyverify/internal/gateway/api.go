package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	v2 "github.com/caddyverify/caddy-verify/caddyverify/internal/upstream/v2"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// V2 has calls answered from version 2 of the Verify API.
type V2 struct {
	// Application is the id of the application whose private key is the upstream's Secret. ""
	// has calls made with the account's key and secret.
	Application string
	// Drain is for verifications that were started with version 1; nil where there are none. With an
	// Application it has one secret, which UseDrained changes.
	Drain *upstream.Config
	// Templates tells who may manage templates; nil has calls about them answered as if there
	// were no such thing.
	Templates func(*caller.Caller) bool
}

// api is how calls are made, by whichever version of the API.
type api struct {
	// call makes one attempt at a call.
	call wire.Sender
	// close gives back what it holds, once the calls under way are over.
	close func(after time.Duration)
	// unsent answers what the provider has no counterpart for, before anything is done for it.
	unsent wire.Step
	// method has a call that the provider does not know made by another HTTP method.
	method wire.Step
	// target is where calls go; nil for version 1.
	target func(*wire.Call) observe.Target
	// timing is that of what a call starts; nil for version 1.
	timing func(*wire.Call) wire.Timing
	// known tells that a search need not be sent: search answers it.
	known  func(context.Context, *wire.Call) bool
	search wire.Sender
}

// api returns the way of calls to the provider with secrets: drained is that for verifications of version
// 1, where it is another.
func (g *Gateway) api(config upstream.Config, drained upstream.Secret) (*api, error) {
	if g.V2 == nil {
		client, err := upstream.New(config)
		if err != nil {
			return nil, err
		}
		return &api{
			call:   client.RoundTrip,
			close:  func(time.Duration) {},
			unsent: pass,
			method: client.MethodStep(g.Account.methodChanged),
			known:  func(context.Context, *wire.Call) bool { return false },
		}, nil
	}
	g.Account.atV2.Store(true)
	auth, next, closeAuth, err := g.V2.auth(&config, &g.Account.signers)
	if err != nil {
		return nil, err
	}
	client, err := g.V2.client(&config, auth, next, g.Account.states, g.Account.again)
	if err != nil {
		closeAuth(0)
		return nil, err
	}
	p := &api{
		call: client.RoundTrip, search: client.Search,
		close:  closeAuth,
		unsent: client.Step,
		method: pass,
		target: target,
		timing: v2.Timing,
		known:  func(context.Context, *wire.Call) bool { return true },
	}
	if g.V2.Drain == nil {
		return p, nil
	}
	calls := *g.V2.Drain
	calls.Methods, calls.Live = g.Upstream.Methods, g.Upstream.Live
	// Either may have changed since the beginning.
	if calls.Secret, calls.Next = drained, (upstream.Secret{}); g.V2.Application == "" { // the secrets of both versions
		calls.Secret, calls.Next = config.Secret, config.Next
	}
	old, err := upstream.New(calls)
	if err != nil {
		closeAuth(0)
		return nil, err
	}
	d := &drain{v2: client, v1: old, book: g.Account.states, another: g.Account.anotherInTime}
	p.call, p.unsent, p.target, p.known = d.roundTrip, d.unsent, d.target, d.known
	p.method = old.MethodStep(g.Account.methodChanged)
	return p, nil
}

// pass is a step that does nothing.
func pass(next wire.Sender) wire.Sender { return next }

// drained is the secret that calls of version 1 are made with at first, where version 2's are made with
// a key.
func (with *V2) drained() (secret upstream.Secret) {
	if with == nil || with.Drain == nil || with.Application == "" {
		return secret
	}
	return with.Drain.Secret
}

// auth is what calls are made with. close is for when none is made any more.
func (with *V2) auth(config *upstream.Config, known *signers) (auth, next v2.Authorizer, closeAuth func(after time.Duration), err error) {
	if with.Application != "" {
		auth, closeAuth, err = known.of(with.Application, config)
		return auth, nil, closeAuth, err
	}
	if !config.Next.None() {
		next = v2.Basic(config.Key, config.Next)
	}
	return v2.Basic(config.Key, config.Secret), next, func(time.Duration) {}, nil
}

// client makes calls by version 2.
func (with *V2) client(config *upstream.Config, auth, next v2.Authorizer, known *state.Book, again anotherRequest) (*v2.Client, error) {
	return v2.New(v2.Config{
		URL: config.URL, Key: config.Key, Live: config.Live, Transport: config.Transport,
		Auth: auth, Next: next, Book: known, Again: again,
	})
}

// NewSender returns what makes calls with an account that no gateway has, for a probe.
func NewSender(config upstream.Config, with *V2) (wire.Sender, error) {
	config.Methods, config.Live = new(upstream.Methods), new(upstream.Live)
	_ = config.Live.Add(config.Secret, config.Next)
	if with != nil {
		auth, next, _, err := with.auth(&config, new(signers))
		if err != nil {
			return nil, err
		}
		client, err := with.client(&config, auth, next, state.New(state.Settings{}), nil)
		if err != nil {
			return nil, err
		}
		return client.RoundTrip, nil
	}
	client, err := upstream.New(config)
	if err != nil {
		return nil, err
	}
	return client.RoundTrip, nil
}

// orSearch has searches that need not be sent answered by what is known, and all else sent.
func (p *api) orSearch(send, search wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if call.Operation == wire.Search && !call.Probe && p.known(ctx, call) {
			return search(ctx, call)
		}
		return send(ctx, call)
	}
}

// unchanged is for how long a verification will be as a search has said. Of one of version 2, which
// sends its messages at other times, it is not known, and asking again costs nothing.
func (a *Account) unchanged(requestID string, ago time.Duration) (time.Duration, bool) {
	if a.states.Here(requestID) {
		return 0, false
	}
	return a.ledger.Unchanged(requestID, ago)
}

// target is where version 2 has a call.
func target(call *wire.Call) observe.Target {
	const start, one = "/v2/verify", "/v2/verify/{request_id}"
	if call.Operation == wire.Templates {
		m := call.Raw.Managed
		return observe.Target{Method: m.Method, Path: m.Path, Template: m.Route}
	}
	t := observe.Target{Method: http.MethodPost, Template: one}
	switch {
	case call.Operation.Starts():
		t.Template = start
	case call.Operation == wire.Control && call.Get("cmd") == "cancel":
		t.Method = http.MethodDelete
	case call.Operation == wire.Control:
		t.Template += "/next_workflow"
	}
	t.Path = strings.Replace(t.Template, "{request_id}", wire.RedactID(call.RequestID()), 1)
	return t
}
