package upstream

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// Live are the secrets that are looked for in answers: all that clients of an upstream
// have, and those that calls under way may have begun with. The zero Live has none.
type Live struct {
	wanted atomic.Pointer[wanted] // of all

	mu      sync.Mutex
	secrets map[[sha256.Size]byte]*liveSecret
}

type liveSecret struct {
	Secret
	users int
	until time.Time // without users
}

// Add has secrets looked for until a while after they are let go.
func (l *Live) Add(secrets ...Secret) (letGo func(after time.Duration)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range secrets {
		if s.None() {
			continue
		}
		if l.secrets == nil {
			l.secrets = map[[sha256.Size]byte]*liveSecret{}
		}
		known := l.secrets[s.sum()]
		if known == nil {
			known = &liveSecret{Secret: s}
			l.secrets[s.sum()] = known
		}
		known.users++
	}
	l.update()
	return func(after time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range secrets {
			if s.None() {
				continue
			}
			known := l.secrets[s.sum()]
			known.users--
			known.until = later(known.until, time.Now().Add(after))
		}
		l.update()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// update drops those whose time is over. The caller holds l.mu.
func (l *Live) update() {
	all, now := new(wanted), time.Now()
	for sum, s := range l.secrets {
		if s.users == 0 && !now.Before(s.until) {
			delete(l.secrets, sum)
			continue
		}
		if all.least == 0 || s.least < all.least {
			all.least = s.least
		}
		all.plain = append(all.plain, s.plain...)
		all.forms = append(all.forms, s.forms...)
	}
	l.wanted.Store(all)
}

// In tells whether text contains one of the secrets, as Secret.In does.
func (l *Live) In(text []byte) bool {
	all := l.wanted.Load()
	return all != nil && len(all.plain) > 0 && all.contained(text)
}

// Shown tells whether b holds one of the secrets as it is.
func (l *Live) Shown(b []byte) bool {
	all := l.wanted.Load()
	return all != nil && all.shown(b)
}
