package breaker

import (
	"slices"
	"sync"
)

// newest holds what the configurations that share a breaker have each given it,
// such as a probe. The newest counts: on a reload the next configuration comes
// before the last one goes, and if it fails to load, the last one stays.
type newest[T any] struct{ all []*T }

func (n *newest[T]) add(v T) *T {
	n.all = append(n.all, &v)
	return &v
}

func (n *newest[T]) remove(v *T) {
	n.all = slices.DeleteFunc(n.all, func(other *T) bool { return other == v })
}

// get returns nil where there is none.
func (n *newest[T]) get() *T {
	if len(n.all) == 0 {
		return nil
	}
	return n.all[len(n.all)-1]
}

// relay tells changes to a listener in the order in which they happened, one at
// a time and under no lock. Pushed under the lock that guards the change, they
// are delivered after it is released, by whoever comes first.
type relay[T any] struct {
	mu        sync.Mutex
	listeners newest[func(T)]
	queue     []T
	busy      bool // someone is delivering
}

func (r *relay[T]) listen(f func(T)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listener := r.listeners.add(f)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.listeners.remove(listener)
	}
}

func (r *relay[T]) push(change T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, change)
}

// deliver empties the queue, unless someone else is at it: a listener, too, may
// bring about a change.
func (r *relay[T]) deliver() {
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
		if listener := r.listeners.get(); listener != nil {
			r.unlocked(func() { (*listener)(change) })
		}
	}
}

func (r *relay[T]) unlocked(f func()) {
	r.mu.Unlock()
	defer r.mu.Lock()
	f()
}
