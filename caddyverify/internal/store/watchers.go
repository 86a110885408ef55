package store

import (
	"slices"
	"sync"
)

// watchers are those who want to know what changes.
type watchers struct {
	mu  sync.Mutex
	all []*func(Name)
}

func (w *watchers) add(f func(Name)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(slices.Clip(w.all), &f)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = slices.DeleteFunc(slices.Clone(w.all), func(other *func(Name)) bool { return other == &f })
	}
}

func (w *watchers) tell(n Name) {
	w.mu.Lock()
	all := w.all
	w.mu.Unlock()
	for _, f := range all {
		(*f)(n)
	}
}
