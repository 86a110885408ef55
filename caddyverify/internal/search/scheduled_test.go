package search

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// knowing has a Cache know that a verification is unchanged until a time after the test's
// beginning.
func (c *Cache) knowing(id string, until time.Duration) {
	begun := time.Now()
	c.Unchanged = func(asked string, ago time.Duration) (time.Duration, bool) {
		d := until - time.Since(begun) - ago
		return d, asked == id && d > 0
	}
}

func TestScheduled(t *testing.T) {
	tests := []struct {
		name      string
		settings  Settings
		until     time.Duration
		ask       *wire.Call
		ttl, then string // after 25 seconds
	}{
		{"until it changes", Settings{Scheduled: true}, 27 * time.Second, one(wire.JSON, "a"), "ttl=27", "hit; ttl=2"},
		{"half a minute at most", Settings{Scheduled: true}, time.Hour, one(wire.XML, "a"), "ttl=30", "hit; ttl=5"},
		{"one of a list", Settings{Scheduled: true}, time.Hour, many(wire.JSON, "b", "a"), "ttl=2", `fwd=partial; stored; detail="1 of 2 from memory"`},
		{"soon", Settings{Scheduled: true}, time.Second, one(wire.JSON, "a"), "ttl=1", "fwd=miss; stored"},
		{"another", Settings{Scheduled: true}, time.Hour, one(wire.JSON, "b"), "ttl=2", "fwd=miss; stored"},
		{"not by default", Settings{}, time.Hour, one(wire.JSON, "a"), "ttl=2", "fwd=miss; stored"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.settings, func(t *testing.T, c *Cache) {
				u := newUpstream(states(26))
				c.knowing("a", tt.until)
				c.ask(u, tt.ask)
				synctest.Wait()
				_, r := c.ask(u, tt.ask)
				expect(t, "at once", r.CacheStatus(), "caddy-verify; hit; "+tt.ttl)
				pass(25 * time.Second)
				_, r = c.ask(u, tt.ask)
				expect(t, "then", r.CacheStatus(), "caddy-verify; "+tt.then)
			})
		})
	}
	t.Run("a check ends it", func(t *testing.T) {
		bubble(t, Settings{Scheduled: true}, func(t *testing.T, c *Cache) {
			u := newUpstream(states(26))
			c.knowing("a", time.Hour)
			c.ask(u, one(wire.JSON, "a"))
			c.Drop("a")
			u.set("a", done)
			c.Drop("a")
			a, _ := c.ask(u, one(wire.JSON, "a"))
			expect(t, "after it", a.Status, done)
		})
	})
	t.Run("what was said before the answer came", func(t *testing.T) {
		bubble(t, Settings{Scheduled: true}, func(t *testing.T, c *Cache) {
			u := newSlow(states(26))
			c.knowing("a", 25*time.Second)
			begun := time.Now()
			said := c.start(one(wire.JSON, "a"), u.fetch)
			said.said()
			synctest.Wait()
			took := time.Since(begun)
			_, r := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "it is kept for as long as if it had come at once", r.TTL, 25*time.Second-2*took)
		})
	})
}

