package search

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// named is the memory that a verification's name in the store takes. Measured:
// TestOverhead.
const named = 128

// names are the verifications of a shard of which something is kept or under way, by the
// names by which others tell that they are dropped. The shard's lock guards it.
type names struct {
	// ids have those that are spelled as wire.Spelling has it; nil without a store.
	ids map[string]string
	// others have the other spellings, of which nothing need be there any more.
	others map[string][]string
	// of is the name: that in the store or, without one, the spelling.
	of func(id string) string
}

func newNames(shared *store.Shared) names {
	n := names{others: map[string][]string{}, of: wire.Spelling}
	if shared != nil {
		n.ids = map[string]string{}
		n.of = func(id string) string { return shared.Hidden(store.Of(id)).ID }
	}
	return n
}

// watchBy has the shard know verifications by the names that they have in a store.
func (s *shard) watchBy(shared *store.Shared) {
	s.names = newNames(shared)
	if shared != nil {
		s.store.extra, s.store.gone = named, s.unname
	}
}

// plain tells that an id is spelled as all but a few are.
func plain(id string) bool { return wire.Spelling(id) == id }

// add notes a verification of which something is under way. Its id may be a part of a
// client's request, as the name is of a longer one.
func (n *names) add(id string) {
	switch {
	case !plain(id):
		if name := n.of(id); !slices.Contains(n.others[name], id) {
			n.others[strings.Clone(name)] = append(n.others[name], strings.Clone(id))
		}
	case n.ids != nil:
		name := n.of(id)
		if _, ok := n.ids[name]; !ok {
			n.ids[strings.Clone(name)] = strings.Clone(id)
		}
	}
}

// put is entries.put, with the name, which keeps no other copy of the id. The caller holds
// s.mu.
func (s *shard) put(e, before *entry, id string) {
	if !s.store.put(e, before, id) || s.names.ids == nil || !plain(id) {
		return
	}
	name := s.names.of(id)
	if _, ok := s.names.ids[name]; !ok {
		name = strings.Clone(name)
	}
	s.names.ids[name] = e.id
}

// unname forgets a name, unless there still is something by it. The caller holds s.mu.
func (s *shard) unname(id string) {
	if s.names.ids != nil && plain(id) && !s.has(id) {
		delete(s.names.ids, s.names.of(id))
	}
}

// unnameOthers forgets the other spellings of which nothing is there any more. The caller
// holds s.mu.
func (s *shard) unnameOthers() {
	for name, ids := range s.names.others {
		if ids = slices.DeleteFunc(ids, func(id string) bool { return !s.has(id) }); len(ids) == 0 {
			delete(s.names.others, name)
			continue
		}
		s.names.others[name] = ids
	}
}

// has tells that something is kept or under way by a spelling. The caller holds s.mu.
func (s *shard) has(id string) bool { return len(s.flights[id]) > 0 || s.store.first(id) != nil }

// dropNamed drops a verification in all its spellings, and tells how many entries there were.
func (s *shard) dropNamed(name string, now time.Duration) (dropped int) {
	s.mu.RLock()
	id, ok := s.names.ids[name]
	others := len(s.names.others[name])
	s.mu.RUnlock()
	if !ok && others == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.store.entries
	if ok {
		s.dropLocked(id, now)
	}
	for _, id := range s.names.others[name] {
		s.dropLocked(id, now)
	}
	return before - s.store.entries
}
