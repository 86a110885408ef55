package search

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestLifetimes(t *testing.T) {
	const never = 0
	tests := []struct {
		status   string
		settings Settings
		want     time.Duration
	}{
		{ip, Settings{}, 2 * time.Second},
		{ip, Settings{InProgress: 7 * time.Second}, 7 * time.Second},
		{ip, Settings{InProgress: -1}, never},
		{"SUCCESS", Settings{}, time.Minute},
		{"FAILED", Settings{}, time.Minute},
		{"EXPIRED", Settings{}, time.Minute},
		{"CANCELLED", Settings{Settling: 3 * time.Minute}, 3 * time.Minute},
		{"SUCCESS", Settings{Settling: -1}, 24 * time.Hour},
		{"SUCCESS", Settings{Settling: -1, Final: -1}, never},
		{"101", Settings{}, time.Second},
		{"101", Settings{NotFound: -1}, never},
		{"PAUSED", Settings{}, never},
		{"0", Settings{}, never},
		{"1", Settings{}, never},
		{"4", Settings{}, never},
		{"18", Settings{}, never},
	}
	for _, test := range tests {
		for _, f := range wire.Formats {
			t.Run(test.status+" "+f.String(), func(t *testing.T) {
				bubble(t, test.settings, func(t *testing.T, c *Cache) {
					u := newUpstream(map[string]string{"a": test.status})
					if wire.Status(test.status).Numeric() {
						u.failing(refusing(test.status))
					}
					c.ask(u, one(f, "a"))
					if test.want == never {
						expect(t, "entries", c.Stats().Entries, 0)
						_, r := c.ask(u, one(f, "a"))
						expect(t, "kind", r.Kind, wire.CacheMiss)
						return
					}
					pass(test.want - 1)
					_, r := c.ask(u, one(f, "a"))
					expect(t, "kind at the end", r.Kind, wire.CacheHit)
					expect(t, "age", r.Age, test.want-1)
					expect(t, "ttl", r.TTL, time.Nanosecond)
					pass(1)
					_, r = c.ask(u, one(f, "a"))
					expect(t, "kind after", r.Kind, wire.CacheMiss)
				})
			})
		}
	}
}

func TestSettling(t *testing.T) {
	kind := func(c *Cache, u *upstream) wire.CacheResult {
		_, r := c.ask(u, one(wire.JSON, "a"))
		return r.Kind
	}
	t.Run("the same again is final", func(t *testing.T) {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			expect(t, "first", kind(c, u), wire.CacheMiss)
			pass(time.Minute)
			expect(t, "after a minute", kind(c, u), wire.CacheMiss)
			pass(24*time.Hour - 1)
			expect(t, "before a day", kind(c, u), wire.CacheHit)
			pass(1)
			expect(t, "after a day", kind(c, u), wire.CacheMiss)
			pass(2 * time.Minute)
			expect(t, "settled before", kind(c, u), wire.CacheHit)
		})
	})
	t.Run("another price is not", func(t *testing.T) {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			kind(c, u)
			pass(time.Minute)
			u.price = "0.20000000"
			expect(t, "after a minute", kind(c, u), wire.CacheMiss)
			pass(time.Minute)
			expect(t, "after two", kind(c, u), wire.CacheMiss)
			pass(time.Minute)
			expect(t, "after three", kind(c, u), wire.CacheHit)
		})
	})
	t.Run("another caller's does not count", func(t *testing.T) {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			c.Search(t.Context(), by("other", one(wire.JSON, "a")), u.fetch)
			pass(time.Minute)
			kind(c, u)
			pass(time.Minute)
			expect(t, "after its minute", kind(c, u), wire.CacheMiss)
		})
	})
	t.Run("forgotten at a drop", func(t *testing.T) {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			kind(c, u)
			pass(time.Minute)
			c.Drop("a")
			kind(c, u)
			pass(time.Minute)
			expect(t, "after its minute", kind(c, u), wire.CacheMiss)
		})
	})
	t.Run("without staleness", func(t *testing.T) {
		bubble(t, Settings{StaleIfError: -1}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			kind(c, u)
			pass(time.Minute + 20*time.Second)
			kind(c, u)
			pass(time.Hour)
			expect(t, "after an hour", kind(c, u), wire.CacheHit)
		})
	})
	t.Run("final off", func(t *testing.T) {
		bubble(t, Settings{Final: -1}, func(t *testing.T, c *Cache) {
			u := newUpstream(map[string]string{"a": done})
			kind(c, u)
			pass(time.Minute)
			kind(c, u)
			pass(time.Minute - 1)
			expect(t, "within a minute", kind(c, u), wire.CacheHit)
			pass(1)
			expect(t, "after", kind(c, u), wire.CacheMiss)
		})
	})
}
