package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

const (
	// maxLeft bounds the names of which claims are left behind.
	maxLeft = 1024
	// maxLeftOfName bounds those of a name. The first ones are kept: it is when a store goes
	// away that it may have made a claim.
	maxLeftOfName = 8
)

// leftovers are claims that this gateway has no use for and the store was not there to be
// told: before it claims the same again it gives them back, or it would wait for itself. Of
// several calls in a row it is not known which one's claim the store has made.
type leftovers struct {
	mu  sync.Mutex
	all map[store.Name][]leftover
}

type leftover struct {
	mark  store.Mark
	until time.Time
}

func (l leftover) over() bool { return time.Until(l.until) <= 0 }

func (l *leftovers) add(n store.Name, m store.Mark, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[store.Name][]leftover{}
	}
	if _, known := l.all[n]; !known && len(l.all) >= maxLeft {
		for name := range l.all {
			l.sweep(name)
		}
		if len(l.all) >= maxLeft {
			return
		}
	}
	l.sweep(n)
	same := func(left leftover) bool { return left.mark == m }
	if of := l.all[n]; len(of) < maxLeftOfName && !slices.ContainsFunc(of, same) {
		l.all[n] = append(of, leftover{m, time.Now().Add(ttl)})
	}
}

// sweep forgets what is over. The caller holds l.mu.
func (l *leftovers) sweep(n store.Name) {
	if l.all[n] = slices.DeleteFunc(l.all[n], leftover.over); len(l.all[n]) == 0 {
		delete(l.all, n)
	}
}

// release gives back what is left behind of a name.
func (l *leftovers) release(ctx context.Context, s *store.Shared, n store.Name) {
	l.mu.Lock()
	of := l.all[n]
	delete(l.all, n)
	l.mu.Unlock()
	for i, left := range of {
		if left.over() {
			continue
		}
		if s.Release(ctx, n, left.mark) != nil {
			l.putBack(n, of[i:])
			return
		}
	}
}

// putBack keeps what could not be given back.
func (l *leftovers) putBack(n store.Name, of []leftover) {
	for _, left := range of {
		l.add(n, left.mark, time.Until(left.until))
	}
}
