package store

import (
	"context"
	"slices"
	"time"
)

// rate is a ring of slots: when each comes back, in that order. A slot comes back a second
// after the call for which it was taken, so there are never more calls in a second than
// slots, and no two come back closer together than an even pace would have it.
type rate struct{ back []time.Time }

// grow has at least as many slots as are asked for. Those that are new come back within a second.
func (r *rate) grow(size int, now time.Time) {
	if r.back == nil {
		r.back = slices.Repeat([]time.Time{now}, size)
	}
	for len(r.back) < size {
		r.back = append(r.back, later(now.Add(time.Second), r.last()))
	}
}

func (r *rate) last() time.Time { return r.back[len(r.back)-1] }

// use takes the first slot for a call at a time, when there are so many a second.
func (r *rate) use(at time.Time, size int) {
	back := later(at.Add(time.Second), r.last().Add(time.Second/time.Duration(size)))
	r.back = append(r.back[1:], back)
}

func (m view) Slot(_ context.Context, ask Ask) (Slot, error) {
	now := m.at()
	defer m.mu.Unlock()
	m.heard(m.gateway, now)
	size := max(1, min(ask.Size, MaxSize))
	m.rate.grow(size, now)
	known, silent := 0, 0
	for _, last := range m.gateways {
		switch since := now.Sub(last); {
		case since >= Gone:
			continue
		case since >= Silent:
			silent++
		}
		known++
	}
	all := len(m.rate.back)
	spare, more := ask.Spare+all-size, ask.Later
	if silent > 0 {
		spare += size * silent / known
		more = more * (known - silent) / known // of what is left
	}
	spare = max(0, min(spare, all-1))
	later := max(spare, min(spare+more, all-1))
	wait := max(0, m.rate.back[spare].Sub(now), m.rate.back[later].Sub(now)-ask.Soon)
	if wait > ask.Most {
		return Slot{Full, wait}, nil
	}
	m.rate.use(now.Add(wait), size)
	return Slot{Given, wait}, nil
}

func (m *memory) heard(gateway string, now time.Time) {
	if _, ok := m.gateways[gateway]; ok || len(m.gateways) < MaxGateways {
		m.gateways[gateway] = now
	}
}

func (m view) Beat(_ context.Context, p Pulse) (Seen, error) {
	now := m.at()
	defer m.mu.Unlock()
	// When nobody could say a word, nobody is gone.
	if all := now.Sub(m.lastBeat) > time.Second; all {
		for g, last := range m.gateways {
			m.gateways[g] = later(last, now.Add(-Silent))
		}
	}
	m.lastBeat = now
	m.heard(m.gateway, now)
	seen := Seen{Boot: m.boot}
	for g, last := range m.gateways {
		switch since := now.Sub(last); {
		case since >= Gone:
			delete(m.gateways, g)
		case since < Silent:
			seen.Gateways++
		default:
			seen.Silent++
		}
	}
	for range min(p.Spent, len(m.rate.back)) {
		m.rate.use(now, len(m.rate.back))
	}
	for _, back := range m.rate.back {
		if back.After(now) {
			seen.Used++
		}
	}
	return seen, nil
}

func (m view) Leave(context.Context) error {
	m.at()
	defer m.mu.Unlock()
	delete(m.gateways, m.gateway)
	return nil
}
