package store

import (
	"context"
	"sync"
	"time"
)

// beating is what the beats tell.
type beating struct {
	mu       sync.Mutex
	heard    time.Time // the last answer to a beat; zero since a loss
	losses   int       // of pushes
	gateways int
	boot     string
	forgot   uint64
}

func (b *beating) seen() (gateways int, forgot uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gateways, b.forgot
}

// Spent tells of calls that were made without a slot, so that the next beat tells others.
func (s *Shared) Spent(n int) { s.spent.Add(int64(n)) }

// Run beats until ctx ends, and then signs off; the Shared is of no use after that.
func (s *Shared) Run(ctx context.Context) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	defer s.unwatch()
	var p Pulse
	for {
		p.Spent += int(s.spent.Swap(0))
		if s.beat(ctx, p) == nil {
			p.Spent = 0
		} else if s.longAway() {
			p.Spent = 0 // what was spent more than a second ago does not count
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = s.Leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// longAway tells whether the store has been away for longer than calls count.
func (s *Shared) longAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.since.IsZero() && time.Since(s.since) > time.Second
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
	b.gateways, b.boot = seen.Gateways, seen.Boot
	b.mu.Unlock()
	if forgot || missed {
		s.tell(Name{})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if losses == b.losses {
		b.heard = time.Now()
	}
	return nil
}

// Local tells whether copies in memory may be used as if they were the store's: changes
// elsewhere have been heard of until a moment ago.
func (s *Shared) Local() bool {
	b := &s.beating
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.heard.IsZero() && time.Since(b.heard) <= unheard
}

// changed is told by the store what has changed.
func (s *Shared) changed(n Name) {
	if n == (Name{}) {
		b := &s.beating
		b.mu.Lock()
		b.heard = time.Time{}
		b.losses++
		b.mu.Unlock()
	}
	s.tell(n)
}

func (s *Shared) tell(n Name) {
	s.waiting.wake(n)
	s.watchers.tell(n)
}
