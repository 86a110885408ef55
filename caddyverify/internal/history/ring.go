package history

import "time"

// ring has a place for each of the last steps of time, which are counted from the epoch.
// A place whose step is past is found empty.
type ring[T any] struct {
	step   time.Duration
	places []place[T]
}

type place[T any] struct {
	step  int64 // its number, from 1
	value T
}

func newRing[T any](step time.Duration, n int) ring[T] {
	return ring[T]{step, make([]place[T], n)}
}

func (r *ring[T]) number(now time.Duration) int64 { return int64(now/r.step) + 1 }

// at returns the present place.
func (r *ring[T]) at(now time.Duration) *T {
	n := r.number(now)
	p := &r.places[n%int64(len(r.places))]
	if p.step != n {
		*p = place[T]{step: n}
	}
	return &p.value
}

// last calls f for the last n steps, the oldest first; v is nil where nothing happened.
func (r *ring[T]) last(now time.Duration, n int, f func(v *T)) { r.until(r.number(now), n, f) }

// before is last for n steps before the present one.
func (r *ring[T]) before(now time.Duration, n int, f func(v *T)) { r.until(r.number(now)-1, n, f) }

func (r *ring[T]) until(end int64, n int, f func(v *T)) {
	for step := end - int64(min(n, len(r.places))) + 1; step <= end; step++ {
		if step < 1 {
			f(nil)
			continue
		}
		if p := &r.places[step%int64(len(r.places))]; p.step == step {
			f(&p.value)
		} else {
			f(nil)
		}
	}
}
