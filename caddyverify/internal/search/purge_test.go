package search

import (
	"fmt"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A purge does to each verification what Drop does to one: what is under way is not kept.
func TestPurge(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		for i := range 500 {
			c.fill(fmt.Sprint("id", i), "", settling, c.now())
		}
		c.fill("id7", "other", settling, c.now())
		u := newSlow(map[string]string{"late": "IN PROGRESS"})
		late := c.start(one(wire.JSON, "late"), u.fetch)
		expect(t, "one had something kept", c.Drop("id499"), true)
		expect(t, "it has nothing now", c.Drop("id499"), false)
		expect(t, "dropped", c.Purge(), 499)
		expect(t, "entries", c.Stats().Entries, 0)
		expect(t, "the one under way", late.said(), "late IN PROGRESS")
		expect(t, "kept of what was under way", c.Stats().Entries, 0)
		expect(t, "dropped again", c.Purge(), 0)
		c.check(t)
	})
}
