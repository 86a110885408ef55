package limit

import (
	"slices"
	"time"
)

// slots are the calls that may be made within a second. Each slot comes back a
// second after it was taken, and no two come back closer together than an even
// pace would have it. Both halves are needed: with the first alone, a burst whose
// connections took 100 ms to make and a burst one second after it would reach
// the provider within the same second. So a rested account may make all its calls
// at once, and a busy one makes them evenly.
//
// At most as many calls as there are slots are made within any second, and at
// most size + 1 + j × size within a second at the provider when calls are
// delayed on the way by up to j seconds.
//
// (rate.Limiter of golang.org/x/time lets burst + rate calls pass in a second: to
// stay under 30 at 28/s its burst would have to be 2, and the tenth of ten
// users in the same moment would wait longer than he may.)
type slots struct {
	// back is when each slot comes, or came, back: a ring of n times in their order.
	back    []time.Time
	head, n int
	// last is the latest time that was ever in back.
	last time.Time
	// shrunk is when resize last made them fewer.
	shrunk time.Time
}

func newSlots(size int, now time.Time) slots {
	s := slots{back: make([]time.Time, size), n: size, last: now}
	for i := range s.back {
		s.back[i] = now
	}
	return s
}

// at returns when i+1 slots will be free, for 0 ≤ i < n.
func (s *slots) at(i int) time.Time { return s.back[(s.head+i)%len(s.back)] }

// after returns when there is a slot for a call that has i before it: each slot once in
// about a second.
func (s *slots) after(i int) time.Time {
	return s.at(i % s.n).Add(time.Duration(i/s.n) * time.Second)
}

// afterOf is after, where only so many of the slots may be used.
func (s *slots) afterOf(have, i int) time.Time {
	return s.at(s.n - have + i%have).Add(time.Duration(i/have) * time.Second)
}

// leaving returns when there are slots for a call that has i before it and for others
// besides it, of so many that may be used.
func (s *slots) leaving(have, others, i int) time.Time {
	return s.at(s.n - have + min(i%have+others, have-1)).Add(time.Duration(i/have) * time.Second)
}

// pace is the time between two slots that come back.
func (s *slots) pace() time.Duration { return time.Second / time.Duration(s.n) }

// take uses the first slot, which must be free.
func (s *slots) take(now time.Time) {
	pace := s.pace()
	s.drop()
	s.push(later(now.Add(time.Second), s.last.Add(pace)))
}

// drop removes the first slot.
func (s *slots) drop() {
	s.head = (s.head + 1) % len(s.back)
	s.n--
}

// add makes one slot more. It comes after all others, so that a slot that was
// dropped while in use is not used twice in a second.
func (s *slots) add(now time.Time) {
	s.push(later(now, s.last.Add(s.pace())))
}

// resize has n slots, of at most size, from now on. Those that are new are free at
// once; but within a second of the last time that slots went this way, all of
// which may have been in use, they are free when that second is over.
func (s *slots) resize(n, size int, now time.Time) {
	if n < s.n {
		s.shrunk = now
	}
	keep := min(n, s.n)
	back := make([]time.Time, size)
	for i := range keep {
		back[i] = s.at(s.n - keep + i)
	}
	free := later(now, s.shrunk.Add(time.Second))
	for i := keep; i < n; i++ {
		back[i] = free
	}
	slices.SortFunc(back[:n], time.Time.Compare)
	s.back, s.head, s.n, s.last = back, 0, n, later(s.last, back[n-1])
}

func (s *slots) push(t time.Time) {
	s.back[(s.head+s.n)%len(s.back)] = t
	s.n++
	s.last = t
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
