package search

import (
	"bytes"
	"context"
	"sync"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// look is what the store had on one of a flight's verifications.
type look struct {
	entry *entry      // nil: the upstream is asked
	token store.Token // for what it says then
	hold  bool        // a check or control is under way somewhere
	tried bool        // or was: the provider may yet do what it was asked
	away  bool        // the store did not say
}

// asked are the verifications that the upstream is asked for: those that the store had
// nothing on.
func (f *flight) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looks == nil {
		return f.ids
	}
	var asked []string
	for i, id := range f.ids {
		if f.looks[i].entry == nil {
			asked = append(asked, id)
		}
	}
	return asked
}

// looked takes note of what the store had. It reports false when nobody waits any more.
func (f *flight) looked(looks []look) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.looks = looks
	return true
}

// lookOn is what the store had on a verification.
func (f *flight) lookOn(id string) look {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, l := range f.looks {
		if f.ids[i] == id {
			return l
		}
	}
	return look{away: true}
}

// field is the name of what a verification's entries of one caller and format are kept
// under: no caller is told what another was.
func (f *flight) field() store.Field { return store.Field(f.format.String() + " " + f.caller) }

// look asks the store for all that a flight is about. It reports false when nobody waits
// for that any more.
//
// What was found is from now on in memory, and what is held is nobody's to join: the
// upstream may answer with what a check elsewhere is about to change, and who asks once
// that is over must not get it.
func (c *Cache) look(ctx context.Context, f *flight) bool {
	looks := make([]look, len(f.ids))
	each(len(f.ids), func(i int) { looks[i] = c.lookFor(ctx, f, f.ids[i]) })
	if !f.looked(looks) {
		return false
	}
	for i, id := range f.ids {
		switch s := c.shard(id); {
		case looks[i].entry != nil:
			s.adopt(f, id, looks[i].entry)
		case looks[i].hold:
			s.detach(id, f)
		}
	}
	return true
}

func (c *Cache) lookFor(ctx context.Context, f *flight, id string) look {
	in, now := c.inForce.Load(), c.now() // before, so that nothing is told for longer than it is valid
	there, err := f.shared.Look(ctx, store.Of(id), f.field())
	if err != nil {
		return look{away: true}
	}
	l := look{token: there.Token, hold: there.Hold, tried: there.Tried}
	if !there.Hold && there.Entry != nil {
		l.entry = decode(there, f.caller, f.format, now, in.longest(), &in.lifetimes)
	}
	if l.entry != nil && c.Own(id) {
		l.entry = nil // from who knows less, perhaps
	}
	if f.refreshes && l.entry != nil && l.entry.old(now) {
		l.entry = nil // it is the same, perhaps
	}
	return l
}

// keep offers the store what a flight brought, once those who waited have their answer,
// and keeps in memory what it takes: then no check or control has come between.
func (c *Cache) keep(ctx context.Context, f *flight, fresh map[string]*entry) {
	ctx = context.WithoutCancel(ctx)
	ids := make([]string, 0, len(fresh))
	for id := range fresh {
		ids = append(ids, id)
	}
	each(len(ids), func(i int) {
		id := ids[i]
		c.shard(id).settle(f, id, fresh[id], c.keepOne(ctx, f, id, fresh[id]))
	})
}

// keepOne tells whether an entry may be kept in memory. If the store does not say, it may
// while nobody tells of checks elsewhere, as without a store: it goes when the store is
// back. Otherwise a check may be under way whose end would be told of a moment too late.
func (c *Cache) keepOne(ctx context.Context, f *flight, id string, e *entry) bool {
	l := f.lookOn(id)
	life := min(e.expires-c.now(), store.Life)
	if !l.away && life > 0 {
		kept, err := f.shared.Keep(ctx, store.Of(id), l.token, f.field(), e.encode(c.now()), life)
		if err == nil {
			return kept
		}
	}
	return !f.shared.Watching()
}

// each runs f for 0 to n-1, all at once.
func each(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// adopt keeps what the store had on a verification in memory, as insert does with what the
// upstream says.
func (s *shard) adopt(f *flight, id string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.store.get(id, f.caller, f.format)
	if !s.detachLocked(id, f) || s.droppedSince(f, id) || before != nil && before.fetched > e.fetched {
		return
	}
	if before != nil && bytes.Equal(before.raw(), e.raw()) {
		e.since = before.since
	}
	s.put(e, before, id)
}

// settle ends what insert has begun: it keeps an entry in memory, or does not.
func (s *shard) settle(f *flight, id string, e *entry, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detachLocked(id, f) && keep && !s.droppedSince(f, id) {
		s.put(e, s.store.get(id, f.caller, f.format), id)
	}
}

// takeLooked has the parts of which the store had the answer be as those that memory had.
func (q *query) takeLooked() {
	for i := range q.parts {
		p := &q.parts[i]
		if p.flight == nil || p.flight.shared == nil {
			continue
		}
		if l := p.flight.lookOn(p.id); l.entry != nil {
			p.entry, p.shared = l.entry, true
			p.flight, p.joined = nil, false
		}
	}
}
