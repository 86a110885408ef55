package search

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// complement has a call that is about to be sent ask for more, up to ten: what memory has in
// progress that is soon to be asked for by somebody, and then, if it is a list anyway, what
// Fill wants to know.
func (c *Cache) complement(l *list) {
	in := c.inForce.Load()
	if len(l.ids) < wire.MaxIDs && in.local() && l.ctx.Err() == nil {
		c.refresh(in, l)
	}
	if n := len(l.ids); n < wire.MaxIDs && (n > 1 || l.several) && c.Fill != nil {
		for _, id := range c.Fill(wire.MaxIDs - n) {
			if !slices.Contains(l.ids, id) {
				l.ids = append(l.ids, id)
			}
		}
	}
}

// refresh adds entries to a list, each with a flight of its own, which others may join.
func (c *Cache) refresh(in *configured, l *list) {
	entries := in.refreshable(l.format, c.now())
	if len(entries) == 0 || !c.hold(l) {
		return
	}
	var flights []*flight
	var contexts []context.Context
	ids := slices.Clone(l.ids)
	for _, e := range entries {
		known := slices.Contains(ids, e.id)
		if !known && len(ids) == wire.MaxIDs {
			continue
		}
		f := c.shardOf(in.shards, e.id).refresh(e)
		if f == nil {
			continue
		}
		f.shared = in.shared
		if flights, contexts = append(flights, f), append(contexts, f.begin(l.ctx, c)); !known {
			ids = append(ids, e.id)
		}
	}
	if in.shared != nil {
		each(len(flights), func(i int) { c.look(contexts[i], flights[i]) })
	}
	for i, f := range flights {
		for _, id := range f.asked() {
			if !slices.Contains(l.ids, id) {
				l.ids = append(l.ids, id)
			}
		}
		go c.fetch(contexts[i], f, l, l.send)
	}
}

// hold has a call go on when those who asked have left. It reports false when all have.
func (c *Cache) hold(l *list) bool {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	l.lasting = len(l.flights) > 0
	return l.lasting
}

// old tells that an entry is past half of its lifetime.
func (e *entry) old(now time.Duration) bool { return 2*(now-e.fetched) >= e.expires-e.fetched }

// refreshable returns what is in progress, has been read since it came and is past half of its
// lifetime, but not by another one. The oldest come first.
func (c *configured) refreshable(f wire.Format, now time.Duration) (entries []*entry) {
	longest := 2 * c.lifetimes.longest
	for i := range c.shards {
		entries = c.shards[i].refreshable(entries, f, now, longest)
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		// Which of two comes first is no matter, but it is the same in each run of a simulation.
		return cmp.Or(cmp.Compare(a.fetched, b.fetched), cmp.Compare(a.id, b.id), cmp.Compare(a.kind.Value().caller, b.kind.Value().caller))
	})
	return entries
}

func (s *shard) refreshable(entries []*entry, f wire.Format, now, longest time.Duration) []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q := &s.store.queues
	for _, all := range q.of {
		for e := q.at(all.of[inProgress].newest); e != nil && now-e.fetched < longest; e = q.at(e.prev) {
			if e.read.Load() && e.old(now) && now < 2*e.expires-e.fetched && e.kind.Value().format == f {
				entries = append(entries, e)
			}
		}
	}
	return entries
}

// refresh returns a flight that brings an entry anew, or nil where the entry is gone or is
// being brought already.
func (s *shard) refresh(e *entry) *flight {
	k := e.kind.Value()
	own := newFlight(k.caller, k.format, true)
	own.refreshes = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.get(e.id, k.caller, k.format) != e || s.flight(e.id, own) != nil {
		return nil
	}
	s.enrol(e.id, own) // and nobody leaves for the list, so that the last to leave cancels nothing
	return own
}
