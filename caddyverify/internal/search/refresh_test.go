package search

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unique"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestRefresh(t *testing.T) {
	const j = wire.JSON
	tests := []struct {
		name string
		do   func(c *Cache, u *upstream) // after which a second passes
		then *wire.Call
		call string
	}{
		{"what was read", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")); c.ask(u, one(j, "a")) }, one(j, "z"), "z,a"},
		{"as a part of a list", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")); c.ask(u, many(j, "a", "b")) }, one(j, "z"), "z,a"},
		{"what was not read", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")) }, one(j, "z"), "z"},
		{"not what is young", func(c *Cache, u *upstream) { pass(1); c.ask(u, one(j, "a")); c.ask(u, one(j, "a")) }, one(j, "z"), "z"},
		{"the oldest first", func(c *Cache, u *upstream) {
			for id := range strings.FieldsSeq("f g h i j k l m n o p") {
				c.ask(u, one(j, id))
				c.ask(u, one(j, id))
				pass(time.Millisecond)
			}
			pass(time.Second)
		}, many(j, "z", "y"), "z,y,f,g,h,i,j,k,l,m"},
		{"even if it has just expired", func(c *Cache, u *upstream) {
			c.ask(u, one(j, "a"))
			c.ask(u, one(j, "a"))
			pass(3999 * time.Millisecond)
		}, one(j, "z"), "z,a"},
		{"not if nobody wants it any more", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")); c.ask(u, one(j, "a")); pass(4 * time.Second) }, one(j, "z"), "z"},
		{"not in the other format", func(c *Cache, u *upstream) { c.ask(u, one(wire.XML, "a")); c.ask(u, one(wire.XML, "a")) }, one(j, "z"), "z"},
		{"not what is final", func(c *Cache, u *upstream) { u.states["a"] = done; c.ask(u, one(j, "a")); c.ask(u, one(j, "a")) }, one(j, "z"), "z"},
		{"not what was dropped", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")); c.ask(u, one(j, "a")); c.Drop("a") }, one(j, "z"), "z"},
		{"what a check dropped, since who polls asks again", func(c *Cache, u *upstream) {
			c.ask(u, one(j, "a"))
			c.ask(u, one(j, "a"))
			c.Drop("a")
			u.states["a"] = done
			c.Drop("a")
		}, one(j, "z"), "z,a"},
		{"not if nobody polled", func(c *Cache, u *upstream) { c.ask(u, one(j, "a")); c.Drop("a"); c.Drop("a") }, one(j, "z"), "z"},
		{"not if somebody has asked", func(c *Cache, u *upstream) {
			c.ask(u, one(j, "a"))
			c.ask(u, one(j, "a"))
			c.Drop("a")
			c.Drop("a")
			pass(time.Second)
			c.ask(u, one(j, "a"))
		}, one(j, "z"), "z"},
		{"not if nobody has for long", func(c *Cache, u *upstream) {
			c.ask(u, one(j, "a"))
			c.ask(u, one(j, "a"))
			c.Drop("a")
			c.Drop("a")
			pass(wantedFor)
		}, one(j, "z"), "z"},
		{"not if it had lapsed before the check", func(c *Cache, u *upstream) {
			c.ask(u, one(j, "a"))
			c.ask(u, one(j, "a"))
			pass(30 * time.Second)
			c.Drop("a")
			c.Drop("a")
		}, one(j, "z"), "z"},
		{"another caller's", func(c *Cache, u *upstream) { c.ask(u, by("x", one(j, "a"))); c.ask(u, by("x", one(j, "a"))) }, by("y", one(j, "a")), "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newUpstream(states(26))
				before := time.Now()
				test.do(c, u)
				pass(time.Until(before.Add(max(time.Since(before), time.Second))))
				u.calls = nil
				a, r := c.ask(u, test.then)
				synctest.Wait()
				expect(t, "call", strings.Join(u.called(), " "), test.call)
				expect(t, "Cache-Status", r.CacheStatus(), "caddy-verify; fwd=miss; stored")
				ids, _ := test.then.IDs()
				expect(t, "said", len(verifications(a)), len(ids))
				if test.call == "z" {
					expect(t, "body", string(a.Body), oneOf(j, fragment(j, "z", ip, u.price)))
				}
			})
		})
	}
}

// refreshing is a Cache whose next call takes "a" along, for the caller "x" too.
func refreshing(t *testing.T, f func(t *testing.T, c *Cache, u *slow)) {
	t.Helper()
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(states(26))
		for _, caller := range []string{"", "x"} {
			for range 2 {
				c.ask(u.upstream, by(caller, one(wire.JSON, "a")))
			}
		}
		pass(1500 * time.Millisecond)
		u.calls = nil
		f(t, c, u)
	})
}

