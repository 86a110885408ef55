package store

import (
	"context"
	"sync"
	"time"
)

// CallBudget is how long all that is asked of a store for one call of a client may take
// together: a store that does not answer holds the call up once, not at each step.
const CallBudget = 25 * time.Millisecond

type spentKey struct{}

// spent is the time in which a store was asked for a call, whatever was asked at a time.
type spent struct {
	mu    sync.Mutex
	total time.Duration
	asked int // at present
	since time.Time
}

// WithBudget gives all calls with the context, and with those made of it, CallBudget
// together. Await is not among them: it waits for what another sends.
func WithBudget(ctx context.Context) context.Context {
	return context.WithValue(ctx, spentKey{}, new(spent))
}

// withoutBudget is for a call that has no more than its own.
func withoutBudget(ctx context.Context) context.Context {
	return context.WithValue(ctx, spentKey{}, (*spent)(nil))
}

// budget is what a call may take. end is for when it is over.
func budget(ctx context.Context) (left time.Duration, end func()) {
	s, _ := ctx.Value(spentKey{}).(*spent)
	if s == nil {
		return Budget, func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.asked == 0 {
		s.since = now
	}
	s.asked++
	return min(Budget, CallBudget-s.total-now.Sub(s.since)), s.end
}

func (s *spent) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked--; s.asked == 0 {
		s.total += time.Since(s.since)
	}
}
