package guard

import (
	"slices"
	"time"
)

// sightings are the numbers of a caller's prefix that were started and have not been verified,
// each once, in the order of their last start.
type sightings []sighting

type sighting struct {
	at     time.Duration
	suffix uint16 // the digits that the prefix lacks
}

// neighbour is how far from each other neighbours are at most.
const neighbour = 100

// around counts the numbers beside one, within two windows.
func (s sightings) around(suffix uint16, numbers, neighbours Window, now time.Duration) (all, near int) {
	for _, o := range s {
		if o.suffix == suffix {
			continue
		}
		if o.at > now-numbers.Within {
			all++
		}
		if distance := int(o.suffix) - int(suffix); o.at > now-neighbours.Within && distance >= -neighbour && distance <= neighbour {
			near++
		}
	}
	return all, near
}

// add notes a start. No more are kept than a window can ask for.
func (s sightings) add(suffix uint16, at time.Duration) sightings {
	i := len(s)
	for i > 0 && s[i-1].at > at { // those of other gateways come late
		i--
	}
	for _, later := range s[i:] {
		if later.suffix == suffix {
			return s
		}
	}
	s = slices.Insert(s, i, sighting{at, suffix})
	if j := slices.IndexFunc(s[:i], func(o sighting) bool { return o.suffix == suffix }); j >= 0 {
		s = slices.Delete(s, j, j+1)
	}
	return slices.Delete(s, 0, max(0, len(s)-maxCount))
}

func (s sightings) remove(suffix uint16) sightings {
	return slices.DeleteFunc(s, func(o sighting) bool { return o.suffix == suffix })
}

// removeAt takes back a start.
func (s sightings) removeAt(suffix uint16, at time.Duration) sightings {
	return slices.DeleteFunc(s, func(o sighting) bool { return o.suffix == suffix && o.at == at })
}

// checkPrefix asks whether a range is blocked, and blocks it where it is to be.
func (g *Guard) checkPrefix(l *look) {
	r := &l.rules.PerPrefix
	if !r.Mode.on() || l.prefix == 0 {
		return
	}
	name := blockName{rule: RulePerPrefix, caller: l.Caller, target: l.targets[0]}
	if b := g.blocks.find(name, l.now); b != nil {
		l.find(b.finding(r.Mode, l.now))
		return
	}
	s := g.prefixes.find(l.prefix)
	if s == nil {
		return
	}
	all, near := s.around(l.suffix, r.Numbers, r.Neighbours, l.now)
	f := Finding{Rule: RulePerPrefix, Target: name.target}
	switch {
	case all >= r.Numbers.Most:
		f.Count, f.Most, f.Window = all, r.Numbers.Most, r.Numbers.Within
	case near >= r.Neighbours.Most:
		f.Count, f.Most, f.Window = near, r.Neighbours.Most, r.Neighbours.Within
	default:
		return
	}
	g.prefixes.drop(l.prefix) // after the block, it is counted anew
	l.find(g.block(name, f, l.now).finding(r.Mode, l.now))
}
