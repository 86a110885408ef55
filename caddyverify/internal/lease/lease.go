// Package lease is for what the configurations that share something each lend it
// until they take it back.
package lease

import "slices"

// Newest holds what the configurations that share something have each given it,
// such as a probe. The newest counts: on a reload the next configuration comes
// before the last one goes, and if it fails to load, the last one stays. Its users
// guard it by a lock of theirs. The zero Newest holds nothing.
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
