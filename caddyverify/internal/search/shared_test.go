package search

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What one gateway has been told, the other tells byte for byte as the first would.
func TestFoundByAnother(t *testing.T) {
	for _, f := range wire.Formats {
		for _, first := range []struct {
			name string
			call *wire.Call
		}{{"one", one(f, "a")}, {"of a list", many(f, "a", "b")}} {
			for _, then := range []*wire.Call{one(f, "a"), many(f, "a")} {
				t.Run(f.String()+" "+first.name, func(t *testing.T) {
					sharing(t, func(t *testing.T, a, b *peer) {
						u := newUpstream(map[string]string{"a": ip, "b": done})
						expect(t, "first", a.asked(u, first.call), "fwd=miss; stored")
						pass(1100 * time.Millisecond)
						here, local := a.ask(u, then)
						there, shared := b.ask(u, then)
						expect(t, "calls", len(u.called()), 1)
						expect(t, "body", string(there.Body), string(here.Body))
						expect(t, "type", there.ContentType, here.ContentType)
						expect(t, "status", there.Status, here.Status)
						expect(t, "the first's", local.CacheStatus(), "caddy-verify; hit; ttl=0")
						expect(t, "the other's", shared.CacheStatus(), "caddy-verify; hit; ttl=0; detail=store")
						expect(t, "age", shared.Age, 1100*time.Millisecond)
						// From now on the other has it in memory, for as long.
						looks := b.spy.looks.Load()
						expect(t, "in memory", b.asked(u, then), "hit; ttl=0")
						expect(t, "looks for it", b.spy.looks.Load(), looks)
						if n := a.spy.looks.Load(); n != int64(strings.Count(u.called()[0], ",")+1) {
							t.Errorf("%d looks at the first", n)
						}
						expect(t, "shared hits", b.Stats().SharedHits, 1)
						pass(901 * time.Millisecond)
						expect(t, "2 seconds after", b.asked(u, then), "fwd=miss; stored")
					})
				})
			}
		}
	}
}

// A local hit makes no call to the store, whatever is asked for.
func TestLocalHitAsksNoStore(t *testing.T) {
	sharing(t, func(t *testing.T, a, _ *peer) {
		u := newUpstream(map[string]string{"a": ip, "b": done})
		a.asked(u, many(wire.JSON, "a", "b"))
		looks, keeps := a.spy.looks.Load(), a.spy.keeps.Load()
		expect(t, "kept", a.spy.kept.Load(), 2)
		for range 100 {
			expect(t, "one", a.asked(u, one(wire.JSON, "a")), "hit; ttl=2")
			expect(t, "list", a.asked(u, many(wire.JSON, "b", "a")), "hit; ttl=2")
		}
		expect(t, "looks", a.spy.looks.Load(), looks)
		expect(t, "keeps", a.spy.keeps.Load(), keeps)
		one, send := one(wire.JSON, "a"), u.fetch
		if n := testing.AllocsPerRun(100, func() { a.Search(context.Background(), one, send) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// Who knows by itself what a search is answered believes nobody who knows less.
func TestOwn(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		knows, ignorant := newUpstream(map[string]string{"a": done}), newUpstream(map[string]string{"a": ip})
		b.Own = func(id string) bool { return id == "a" }
		expect(t, "who knows less", a.asked(ignorant, one(wire.JSON, "a")), "fwd=miss; stored")
		answer, _ := b.ask(knows, one(wire.JSON, "a"))
		expect(t, "who knows", answer.Status, done)
		pass(time.Millisecond)
		looks := b.spy.looks.Load()
		answer, r := b.ask(knows, one(wire.JSON, "a"))
		expect(t, "who knows, in memory", answer.Status, done)
		expect(t, "kind", r.Kind, wire.CacheHit)
		expect(t, "looks", b.spy.looks.Load(), looks)
	})
}

func TestNobodyElses(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip})
		a.asked(u, by("app", one(wire.JSON, "a")))
		expect(t, "another caller", b.asked(u, by("other", one(wire.JSON, "a"))), "fwd=miss; stored")
		expect(t, "another format", b.asked(u, by("app", one(wire.XML, "a"))), "fwd=miss; stored")
		expect(t, "the same", b.asked(u, by("app", one(wire.JSON, "a"))), "hit; ttl=2; detail=store")
	})
}

