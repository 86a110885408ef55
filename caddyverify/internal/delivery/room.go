package delivery

// room is a number of places that callers share. A caller may have as many as are
// free. So one that takes all it can leaves half of them, however fast it is, and
// whoever has few always gets one more. Nobody's place is taken away again.
type room struct {
	size, used int
	by         map[string]int // used, by caller
}

func newRoom(size int) room { return room{size: size, by: map[string]int{}} }

// has tells whether the caller may take a place.
func (r *room) has(caller string) bool { return r.by[caller] < r.size-r.used }

// take takes a place, if the caller may.
func (r *room) take(caller string) bool {
	if !r.has(caller) {
		return false
	}
	r.by[caller]++
	r.used++
	return true
}

// give gives a place back.
func (r *room) give(caller string) {
	r.used--
	if r.by[caller]--; r.by[caller] == 0 {
		delete(r.by, caller)
	}
}
