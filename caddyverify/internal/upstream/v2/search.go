package v2

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Search answers a search by what is known of verifications, since v2 has no such call. Nothing
// is sent. What the store would have to tell, and does not, is not taken for what nobody has begun.
func (c *Client) Search(ctx context.Context, call *wire.Call) wire.Answer {
	ids, _ := call.IDs()
	found := make([]state.Verification, 0, len(ids))
	for _, id := range ids {
		v, known, sure := c.Book.Find(ctx, id)
		if known {
			found = append(found, v)
		}
		if !sure {
			return (&wire.Fault{Cause: wire.StoreAway}).Answer()
		}
	}
	return state.Answer(call, found)
}
