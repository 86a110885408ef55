//go:build e2e

package e2e

import (
	"net/url"
	"time"
)

// searches asks at every gateway for this verification, and each time for others with it.
func (s *fleetStory) searches(rounds int) {
	for range rounds {
		for _, m := range s.shuffled() {
			about := []*fleetVerification{s.v}
			if s.IntN(2) == 0 {
				about = append(about, s.some(9)...)
			}
			s.search(m, about, s.format())
		}
	}
}

// some are others of the same application.
func (s *fleetStory) some(most int) (some []*fleetVerification) {
	s.fleetScript.mu.Lock()
	defer s.fleetScript.mu.Unlock()
	recent := s.recent[s.app]
	recent = recent[max(0, len(recent)-60):]
	for _, i := range s.Perm(len(recent)) {
		if recent[i] != s.v && len(some) < most {
			some = append(some, recent[i])
		}
	}
	return some
}

// kept is for how long a gateway may tell a state in memory that it has not heard the end of, and a little more.
const kept = 3 * time.Second

// search wants to be told of each what was known when it began.
func (s *fleetStory) search(m *member, about []*fleetVerification, format string) {
	c := fleetCall{app: s.app, operation: "search", format: format, params: url.Values{}}
	type least struct {
		tries int
		final string
	}
	known := map[string]least{}
	name := "request_id"
	if len(about) > 1 {
		name = "request_ids"
	}
	for _, v := range about {
		c.params.Add(name, v.id)
	}
	var begun time.Time
	a := s.callReady(m, c, func() {
		begun = time.Now()
		for _, v := range about {
			tries, final := v.known()
			known[v.id] = least{tries, final}
		}
	})
	if a == nil {
		return
	}
	answers := a.List
	if len(about) == 1 {
		answers = []fleetAnswer{*a}
	}
	if len(answers) != len(about) {
		s.fleet.fault("a search for %d is answered with %d: %v", len(about), len(answers), a)
	}
	for _, one := range answers {
		least, ok := known[one.RequestID]
		if !ok || len(one.Checks) < least.tries || least.final != "" && one.Status != least.final {
			s.doubts.fault(begun.Add(-kept), "a search for %d at %s says %s with %d codes of %s, want %s with %d or more (%s)", len(about), m.address,
				one.Status, len(one.Checks), one.RequestID, least.final, least.tries, a.cache)
		}
	}
}
