package gateway

import (
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What an operator may do to an account, and ask of it.

// Label is the account's in metrics and logs.
func (a *Account) Label() string { return a.label }

// Verification is what is known of one.
func (a *Account) Verification(requestID string) (ledger.Verification, bool) {
	return a.ledger.Verification(requestID)
}

// Purge has searches for a verification, or for all where requestID is empty, asked of
// the provider again. With a store, that is so at all gateways for one verification; for
// all, only this gateway's memory is emptied, and what the store has yet is found there.
func (a *Account) Purge(requestID string) {
	purged := 0
	if requestID == "" {
		purged = a.cache.Purge()
	} else {
		if a.cache.Drop(requestID) {
			purged = 1
		}
		a.purgeShared(requestID)
	}
	a.publish(CachePurged{purged})
}

// HoldCircuit opens a circuit until ReleaseCircuit. It reports false where the breakers
// are off.
func (a *Account) HoldCircuit(class wire.Class) bool { return a.breakers.Of(class).Hold() }

// ReleaseCircuit closes a circuit, whatever opened it. It reports false where the
// breakers are off.
func (a *Account) ReleaseCircuit(class wire.Class) bool { return a.breakers.Of(class).Release() }

// Try has tried now what would be tried later: whether the provider takes the account
// again, and whether it answers where a circuit is open. It tells how many things there
// were to try.
func (a *Account) Try() (tried int) {
	for _, class := range wire.Classes {
		if a.breakers.Of(class).Try() {
			tried++
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.secrets {
		if s.Try() {
			tried++
		}
	}
	return tried
}

// Names are those that the configuration in force has for the account.
func (a *Account) Names() []string { return slices.Clone(a.inForce.Load().Names) }
