package search

import (
	"strings"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// entries keeps one shard's entries within its bounds. It is not safe for
// concurrent use: the shard's lock also guards the order that go-cache lacks.
//
// go-cache maps a verification to the first of its entries, which links to the
// others, so that forgetting it for every caller is one deletion. go-cache knows
// nothing of lifetimes here and runs no janitor: that would hold its lock over
// all entries at once.
type entries struct {
	items      *gocache.Cache
	queues     queues
	maxEntries int
	maxBytes   int64
	entries    int
	bytes      int64
	held       *held
	counters   *counters
	// extra is what each takes besides, and gone is told of a verification whose last entry
	// is removed, but not by drop; nil for none.
	extra int64
	gone  func(id string)
}

func newEntries(maxEntries int, maxBytes int64, held *held, counters *counters) entries {
	return entries{
		items:      gocache.New(gocache.NoExpiration, 0),
		queues:     queues{of: map[string]*shares{}},
		maxEntries: maxEntries,
		maxBytes:   maxBytes,
		held:       held,
		counters:   counters,
	}
}

// first returns the first entry of a verification; another links to the rest.
func (s *entries) first(id string) *entry {
	if item, ok := s.items.Get(id); ok {
		return item.(*entry)
	}
	return nil
}

// get returns the entry, fresh or not, or nil.
func (s *entries) get(id, caller string, f wire.Format) *entry {
	for e := s.first(id); e != nil; e = e.another {
		if k := e.kind.Value(); k.format == f && k.caller == caller {
			return e
		}
	}
	return nil
}

// put stores e in place of before, which is nil or what get returned. It reports
// false for an entry that is larger than the bounds.
func (s *entries) put(e, before *entry, id string) bool {
	if before != nil {
		s.remove(before)
	}
	size := s.size(e, id)
	if size > s.maxBytes {
		return false
	}
	for s.entries+1 > s.maxEntries || s.bytes+size > s.maxBytes {
		s.remove(s.queues.victim())
		s.counters.evictedSize.Add(1)
	}
	if e.another = s.first(id); e.another != nil {
		e.id = e.another.id // the map keeps the key it has
	} else {
		e.id = strings.Clone(id) // not a part of a client's request
	}
	s.items.Set(e.id, e, gocache.NoExpiration)
	s.queues.push(e)
	s.count(1, size)
	return true
}

// drop removes all entries of a verification.
func (s *entries) drop(id string) {
	for e := s.first(id); e != nil; e = e.another {
		s.queues.unlink(e)
		s.count(-1, -s.size(e, id))
	}
	s.items.Delete(id)
}

func (s *entries) remove(e *entry) {
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
		if s.gone != nil {
			s.gone(e.id)
		}
	}
	s.queues.unlink(e)
	s.count(-1, -s.size(e, e.id))
}

func (s *entries) size(e *entry, id string) int64 { return e.size(id) + s.extra }

// expire removes up to most entries whose time is over, and tells how many.
func (s *entries) expire(now time.Duration, most int) (removed int) {
	for _, all := range s.queues.of { // which changes meanwhile, as a map may
		for c := range classes {
			for removed < most {
				e := s.queues.at(all.of[c].oldest)
				if e == nil || e.until > now {
					break
				}
				s.remove(e)
				removed++
			}
		}
	}
	s.counters.evictedExpired.Add(uint64(removed))
	return removed
}

func (s *entries) count(entries int, bytes int64) {
	s.entries += entries
	s.bytes += bytes
	s.held.entries.Add(int64(entries))
	s.held.bytes.Add(bytes)
}
