package caddyverify

import (
	"errors"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// state holds what must survive a reload of Caddy's configuration. During a reload
// the new handler takes hold before the old one lets go.
var state = caddy.NewUsagePool()

// kept is a value in state.
type kept[T any] struct {
	value T
	end   func(T)
}

// Destruct implements caddy.Destructor. Requests of the last handler may still
// be under way: end must leave the value usable.
func (k *kept[T]) Destruct() error {
	k.end(k.value)
	return nil
}

// keep returns the value that is kept under key, made by begin when there is
// none. The key's type must be one that only values of type T have.
func keep[T any](h *Handler, key any, begin func() T, end func(T)) T {
	value, _, _ := state.LoadOrNew(key, func() (caddy.Destructor, error) {
		return &kept[T]{begin(), end}, nil
	})
	h.kept = append(h.kept, key)
	return value.(*kept[T]).value
}

// Cleanup gives back what the handler kept.
func (h *Handler) Cleanup() error {
	for _, stop := range h.stops {
		stop()
	}
	h.stops = nil
	var errs []error
	for _, key := range slices.Backward(h.kept) { // what was made for others goes last
		_, err := state.Delete(key)
		errs = append(errs, err)
	}
	h.kept = nil
	return errors.Join(errs...)
}
