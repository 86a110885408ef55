package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// beating is what the beats tell.
type beating struct {
	watching atomic.Bool // heard is not long ago; read without the lock
	epoch    time.Time
	apart    atomic.Int64 // when Together was 0 last, since epoch
	mu       sync.Mutex
	heard    time.Time   // the last answer to a beat; zero since a loss
	over     *time.Timer // ends watching
	losses   int         // of pushes
	gateways int         // the most of late
	fewer    time.Time   // since when there are fewer; zero if there are not
	used     int
	boot     string
	forgot   uint64
}

func (b *beating) seen() (gateways, used int, forgot uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gateways, b.used, b.forgot
}

// Spent tells of calls that were made without a slot, so that the next beat tells others.
func (s *Shared) Spent(n int) { s.spent.Add(int64(n)) }

// Run beats until ctx ends, and then signs off; the Shared is of no use after that.
func (s *Shared) Run(ctx context.Context) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	defer s.unwatch()
	var told recent
	for {
		told.add(int(s.spent.Swap(0)), time.Now())
		if s.beat(ctx, Pulse{Spent: told.sum()}) == nil {
			told = nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = s.Leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// recent are calls of the last second, as they were told of.
type recent []struct {
	at time.Time
	n  int
}

func (r *recent) add(n int, now time.Time) {
	*r = append(*r, struct {
		at time.Time
		n  int
	}{now, n})
	for now.Sub((*r)[0].at) > time.Second {
		*r = (*r)[1:]
	}
}

func (r recent) sum() (n int) {
	for _, one := range r {
		n += one.n
	}
	return n
}

func (s *Shared) beat(ctx context.Context, p Pulse) error {
	b := &s.beating
	b.mu.Lock()
	losses := b.losses
	b.mu.Unlock()
	seen, err := s.Beat(ctx, p)
	if err != nil {
		return err
	}
	b.mu.Lock()
	forgot := b.boot != "" && b.boot != seen.Boot
	if forgot {
		b.forgot++
	}
	// What came before this beat may have been missed.
	missed := b.heard.IsZero() || time.Since(b.heard) > unheard
	// A store that has forgotten hears of them one by one; until then shares must not grow.
	switch now := time.Now(); {
	case seen.Gateways >= b.gateways || !missed && !b.fewer.IsZero() && now.Sub(b.fewer) > 2*Closed:
		b.gateways, b.fewer = seen.Gateways, time.Time{}
	case missed || b.fewer.IsZero():
		b.fewer = now
	}
	b.used, b.boot = seen.Used, seen.Boot
	b.mu.Unlock()
	if forgot || missed || seen.Silent > 0 {
		b.part()
	}
	if forgot || missed {
		s.tell(Name{})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if losses == b.losses {
		b.hear()
	}
	return nil
}

// part notes that some gateway may do what this one does not hear of, or that this one may have
// done so.
func (b *beating) part() { b.apart.Store(int64(time.Since(b.epoch))) }

// Together is for how long all gateways have heard of each other's checks and controls: what was
// asked for since then has been dropped if it may have changed. It takes no lock. It is 0 while
// the store is away or one of the gateways is silent, until that is Gone, and begins anew when
// this one could not tell the store of a check.
func (s *Shared) Together() time.Duration {
	if !s.Watching() || s.Away() {
		return 0
	}
	return time.Since(s.beating.epoch) - time.Duration(s.beating.apart.Load())
}

// hear is for the answer to a beat. The caller holds b.mu.
func (b *beating) hear() {
	b.heard = time.Now()
	b.watching.Store(true)
	if b.over != nil {
		b.over.Reset(unheard)
		return
	}
	b.over = time.AfterFunc(unheard, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if time.Since(b.heard) >= unheard {
			b.watching.Store(false)
		}
	})
}

// Watching tells whether copies in memory may be used as if they were the store's: changes
// elsewhere have been heard of until a moment ago. It takes no lock.
func (s *Shared) Watching() bool { return s.beating.watching.Load() }

// changed is told by the store what has changed.
func (s *Shared) changed(n Name) {
	if n == (Name{}) {
		b := &s.beating
		b.mu.Lock()
		b.heard = time.Time{}
		b.watching.Store(false)
		b.losses++
		b.mu.Unlock()
	}
	s.tell(n)
}

func (s *Shared) tell(n Name) {
	s.waiting.wake(n)
	s.watchers.tell(n)
}
