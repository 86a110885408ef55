package limit

import "github.com/caddyverify/caddy-verify/caddyverify/internal/store"

// Share has the limit be that of all gateways of a store. nil is for no store.
func (l *Limiter) Share(s *store.Shared) { l.shared.Store(s) }
