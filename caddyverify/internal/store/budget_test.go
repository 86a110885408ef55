package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// slow answers late, and does so whatever becomes of the one who asks.
type slow struct {
	store.Store
	by time.Duration
}

func (s slow) Look(context.Context, store.Name, store.Field) (store.Found, error) {
	time.Sleep(s.by)
	return store.Found{}, nil
}

// TestCallBudget has one call of a client ask several times, one after the other and at a time.
func TestCallBudget(t *testing.T) {
	id := store.Name{Kind: store.Verification, ID: "id"}
	for _, tt := range []struct {
		name      string
		by        time.Duration
		times, at int // how many one after the other, and at a time
		took      time.Duration
		answered  int
	}{
		{"a store that hangs", time.Hour, 5, 1, store.CallBudget, 0},
		{"a store that is slow", 8 * time.Millisecond, 5, 1, store.CallBudget, 3},
		{"a store that answers", time.Millisecond, 10, 1, 10 * time.Millisecond, 10},
		{"ten at a time", 8 * time.Millisecond, 2, 10, 16 * time.Millisecond, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				by := min(tt.by, time.Minute)
				s := store.NewShared(slow{new(store.Memory).Open("account", "gateway"), by}, keys(t, "account", first))
				ctx := store.WithBudget(t.Context())
				begun := time.Now()
				answered := 0
				for range tt.times {
					back := make(chan error)
					for range tt.at {
						go func() {
							_, err := s.Look(ctx, id, "")
							back <- err
						}()
					}
					for range tt.at {
						switch err := <-back; {
						case err == nil:
							answered++
						case !errors.Is(err, store.ErrAway):
							t.Error(err)
						}
					}
				}
				if took := time.Since(begun); took != tt.took || answered != tt.answered {
					t.Errorf("it took %v and had %d answers, want %v and %d", took, answered, tt.took, tt.answered)
				}
				if tt.by < store.Budget && !s.Stats().Away.IsZero() {
					t.Error("the store is taken to be away, which would have answered in time")
				}
				time.Sleep(by) // what was left behind ends
			})
		})
	}
}
