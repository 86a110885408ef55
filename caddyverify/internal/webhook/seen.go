package webhook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen is how many tokens are remembered: those of an account at its limit within twice the
// default window.
const maxSeen = 1 << 17

// Seen are the tokens that were taken, and those of which it is being found out whether they are. Each is
// remembered for life, unless there are too many. It is safe for concurrent use.
type Seen struct {
	life time.Duration
	most int

	mu sync.Mutex
	// last are those since a time, and before those of the time before: true for those that were taken.
	last, before map[[16]byte]bool
	since        time.Time
}

// Life is for how long a token may come again that is taken now, with the default window.
const Life = 2 * defaultWindow

// NewSeen returns what Verifiers with the default window remember together.
func NewSeen() *Seen { return newSeen(Life, maxSeen) }

func newSeen(life time.Duration, most int) *Seen {
	return &Seen{life: life, most: most, last: map[[16]byte]bool{}, since: time.Now()}
}

// first notes a token of which it is to be found out whether it is taken. The error is ErrReplayed where it
// was taken before, and ErrUndecided where somebody else finds that out.
func (s *Seen) first(id string) error {
	key := keyOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn()
	taken, known := s.last[key]
	if !known {
		taken, known = s.before[key]
	}
	switch {
	case taken:
		return ErrReplayed
	case known:
		return ErrUndecided
	}
	s.last[key] = false
	return nil
}

// turn makes room. The caller holds the lock.
func (s *Seen) turn() {
	switch age := time.Since(s.since); {
	case age >= 2*s.life:
		s.last, s.before, s.since = map[[16]byte]bool{}, nil, time.Now()
	case age >= s.life, len(s.last) >= s.most/2:
		s.last, s.before, s.since = map[[16]byte]bool{}, s.last, time.Now()
	}
}

// take notes that a token was taken.
func (s *Seen) take(id string) {
	key := keyOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn()
	s.last[key] = true
}

// forget takes back what first has noted.
func (s *Seen) forget(id string) {
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
