package search

import "sync/atomic"

// Stats is what a Cache holds and has done since it was made.
type Stats struct {
	// Entries and Bytes are what is kept now.
	Entries, Bytes int64
	// Each search is counted in one of these: answered wholly from memory, partly,
	// not at all, or with states past their lifetime because of trouble.
	Hits, Partial, Misses, Stale uint64
	// Collapsed counts the searches that shared an upstream call which another
	// search had begun.
	Collapsed uint64
	// Fetches counts the upstream calls.
	Fetches uint64
	// EvictedSize and EvictedExpired count the entries removed to keep within
	// MaxEntries and MaxBytes, and those whose time was over.
	EvictedSize, EvictedExpired uint64
}

// held is what is kept now.
type held struct{ entries, bytes atomic.Int64 }

type counters struct {
	kinds                       [kinds]atomic.Uint64
	collapsed, fetches          atomic.Uint64
	evictedSize, evictedExpired atomic.Uint64
}

func (c *counters) add(r *Result) {
	c.kinds[r.Kind].Add(1)
	if r.Collapsed {
		c.collapsed.Add(1)
	}
}

func (c *counters) read(held *held) Stats {
	return Stats{
		Entries:        held.entries.Load(),
		Bytes:          held.bytes.Load(),
		Hits:           c.kinds[Hit].Load(),
		Partial:        c.kinds[Partial].Load(),
		Misses:         c.kinds[Miss].Load(),
		Stale:          c.kinds[Stale].Load(),
		Collapsed:      c.collapsed.Load(),
		Fetches:        c.fetches.Load(),
		EvictedSize:    c.evictedSize.Load(),
		EvictedExpired: c.evictedExpired.Load(),
	}
}
