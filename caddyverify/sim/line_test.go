package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// line is a process's way to what an account shares. It is a store.Store.
type line struct {
	stores  *stores
	process *process
	account int
	stop    func() // its beats
	stopped atomic.Bool

	mu       sync.Mutex
	memory   *store.Memory // of which view is
	view     store.Store
	unwatch  func()
	watchers []func(store.Name)
	told     time.Time // when the last push comes
}

// dial has a process share an account, if there is a store.
func (s *stores) dial(p *process, account int) *store.Shared {
	if s == nil {
		return nil
	}
	l := &line{stores: s, process: p, account: account}
	shared := store.NewShared(l, s.keys[account])
	ctx, stop := context.WithCancel(context.Background())
	l.stop = func() {
		l.stopped.Store(true)
		stop()
	}
	s.mu.Lock()
	s.lines = append(s.lines, l)
	s.mu.Unlock()
	p.lines = append(p.lines, l)
	p.ends.Go(func() { shared.Run(ctx) })
	return shared
}

// luck is what becomes of one call. It is drawn from what the call is, so that two of a
// moment have theirs in any order.
type luck struct {
	r             *rand.Rand
	lost, fails   bool
	before, after time.Duration // it is done
	thaw          <-chan struct{}
}

func (l *line) draw(what string, name store.Name, more string) luck {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, l.stores.world.seed, l.process.number, l.account, what, byte(name.Kind), name.ID, more)
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(time.Since(l.stores.world.begun))))
	return luck{r: r}
}

// noticed is after how long a connection that is lost is known to be.
func (c luck) noticed() time.Duration { return time.Duration(c.r.IntN(400_000_000)) }

func (l *line) luck(what string, name store.Name, more string) luck {
	c := l.draw(what, name, more)
	s := l.stores
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.weather
	chance := func(of int) bool { return c.r.IntN(1000) < of }
	most := 300_000
	if chance(100) {
		most = 3_000_000
	}
	c.before, c.after = time.Duration(20_000+c.r.IntN(most/2)), time.Duration(20_000+c.r.IntN(most/2))
	switch {
	case s.cut == l.process:
		c.lost = true
	case w.hangs:
		c.thaw = s.thaw
	default:
		c.lost, c.fails = chance(w.lost), chance(w.fail)
		if chance(w.late) {
			c.before = time.Duration(c.r.IntN(80_000_000))
			c.after = time.Duration(c.r.IntN(30_000_000))
		}
	}
	return c
}

var errStore = errors.New("the store is not well")

// do makes a call. One that comes back too late is done all the same.
func do[T any](ctx context.Context, l *line, what string, name store.Name, more string, f func(store.Store) (T, error)) (T, error) {
	var none T
	guards := what == "hold" || what == "tell" || what == "read"
	if l.process.dead() {
		return none, errStore
	}
	if guards && l.stopped.Load() { // they go on for hours when nothing else does
		return f(l.open())
	}
	c := l.luck(what, name, more)
	if what != "beat" && !guards {
		l.process.note("store %d of %d: %s %c %.6s: lost %t, fails %t, hangs %t, %v+%v", l.account, l.process.number, what, max(name.Kind, ' '), name.ID, c.lost, c.fails, c.thaw != nil, c.before, c.after)
	}
	if c.lost {
		<-ctx.Done()
		return none, errStore
	}
	if c.fails {
		time.Sleep(c.before)
		return none, errStore
	}
	type result struct {
		v   T
		err error
	}
	made := func() (r result) {
		if c.thaw != nil {
			<-c.thaw
		}
		time.Sleep(c.before)
		r.v, r.err = f(l.open())
		time.Sleep(c.after)
		return r
	}
	if c.thaw == nil && c.before+c.after < store.Budget {
		r := made()
		return r.v, r.err
	}
	back := make(chan result, 1)
	l.process.ends.Go(func() { back <- made() })
	select {
	case r := <-back:
		return r.v, r.err
	case <-ctx.Done():
		return none, errStore
	}
}

func carry(f func(store.Store) error) func(store.Store) (struct{}, error) {
	return func(s store.Store) (struct{}, error) { return struct{}{}, f(s) }
}

// open is the store as it is now. Pushes come from then on.
func (l *line) open() store.Store {
	l.stores.mu.Lock()
	memory := l.stores.memory
	l.stores.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.memory != memory {
		if l.unwatch != nil {
			l.unwatch()
		}
		l.memory, l.view = memory, memory.Open(hosts[l.account], fmt.Sprint("gateway", l.process.number))
		l.unwatch = l.view.Watch(l.push)
	}
	return l.view
}

// push takes a moment, and is lost where the way is cut. None passes another.
func (l *line) push(n store.Name) {
	s := l.stores
	s.mu.Lock()
	lost := s.cut == l.process || s.weather.fail == 1000
	s.mu.Unlock()
	if lost || l.process.dead() {
		return
	}
	r, most := l.draw("push", n, "").r, 1_000_000
	if r.IntN(4) == 0 {
		most = 4_400_000 // not longer than a check takes
	}
	at := time.Now().Add(time.Duration(20_000 + r.IntN(most)))
	l.mu.Lock()
	if !at.After(l.told) {
		at = l.told.Add(time.Nanosecond)
	}
	l.told = at
	l.mu.Unlock()
	time.AfterFunc(time.Until(at), func() { l.tell(n) })
}

func (l *line) tell(n store.Name) {
	if l.process.dead() {
		return
	}
	l.mu.Lock()
	watchers := l.watchers
	l.mu.Unlock()
	for _, f := range watchers {
		f(n)
	}
}