func TestRefreshed(t *testing.T) {
	t.Run("it is kept", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			z := c.start(one(wire.JSON, "z"), u.fetch)
			u.set("a", done)
			during, r := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "during", during.Status, ip)
			expect(t, "its kind", r.Kind, wire.CacheHit)
			expect(t, "z", z.said(), statuses("z"))
			synctest.Wait()
			for _, caller := range []string{"", "x"} {
				_, r = c.ask(u.upstream, by(caller, one(wire.JSON, "a")))
				expect(t, "after", r.CacheStatus(), "caddy-verify; hit; ttl=2")
			}
			expect(t, "calls", u.called(), []string{"z,a"})
			pass(time.Second) // read, and past half of its lifetime
			y := c.start(one(wire.JSON, "y"), u.fetch)
			y.said()
			expect(t, "then", u.called(), []string{"z,a", "y,a"})
		})
	})
	t.Run("others wait for it, though all who asked leave", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			z := c.start(one(wire.JSON, "z"), u.fetch)
			pass(600 * time.Millisecond)
			a := c.start(one(wire.JSON, "a"), u.fetch)
			z.leave()
			expect(t, "z", z.said(), string(wire.ClientLeft))
			expect(t, "a", a.said(), statuses("a"))
			expect(t, "Cache-Status", a.result.CacheStatus(), "caddy-verify; fwd=miss; collapsed")
			expect(t, "calls", u.called(), []string{"z,a"})
			expect(t, "cancelled", len(u.cancelled), 0)
		})
	})
	t.Run("others that wait for it and leave", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			z := c.start(one(wire.JSON, "z"), u.fetch)
			pass(600 * time.Millisecond)
			a := c.start(one(wire.JSON, "a"), u.fetch)
			a.leave()
			expect(t, "a", a.said(), string(wire.ClientLeft))
			expect(t, "z", z.said(), statuses("z"))
			synctest.Wait()
			_, r := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "kept", r.Kind, wire.CacheHit)
		})
	})
	t.Run("a check comes between", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			z := c.start(one(wire.JSON, "z"), u.fetch)
			c.Drop("a")
			u.set("a", done)
			c.Drop("a")
			z.said()
			synctest.Wait()
			a, _ := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "after it", a.Status, done)
		})
	})
	for name, fails := range map[string]func(*wire.Call) *wire.Answer{"fault": faulty(wire.ConnectFailed), "throttled": refusing("1"), "refused": refusing("3"), "unreadable": faulty(wire.AnswerUnreadable)} {
		t.Run("it fails: "+name, func(t *testing.T) {
			refreshing(t, func(t *testing.T, c *Cache, u *slow) {
				u.failing(func(call *wire.Call) *wire.Answer {
					if ids, _ := call.IDs(); len(ids) > 1 {
						return fails(call)
					}
					return nil
				})
				begun := time.Now()
				c.ask(u.upstream, one(wire.JSON, "z"))
				synctest.Wait()
				expect(t, "took", time.Since(begun), time.Duration(0))
				_, r := c.ask(u.upstream, one(wire.JSON, "a"))
				expect(t, "a", r.CacheStatus(), "caddy-verify; hit; ttl=0")
			})
		})
	}
	t.Run("it fails and others wait", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			u.failing(func(call *wire.Call) *wire.Answer {
				if ids, _ := call.IDs(); len(ids) > 1 {
					return refusing("3")(call)
				}
				return nil
			})
			z := c.start(one(wire.JSON, "z"), u.fetch)
			pass(600 * time.Millisecond)
			a, list := c.start(one(wire.JSON, "a"), u.fetch), c.start(many(wire.JSON, "a"), u.fetch)
			expect(t, "z", z.said(), statuses("z"))
			expect(t, "a", a.said(), statuses("a"))
			expect(t, "list", list.said(), statuses("a"))
			expect(t, "calls", len(u.called()), 3)
		})
	})
	t.Run("it is no longer there", func(t *testing.T) {
		refreshing(t, func(t *testing.T, c *Cache, u *slow) {
			delete(u.states, "a")
			c.ask(u.upstream, one(wire.JSON, "z"))
			synctest.Wait()
			a, _ := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "a", a.Status, "101")
			expect(t, "calls", u.called(), []string{"z,a", "a"})
		})
	})
}

