// Package event tells subscribers what happens.
package event

import (
	"slices"
	"sync"
)

// Notifier tells events to its subscribers in the order in which they happened, one at a
// time and under no lock. Pushed under the lock that guards a change, they are delivered
// after it is released, by whoever comes first. The zero Notifier has no subscribers.
type Notifier[T any] struct {
	mu          sync.Mutex
	subscribers []*func(T)
	queue       []T
	busy        bool // someone is delivering
}

// Subscribe has f told of all that is delivered from now on, until it is stopped.
func (n *Notifier[T]) Subscribe(f func(T)) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Never changed in place: Deliver goes through one outside the lock.
	n.subscribers = append(slices.Clone(n.subscribers), &f)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.subscribers = slices.DeleteFunc(slices.Clone(n.subscribers), func(other *func(T)) bool { return other == &f })
	}
}

// Push adds an event to those that are to be told.
func (n *Notifier[T]) Push(e T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(n.queue, e)
}

// Deliver tells what has been pushed, unless someone else is at it: a subscriber, too,
// may bring about an event. One that panics keeps nobody else from being told.
func (n *Notifier[T]) Deliver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy {
		return
	}
	n.busy = true
	defer func() { n.busy = false }()
	var panicked any
	for len(n.queue) > 0 {
		e := n.queue[0]
		n.queue = n.queue[1:]
		for _, subscriber := range n.subscribers {
			if p := n.tell(*subscriber, e); p != nil {
				panicked = p
			}
		}
	}
	if panicked != nil {
		panic(panicked)
	}
}

// tell calls a subscriber outside the lock, and returns what it panicked with.
func (n *Notifier[T]) tell(f func(T), e T) (panicked any) {
	n.mu.Unlock()
	defer n.mu.Lock()
	defer func() { panicked = recover() }()
	f(e)
	return nil
}
