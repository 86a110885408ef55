package search

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// maxShards bounds how finely the entries are divided; each shard has its lock
	// and its share of the bounds.
	maxShards = 32
	// A shard's share is at least this, so that a large answer finds a place and
	// the shares fill evenly.
	minShardEntries = 512
	minShardBytes   = 2 << 20
	// sweepEvery is how often expired entries are looked for, and sweepAtOnce how
	// many are removed while searches wait.
	sweepEvery  = 5 * time.Second
	sweepAtOnce = 64
)

// Cache answers searches for one account. Make it with New.
type Cache struct {
	inForce  atomic.Pointer[configured] // replaced, never changed
	changing sync.Mutex                 // held while it is replaced
	unwatch  func()                     // ends what Share has begun
	begun    time.Time
	seed     maphash.Seed
	// OnStale is told of a state from before a drop that would have been kept after it,
	// which must not be. It is set before the first search.
	OnStale func()
	// Fill gives up to so many verifications to be asked about by a list that is about to go
	// upstream and has room, and is told when that is over, and whether it can have been sent. What
	// was answered is the sender's to see. nil is for none. It is set before the first search.
	Fill func(most int) (ids []string, ended func(sent bool))
	// Unchanged tells for how long a verification will be in progress, as the provider has said
	// who was asked so long ago; false if that is not known. It is set before the first search.
	Unchanged func(requestID string, ago time.Duration) (time.Duration, bool)
	// Own tells that this gateway knows by itself what a search is answered, at least as much as others
	// that have answered one: what these keep of it in the store is not told. It is set before the
	// first search.
	Own      func(requestID string) bool
	lists    lists
	counters counters
	buffers  sync.Pool

	close sync.Once
	stop  chan struct{}
	swept chan struct{}
}

// configured is what follows from the Settings, and what is kept within them.
type configured struct {
	settings  Settings
	lifetimes lifetimes
	shards    []shard
	held      *held
	shared    *store.Shared // what others know, too; nil: there is no store
}

// New makes a Cache, and with it a goroutine that Close ends.
func New(s Settings) *Cache {
	c := &Cache{
		begun:     time.Now(),
		unwatch:   func() {},
		OnStale:   func() {},
		Unchanged: func(string, time.Duration) (time.Duration, bool) { return 0, false },
		Own:       func(string) bool { return false },
		seed:      maphash.MakeSeed(),
		stop:      make(chan struct{}),
		swept:     make(chan struct{}),
	}
	c.lists.refused = refusals{}
	c.buffers.New = func() any { return &buffer{from: &c.buffers} }
	c.Configure(s)
	go c.sweep()
	return c
}

// Configure puts settings in force. What is kept stays, with the lifetime that it
// got when it came, unless MaxEntries or MaxBytes change: then the Cache begins
// empty, and what is under way is not stored.
func (c *Cache) Configure(s Settings) {
	s = s.withDefaults()
	c.changing.Lock()
	defer c.changing.Unlock()
	next := &configured{settings: s, lifetimes: newLifetimes(s)}
	now := c.inForce.Load()
	if now != nil {
		next.shared = now.shared
	}
	if now != nil && now.settings.MaxEntries == s.MaxEntries && now.settings.MaxBytes == s.MaxBytes {
		next.shards, next.held = now.shards, now.held
	} else {
		next.empty(&c.counters)
	}
	c.inForce.Store(next)
}

// empty has nothing kept. What is under way is not stored, nor joined by others.
func (c *configured) empty(counters *counters) {
	s, held, n := c.settings, new(held), 1
	for n < maxShards && s.MaxEntries/(2*n) >= minShardEntries && s.MaxBytes/int64(2*n) >= minShardBytes {
		n *= 2
	}
	shards := make([]shard, n)
	for i := range shards {
		shards[i].store = newEntries(s.MaxEntries/n, s.MaxBytes/int64(n), held, counters)
		shards[i].flights = make(map[string][]*flight)
		shards[i].dropped = make(map[string]dropped)
		shards[i].wanted = make(map[string]*wanted)
		shards[i].watchBy(c.shared)
	}
	c.shards, c.held = shards, held
}

// Close ends the Cache's goroutine and what it shares. A closed Cache still answers.
func (c *Cache) Close() {
	c.Share(nil)
	c.close.Do(func() { close(c.stop) })
	<-c.swept
}

// Drop forgets what is known about a verification, for all callers and in both
// formats, and detaches the calls that are asking about it: what they bring is
// not stored and not given to any search that begins after Drop. It belongs
// before and after every check and control, whatever comes of them. However the
// request_id is spelled, it is about all of its spellings. It tells whether something
// was kept.
func (c *Cache) Drop(requestID string) (kept bool) {
	in, id, now := c.inForce.Load(), wire.Spelling(requestID), c.now()
	kept = c.shardOf(in.shards, id).drop(id, now)
	name := in.shards[0].names.of(id)
	for i := range in.shards {
		kept = in.shards[i].dropNamed(name, now) > 0 || kept
	}
	return kept
}

// Purge is Drop for all verifications, and tells of how many something was kept.
func (c *Cache) Purge() (dropped int) {
	shards := c.inForce.Load().shards
	for i := range shards {
		dropped += shards[i].purge(c.now())
	}
	return dropped
}

// Stats tells what the Cache holds and has done. It takes no lock.
func (c *Cache) Stats() Stats { return c.counters.read(c.inForce.Load().held) }

func (c *Cache) shard(id string) *shard { return c.shardOf(c.inForce.Load().shards, id) }

func (c *Cache) shardOf(shards []shard, id string) *shard {
	return &shards[maphash.String(c.seed, id)&uint64(len(shards)-1)] //nolint:gosec // a power of two, 32 at most
}

// now is monotonic: setting the clock changes no lifetime.
func (c *Cache) now() time.Duration { return time.Since(c.begun) }

func (c *Cache) sweep() {
	defer close(c.swept)
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		shards, longest := c.inForce.Load().shards, c.inForce.Load().settings.Timeout+2*grace
		for i := range shards {
			for shards[i].sweep(c.now(), longest, sweepAtOnce) == sweepAtOnce {
			}
		}
	}
}
