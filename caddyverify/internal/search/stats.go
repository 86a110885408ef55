package search

import (
	"sync/atomic"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Stats is what a Cache holds and has done since it was made.
type Stats struct {
	// Entries and Bytes are what is kept now.
	Entries, Bytes int64
	// Each search is counted in one of these: answered wholly from memory, not or only
	// partly, by another search's upstream call that was under way, or with states past
	// their lifetime because of trouble.
	Hits, Misses, Coalesced, Stale uint64
	// EvictedSize and EvictedExpired count the entries removed to keep within
	// MaxEntries and MaxBytes, and those whose time was over.
	EvictedSize, EvictedExpired uint64
	// SharedHits counts the parts of searches that the store answered; SharedDrops the entries
	// in memory that were dropped when the store told of a change, or that it may have missed
	// to.
	SharedHits, SharedDrops uint64
}

// held is what is kept now.
type held struct{ entries, bytes atomic.Int64 }

type counters struct {
	hits, misses, coalesced, stale atomic.Uint64
	evictedSize, evictedExpired    atomic.Uint64
	sharedHits, sharedDrops        atomic.Uint64
}

func (c *counters) add(r *Result) {
	if r.Shared > 0 {
		c.sharedHits.Add(uint64(r.Shared))
	}
	switch r.Label() {
	case wire.CacheHit:
		c.hits.Add(1)
	case wire.CacheMiss, wire.CachePartial:
		c.misses.Add(1)
	case wire.CacheCoalesced:
		c.coalesced.Add(1)
	case wire.CacheStale:
		c.stale.Add(1)
	case wire.CacheBypass: // not of a Cache
	}
}

func (c *counters) read(held *held) Stats {
	return Stats{
		Entries:        held.entries.Load(),
		Bytes:          held.bytes.Load(),
		Hits:           c.hits.Load(),
		Misses:         c.misses.Load(),
		Coalesced:      c.coalesced.Load(),
		Stale:          c.stale.Load(),
		EvictedSize:    c.evictedSize.Load(),
		EvictedExpired: c.evictedExpired.Load(),
		SharedHits:     c.sharedHits.Load(),
		SharedDrops:    c.sharedDrops.Load(),
	}
}
