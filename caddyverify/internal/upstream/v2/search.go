package v2

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Search answers a search by what is known of verifications, since v2 has no such call. Nothing
// is sent.
func (c *Client) Search(ctx context.Context, call *wire.Call) wire.Answer {
	ids, _ := call.IDs()
	found := make([]state.Verification, 0, len(ids))
	for _, id := range ids {
		if v, known := c.Book.Find(ctx, id); known {
			found = append(found, v)
		}
	}
	return state.Answer(call, found)
}
