package search

import (
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// named is the memory that a verification's name in the store takes. Measured:
// TestOverhead.
const named = 128

// names are the verifications of a shard of which something is kept or under way, by the
// names that the store tells of. It is nil without a store. The shard's lock guards it.
type names struct {
	ids    map[string]string
	hidden func(id string) string
}

// watchBy has the shard know verifications by the names that they have in a store.
func (s *shard) watchBy(shared *store.Shared) {
	if shared == nil {
		return
	}
	s.names = names{ids: map[string]string{}, hidden: func(id string) string {
		return shared.Hidden(store.Of(id)).ID
	}}
	s.store.extra, s.store.gone = named, s.unname
}

// add notes a verification of which something is under way. Its id may be a part of a
// client's request, as the name is of a longer one.
func (n *names) add(id string) {
	if n.ids == nil {
		return
	}
	hidden := n.hidden(id)
	if _, ok := n.ids[hidden]; !ok {
		n.ids[strings.Clone(hidden)] = strings.Clone(id)
	}
}

// put is entries.put, with the name, which keeps no other copy of the id. The caller holds
// s.mu.
func (s *shard) put(e, before *entry, id string) {
	if !s.store.put(e, before, id) || s.names.ids == nil {
		return
	}
	hidden := s.names.hidden(id)
	if _, ok := s.names.ids[hidden]; !ok {
		hidden = strings.Clone(hidden)
	}
	s.names.ids[hidden] = e.id
}

// unname forgets a name, unless there still is something by it. The caller holds s.mu.
func (s *shard) unname(id string) {
	if s.names.ids != nil && len(s.flights[id]) == 0 && s.store.first(id) == nil {
		delete(s.names.ids, s.names.hidden(id))
	}
}

// dropNamed is drop for who knows the name only, and tells how many entries there were.
func (s *shard) dropNamed(c *Cache, hidden string) (dropped int) {
	s.mu.RLock()
	id, ok := s.names.ids[hidden]
	s.mu.RUnlock()
	if !ok {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.store.entries
	s.dropLocked(id, c.now())
	return before - s.store.entries
}
