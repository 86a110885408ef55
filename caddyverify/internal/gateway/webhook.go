package gateway

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Told takes in what the provider has told of a verification of version 2 by a webhook that
// is known to be its. It reports false for one that no gateway of the account has started.
//
// What is cached of the verification may be over then, here and elsewhere. It is no check:
// nobody has tried a code.
func (g *Gateway) Told(ctx context.Context, e state.Event) (known bool) {
	a := g.Account
	if !a.states.Told(ctx, e.ID, e) {
		return false
	}
	a.cache.Drop(e.ID)
	a.purgeShared(e.ID)
	// The ledger learns as it does from searches.
	_ = g.way.Load().known(ctx, wire.SearchFor(wire.JSON, []string{wire.Spelling(e.ID)}, false))
	return true
}

// Hide has no answer hold further secrets of the account, until they are let go.
func (a *Account) Hide(secrets ...upstream.Secret) (letGo func(after time.Duration)) {
	return a.live.Add(secrets...)
}
