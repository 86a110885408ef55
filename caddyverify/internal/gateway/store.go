package gateway

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// shared is what gateways share of the account; nil where there is no store.
func (a *Account) shared() *store.Shared { return a.inForce.Load().Shared }

// awayAfter is when it is told that the store is away: a call that takes too long on a busy
// machine is no news.
const awayAfter = time.Second

// watchStore tells when the store goes and comes back. It is called each second.
func (a *Account) watchStore() {
	shared := a.shared()
	if shared == nil {
		a.alone = time.Time{}
		return
	}
	switch now := shared.Stats(); {
	case now.Away.IsZero() && !a.alone.IsZero():
		a.publish(StoreChanged{For: time.Since(a.alone)})
		a.alone = time.Time{}
	case !now.Away.IsZero() && a.alone.IsZero() && time.Since(now.Away) >= awayAfter:
		a.publish(StoreChanged{Away: true, Why: now.Why})
		a.alone = now.Away
	}
}
