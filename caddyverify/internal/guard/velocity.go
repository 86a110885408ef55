package guard

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// starts are those of one number or address, by one caller.
type starts struct {
	// at are the moments of the newest, in their order.
	at []time.Duration
	// running is the newest that is known to the provider, while its code can be checked.
	running *record
	// trial is the last one of a number, for its conversion.
	trial *trial
}

// over returns the window that has no room for one more, and for how long.
func (s *starts) over(windows []Window, now time.Duration) (w Window, count int, left time.Duration) {
	for _, next := range windows {
		first, _ := slices.BinarySearch(s.at, now-next.Within+1)
		if n := len(s.at) - first; n >= next.Most {
			if until := s.at[len(s.at)-next.Most] + next.Within - now; until > left {
				w, count, left = next, n, until
			}
		}
	}
	return w, count, left
}

// add notes a start.
func (s *starts) add(windows []Window, now time.Duration) {
	most := 0
	for _, w := range windows {
		most = max(most, w.Most)
	}
	i, _ := slices.BinarySearch(s.at, now+1) // those of other gateways come late
	s.at = slices.Insert(s.at, i, now)
	s.at = slices.Delete(s.at, 0, max(0, len(s.at)-most))
}

// remove takes back a start.
func (s *starts) remove(at time.Duration) {
	if i, found := slices.BinarySearch(s.at, at); found {
		s.at = slices.Delete(s.at, i, i+1)
	}
}

// checkStarts asks for how often a number, and an address, was tried of late.
func (g *Guard) checkStarts(l *look) {
	if r := &l.rules.PerNumber; r.Mode.on() {
		if s := g.numbers.find(l.number); s != nil {
			if w, n, left := s.over(r.Windows, l.now); left > 0 {
				f := Finding{Rule: RulePerNumber, Mode: r.Mode, Count: n, Most: w.Most, Window: w.Within, Left: left}
				if s.running != nil && s.running.openAt(l.now) {
					f.Status = wire.Concurrent
					l.d.RequestID = s.running.id
				}
				l.find(f)
			}
		}
	}
	if r := &l.rules.PerAddress; r.Mode.on() && l.address != 0 {
		if s := g.addresses.find(l.address); s != nil {
			if w, n, left := s.over(r.Windows, l.now); left > 0 {
				l.find(Finding{Rule: RulePerAddress, Mode: r.Mode, Count: n, Most: w.Most, Window: w.Within, Left: left})
			}
		}
	}
}

// cool is a number of which the provider has said that a verification is under way.
type cool struct {
	until time.Duration
	// id is that verification, and caller who started it, where that is known.
	id, caller string
}

const (
	// unknownCool is for how long a number is left alone when nothing is known of the
	// verification that is under way.
	unknownCool = 5 * time.Minute
	// leastCool is for how long when it should be over.
	leastCool = time.Minute
)

func (g *Guard) checkCoolDown(l *look) {
	if !l.rules.CoolDown.on() {
		return
	}
	c := g.cools.find(l.phone)
	if c == nil || c.until <= l.now {
		return
	}
	l.find(Finding{Rule: RuleCoolDown, Mode: l.rules.CoolDown, Left: c.until - l.now})
	if c.id != "" && c.caller == l.Caller {
		l.d.RequestID = c.id
	}
}
