package search

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unique"

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
		var ids []string
		ids, l.filled = c.Fill(wire.MaxIDs - n)
		for _, id := range ids {
			if !slices.Contains(l.ids, id) {
				l.ids = append(l.ids, id)
			}
		}
	}
}

const (
	// maxWanted bounds how many of a shard's verifications are remembered for who asks next, and
	// wantedFor is for how long they are: who has not come by then polls slowly.
	maxWanted = 64
	wantedFor = 2 * time.Second
)

// wanted is a verification that was asked for until a check or control dropped it, and will
// be again.
type wanted struct {
	kinds []unique.Handle[kind]
	at    time.Duration
	over  bool // the check is: it was dropped for the second time
}

// noteWanted is for before a drop: nobody waits for what has lapsed before that. The caller
// holds s.mu.
func (s *shard) noteWanted(id string, now time.Duration) {
	w := s.wanted[id]
	if w != nil {
		w.at, w.over = now, true
		return
	}
	var kinds []unique.Handle[kind]
	for e := s.store.first(id); e != nil; e = e.another {
		if e.class == inProgress && e.read.Load() && now < e.expires {
			kinds = append(kinds, e.kind)
		}
	}
	if len(kinds) > 0 && len(s.wanted) < maxWanted {
		s.wanted[strings.Clone(id)] = &wanted{kinds: kinds, at: now}
	}
}

// soon is what somebody is about to ask for.
type soon struct {
	id    string
	kind  unique.Handle[kind]
	since time.Duration // when it was asked for last, or dropped
	entry *entry        // nil: it was dropped
}

// refresh adds what is soon to be asked for to a list, each with a flight of its own, which others
// may join.
func (c *Cache) refresh(in *configured, l *list) {
	all := in.refreshable(l.format, c.now())
	if len(all) == 0 || !c.hold(l) {
		return
	}
	var flights []*flight
	var contexts []context.Context
	ids := slices.Clone(l.ids)
	for _, one := range all {
		known := slices.Contains(ids, one.id)
		if !known && len(ids) == wire.MaxIDs {
			continue
		}
		f := c.shardOf(in.shards, one.id).refresh(one)
		if f == nil {
			continue
		}
		f.shared = in.shared
		if flights, contexts = append(flights, f), append(contexts, f.begin(l.ctx, c)); !known {
			ids = append(ids, one.id)
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

// mostSoon is how many a call is made of at most: ten ids, asked for by several.
const mostSoon = 4 * wire.MaxIDs

// oldest are in the order in which they are asked for, at most mostSoon.
type oldest []soon

// add keeps one, unless there are older ones enough.
func (all *oldest) add(one soon) {
	if len(*all) == mostSoon {
		if last := &(*all)[mostSoon-1]; before(last, &one) {
			return
		}
		*all = (*all)[:mostSoon-1]
	}
	i := len(*all)
	for i > 0 && before(&one, &(*all)[i-1]) {
		i--
	}
	*all = slices.Insert(*all, i, one)
}

// before tells which is older. Of two of one moment it is no matter, but it is the same in each run
// of a simulation.
func before(a, b *soon) bool {
	if a.since != b.since {
		return a.since < b.since
	}
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.kind.Value().caller, b.kind.Value().caller)) < 0
}

// refreshable returns what a check has dropped, and what is in progress, has been read since it
// came and is past half of its lifetime, but not by another one. The oldest come first.
func (c *configured) refreshable(f wire.Format, now time.Duration) (all oldest) {
	for i := range c.shards {
		c.shards[i].refreshable(&all, f, now, c.lifetimes.longest)
	}
	return all
}

func (s *shard) refreshable(all *oldest, f wire.Format, now, longest time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q := &s.store.queues
	for _, of := range q.of {
		for e := q.at(of.of[inProgress].newest); e != nil && now-e.fetched < 2*longest; e = q.at(e.prev) {
			if e.read.Load() && e.old(now) && now < 2*e.expires-e.fetched && e.kind.Value().format == f {
				all.add(soon{e.id, e.kind, e.fetched, e})
			}
		}
	}
	for id, w := range s.wanted {
		for _, k := range w.kinds {
			if w.over && now-w.at < wantedFor && k.Value().format == f {
				all.add(soon{id, k, w.at, nil})
			}
		}
	}
}

// refresh returns a flight that brings it, or nil where it is no longer as it was, or is being
// brought already.
func (s *shard) refresh(one soon) *flight {
	k := one.kind.Value()
	own := newFlight(k.caller, k.format, true)
	own.refreshes = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.get(one.id, k.caller, k.format) != one.entry || s.flight(one.id, own) != nil {
		return nil
	}
	s.enrol(one.id, own) // and nobody leaves for the list, so that the last to leave cancels nothing
	return own
}
