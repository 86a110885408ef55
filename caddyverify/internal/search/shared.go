package search

import "github.com/caddyverify/caddy-verify/caddyverify/internal/store"

// Share has the Cache keep what it learns in a store, too, and find there what other
// gateways have learnt. nil is for no store.
func (c *Cache) Share(s *store.Shared) { c.shared.Store(s) }
