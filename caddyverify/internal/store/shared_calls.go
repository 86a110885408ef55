package store

import (
	"context"
	"time"
)

var _ Store = (*Shared)(nil)

type nothing struct{}

// Look is Verifications.Look. An entry that cannot be opened is none.
func (s *Shared) Look(ctx context.Context, id Name, entry Field) (Found, error) {
	entry = s.keys.entry(id, entry)
	id = s.keys.name(id)
	f, err := call(ctx, s, func(ctx context.Context) (Found, error) { return s.store.Look(ctx, id, entry) })
	if err != nil {
		return Found{}, err
	}
	f.Known = s.known(id, f.Known)
	if f.Entry != nil {
		f.Entry = s.keys.open(place(id, "b:"+string(entry)), f.Entry)
	}
	return f, nil
}

// Keep is Verifications.Keep.
func (s *Shared) Keep(ctx context.Context, id Name, t Token, entry Field, v []byte, life time.Duration) (bool, error) {
	entry = s.keys.entry(id, entry)
	id = s.keys.name(id)
	v = s.keys.seal(place(id, "b:"+string(entry)), v)
	return call(ctx, s, func(ctx context.Context) (bool, error) { return s.store.Keep(ctx, id, t, entry, v, life) })
}

// Before is Verifications.Before.
func (s *Shared) Before(ctx context.Context, id Name, m Mark, hold time.Duration) (Known, error) {
	id = s.keys.name(id)
	k, err := call(ctx, s, func(ctx context.Context) (Known, error) { return s.store.Before(ctx, id, m, hold) })
	if err != nil {
		s.beating.part()
	}
	return s.known(id, k), err
}

// After is Verifications.After.
func (s *Shared) After(ctx context.Context, id Name, m Mark) error {
	id = s.keys.name(id)
	err := s.do(ctx, func(ctx context.Context) error { return s.store.After(ctx, id, m) })
	if err != nil {
		s.beating.part()
	}
	return err
}

// Begin is Verifications.Begin.
func (s *Shared) Begin(ctx context.Context, id Name, start []byte, ttl time.Duration) error {
	id = s.keys.name(id)
	start = s.keys.seal(place(id, "s"), start)
	return s.do(ctx, func(ctx context.Context) error { return s.store.Begin(ctx, id, start, ttl) })
}

// Finish is Verifications.Finish.
func (s *Shared) Finish(ctx context.Context, id Name, m Mark, ttl time.Duration) (bool, error) {
	id = s.keys.name(id)
	return call(ctx, s, func(ctx context.Context) (bool, error) { return s.store.Finish(ctx, id, m, ttl) })
}

// Paid is Verifications.Paid.
func (s *Shared) Paid(ctx context.Context, id Name, m Mark, kind Field, amount int64, ttl time.Duration) (int64, error) {
	id, kind = s.keys.name(id), s.keys.field(kind)
	return call(ctx, s, func(ctx context.Context) (int64, error) { return s.store.Paid(ctx, id, m, kind, amount, ttl) })
}

// Claim is Claims.Claim. An answer that cannot be opened is lost.
func (s *Shared) Claim(ctx context.Context, k Name, m Mark, says [32]byte, lease, ttl time.Duration) (Claim, error) {
	k, says = s.keys.name(k), s.keys.digest(says)
	c, err := call(ctx, s, func(ctx context.Context) (Claim, error) { return s.store.Claim(ctx, k, m, says, lease, ttl) })
	if err != nil {
		return Claim{}, err
	}
	if c.State == Answered {
		if c.Answer = s.keys.open(place(k, "a"), c.Answer); c.Answer == nil {
			c.State = Lost
		}
	}
	return c, nil
}

// Answer is Claims.Answer.
func (s *Shared) Answer(ctx context.Context, k Name, m Mark, v []byte, ttl time.Duration) (bool, error) {
	k = s.keys.name(k)
	v = s.keys.seal(place(k, "a"), v)
	return call(ctx, s, func(ctx context.Context) (bool, error) { return s.store.Answer(ctx, k, m, v, ttl) })
}

