package search

import (
	"strings"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// store keeps one shard's entries within its bounds. It is not safe for
// concurrent use: the shard's lock also guards the order that go-cache lacks.
//
// go-cache maps a verification to the first of its entries, which links to the
// others, so that forgetting it for every caller is one deletion. go-cache knows
// nothing of lifetimes here and runs no janitor: that would hold its lock over
// all entries at once.
type store struct {
	items      *gocache.Cache
	queues     [classes]queue
	maxEntries int
	maxBytes   int64
	entries    int
	bytes      int64
	counters   *counters
}

func newStore(maxEntries int, maxBytes int64, counters *counters) store {
	return store{
		items:      gocache.New(gocache.NoExpiration, 0),
		maxEntries: maxEntries,
		maxBytes:   maxBytes,
		counters:   counters,
	}
}

// queue holds the entries of one class by age. Entries of a class live equally
// long, so that this is also the order in which they expire.
type queue struct {
	oldest, newest *entry
	len            int
}

// first returns the first entry of a verification; another links to the rest.
func (s *store) first(id string) *entry {
	if item, ok := s.items.Get(id); ok {
		return item.(*entry)
	}
	return nil
}

// get returns the entry, fresh or not, or nil.
func (s *store) get(id, caller string, f wire.Format) *entry {
	e := s.first(id)
	for e != nil && (e.format != f || e.caller != caller) {
		e = e.another
	}
	return e
}

// put stores e in place of before, which is nil or what get returned. It reports
// false for an entry that is larger than the bounds.
func (s *store) put(e, before *entry, id string) bool {
	if before != nil {
		s.remove(before)
	}
	e.size += int64(len(id)) + overhead
	if e.size > s.maxBytes {
		return false
	}
	for s.entries+1 > s.maxEntries || s.bytes+e.size > s.maxBytes {
		s.remove(s.victim())
		s.counters.evictedSize.Add(1)
	}
	if e.another = s.first(id); e.another != nil {
		e.name(e.another.id) // the map keeps the key it has
	} else {
		e.name(strings.Clone(id)) // not a part of a client's request
	}
	s.items.Set(e.id, e, gocache.NoExpiration)
	s.queues[e.class].push(e)
	s.count(1, e.size)
	return true
}

// victim returns what expires first of the class with most entries. Among all
// classes it would be a state that somebody polls, while finals of this morning
// would stay; so a class displaces others only up to its share, be it finals or a
// flood of unknown ids. There is one while there are entries.
func (s *store) victim() *entry {
	most := &s.queues[0]
	for c := range s.queues {
		if q := &s.queues[c]; q.len > most.len {
			most = q
		}
	}
	return most.oldest
}

// drop removes all entries of a verification.
func (s *store) drop(id string) {
	for e := s.first(id); e != nil; e = e.another {
		s.queues[e.class].unlink(e)
		s.count(-1, -e.size)
	}
	s.items.Delete(id)
}

func (s *store) remove(e *entry) {
	switch head := s.first(e.id); {
	case head != e:
		for head.another != e {
			head = head.another
		}
		head.another = e.another
	case e.another != nil:
		s.items.Set(e.id, e.another, gocache.NoExpiration)
	default:
		s.items.Delete(e.id)
	}
	s.queues[e.class].unlink(e)
	s.count(-1, -e.size)
}

// expire removes up to most entries whose time is over, and tells how many.
func (s *store) expire(now time.Duration, most int) (removed int) {
	for c := range s.queues {
		for q := &s.queues[c]; removed < most && q.oldest != nil && q.oldest.until <= now; removed++ {
			s.remove(q.oldest)
		}
	}
	s.counters.evictedExpired.Add(uint64(removed))
	return removed
}

func (s *store) count(entries int, bytes int64) {
	s.entries += entries
	s.bytes += bytes
	s.counters.entries.Add(int64(entries))
	s.counters.bytes.Add(bytes)
}

func (q *queue) push(e *entry) {
	e.prev, e.next = q.newest, nil
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.next = e
	}
	q.newest = e
	q.len++
}

func (q *queue) unlink(e *entry) {
	if e.prev == nil {
		q.oldest = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.newest = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	q.len--
}
