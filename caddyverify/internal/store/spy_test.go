package store_test

import (
	"context"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// spy notes what a store is given.
type spy struct {
	store.Store
	mu    sync.Mutex
	given []byte
	field store.Field
	value []byte
}

func (s *spy) note(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, word := range words {
		s.given = append(s.given, word...)
	}
}

func (s *spy) Look(ctx context.Context, n store.Name, f store.Field) (store.Found, error) {
	s.note(n.ID, string(f))
	return s.Store.Look(ctx, n, f)
}

func (s *spy) Keep(ctx context.Context, n store.Name, t store.Token, f store.Field, v []byte, life time.Duration) (bool, error) {
	s.note(n.ID, string(f), string(v))
	s.field, s.value = f, v
	return s.Store.Keep(ctx, n, t, f, v, life)
}

func (s *spy) Begin(ctx context.Context, n store.Name, v []byte, ttl time.Duration) error {
	s.note(n.ID, string(v))
	return s.Store.Begin(ctx, n, v, ttl)
}

func (s *spy) Claim(ctx context.Context, n store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (store.Claim, error) {
	s.note(n.ID, string(says[:]))
	return s.Store.Claim(ctx, n, m, says, lease, ttl)
}

func (s *spy) Answer(ctx context.Context, n store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	s.note(n.ID, string(v))
	return s.Store.Answer(ctx, n, m, v, ttl)
}

func (s *spy) Hint(ctx context.Context, n store.Name, v []byte, life time.Duration) error {
	s.note(n.ID, string(v))
	return s.Store.Hint(ctx, n, v, life)
}

func (s *spy) Hold(ctx context.Context, n store.Name, b store.Book) (store.Grant, error) {
	s.note(n.ID)
	return s.Store.Hold(ctx, n, b)
}

func (s *spy) Tell(ctx context.Context, n store.Name, entries [][]byte, most int, life time.Duration) error {
	s.note(n.ID)
	for _, v := range entries {
		s.note(string(v))
	}
	return s.Store.Tell(ctx, n, entries, most, life)
}
