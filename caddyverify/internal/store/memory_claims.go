package store

import (
	"context"
	"slices"
	"time"
)

// claim returns what is claimed under a name; nil if nothing is.
func (m *memory) claimed(k Name, now time.Time) *claim {
	if c := m.claims[k]; c != nil && c.until.After(now) {
		return c
	}
	return nil
}

func (m view) Claim(_ context.Context, k Name, mark Mark, says [32]byte, lease, ttl time.Duration) (Claim, error) {
	now := m.at()
	defer m.mu.Unlock()
	c := m.claimed(k, now)
	switch {
	case c == nil:
		m.claims[k] = &claim{owner: mark, says: says, lease: now.Add(lease), until: now.Add(max(lease, ttl))}
		return Claim{State: Yours}, nil
	case c.says != says:
		return Claim{State: Conflict}, nil
	case c.answer != nil:
		return Claim{State: Answered, Answer: slices.Clone(c.answer)}, nil
	case c.owner == mark:
		return Claim{State: Yours}, nil
	case c.lease.After(now):
		return Claim{State: Wait, Left: c.lease.Sub(now)}, nil
	}
	return Claim{State: Lost}, nil
}

func (m view) Answer(_ context.Context, k Name, mark Mark, v []byte, ttl time.Duration) (bool, error) {
	defer m.watchers.tell(k)
	now := m.at()
	defer m.mu.Unlock()
	c := m.claimed(k, now)
	if c == nil || c.owner != mark {
		return false, nil
	}
	c.answer, c.until = append([]byte{}, v...), now.Add(ttl)
	return true, nil
}

func (m view) Release(_ context.Context, k Name, mark Mark) error {
	defer m.watchers.tell(k)
	now := m.at()
	defer m.mu.Unlock()
	if c := m.claimed(k, now); c != nil && c.owner == mark {
		delete(m.claims, k)
	}
	return nil
}

func (m view) Take(_ context.Context, k Name, says [32]byte) ([]byte, error) {
	now := m.at()
	defer m.mu.Unlock()
	c := m.claimed(k, now)
	if c == nil || c.answer == nil || c.says != says {
		return nil, nil
	}
	delete(m.claims, k)
	return c.answer, nil
}
