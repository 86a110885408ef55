package delivery

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// maxLeft bounds the claims that are left behind.
const maxLeft = 1024

// leftovers are claims that this gateway has no use for and the store was not there to be
// told: before it claims the same again it gives them back, or it would wait for itself.
type leftovers struct {
	mu  sync.Mutex
	all map[store.Name]leftover
}

type leftover struct {
	mark  store.Mark
	until time.Time
}

func (l *leftovers) add(n store.Name, m store.Mark, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[store.Name]leftover{}
	}
	if len(l.all) >= maxLeft {
		maps.DeleteFunc(l.all, func(_ store.Name, left leftover) bool { return time.Until(left.until) <= 0 })
	}
	if len(l.all) < maxLeft {
		l.all[n] = leftover{m, time.Now().Add(ttl)}
	}
}

// release gives back what is left behind of a name.
func (l *leftovers) release(ctx context.Context, s *store.Shared, n store.Name) {
	l.mu.Lock()
	left, ok := l.all[n]
	delete(l.all, n)
	l.mu.Unlock()
	if ok && time.Until(left.until) > 0 && s.Release(ctx, n, left.mark) != nil {
		l.add(n, left.mark, time.Until(left.until))
	}
}