func TestListPartlyInTheStore(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip, "b": done, "c": ip, "d": ip})
		a.asked(u, many(wire.JSON, "a", "c"))
		b.asked(u, one(wire.JSON, "d"))
		answer, r := b.ask(u, many(wire.JSON, "a", "b", "c", "d"))
		expect(t, "calls", u.called(), []string{"a,c", "d", "b"})
		expect(t, "body", string(answer.Body), u.assembled(wire.JSON, "a", "b", "c", "d"))
		expect(t, "Cache-Status", r.CacheStatus(), `caddy-verify; fwd=partial; stored; detail="3 of 4 from memory"`)
		expect(t, "shared", b.Stats().SharedHits, 2)
		synctest.Wait()
		expect(t, "all of it", a.asked(u, many(wire.JSON, "a", "b", "c", "d")), "hit; ttl=2; detail=store")

		// What is refused for a part is so for the whole, whatever the store has.
		u.failing(refusing("4"))
		answer, _ = a.ask(u, many(wire.JSON, "a", "z"))
		expect(t, "refused", answer.Status, "4")
	})
}

// A search for one that joined another's list has its answer from the store even if the
// upstream has none for the list.
func TestJoinedWhatTheStoreHad(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip})
		a.asked(u, one(wire.JSON, "a"))
		slow := newSlow(nil)
		slow.failing(faulty(wire.ConnectFailed))
		b.spy.hangs.Store(true)
		list := b.start(many(wire.JSON, "z", "a"), slow.fetch)
		b.spy.hangs.Store(false)
		expect(t, "list", list.said(), string(wire.ConnectFailed))
		first := b.start(many(wire.JSON, "z", "a"), slow.fetch)
		second := b.start(one(wire.JSON, "a"), slow.fetch)
		expect(t, "second", second.said(), "a IN PROGRESS")
		expect(t, "first", first.said(), string(wire.ConnectFailed))
	})
}

// lives is what is kept in the store for how long.
func TestLivesInTheStore(t *testing.T) {
	for _, tt := range []struct {
		status string
		asks   int // a minute apart
		life   time.Duration
	}{
		{ip, 1, 2 * time.Second},
		{done, 1, time.Minute},
		{done, 2, 10 * time.Minute},
		{"", 1, time.Second},
		{"SOMETHING NEW", 1, 0},
	} {
		t.Run(tt.status, func(t *testing.T) {
			sharing(t, func(t *testing.T, a, b *peer) {
				states := map[string]string{}
				if tt.status != "" {
					states["a"] = tt.status
				}
				u := newUpstream(states)
				a.asked(u, one(wire.JSON, "a"))
				for range tt.asks - 1 {
					pass(time.Minute)
					a.asked(u, one(wire.JSON, "a"))
				}
				expect(t, "calls", len(u.called()), tt.asks)
				expect(t, "life", time.Duration(a.spy.life.Load()), tt.life)
				if tt.life == 0 {
					return
				}
				pass(tt.life - 10*time.Millisecond)
				b.asked(u, one(wire.JSON, "a"))
				expect(t, "calls at the end of its life", len(u.called()), tt.asks)
				pass(11 * time.Millisecond)
				b.asked(u, one(wire.JSON, "a"))
				expect(t, "calls after its life", len(u.called()), tt.asks+1)
			})
		})
	}
	t.Run("errors", func(t *testing.T) {
		sharing(t, func(t *testing.T, a, _ *peer) {
			u := newUpstream(nil)
			for _, f := range []func(*wire.Call) *wire.Answer{faulty(wire.ConnectFailed), refusing("1"), refusing("5"), refusing("4")} {
				u.failing(f)
				a.asked(u, one(wire.JSON, "a"))
			}
			expect(t, "kept", a.spy.keeps.Load(), 0)
			a.expectNames(t, 0)
		})
	})
}

