package search

import (
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// shard holds what is known and what is being asked about some of the
// verifications. One lock guards both, so that for each search a state is either
// in memory, on its way or missing, and a drop comes before or after it.
type shard struct {
	mu      sync.RWMutex
	store   entries
	flights map[string][]*flight // by request_id
	// drops counts what was dropped, and dropped says when that was for what was being
	// asked about then, as long as an answer may still come.
	drops   uint64
	dropped map[string]dropped
	names   names
	wanted  map[string]*wanted // by request_id; at most maxWanted
}

// dropped is when a verification was dropped: the how manieth drop it was, and at what
// time.
type dropped struct {
	drop uint64
	at   time.Duration
}

// find returns the entry where it is fresh, or else nil. Of what is in progress that is as long
// as longest at most.
func (s *shard) find(id, caller string, f wire.Format, now, longest time.Duration) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.store.get(id, caller, f); e != nil && e.fresh(now, longest) {
		e.noteRead()
		return e
	}
	return nil
}

// findStale is find for a time of trouble (stale-if-error): up to stale past the lifetime.
func (s *shard) findStale(id, caller string, f wire.Format, now, stale time.Duration) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.store.get(id, caller, f)
	if e == nil || now >= e.expires && (e.class == notFound || now >= e.expires+stale) {
		return nil
	}
	return e
}

// findOrJoin finds the fresh entry, or else joins the flight that will bring it, or
// else makes own the flight to bring it.
func (s *shard) findOrJoin(id string, own *flight, alone bool, now time.Duration) (*entry, *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.store.get(id, own.caller, own.format); e != nil && e.fresh(now, own.longest) && !own.strict {
		e.noteRead()
		return e, nil
	}
	if f := s.flight(id, own); f != nil {
		if !alone && !own.strict && f.join() {
			return nil, f
		}
		s.detachLocked(id, f)
	}
	s.enrol(id, own)
	return nil, own
}

// flight returns the flight that brings what own is for, or nil. The caller holds s.mu.
func (s *shard) flight(id string, own *flight) *flight {
	for _, f := range s.flights[id] {
		if f.caller == own.caller && f.format == own.format {
			return f
		}
	}
	return nil
}

// enrol makes a flight the one to bring a verification. The caller holds s.mu.
func (s *shard) enrol(id string, own *flight) {
	own.join()
	own.ids = append(own.ids, id)
	own.since = append(own.since, s.drops)
	s.flights[id] = append(s.flights[id], own)
	s.names.add(id)
	if w := s.wanted[id]; w != nil && w.over {
		delete(s.wanted, id)
	}
}

// detach takes a flight that nobody waits for from the table.
func (s *shard) detach(id string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detachLocked(id, f)
}

// detachLocked takes a flight from the table. It reports false where it is no longer
// in there. The caller holds s.mu.
func (s *shard) detachLocked(id string, f *flight) bool {
	flights := s.flights[id]
	i := slices.Index(flights, f)
	switch {
	case i < 0:
		return false
	case len(flights) == 1:
		delete(s.flights, id)
		s.unname(id)
	default:
		s.flights[id] = slices.Delete(flights, i, i+1)
	}
	return true
}

// insert stores what a flight brought about a verification, unless the flight has
// been detached since: then the state may have changed after the provider sent it. stale
// tells that it would have stored such a state all the same. With a store it is for settle
// to do so, once the store has taken what insert returns.
func (s *shard) insert(c *Cache, f *flight, id string) (stored *entry, stale bool) {
	state, v := f.verdictOn(&f.answer, id)
	var unchanged time.Duration
	if v == found && state.Status == wire.InProgress {
		unchanged = c.unchanged(f, id)
	}
	var e *entry
	switch {
	case v == found && state.Status.Numeric():
		// A list that tells a number for one of its parts: not seen, not kept.
	case v == found && f.answer.List:
		e = newEntry(f.caller, f.format, state, nil, f.answer.ContentType)
	case v == found, v == unknown && len(f.asked()) == 1:
		// Alone, so that its bytes are the whole answer to this search.
		e = newEntry(f.caller, f.format, &f.answer.Verification, f.answer.Body, f.answer.ContentType)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.detachLocked(id, f) || v == rejected {
		return nil, false
	}
	if s.droppedSince(f, id) {
		return nil, true
	}
	before := s.store.get(id, f.caller, f.format)
	if e != nil {
		now := c.now()
		e.fetched, e.since = now, now
		lifetimes := &c.inForce.Load().lifetimes
		if class, ok := lifetimes.classify(e, before, now); ok {
			lifetimes.live(e, class, now, unchanged)
			if f.shared == nil {
				if !s.store.put(e, before, id) {
					e = nil
				}
				return e, false
			}
			s.flights[id] = append(s.flights[id], f) // until settle
			s.names.add(id)
			stored = e
		}
	}
	if before != nil {
		s.store.remove(before) // it is no longer what the provider says
	}
	return stored, false
}

// droppedSince tells that a verification was dropped since a flight was to ask about it.
func (s *shard) droppedSince(f *flight, id string) bool {
	return s.dropped[id].drop > f.since[slices.Index(f.ids, id)]
}

// drop forgets one spelling of a verification, and what is being brought about it.
func (s *shard) drop(id string, now time.Duration) (kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept = s.store.first(id) != nil
	s.dropLocked(id, now)
	return kept
}

// purge drops all.
func (s *shard) purge(now time.Duration) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.flights {
		s.dropLocked(id, now)
	}
	for id := range s.store.items.Items() {
		s.dropLocked(id, now)
		dropped++
	}
	return dropped
}

// dropLocked is drop. The caller holds s.mu.
func (s *shard) dropLocked(id string, now time.Duration) {
	s.noteWanted(id, now)
	s.store.drop(id)
	if s.drops++; len(s.flights[id]) > 0 {
		s.dropped[id] = dropped{s.drops, now}
	}
	delete(s.flights, id)
	s.unname(id)
}

// sweep removes expired entries, at most so many, and tells how many. What was dropped
// longer ago than a call may take is of no interest any more.
func (s *shard) sweep(now, longest time.Duration, most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.dropped {
		if now-d.at > longest {
			delete(s.dropped, id)
		}
	}
	for id, w := range s.wanted {
		if now-w.at > longest {
			delete(s.wanted, id)
		}
	}
	s.unnameOthers()
	return s.store.expire(now, most)
}
