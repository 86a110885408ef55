package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Webhooks takes in what the provider tells of verifications of version 2. It is an
// http.Handler; make it with NewWebhooks.
type Webhooks struct {
	gateway  *Gateway
	verifier atomic.Pointer[webhook.Verifier]
	letGo    func(after time.Duration)
	to       Relays
	relays   *relaysOf
	floods   *floods[because[observe.WebhookResult]] // of warnings: anybody can cause them
}

// NewWebhooks returns the Webhooks of a configuration, known to TakeOverRelays, that are signed by a
// secret, until Close. key is that of the account, which they must name if they name one; "" is any. So it
// is with its application. What is taken in is passed on to a caller of to. The error is about the secret,
// and does not hold it.
func (g *Gateway) NewWebhooks(configuration any, key, secret string, to Relays) (*Webhooks, error) {
	settings := webhook.Settings{Key: key, Secrets: []string{secret}, Seen: g.Account.seen}
	if g.V2 != nil {
		settings.Application = g.V2.Application
	}
	verifier, err := webhook.New(settings)
	if err != nil {
		return nil, err
	}
	g.Account.metrics.PrepareWebhooks()
	if len(to) > 0 {
		g.Account.metrics.PrepareRelays()
	}
	h := &Webhooks{gateway: g, to: to, relays: g.Account.relays.add(configuration, to), letGo: g.Account.live.Add(upstream.NewSecret(secret))}
	h.verifier.Store(verifier)
	h.floods = newFloods(h.logMore)
	return h, nil
}

// oldSecret is for how long answers are searched for a secret that is no longer in use.
const oldSecret = time.Minute

// Use takes Webhooks that are signed by another secret from now on, and none by the one of
// before. One call at a time changes the secret, and none after Close. The error is as that of
// NewWebhooks; then nothing changes.
func (h *Webhooks) Use(secret string) error {
	verifier, err := h.verifier.Load().With(secret)
	if err != nil {
		return err
	}
	letGo := h.letGo
	h.letGo = h.gateway.Account.live.Add(upstream.NewSecret(secret))
	h.verifier.Store(verifier)
	letGo(oldSecret)
	return nil
}

// Close ends what NewWebhooks has begun.
func (h *Webhooks) Close() {
	h.floods.stop()
	h.letGo(0)
}