// TestScheduledInAFleet: what one gateway knows all keep, while they hear of each other's checks.
func TestScheduledInAFleet(t *testing.T) {
	with := func(t *testing.T, f func(t *testing.T, a, b *peer, u *upstream)) {
		synctest.Test(t, func(t *testing.T) {
			defer pass(2 * time.Minute)
			fleet := fleet{settings: Settings{Scheduled: true}}
			a, b := fleet.join(t, "a"), fleet.join(t, "b")
			defer a.close()
			defer b.close()
			a.knowing("a", time.Hour)
			pass(5 * time.Second) // in which they have been together
			f(t, a, b, newUpstream(states(26)))
		})
	}
	t.Run("the other finds it", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			a.asked(u, one(wire.JSON, "a"))
			pass(10 * time.Second)
			expect(t, "at the other", b.asked(u, one(wire.JSON, "a")), "hit; ttl=20; detail=store")
			pass(15 * time.Second)
			expect(t, "and from then on", b.asked(u, one(wire.JSON, "a")), "hit; ttl=5")
			b.check("a", func() { u.set("a", done) })
			synctest.Wait()
			expect(t, "after a check", a.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		})
	})
	t.Run("one that keeps it for less", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			b.Configure(Settings{})
			a.asked(u, one(wire.JSON, "a"))
			pass(time.Second)
			expect(t, "early", b.asked(u, one(wire.JSON, "a")), "hit; ttl=1; detail=store")
			pass(time.Second)
			expect(t, "late", b.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		})
	})
	t.Run("a check was tried", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			b.check("a", func() {})
			synctest.Wait()
			a.asked(u, one(wire.JSON, "a"))
			expect(t, "who may have changed it is not known", a.asked(u, one(wire.JSON, "a")), "hit; ttl=2")
		})
	})
	t.Run("another is silent", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			a.asked(u, one(wire.JSON, "a"))
			pass(10 * time.Second)
			b.spy.fails.Store(true)
			pass(time.Second)
			expect(t, "what is in memory", a.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
			expect(t, "what comes then", a.asked(u, one(wire.JSON, "a")), "hit; ttl=2")
			b.spy.fails.Store(false)
			pass(5 * time.Second)
			a.asked(u, one(wire.JSON, "a"))
			expect(t, "when it speaks again", a.asked(u, one(wire.JSON, "a")), "hit; ttl=30")
		})
	})
	t.Run("the store was away", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			a.asked(u, one(wire.JSON, "a"))
			for _, p := range []*peer{a, b} {
				p.spy.fails.Store(true)
			}
			pass(2 * time.Second) // somebody makes a check
			u.set("a", done)
			for _, p := range []*peer{a, b} {
				p.spy.fails.Store(false)
			}
			pass(5 * time.Second)
			expect(t, "what the store has had since before", b.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		})
	})
	t.Run("alone", func(t *testing.T) {
		with(t, func(t *testing.T, a, _ *peer, u *upstream) {
			a.asked(u, one(wire.JSON, "a"))
			pass(10 * time.Second)
			a.spy.fails.Store(true)
			for range 20 {
				a.asked(u, one(wire.JSON, "z"))
				pass(200 * time.Millisecond)
			}
			expect(t, "what is in memory", a.asked(u, one(wire.JSON, "a")), "fwd=miss; stored; detail=alone")
			expect(t, "what comes then", a.asked(u, one(wire.JSON, "a")), "hit; ttl=2; detail=alone")
		})
	})
	t.Run("alone, and the provider is in trouble", func(t *testing.T) {
		with(t, func(t *testing.T, a, b *peer, u *upstream) {
			a.asked(u, one(wire.JSON, "a"))
			a.spy.fails.Store(true)
			for range 20 {
				a.asked(u, one(wire.JSON, "z"))
				pass(200 * time.Millisecond)
			}
			b.check("a", func() { u.set("a", done) })
			u.failing(faulty(wire.ConnectFailed))
			answer, _ := a.ask(u, one(wire.JSON, "a"))
			expect(t, "what another's check may have changed", answer.Fault != nil, true)
		})
	})
}

// TestScheduledNoMore: a reload ends it, for what is in memory as well.
func TestScheduledNoMore(t *testing.T) {
	bubble(t, Settings{Scheduled: true}, func(t *testing.T, c *Cache) {
		u := newUpstream(states(26))
		c.knowing("a", time.Hour)
		c.ask(u, one(wire.JSON, "a"))
		pass(3 * time.Second)
		c.Configure(Settings{})
		u.failing(faulty(wire.ConnectFailed))
		_, r := c.ask(u, one(wire.JSON, "a"))
		expect(t, "in trouble", r.Kind, wire.CacheStale)
		u.failing(nil)
		_, r = c.ask(u, one(wire.JSON, "a"))
		expect(t, "then", r.Kind, wire.CacheMiss)
	})
}