// Watch and all that follows make a line a store.Store.
func (l *line) Watch(f func(store.Name)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, f)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watchers = nil // it is one's
		if l.unwatch != nil {
			l.unwatch()
			l.unwatch = nil
		}
	}
}

func (l *line) Look(ctx context.Context, id store.Name, entry store.Field) (store.Found, error) {
	return do(ctx, l, "look", id, string(entry), func(s store.Store) (store.Found, error) { return s.Look(ctx, id, entry) })
}

func (l *line) Keep(ctx context.Context, id store.Name, t store.Token, entry store.Field, v []byte, life time.Duration) (bool, error) {
	return do(ctx, l, "keep", id, string(entry), func(s store.Store) (bool, error) { return s.Keep(ctx, id, t, entry, v, life) })
}

func (l *line) Before(ctx context.Context, id store.Name, m store.Mark, hold time.Duration) (store.Known, error) {
	return do(ctx, l, "before", id, "", func(s store.Store) (store.Known, error) { return s.Before(ctx, id, m, hold) })
}

func (l *line) After(ctx context.Context, id store.Name, m store.Mark) error {
	_, err := do(ctx, l, "after", id, "", carry(func(s store.Store) error { return s.After(ctx, id, m) }))
	return err
}

func (l *line) Begin(ctx context.Context, id store.Name, start []byte, ttl time.Duration) error {
	_, err := do(ctx, l, "begin", id, "", carry(func(s store.Store) error { return s.Begin(ctx, id, start, ttl) }))
	return err
}

func (l *line) Finish(ctx context.Context, id store.Name, m store.Mark, ttl time.Duration) (bool, error) {
	return do(ctx, l, "finish", id, "", func(s store.Store) (bool, error) { return s.Finish(ctx, id, m, ttl) })
}

func (l *line) Paid(ctx context.Context, id store.Name, m store.Mark, kind store.Field, amount int64, ttl time.Duration) (int64, error) {
	return do(ctx, l, "paid", id, "", func(s store.Store) (int64, error) { return s.Paid(ctx, id, m, kind, amount, ttl) })
}

func (l *line) Claim(ctx context.Context, k store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (store.Claim, error) {
	return do(ctx, l, "claim", k, "", func(s store.Store) (store.Claim, error) {
		return s.Claim(ctx, k, m, says, lease, ttl)
	})
}

func (l *line) Answer(ctx context.Context, k store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	return do(ctx, l, "answer", k, "", func(s store.Store) (bool, error) { return s.Answer(ctx, k, m, v, ttl) })
}

func (l *line) Release(ctx context.Context, k store.Name, m store.Mark) error {
	_, err := do(ctx, l, "release", k, "", carry(func(s store.Store) error { return s.Release(ctx, k, m) }))
	return err
}

func (l *line) Take(ctx context.Context, k store.Name, says [32]byte) ([]byte, error) {
	return do(ctx, l, "take", k, "", func(s store.Store) ([]byte, error) { return s.Take(ctx, k, says) })
}

// Slot gives none while nobody can know what was called of late.
func (l *line) Slot(ctx context.Context, ask store.Ask) (store.Slot, error) {
	return do(ctx, l, "slot", store.Name{}, fmt.Sprint(ask), func(s store.Store) (store.Slot, error) {
		l.stores.mu.Lock()
		closed := time.Until(l.stores.opens)
		l.stores.mu.Unlock()
		if closed > 0 {
			ask.Most = -time.Second
			_, err := s.Slot(ctx, ask)
			return store.Slot{State: store.Alone, Wait: closed}, err
		}
		slot, err := s.Slot(ctx, ask)
		l.process.note("store %d of %d: for %+v there is %+v", l.account, l.process.number, ask, slot)
		return slot, err
	})
}

func (l *line) Hint(ctx context.Context, h store.Name, v []byte, life time.Duration) error {
	_, err := do(ctx, l, "hint", h, "", carry(func(s store.Store) error { return s.Hint(ctx, h, v, life) }))
	return err
}

func (l *line) Hinted(ctx context.Context, h store.Name) ([]byte, time.Duration, error) {
	type hint struct {
		v    []byte
		left time.Duration
	}
	found, err := do(ctx, l, "hinted", h, "", func(s store.Store) (hint, error) {
		v, left, err := s.Hinted(ctx, h)
		return hint{v, left}, err
	})
	return found.v, found.left, err
}

func (l *line) Beat(ctx context.Context, p store.Pulse) (store.Seen, error) {
	return do(ctx, l, "beat", store.Name{}, "", func(s store.Store) (store.Seen, error) { return s.Beat(ctx, p) })
}

func (l *line) Leave(ctx context.Context) error {
	_, err := do(ctx, l, "leave", store.Name{}, "", carry(func(s store.Store) error { return s.Leave(ctx) }))
	return err
}

func (l *line) Hold(ctx context.Context, budget store.Name, b store.Book) (store.Grant, error) {
	return do(ctx, l, "hold", budget, "", func(s store.Store) (store.Grant, error) { return s.Hold(ctx, budget, b) })
}

func (l *line) Tell(ctx context.Context, log store.Name, entries [][]byte, most int, life time.Duration) error {
	_, err := do(ctx, l, "tell", log, "", carry(func(s store.Store) error { return s.Tell(ctx, log, entries, most, life) }))
	return err
}

func (l *line) Read(ctx context.Context, log store.Name, after store.Position, most int) ([]store.Entry, error) {
	return do(ctx, l, "read", log, "", func(s store.Store) ([]store.Entry, error) { return s.Read(ctx, log, after, most) })
}
