package store

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a store within one process. The zero Memory is ready for use.
type Memory struct {
	mu       sync.Mutex
	accounts map[string]*memory
}

// Open returns the store of an account as one gateway sees it. The gateway's name must be
// its own.
func (m *Memory) Open(account, gateway string) Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts == nil {
		m.accounts = map[string]*memory{}
	}
	if m.accounts[account] == nil {
		m.accounts[account] = newMemory()
	}
	return view{m.accounts[account], gateway}
}

// memory is what is known of one account.
type memory struct {
	mu            sync.Mutex
	verifications map[Name]*verification
	claims        map[Name]*claim
	hints         map[Name]hint
	purses        map[Name]*purse
	logs          map[Name]*logged
	rate          rate
	gateways      map[string]time.Time
	lastBeat      time.Time
	boot          string
	swept         time.Time

	watchers watchers
}

// view is a memory as one gateway sees it.
type view struct {
	*memory
	gateway string
}

type verification struct {
	epoch    Token
	pending  map[Mark]time.Time
	start    []byte
	begun    time.Time
	finished Mark
	tried    bool
	paid     map[Field]map[Mark]int64 // the parts of each kind, by who told of them
	entries  map[Field]entry
	until    time.Time
}

type entry struct {
	v           []byte
	kept, until time.Time
}

type claim struct {
	owner        Mark
	says         [32]byte
	lease, until time.Time
	answer       []byte
}

type hint struct {
	v     []byte
	until time.Time
}

func newMemory() *memory {
	return &memory{
		verifications: map[Name]*verification{}, claims: map[Name]*claim{}, hints: map[Name]hint{},
		purses: map[Name]*purse{}, logs: map[Name]*logged{},
		gateways: map[string]time.Time{}, boot: rand.Text(), swept: time.Now(),
	}
}

// NewMark returns a mark that nobody else has.
func NewMark() Mark { return Mark(rand.Text()) }

// at locks and returns the time. Now and then it forgets what is over.
func (m *memory) at() time.Time {
	m.mu.Lock()
	now := time.Now()
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		maps.DeleteFunc(m.verifications, func(_ Name, v *verification) bool { return !v.until.After(now) })
		maps.DeleteFunc(m.claims, func(_ Name, c *claim) bool { return !c.until.After(now) })
		maps.DeleteFunc(m.hints, func(_ Name, h hint) bool { return !h.until.After(now) })
		maps.DeleteFunc(m.purses, func(_ Name, p *purse) bool { return !p.until.After(now) })
	}
	return now
}

// verification returns what is known of a verification, for ttl from now on.
func (m *memory) verification(id Name, now time.Time, ttl time.Duration) *verification {
	v := m.verifications[id]
	if v == nil || !v.until.After(now) {
		v = &verification{epoch: Token(rand.Text()), pending: map[Mark]time.Time{}, entries: map[Field]entry{}, paid: map[Field]map[Mark]int64{}}
		m.verifications[id] = v
	}
	v.until = later(v.until, now.Add(ttl))
	return v
}

func (v *verification) held(now time.Time) bool {
	maps.DeleteFunc(v.pending, func(_ Mark, until time.Time) bool { return !until.After(now) })
	return len(v.pending) > 0
}

// drop has nothing that was asked for until now stored or told any more.
func (v *verification) drop() {
	clear(v.entries)
	v.epoch = Token(rand.Text())
}

func (v *verification) known(now time.Time) Known {
	k := Known{Start: slices.Clone(v.start), Finished: v.finished != "", Tried: v.tried}
	if k.Start != nil {
		k.Begun = now.Sub(v.begun)
	}
	return k
}

func (m view) Look(_ context.Context, id Name, field Field) (Found, error) {
	now := m.at()
	defer m.mu.Unlock()
	v := m.verification(id, now, Glance)
	f := Found{Known: v.known(now), Token: v.epoch, Hold: v.held(now)}
	if e, ok := v.entries[field]; ok && e.until.After(now) {
		f.Entry, f.Age, f.Left = slices.Clone(e.v), now.Sub(e.kept), e.until.Sub(now)
	}
	return f, nil
}

func (m view) Keep(_ context.Context, id Name, t Token, field Field, value []byte, life time.Duration) (bool, error) {
	now := m.at()
	defer m.mu.Unlock()
	v := m.verifications[id]
	if v == nil || !v.until.After(now) || v.epoch != t || v.held(now) {
		return false, nil
	}
	if _, ok := v.entries[field]; !ok && len(v.entries) >= MaxEntries {
		return false, nil
	}
	v.entries[field] = entry{slices.Clone(value), now, now.Add(life)}
	v.until = later(v.until, now.Add(max(Life, life)))
	return true, nil
}

func (m view) Before(_ context.Context, id Name, mark Mark, hold time.Duration) (Known, error) {
	defer m.watchers.tell(id)
	now := m.at()
	defer m.mu.Unlock()
	v := m.verification(id, now, max(Life, hold))
	known := v.known(now)
	v.tried = true
	v.held(now)
	v.drop()
	until := now.Add(hold)
	if len(v.pending) >= MaxEntries { // one mark for all, which runs out
		for _, other := range v.pending {
			until = later(until, other)
		}
		clear(v.pending)
		mark = ""
	}
	v.pending[mark] = until
	return known, nil
}

func (m view) After(_ context.Context, id Name, mark Mark) error {
	defer m.watchers.tell(id)
	now := m.at()
	defer m.mu.Unlock()
	v := m.verification(id, now, Life)
	v.drop()
	delete(v.pending, mark)
	return nil
}

func (m view) Begin(_ context.Context, id Name, start []byte, ttl time.Duration) error {
	now := m.at()
	defer m.mu.Unlock()
	v := m.verification(id, now, ttl)
	if v.start == nil {
		v.start, v.begun = slices.Clone(start), now
	}
	return nil
}

func (m view) Finish(_ context.Context, id Name, mark Mark, ttl time.Duration) (bool, error) {
	now := m.at()
	v := m.verification(id, now, ttl)
	first := v.finished == ""
	if first {
		v.finished = mark
	}
	is := v.finished == mark
	m.mu.Unlock()
	if first {
		m.watchers.tell(Name{Ended, id.ID})
	}
	return is, nil
}

func (m view) Paid(_ context.Context, id Name, mark Mark, kind Field, amount int64, ttl time.Duration) (int64, error) {
	now := m.at()
	defer m.mu.Unlock()
	v := m.verification(id, now, ttl)
	parts := v.paid[kind]
	if more, ok := parts[mark]; ok {
		return more, nil
	}
	var paid int64
	for _, part := range parts {
		paid += part
	}
	more := amount - paid
	if more <= 0 {
		return 0, nil
	}
	if parts == nil || len(parts) >= MaxEntries { // one part for all
		parts = map[Mark]int64{"": paid}
		v.paid[kind] = parts
	}
	parts[mark] = more
	return more, nil
}

func (m view) Hint(_ context.Context, h Name, v []byte, life time.Duration) error {
	defer m.watchers.tell(h)
	now := m.at()
	defer m.mu.Unlock()
	m.hints[h] = hint{slices.Clone(v), now.Add(life)}
	return nil
}

func (m view) Hinted(_ context.Context, h Name) ([]byte, time.Duration, error) {
	now := m.at()
	defer m.mu.Unlock()
	if known, ok := m.hints[h]; ok && known.until.After(now) {
		return slices.Clone(known.v), known.until.Sub(now), nil
	}
	return nil, 0, nil
}

func (m view) Watch(f func(Name)) (stop func()) { return m.watchers.add(f) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