// ServeHTTP answers 2xx to what need not come again, and anything else to what should.
func (h *Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Webhooks are POSTed.", http.StatusMethodNotAllowed)
		return
	}
	result, event, err := h.receive(r)
	h.gateway.Account.metrics.Webhook(result)
	h.log(r.Context(), result, event, err)
	if errors.Is(err, errUndecided) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if err != nil && !errors.Is(err, webhook.ErrReplayed) {
		http.Error(w, err.Error(), webhook.Code(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// errUndecided is for a webhook that is not known to be of no use, or of which it is not known whose it is.
var errUndecided = errors.New("it is not known yet who has started the verification")

func (h *Webhooks) receive(r *http.Request) (observe.WebhookResult, state.Event, error) {
	verifier := h.verifier.Load()
	delivered, err := verifier.Receive(r)
	if err != nil {
		return resultOf(err), delivered.Event, err
	}
	result := observe.WebhookUndecided
	defer func() { verifier.Settle(delivered, result.Decided()) }()
	settle, err := h.gateway.Account.claimHook(r.Context(), delivered.Token())
	if err != nil {
		result = resultOf(err)
		return result, delivered.Event, err
	}
	defer func() { settle(result.Decided()) }()
	became := h.gateway.told(r.Context(), delivered.Event, len(h.to) > 0)
	if became == observe.WebhookTaken {
		became = h.relay(r.Context(), delivered.Event, delivered.Body)
	}
	result = became // not before: what panics is undecided
	if !result.Decided() {
		return result, delivered.Event, errUndecided
	}
	return result, delivered.Event, nil
}

// hookLease is longer than it takes to take a webhook in.
const hookLease = 10 * time.Second

// claimHook has one of the gateways of a store take a webhook. The error is ErrReplayed where one has
// taken it, and ErrUndecided where one is about to. settle is for what becomes of it here.
//
// A gateway for which the store is away goes by what it knows itself, and one that ends, or does not get
// through, has told nobody: the webhook is taken twice rather than never.
func (a *Account) claimHook(ctx context.Context, token string) (settle func(taken bool), err error) {
	s := a.shared()
	if s == nil {
		return func(bool) {}, nil
	}
	ctx = context.WithoutCancel(ctx)
	name, mark := store.Name{Kind: store.Hook, ID: token}, store.NewMark()
	switch got, err := s.Claim(ctx, name, mark, [32]byte{}, hookLease, hookLease); {
	case err != nil: // it may be claimed all the same, so that it is to be settled
	case got.State == store.Answered:
		return nil, webhook.ErrReplayed
	case got.State != store.Yours:
		return nil, webhook.ErrUndecided
	}
	return func(taken bool) {
		if taken {
			_, _ = s.Answer(ctx, name, mark, nil, webhook.Life)
		} else {
			_ = s.Release(ctx, name, mark)
		}
	}, nil
}

func resultOf(err error) observe.WebhookResult {
	switch {
	case errors.Is(err, webhook.ErrReplayed):
		return observe.WebhookRepeated
	case errors.Is(err, webhook.ErrUndecided):
		return observe.WebhookUndecided
	case errors.Is(err, webhook.ErrUnsigned):
		return observe.WebhookUnsigned
	case errors.Is(err, webhook.ErrSignature):
		return observe.WebhookRefused
	}
	return observe.WebhookUnreadable
}

// log tells of those that are not the provider's, or not to be read, without what is in them.
func (h *Webhooks) log(ctx context.Context, result observe.WebhookResult, e state.Event, err error) {
	level := slog.LevelDebug
	attributes := []slog.Attr{slog.String("result", string(result))}
	switch {
	case err == nil:
		attributes = append(attributes, slog.String("request_id", wire.RedactID(e.ID)))
	case result != observe.WebhookRepeated && result != observe.WebhookUndecided:
		if h.floods.follows(because[observe.WebhookResult]{result, err.Error()}, "") {
			return
		}
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("why", err.Error()))
	}
	h.gateway.Logger.LogAttrs(ctx, level, "webhook", attributes...)
}

// logMore tells how many more there have been of a result since the last line.
func (h *Webhooks) logMore(of because[observe.WebhookResult], f *flood) {
	h.gateway.Logger.LogAttrs(context.Background(), slog.LevelWarn, "webhooks",
		slog.String("result", string(of.result)), slog.String("why", of.why), slog.Int("webhooks", f.calls))
}

// Told takes in what the provider has told of a verification of version 2 by a webhook that
// is known to be its. known is false for one that no gateway of the account has started. sure is false
// where the store does not say whether one has, or another gateway may be about to tell it: the webhook
// should come again.
func (g *Gateway) Told(ctx context.Context, e state.Event) (known, sure bool) {
	result := g.told(ctx, e, false)
	return result == observe.WebhookTaken, result.Decided()
}

// told is Told. wait has what is early come again without a store, too.
//
// What is cached of the verification may be over then, here and elsewhere. It is no check:
// nobody has tried a code.
func (g *Gateway) told(ctx context.Context, e state.Event, wait bool) observe.WebhookResult {
	a := g.Account
	ctx = context.WithoutCancel(ctx) // the provider does not wait for long
	switch known, sure := a.states.Told(ctx, e.ID, e); {
	case !sure:
		return observe.WebhookStoreAway
	case !known && e.Early() && (wait || a.shared() != nil):
		return observe.WebhookUndecided
	case !known:
		return observe.WebhookUnknown
	}
	a.cache.Drop(e.ID)
	a.purgeShared(e.ID)
	// The ledger learns as it does from searches.
	_ = g.way.Load().known(ctx, wire.SearchFor(wire.JSON, []string{wire.Spelling(e.ID)}, false))
	return observe.WebhookTaken
}
