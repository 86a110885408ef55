package store

import (
	"context"
	"sync"
	"time"
)

// again is after how long a waiter looks again, should he have missed that there is an answer.
const again = 250 * time.Millisecond

// waiting are those who wait for others' answers.
type waiting struct {
	mu     sync.Mutex
	byName map[Name]map[chan struct{}]struct{}
}

func (w *waiting) init() { w.byName = map[Name]map[chan struct{}]struct{}{} }

func (w *waiting) add(n Name) (wake <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byName[n] == nil {
		w.byName[n] = map[chan struct{}]struct{}{}
	}
	w.byName[n][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byName[n], ch)
		if len(w.byName[n]) == 0 {
			delete(w.byName, n)
		}
	}
}

func (w *waiting) wake(n Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n != (Name{}) {
		poke(w.byName[n])
		return
	}
	for _, all := range w.byName {
		poke(all)
	}
}

func poke(all map[chan struct{}]struct{}) {
	for ch := range all {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Await is Claim, but for waiting: while another sends, it waits for his answer, or the end
// of his lease. It ends with Wait when ctx does.
func (s *Shared) Await(ctx context.Context, k Name, m Mark, says [32]byte, lease, ttl time.Duration) (Claim, error) {
	ctx = withoutBudget(ctx)
	wake, stop := s.waiting.add(s.keys.name(k)) // before the claim, or the answer might be missed
	defer stop()
	for {
		c, err := s.Claim(ctx, k, m, says, lease, ttl)
		if err != nil || c.State != Wait {
			return c, err
		}
		look := time.NewTimer(min(c.Left, again) + time.Millisecond)
		select {
		case <-wake:
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return c, nil
		}
		look.Stop()
	}
}
