package delivery

import "github.com/caddyverify/caddy-verify/caddyverify/internal/store"

// Share has calls be made once by all gateways of a store. nil is for no store.
func (d *Deduper) Share(s *store.Shared) { d.shared.Store(s) }
