// Package relay tells the configurations that share something of what becomes of
// it.
package relay

import (
	"slices"
	"sync"
)

// Newest holds what the configurations that share something have each given it,
// such as a listener or a probe. The newest counts: on a reload the next
// configuration comes before the last one goes, and if it fails to load, the last
// one stays.
type Newest[T any] struct{ all []*T }

// Add takes one more, until it is removed.
func (n *Newest[T]) Add(v T) *T {
	n.all = append(n.all, &v)
	return &v
}

// Remove gives back what Add returned.
func (n *Newest[T]) Remove(v *T) {
	n.all = slices.DeleteFunc(n.all, func(other *T) bool { return other == v })
}

// Get returns nil where there is none.
func (n *Newest[T]) Get() *T {
	if len(n.all) == 0 {
		return nil
	}
	return n.all[len(n.all)-1]
}

// Relay tells changes to a listener in the order in which they happened, one at
// a time and under no lock. Pushed under the lock that guards the change, they
// are delivered after it is released, by whoever comes first.
type Relay[T any] struct {
	mu        sync.Mutex
	listeners Newest[func(T)]
	queue     []T
	busy      bool // someone is delivering
}

// Listen has changes told to f. Of several, the one that came last and has not
// stopped is told.
func (r *Relay[T]) Listen(f func(T)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listener := r.listeners.Add(f)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.listeners.Remove(listener)
	}
}

// Push adds a change to those that are to be told.
func (r *Relay[T]) Push(change T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, change)
}

// Deliver empties the queue, unless someone else is at it: a listener, too, may
// bring about a change.
func (r *Relay[T]) Deliver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return
	}
	r.busy = true
	defer func() { r.busy = false }() // also when a listener panics
	for len(r.queue) > 0 {
		change := r.queue[0]
		r.queue = r.queue[1:]
		if listener := r.listeners.Get(); listener != nil {
			r.unlocked(func() { (*listener)(change) })
		}
	}
}

func (r *Relay[T]) unlocked(f func()) {
	r.mu.Unlock()
	defer r.mu.Lock()
	f()
}