// A check at one gateway has the other's memory dropped at its beginning and at its end.
func TestDroppedByACheckElsewhere(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip, "b": ip})
		b.asked(u, many(wire.JSON, "a", "b"))
		b.asked(u, by("other", one(wire.XML, "a")))
		a.check("a", func() {
			expect(t, "entries", b.Stats().Entries, 1)
			expect(t, "drops", b.Stats().SharedDrops, 2)
			b.expectNames(t, 1)
			expect(t, "meanwhile", b.asked(u, one(wire.JSON, "a")), "fwd=miss")
			expect(t, "and again", b.asked(u, one(wire.JSON, "a")), "fwd=miss")
			expect(t, "another", b.asked(u, one(wire.JSON, "b")), "hit; ttl=2")
			u.set("a", done)
		})
		expect(t, "after it", b.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		expect(t, "at the first", a.asked(u, one(wire.JSON, "a")), "hit; ttl=60; detail=store")
	})
}

// What was asked for before a check that comes between is neither kept nor told later, even
// where nothing was heard of the check.
func TestCheckWhileUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name        string
		deaf, quiet bool
	}{
		{"heard of", false, false},
		{"not heard of", true, false},
		{"not heard of, and nobody asks until the store has said no", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sharing(t, func(t *testing.T, a, b *peer) {
				u := newSlow(map[string]string{"a": ip})
				before := b.start(one(wire.JSON, "a"), u.fetch)
				if tt.deaf {
					b.unwatch()
				}
				a.check("a", func() { u.set("a", done) })
				if !tt.deaf {
					after := b.start(one(wire.JSON, "a"), u.fetch)
					expect(t, "after", after.said(), "a SUCCESS")
				}
				b.spy.slow.Store(int64(10 * time.Millisecond)) // until it is known whether it is kept
				expect(t, "before", before.said(), "a IN PROGRESS")
				if !tt.quiet {
					answer, _ := b.ask(u.upstream, one(wire.JSON, "a"))
					expect(t, "right after", answer.Status, done)
				}
				pass(time.Second)
				b.spy.slow.Store(0)
				for _, p := range []*peer{b, a} {
					answer, _ := p.ask(u.upstream, one(wire.JSON, "a"))
					expect(t, "after", answer.Status, done)
				}
			})
		})
	}
}

// What was asked for during a check elsewhere is not joined by who asks after it, even
// before its end is heard of.
func TestHeldIsNotJoined(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newSlow(map[string]string{"a": ip})
		b.unwatch() // its end is not heard of
		var during *asking
		a.check("a", func() {
			during = b.start(one(wire.JSON, "a"), u.fetch)
			u.set("a", done)
		})
		after := b.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "during", during.said(), "a IN PROGRESS")
		expect(t, "after", after.said(), "a SUCCESS")
		synctest.Wait() // what comes after the answer
		expect(t, "kept", b.spy.kept.Load(), 1)
	})
}

func TestShareWithAnother(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip})
		kept := func(want int64) {
			t.Helper()
			a.asked(u, one(wire.JSON, "a"))
			expect(t, "entries", a.Stats().Entries, want)
		}
		kept(1)
		a.Share(a.shared)
		expect(t, "with the same", a.Stats().Entries, 1)
		var others fleet
		other := others.join(t, "a")
		defer other.close()
		a.Share(other.shared)
		expect(t, "with another", a.Stats().Entries, 0)
		expect(t, "which knows nothing", a.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		b.check("a", func() {})
		expect(t, "after a check elsewhere", a.Stats().Entries, 1)
		a.Share(nil)
		expect(t, "with none", a.Stats().Entries, 0)
		kept(1)
		a.Share(a.shared)
		expect(t, "entries at the end", a.Stats().Entries, 0)
		expect(t, "calls", len(u.called()), 3)
	})
}

// Names are forgotten with what they are for.
func TestNames(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		slow := newSlow(map[string]string{"a": ip, "b": ip})
		under := a.start(many(wire.JSON, "a", "b", "c"), slow.fetch)
		a.expectNames(t, 3)
		under.said()
		synctest.Wait()
		a.expectNames(t, 2)
		a.Drop("a")
		a.expectNames(t, 1)
		pass(10 * time.Minute)
		a.expectNames(t, 0)
		a.Configure(Settings{MaxEntries: 1})
		u := newUpstream(map[string]string{"a": done, "b": done})
		for _, id := range []string{"a", "b", "a"} {
			a.asked(u, one(wire.JSON, id))
			a.expectNames(t, 1)
			b.asked(u, one(wire.JSON, id))
		}
		b.expectNames(t, 2)
		a.check("a", func() {})
		b.expectNames(t, 1)
	})
}
