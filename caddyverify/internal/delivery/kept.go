package delivery

import (
	"container/list"
	"time"

	"github.com/patrickmn/go-cache"
)

// kept is a bounded TTL store: it keeps calls for a while, KeepFor at most. It is
// go-cache with what that lacks: a quota that callers share, an order in which to look
// for what has expired, and a time that goes on evenly when the clock is set. go-cache's
// own is the wall clock's.
type kept struct {
	items *cache.Cache // *entry, by the text of its key
	order list.List    // of *entry, the oldest first
	quota quota
}

// entry is one call in a store.
type entry struct {
	key     string
	caller  string
	flight  *flight
	until   time.Time     // with its monotonic reading
	element *list.Element // in the store's order
}

func newKept(size int) kept {
	// No janitor: it would be a goroutine that only the garbage collector ends.
	return kept{items: cache.New(cache.NoExpiration, 0), quota: newQuota(size)}
}

// get returns the call that is stored for a key, or nil.
func (s *kept) get(key digest) *flight {
	if item, ok := s.items.Get(key.text()); ok {
		if e := item.(*entry); time.Until(e.until) > 0 {
			return e.flight
		}
	}
	return nil
}

// put stores a call in place of what was there. It reports false when the caller's quota
// is used up.
func (s *kept) put(key digest, caller string, f *flight, until time.Time) bool {
	s.remove(key.text())
	if !s.quota.acquire(caller) {
		return false
	}
	e := &entry{key: key.text(), caller: caller, flight: f, until: until}
	e.element = s.order.PushBack(e)
	s.items.Set(e.key, e, cache.NoExpiration)
	return true
}

// replace stores a call in place of another for the rest of its time.
func (s *kept) replace(key digest, f, by *flight) {
	if item, ok := s.items.Get(key.text()); ok && item.(*entry).flight == f {
		item.(*entry).flight = by
	}
}

// drop forgets a call, unless something else has taken its place.
func (s *kept) drop(key digest, f *flight) {
	if item, ok := s.items.Get(key.text()); ok && item.(*entry).flight == f {
		s.remove(key.text())
	}
}

func (s *kept) remove(key string) {
	item, ok := s.items.Get(key)
	if !ok {
		return
	}
	e := item.(*entry)
	s.order.Remove(e.element)
	s.quota.release(e.caller)
	s.items.Delete(key)
}

// sweep forgets what has expired, but for what came after something that has not.
func (s *kept) sweep() {
	for first := s.order.Front(); first != nil; first = s.order.Front() {
		e := first.Value.(*entry)
		if time.Until(e.until) > 0 {
			return
		}
		s.remove(e.key)
	}
}

func (s *kept) len() int { return s.items.ItemCount() }
