package search

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// While changes are not heard of, the store is asked, and nobody joins.
func TestUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fleet fleet
		b := fleet.joinUnheard(t, "b")
		defer b.close()
		u := newUpstream(map[string]string{"a": ip})
		expect(t, "first", b.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		expect(t, "then", b.asked(u, one(wire.JSON, "a")), "hit; ttl=2; detail=store")
		expect(t, "list", b.asked(u, many(wire.JSON, "a")), "hit; ttl=2; detail=store")
		slow := newSlow(map[string]string{"b": ip})
		first, second := b.start(one(wire.JSON, "b"), slow.fetch), b.start(one(wire.JSON, "b"), slow.fetch)
		expect(t, "first", first.said(), "b IN PROGRESS")
		expect(t, "second", second.said(), "b IN PROGRESS")
		expect(t, "calls", len(slow.called()), 2)
	})
}

// A store in trouble is nobody's error, and holds nothing up for long.
func TestStoreAway(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(s *spy, on bool)
	}{
		{"hangs", func(s *spy, on bool) { s.hangs.Store(on) }},
		{"fails", func(s *spy, on bool) { s.fails.Store(on) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sharing(t, func(t *testing.T, a, b *peer) {
				u := newUpstream(map[string]string{"a": ip, "b": ip, "c": ip})
				b.asked(u, one(wire.JSON, "a"))
				tt.set(b.spy, true)
				for range 20 {
					begun := time.Now()
					answer, _ := b.ask(u, many(wire.JSON, "b", "c"))
					if took := time.Since(begun); took > store.Budget || answer.Fault != nil {
						t.Errorf("%v after %v", answer.Fault, took)
					}
					pass(store.Budget)
				}
				expect(t, "from memory", b.asked(u, one(wire.JSON, "a")), "hit; ttl=1; detail=alone")
				pass(time.Second)
				// Nothing is heard of others any more, and each is on its own.
				expect(t, "a miss", b.asked(u, one(wire.JSON, "b")), "fwd=miss; stored; detail=alone")
				expect(t, "then", b.asked(u, one(wire.JSON, "b")), "hit; ttl=2; detail=alone")
				expect(t, "partly", b.asked(u, many(wire.JSON, "b", "c")), `fwd=partial; stored; detail="1 of 2 from memory, alone"`)
				u.set("b", done)
				a.check("b", func() {})
				expect(t, "unheard of", b.asked(u, one(wire.JSON, "b")), "hit; ttl=2; detail=alone")
				// Past its lifetime such a state stands in for nothing.
				pass(2 * time.Second)
				u.failing(faulty(wire.ConnectFailed))
				answer, _ := b.ask(u, one(wire.JSON, "b"))
				expect(t, "in trouble", answer.Fault != nil, true)
				u.failing(nil)

				b.asked(u, many(wire.JSON, "a", "b"))
				tt.set(b.spy, false)
				pass(1500 * time.Millisecond)
				expect(t, "once it is back", b.Stats().Entries, 0)
				expect(t, "then", b.asked(u, one(wire.JSON, "b")), "fwd=miss; stored")
				expect(t, "at the other", a.asked(u, one(wire.JSON, "b")), "hit; ttl=60; detail=store")
			})
		})
	}
}

// In trouble at the upstream a state past its lifetime stands in while checks are heard of.
func TestStaleIfErrorWithAStore(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip})
		b.asked(u, one(wire.JSON, "a"))
		pass(10 * time.Second)
		u.failing(faulty(wire.ConnectFailed))
		expect(t, "in trouble", b.asked(u, one(wire.JSON, "a")), "hit; ttl=-8; detail=stale-if-error")
		a.check("a", func() {})
		answer, _ := b.ask(u, one(wire.JSON, "a"))
		expect(t, "after a check elsewhere", answer.Fault != nil, true)
	})
}

// When pushes may have been missed, all is dropped, and what is under way is not kept.
func TestMissed(t *testing.T) {
	sharing(t, func(t *testing.T, _, b *peer) {
		u := newSlow(map[string]string{"a": ip, "late": ip})
		b.asked(u.upstream, one(wire.JSON, "a"))
		pass(1500 * time.Millisecond)
		late := b.start(one(wire.JSON, "late"), u.fetch)
		b.spy.told(store.Name{})
		expect(t, "entries", b.Stats().Entries, 0)
		expect(t, "drops", b.Stats().SharedDrops, 1)
		expect(t, "late", late.said(), "late IN PROGRESS")
		synctest.Wait()
		expect(t, "kept of it", b.Stats().Entries, 0)
		b.expectNames(t, 0)
		expect(t, "in the store", b.asked(u.upstream, many(wire.JSON, "a", "late")), "fwd=miss; stored")
	})
}