// Release is Claims.Release.
func (s *Shared) Release(ctx context.Context, k Name, m Mark) error {
	k = s.keys.name(k)
	return s.do(ctx, func(ctx context.Context) error { return s.store.Release(ctx, k, m) })
}

// Take is Claims.Take.
func (s *Shared) Take(ctx context.Context, k Name, says [32]byte) ([]byte, error) {
	k, says = s.keys.name(k), s.keys.digest(says)
	v, err := call(ctx, s, func(ctx context.Context) ([]byte, error) { return s.store.Take(ctx, k, says) })
	if err != nil || v == nil {
		return nil, err
	}
	return s.keys.open(place(k, "a"), v), nil
}

// Slot is Slots.Slot.
func (s *Shared) Slot(ctx context.Context, ask Ask) (Slot, error) {
	return call(ctx, s, func(ctx context.Context) (Slot, error) { return s.store.Slot(ctx, ask) })
}

// Hint is Hints.Hint.
func (s *Shared) Hint(ctx context.Context, h Name, v []byte, life time.Duration) error {
	h = s.keys.name(h)
	v = s.keys.seal(place(h, ""), v)
	return s.do(ctx, func(ctx context.Context) error { return s.store.Hint(ctx, h, v, life) })
}

// Hinted is Hints.Hinted.
func (s *Shared) Hinted(ctx context.Context, h Name) ([]byte, time.Duration, error) {
	h = s.keys.name(h)
	var left time.Duration
	type hinted struct {
		v    []byte
		left time.Duration
	}
	found, err := call(ctx, s, func(ctx context.Context) (hinted, error) {
		v, left, err := s.store.Hinted(ctx, h)
		return hinted{v, left}, err
	})
	if err != nil || found.v == nil {
		return nil, 0, err
	}
	v := s.keys.open(place(h, ""), found.v)
	if v != nil {
		left = found.left
	}
	return v, left, nil
}

// Hold is Budgets.Hold.
func (s *Shared) Hold(ctx context.Context, budget Name, b Book) (Grant, error) {
	budget = s.keys.name(budget)
	return call(ctx, s, func(ctx context.Context) (Grant, error) { return s.store.Hold(ctx, budget, b) })
}

// Tell is Logs.Tell.
func (s *Shared) Tell(ctx context.Context, log Name, entries [][]byte, most int, life time.Duration) error {
	log = s.keys.name(log)
	sealed := make([][]byte, len(entries))
	for i, v := range entries {
		sealed[i] = s.keys.seal(place(log, ""), v)
	}
	return s.do(ctx, func(ctx context.Context) error { return s.store.Tell(ctx, log, sealed, most, life) })
}

// Read is Logs.Read.
func (s *Shared) Read(ctx context.Context, log Name, after Position, most int) ([]Entry, error) {
	log = s.keys.name(log)
	entries, err := call(ctx, s, func(ctx context.Context) ([]Entry, error) { return s.store.Read(ctx, log, after, most) })
	for i := range entries {
		entries[i].Value = s.keys.open(place(log, ""), entries[i].Value)
	}
	return entries, err
}

// Beat is Fleet.Beat. Shared beats by itself: see Run.
func (s *Shared) Beat(ctx context.Context, p Pulse) (Seen, error) {
	return call(ctx, s, func(ctx context.Context) (Seen, error) { return s.store.Beat(ctx, p) })
}

// Leave is Fleet.Leave.
func (s *Shared) Leave(ctx context.Context) error {
	return s.do(ctx, s.store.Leave)
}

// Watch is Fleet.Watch. Its names are as Hidden returns them.
func (s *Shared) Watch(f func(Name)) (stop func()) { return s.watchers.add(f) }

// Hidden returns the name under which Watch tells of what it names.
func (s *Shared) Hidden(n Name) Name { return s.keys.name(n) }

func (s *Shared) do(ctx context.Context, f func(context.Context) error) error {
	_, err := call(ctx, s, func(ctx context.Context) (nothing, error) { return nothing{}, f(ctx) })
	return err
}

func (s *Shared) known(id Name, k Known) Known {
	if k.Start != nil {
		if k.Start = s.keys.open(place(id, "s"), k.Start); k.Start == nil {
			k.Begun = 0
		}
	}
	return k
}
