package search

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// fleet are gateways that share a store.
type fleet struct {
	settings Settings
	memory   store.Memory
	waiting  time.Duration // until a gateway hears of a change, at most
	naive    bool          // what is kept is kept, fence or not
	alone    bool          // there is no store
}

// peer is one of them.
type peer struct {
	*Cache
	t      *testing.T
	shared *store.Shared
	spy    *spy
	leave  context.CancelFunc
}

const encryptionKey = "an encryption key for tests only"

// join adds a gateway to the fleet that hears of changes.
func (f *fleet) join(t *testing.T, name string) *peer {
	t.Helper()
	p := f.joinUnheard(t, name)
	if f.alone {
		return p
	}
	ctx, leave := context.WithCancel(context.Background())
	go p.shared.Run(ctx)
	p.leave = leave
	synctest.Wait()
	return p
}

// joinUnheard adds one that does not hear of changes yet.
func (f *fleet) joinUnheard(t *testing.T, name string) *peer {
	t.Helper()
	keys, err := store.NewKeys("account", encryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Cache: New(f.settings), t: t, spy: &spy{Store: f.memory.Open("account", name), fleet: f}, leave: func() {}}
	p.OnStale = func() { t.Error("what is stale would have been kept") }
	if f.alone {
		return p
	}
	p.shared = store.NewShared(p.spy, keys)
	p.Share(p.shared)
	return p
}

func (p *peer) close() {
	p.leave()
	p.Close()
}

// check does what a gateway does for a check or control, whose call is send.
func (p *peer) check(id string, send func()) {
	mark := store.NewMark()
	if p.shared != nil {
		if _, err := p.shared.Before(context.Background(), store.Of(id), mark, time.Minute); err != nil {
			p.t.Error(err)
		}
	}
	p.Drop(id)
	send()
	p.Drop(id)
	if p.shared != nil {
		if err := p.shared.After(context.Background(), store.Of(id), mark); err != nil {
			p.t.Error(err)
		}
	}
}

// spy is a store that counts what it is asked for, and may be in trouble.
type spy struct {
	store.Store
	*fleet
	looks, keeps atomic.Int64
	kept         atomic.Int64
	slow         atomic.Int64 // how long to keep takes
	hangs, fails atomic.Bool
	life         atomic.Int64 // of what was kept last
	told         func(store.Name)
}

func (s *spy) trouble() error {
	if s.waiting > 0 { // a call takes less time than a push
		time.Sleep(rand.N(s.waiting / 4))
	}
	if s.hangs.Load() {
		time.Sleep(time.Minute)
	}
	if s.fails.Load() {
		return errors.New("refused")
	}
	return nil
}

func (s *spy) Look(ctx context.Context, n store.Name, f store.Field) (store.Found, error) {
	s.looks.Add(1)
	if err := s.trouble(); err != nil {
		return store.Found{}, err
	}
	found, err := s.Store.Look(ctx, n, f)
	return found, errors.Join(err, s.trouble())
}

func (s *spy) Keep(ctx context.Context, n store.Name, t store.Token, f store.Field, v []byte, life time.Duration) (bool, error) {
	s.keeps.Add(1)
	if err := s.trouble(); err != nil {
		return false, err
	}
	time.Sleep(time.Duration(s.slow.Load()))
	s.life.Store(int64(life))
	if s.naive {
		found, _ := s.Store.Look(ctx, n, f)
		t = found.Token
	}
	kept, err := s.Store.Keep(ctx, n, t, f, v, life)
	if kept {
		s.kept.Add(1)
	}
	return kept, errors.Join(err, s.trouble())
}

func (s *spy) Before(ctx context.Context, n store.Name, m store.Mark, hold time.Duration) (store.Known, error) {
	if err := s.trouble(); err != nil {
		return store.Known{}, err
	}
	if s.naive {
		hold = 0
	}
	return s.Store.Before(ctx, n, m, hold)
}

func (s *spy) Beat(ctx context.Context, p store.Pulse) (store.Seen, error) {
	if s.hangs.Load() || s.fails.Load() {
		return store.Seen{}, s.trouble()
	}
	return s.Store.Beat(ctx, p)
}

func (s *spy) Watch(f func(store.Name)) func() {
	s.told = f
	return s.Store.Watch(func(n store.Name) {
		switch {
		case s.hangs.Load() || s.fails.Load(): // nothing is heard
		case s.waiting > 0:
			time.AfterFunc(rand.N(s.waiting), func() { f(n) })
		default:
			f(n)
		}
	})
}

// sharing runs a test in fake time with gateways a and b.
func sharing(t *testing.T, f func(t *testing.T, a, b *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer pass(2 * time.Minute) // for calls that hang
		var fleet fleet
		a, b := fleet.join(t, "a"), fleet.join(t, "b")
		defer a.close()
		defer b.close()
		f(t, a, b)
	})
}

// asked asks and tells what was answered, in short.
func (p *peer) asked(u *upstream, call *wire.Call) (status string) {
	_, r := p.ask(u, call)
	defer r.Release()
	synctest.Wait() // for what is kept after the answer
	return r.CacheStatus()[len("caddy-verify; "):]
}

func (p *peer) expectNames(t *testing.T, want int) {
	t.Helper()
	n := 0
	for i := range p.inForce.Load().shards {
		s := &p.inForce.Load().shards[i]
		s.mu.RLock()
		n += len(s.names.ids)
		s.mu.RUnlock()
	}
	expect(t, "names", fmt.Sprint(n), want)
}
