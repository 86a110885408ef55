package delivery

import "github.com/caddyverify/caddy-verify/caddyverify/internal/store"

// Share has calls be made once by all gateways of a store, and answers that no client got be
// given by any of them. nil is for no store.
//
// What is known here comes first. A call that would be sent is claimed in the store before:
// by its Idempotency-Key, and a request or check by what repeats it. Who finds it claimed
// waits for what the other is answered. When the store is away a call is made as without
// one; but while a gateway is known to send it, no other does until that one's lease is over.
//
// An answer that no client got lies both here and in the store, and is given once all the
// same: the store's counts. The copy here is for when the store is away, or has never had it.
func (d *Deduper) Share(s *store.Shared) { d.shared.Store(s) }

// Alone is how many calls were made, or answered, without the store's word, since it was away.
func (d *Deduper) Alone() uint64 { return d.alone.Load() }