func TestFill(t *testing.T) {
	const j = wire.JSON
	for _, tt := range []struct {
		name string
		ask  *wire.Call
		call string
	}{
		{"one goes alone", one(j, "a"), "a"},
		{"a list", many(j, "a", "b"), "a,b,c,d"},
		{"a list of one", many(j, "b"), "b,c,d"},
		{"a full list", many(j, "a", "b", "e", "f", "g", "h", "i", "j", "k", "l"), "a,b,e,f,g,h,i,j,k,l"},
		{"with room for one", many(j, "a", "b", "e", "f", "g", "h", "i", "j", "k"), "a,b,e,f,g,h,i,j,k,c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				c.Fill = func(most int) ([]string, func(bool)) { return []string{"c", "d"}[:min(most, 2)], func(bool) {} }
				u := newUpstream(states(26))
				a, _ := c.ask(u, tt.ask)
				ids, _ := tt.ask.IDs()
				expect(t, "call", u.called(), []string{tt.call})
				expect(t, "said", len(verifications(a)), len(ids))
				expect(t, "entries", c.Stats().Entries, len(ids))
			})
		})
	}
}

// Who fills a list learns whether it can have been sent.
func TestFilled(t *testing.T) {
	refused := wire.Answer{Fault: &wire.Fault{Cause: wire.LimitReached, Refused: true}}
	lost := wire.Answer{Fault: &wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}}
	for _, tt := range []struct {
		name  string
		fails *wire.Answer
		want  string
	}{{"answered", nil, "[true]"}, {"refused", &refused, "[false]"}, {"lost", &lost, "[true]"}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				var told []bool
				c.Fill = func(int) ([]string, func(bool)) {
					return []string{"c"}, func(sent bool) { told = append(told, sent) }
				}
				u := newUpstream(states(26))
				u.failing(func(*wire.Call) *wire.Answer { return tt.fails })
				c.ask(u, many(wire.JSON, "a", "b"))
				expect(t, "told", told, tt.want)
			})
		})
	}
}

// What another gateway has asked for is not asked for again, and what a check elsewhere changes
// is not kept.
func TestRefreshWithAStore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other func(a, b *peer, u *upstream, during func())
		calls []string
		last  string
	}{
		{"nobody", func(_, _ *peer, _ *upstream, during func()) { during() }, []string{"z,a"}, "hit; ttl=2"},
		{"it knows better", func(a, b *peer, u *upstream, during func()) {
			pass(600 * time.Millisecond)
			b.asked(u, one(wire.JSON, "a"))
			during()
		}, []string{"a", "z"}, "hit; ttl=2"},
		{"a check is under way", func(a, b *peer, u *upstream, during func()) {
			a.unwatch() // it does not hear of it
			b.check("a", during)
		}, []string{"z,a"}, "hit; ttl=0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sharing(t, func(t *testing.T, a, b *peer) {
				u := newUpstream(states(26))
				a.asked(u, one(wire.JSON, "a"))
				a.asked(u, one(wire.JSON, "a"))
				pass(1500 * time.Millisecond)
				u.calls = nil
				tt.other(a, b, u, func() { a.asked(u, one(wire.JSON, "z")) })
				expect(t, "calls", u.called(), tt.calls)
				expect(t, "then", a.asked(u, one(wire.JSON, "a")), tt.last)
			})
		})
	}
}

// TestWantedIsBounded: however many are checked, and forgotten when nobody asks.
func TestWantedIsBounded(t *testing.T) {
	bubble(t, Settings{MaxEntries: 500}, func(t *testing.T, c *Cache) {
		u := newUpstream(states(26))
		count := func() (n int) {
			for i := range c.inForce.Load().shards {
				s := &c.inForce.Load().shards[i]
				s.mu.RLock()
				n += len(s.wanted)
				s.mu.RUnlock()
			}
			return n
		}
		for i := range 200 {
			id := realID(i)
			u.set(id, ip)
			c.ask(u, one(wire.JSON, id))
			c.ask(u, one(wire.JSON, id))
			c.Drop(id)
		}
		expect(t, "kept", count(), maxWanted)
		pass(time.Minute)
		expect(t, "kept after a minute", count(), 0)
	})
}

// TestOldest keeps those that are to be asked for first, of however many.
func TestOldest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	of := unique.Make(kind{})
	for _, n := range []int{0, 1, mostSoon - 1, mostSoon, mostSoon + 1, 1000} {
		var all []soon
		for i := range n {
			all = append(all, soon{id: realID(i), kind: of, since: time.Duration(random.IntN(n))})
		}
		var got oldest
		for _, one := range all {
			got.add(one)
		}
		slices.SortFunc(all, func(a, b soon) int { return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.id, b.id)) })
		if want := all[:min(n, mostSoon)]; !slices.Equal(got, want) {
			t.Errorf("of %d: they are not the first of all", n)
		}
	}
}
