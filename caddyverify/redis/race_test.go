package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// race is a kind of gateways, and of trouble, in which searches race checks.
type race struct {
	name   string
	checks int  // of an id, at once
	naive  bool // what a search stores is stored, fence or not
	dies   bool // some gateways die between the check and its end
	empty  bool // the server is emptied now and then
	local  bool // final states are kept in the gateway, until others say that they changed
	stale  bool // some searches are to be stale: proof that the test sees them
	share  int  // how many of the rounds
}

// TestFence has gateways search for verifications while others check them. What the provider
// says grows by one with each check, and no search that begins after the end of a check may
// say less.
func TestFence(t *testing.T) {
	s := newServer(t)
	for _, r := range []race{
		{name: "without the fence", checks: 1, naive: true, stale: true, share: 5},
		{name: "with it", checks: 1, share: 1},
		{name: "two checks at once", checks: 2, share: 2},
		{name: "gateways die", checks: 1, dies: true, share: 2},
		{name: "the server is emptied", checks: 1, empty: true, share: 2},
		{name: "final states in memory", checks: 1, local: true, share: 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			rounds := raceRounds / r.share
			f := newField(t, s, r)
			f.run(rounds)
			t.Logf("%d rounds, %d searches after a check, %d of them stale, %d from memory, %d from the server",
				rounds, f.after.Load(), f.stale.Load(), f.fromMemory.Load(), f.fromServer.Load())
			if stale := f.stale.Load(); (stale > 0) != r.stale {
				t.Errorf("%d searches were stale", stale)
			}
			if f.after.Load() < int64(rounds) || f.fromServer.Load() == 0 || r.local && f.fromMemory.Load() == 0 {
				t.Error("too little was looked at")
			}
		})
	}
}

// field is where a race is run.
type field struct {
	race
	t        *testing.T
	gateways []*racer
	empties  func()

	after, stale, fromMemory, fromServer atomic.Int64
}

// racer is a gateway with a memory of its own.
type racer struct {
	store.Store
	mu     sync.Mutex
	memory map[store.Name]uint64
	drops  map[store.Name]int
}

func newField(t *testing.T, s *server, r race) *field {
	f := &field{race: r, t: t}
	tag := fmt.Sprintf("race%d", rand.Uint64())
	for i := range 4 {
		g := &racer{Store: s.patient().open(tag, fmt.Sprint(i)), memory: map[store.Name]uint64{}, drops: map[store.Name]int{}}
		t.Cleanup(g.Watch(func(n store.Name) {
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.memory, n)
			g.drops[n]++
		}))
		f.gateways = append(f.gateways, g)
	}
	admin := s.admin()
	f.empties = func() {
		if err := admin.Do(t.Context(), admin.B().Flushall().Build()).Error(); err != nil {
			t.Error(err)
		}
	}
	return f
}

func (f *field) run(rounds int) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 24 {
		wg.Go(func() {
			for i := range next {
				f.round(store.Name{Kind: store.Verification, ID: fmt.Sprint(i)})
			}
		})
	}
	for i := range rounds {
		if f.empty && i%20 == 0 {
			f.empties()
		}
		next <- i
	}
	close(next)
	wg.Wait()
}

// provider is what the provider knows of one verification.
type provider struct {
	id       store.Name
	checked  atomic.Uint64 // checks that it has seen
	finished atomic.Uint64 // those of which somebody has been told
}

func pause() { time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond) }

func (f *field) round(id store.Name) {
	p := &provider{id: id}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { pause(); f.search(p) })
	}
	for range f.checks {
		wg.Go(func() { pause(); f.check(p) })
	}
	wg.Wait()
	for range 8 {
		wg.Go(func() {
			pause()
			f.after.Add(1)
			f.search(p)
		})
	}
	wg.Wait()
}

func (f *field) any() *racer { return f.gateways[rand.IntN(len(f.gateways))] }

func (f *field) check(p *provider) {
	g, mark := f.any(), store.NewMark()
	if _, err := g.Before(f.t.Context(), p.id, mark, 30*time.Second); err != nil {
		f.t.Error(err)
	}
	pause()
	n := p.checked.Add(1)
	pause()
	if !f.dies || rand.IntN(2) == 0 {
		if err := g.After(f.t.Context(), p.id, mark); err != nil {
			f.t.Error(err)
		}
	}
	for {
		was := p.finished.Load()
		if was >= n || p.finished.CompareAndSwap(was, n) {
			return
		}
	}
}

// search notes whether it says less than it must.
func (f *field) search(p *provider) {
	least := p.finished.Load()
	if f.lookUp(f.t.Context(), f.any(), p) < least {
		f.stale.Add(1)
	}
}

func (f *field) lookUp(ctx context.Context, g *racer, p *provider) uint64 {
	g.mu.Lock()
	n, known := g.memory[p.id]
	drops := g.drops[p.id]
	g.mu.Unlock()
	if known {
		f.fromMemory.Add(1)
		return n
	}
	found, err := g.Look(ctx, p.id, "json")
	if err != nil {
		f.t.Error(err)
		return 0
	}
	if found.Entry != nil {
		f.fromServer.Add(1)
		n = binary.BigEndian.Uint64(found.Entry)
		f.remember(g, p.id, n, drops)
		return n
	}
	pause()
	n = p.checked.Load()
	pause()
	if f.naive {
		if found, err = g.Look(ctx, p.id, "json"); err != nil {
			f.t.Error(err)
		}
	} else if found.Hold {
		return n
	}
	kept, err := g.Keep(ctx, p.id, found.Token, "json", binary.BigEndian.AppendUint64(nil, n), time.Minute)
	if err != nil {
		f.t.Error(err)
	}
	if kept {
		f.remember(g, p.id, n, drops)
	}
	return n
}

// remember keeps a final state, unless it has changed since drops was read.
func (f *field) remember(g *racer, id store.Name, n uint64, drops int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.local && n >= uint64(f.checks) && g.drops[id] == drops {
		g.memory[id] = n
	}
}
