package webhook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen is how many tokens are remembered: those of an account at its limit within twice the
// default window.
const maxSeen = 1 << 17

// seen are the tokens that were taken. Each is remembered for life, unless there are too many.
type seen struct {
	life time.Duration
	most int

	mu sync.Mutex
	// last are those since a time, and before those of the time before.
	last, before map[[16]byte]struct{}
	since        time.Time
}

func newSeen(life time.Duration, most int) *seen {
	return &seen{life: life, most: most, last: map[[16]byte]struct{}{}, since: time.Now()}
}

// first tells whether a token has not been taken before, and notes it.
func (s *seen) first(id string) bool {
	key := keyOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch age := time.Since(s.since); {
	case age >= 2*s.life:
		s.last, s.before, s.since = map[[16]byte]struct{}{}, nil, time.Now()
	case age >= s.life, len(s.last) >= s.most/2:
		s.last, s.before, s.since = map[[16]byte]struct{}{}, s.last, time.Now()
	}
	_, known := s.last[key]
	if !known {
		_, known = s.before[key]
	}
	if !known {
		s.last[key] = struct{}{}
	}
	return !known
}

// forget takes back what first has noted.
func (s *seen) forget(id string) {
	key := keyOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, key)
	delete(s.before, key)
}

func keyOf(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}
