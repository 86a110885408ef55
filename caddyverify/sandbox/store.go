package sandbox

import "time"

const (
	retention        = 24 * time.Hour // after the end of a verification
	maxVerifications = 100_000
)

// verifications is what the account remembers.
type verifications struct {
	byID     map[string]*verification
	byNumber map[recipient]*verification // the latest for each
	order    []*verification             // oldest first
	accepted int
}

// recipient is a number at an API: v1 and v2 do not know of each other's verifications.
type recipient struct{ api, number string }

func (v *verification) recipient() recipient { return recipient{v.api, v.number} }

func newVerifications() verifications {
	return verifications{byID: map[string]*verification{}, byNumber: map[recipient]*verification{}}
}

// find gives a verification as it is now, nil if there is none.
func (s *verifications) find(id string, now time.Time) *verification {
	v := s.byID[id]
	if v == nil {
		return nil
	}
	v.advance(now)
	if v.forgotten(now) {
		return nil
	}
	return v
}

// running gives the verification that keeps another one from the recipient, or nil.
func (s *verifications) running(to recipient, now time.Time) *verification {
	v := s.byNumber[to]
	if v == nil {
		return nil
	}
	v.advance(now)
	if !v.busy(now) {
		return nil
	}
	return v
}

// add remembers a new verification and drops the oldest if they are due.
func (s *verifications) add(v *verification, now time.Time) {
	s.byID[v.id], s.byNumber[v.recipient()] = v, v
	s.order = append(s.order, v)
	s.accepted++
	for {
		oldest := s.order[0]
		oldest.advance(now)
		if len(s.order) <= maxVerifications && !oldest.forgotten(now) {
			return
		}
		s.order[0] = nil
		s.order = s.order[1:]
		delete(s.byID, oldest.id)
		if s.byNumber[oldest.recipient()] == oldest {
			delete(s.byNumber, oldest.recipient())
		}
	}
}

func (v *verification) forgotten(now time.Time) bool {
	return v.state != inProgress && now.Sub(v.finalized) >= retention
}
