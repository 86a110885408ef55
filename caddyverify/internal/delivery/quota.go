package delivery

// quota is a number of places that callers share: what does not fit is refused, which is
// known as load shedding. A caller may have as many places as are free. So one that takes
// all it can leaves half of them, however fast it is, and whoever has few always gets one
// more. Nobody's place is taken away again.
type quota struct {
	size, used int
	by         map[string]int // used, by caller
}

func newQuota(size int) quota { return quota{size: size, by: map[string]int{}} }

// available tells whether the caller may take a place.
func (q *quota) available(caller string) bool { return q.by[caller] < q.size-q.used }

// acquire takes a place, if the caller may.
func (q *quota) acquire(caller string) bool {
	if !q.available(caller) {
		return false
	}
	q.by[caller]++
	q.used++
	return true
}

// release gives a place back.
func (q *quota) release(caller string) {
	q.used--
	if q.by[caller]--; q.by[caller] == 0 {
		delete(q.by, caller)
	}
}
