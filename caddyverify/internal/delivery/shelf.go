package delivery

import (
	"container/list"
	"time"

	"github.com/patrickmn/go-cache"
)

// shelf keeps calls for a while, KeepFor at most. It is go-cache with what that lacks:
// a room that callers share, an order in which to look for what has expired, and a
// time that goes on evenly when the clock is set. go-cache's own is the wall clock's.
type shelf struct {
	items *cache.Cache // *kept, by what it is asked for with
	order list.List    // of *kept, the oldest first
	room  room
}

// kept is one call on a shelf.
type kept struct {
	under  string
	caller string
	flight *flight
	until  time.Time // with its monotonic reading
	place  *list.Element
}

func newShelf(size int) shelf {
	// No janitor: it would be a goroutine that only the garbage collector ends.
	return shelf{items: cache.New(cache.NoExpiration, 0), room: newRoom(size)}
}

// get returns the call that is kept under a sum, or nil.
func (s *shelf) get(under sum) *flight {
	if item, ok := s.items.Get(under.key()); ok {
		if k := item.(*kept); time.Until(k.until) > 0 {
			return k.flight
		}
	}
	return nil
}

// put keeps a call in place of what was there. It reports false when the caller has
// no room.
func (s *shelf) put(under sum, caller string, f *flight, until time.Time) bool {
	s.remove(under.key())
	if !s.room.take(caller) {
		return false
	}
	k := &kept{under: under.key(), caller: caller, flight: f, until: until}
	k.place = s.order.PushBack(k)
	s.items.Set(k.under, k, cache.NoExpiration)
	return true
}

// replace keeps a call in place of another for the rest of its time.
func (s *shelf) replace(under sum, f, by *flight) {
	if item, ok := s.items.Get(under.key()); ok && item.(*kept).flight == f {
		item.(*kept).flight = by
	}
}

// drop forgets a call, unless something else has taken its place.
func (s *shelf) drop(under sum, f *flight) {
	if item, ok := s.items.Get(under.key()); ok && item.(*kept).flight == f {
		s.remove(under.key())
	}
}

func (s *shelf) remove(under string) {
	item, ok := s.items.Get(under)
	if !ok {
		return
	}
	k := item.(*kept)
	s.order.Remove(k.place)
	s.room.give(k.caller)
	s.items.Delete(under)
}

// sweep forgets what has expired, but for what came after something that has not.
func (s *shelf) sweep() {
	for first := s.order.Front(); first != nil; first = s.order.Front() {
		k := first.Value.(*kept)
		if time.Until(k.until) > 0 {
			return
		}
		s.remove(k.under)
	}
}

func (s *shelf) len() int { return s.items.ItemCount() }
