package search

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The ways to write one request_id.
var spelled = []string{"e738524c55459f2f", "E738524C55459F2F", "e738524c-5545-9f2f", "E738524C-55459F2F"}

// TestDropOfSpellings: a check is one of its verification, however either is written.
func TestDropOfSpellings(t *testing.T) {
	for _, checked := range spelled {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newSlow(map[string]string{})
			for _, id := range spelled {
				u.set(id, ip)
			}
			for _, id := range spelled[:2] {
				c.ask(u.upstream, one(wire.JSON, id))
			}
			before := c.start(many(wire.JSON, spelled[2:]...), u.fetch)
			pass(time.Millisecond)
			expect(t, "kept", c.Drop(checked), true)
			for _, id := range spelled {
				u.set(id, done)
			}
			c.Drop(checked)
			for _, id := range spelled {
				a, r := c.ask(u.upstream, one(wire.JSON, id))
				expect(t, id+" after "+checked, a.Status, done)
				expect(t, "Cache-Status", r.CacheStatus(), "caddy-verify; fwd=miss; stored")
			}
			before.said()
			pass(3 * time.Minute)
			expect(t, "entries", c.Stats().Entries, 4)
			c.Purge()
			pass(sweepEvery)
			shards := c.inForce.Load().shards
			for i := range shards {
				shards[i].mu.Lock()
				expect(t, "spellings", len(shards[i].names.others), 0)
				shards[i].mu.Unlock()
			}
		})
	}
}

// TestDropOfSpellingsElsewhere: one at another gateway is, too.
func TestDropOfSpellingsElsewhere(t *testing.T) {
	for _, checked := range spelled {
		for _, asked := range [][]string{spelled, {spelled[1], spelled[0]}, spelled[2:]} {
			synctest.Test(t, func(t *testing.T) {
				fleet := fleet{settings: Settings{MaxEntries: 100}} // in one shard
				a, b := fleet.join(t, "a"), fleet.join(t, "b")
				defer a.close()
				defer b.close()
				u := newUpstream(map[string]string{})
				for _, id := range spelled {
					u.set(id, ip)
				}
				for _, id := range asked {
					b.asked(u, one(wire.JSON, id))
				}
				a.check(checked, func() {
					for _, id := range spelled {
						u.set(id, done)
					}
				})
				synctest.Wait()
				for _, id := range slices.Concat(asked, spelled) {
					answer, _ := b.ask(u, one(wire.JSON, id))
					expect(t, id+" after "+checked, answer.Status, done)
				}
			})
		}
	}
}
