package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFence has two gateways search for verifications while either checks them. What the
// provider says grows by one with each check, and no search that begins after the end of a
// check may say less. What one gateway does the other hears of a while later, though within
// the time that a check takes.
func TestFence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rounds int
		checks int
		naive  bool // the store has no fence: some searches are stale, so the test sees them
	}{
		{"one check", 2000, 1, false},
		{"two checks at once", 500, 2, false},
		{"a store without a fence", 200, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := race{fleet: fleet{naive: tt.naive}}
				r.peers = []*peer{r.join(t, "a"), r.join(t, "b")}
				r.waiting = 4 * time.Millisecond
				var all sync.WaitGroup
				next := make(chan int)
				for range 24 {
					all.Go(func() {
						for i := range next {
							r.round(t, fmt.Sprint(i), tt.checks)
						}
					})
				}
				for i := range tt.rounds {
					next <- i
				}
				close(next)
				all.Wait()
				pass(time.Second) // for what is kept after the answers
				var memory, shared uint64
				for _, p := range r.peers {
					s := p.Stats()
					memory, shared = memory+s.Hits, shared+s.SharedHits
					p.close()
				}
				t.Logf("%d rounds, %d searches after a check, %d of them stale; %d hits, %d of them from the store, %d joined",
					tt.rounds, r.after.Load(), r.stale.Load(), memory, shared, r.joined.Load())
				if n := r.stale.Load(); (n > 0) != tt.naive {
					t.Errorf("%d searches were stale", n)
				}
				if memory == shared || shared == 0 || r.joined.Load() == 0 {
					t.Error("too little was looked at")
				}
			})
		})
	}
}

// race is where searches and checks meet.
type race struct {
	fleet
	peers                []*peer
	after, stale, joined atomic.Int64
}

// secret is what the provider knows of one verification.
type secret struct {
	id       string
	checked  atomic.Int64 // checks that it has seen
	finished atomic.Int64 // those of which somebody has been told
	told     chan struct{}
	tell     func()
}

func pause(most int) { time.Sleep(time.Duration(rand.IntN(most+1)) * time.Millisecond) }

func (r *race) any() *peer { return r.peers[rand.IntN(len(r.peers))] }

func (r *race) round(t *testing.T, id string, checks int) {
	s := &secret{id: id, told: make(chan struct{})}
	s.tell = sync.OnceFunc(func() { close(s.told) })
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { pause(12); r.search(t, s) })
	}
	for range checks {
		all.Go(func() { pause(6); r.checkOne(s) })
	}
	for range 4 {
		all.Go(func() {
			<-s.told // at once, while others have not heard of it
			for range 4 {
				r.after.Add(1)
				r.search(t, s)
				pause(2)
			}
		})
	}
	all.Wait()
}

func (r *race) checkOne(s *secret) {
	var n int64
	r.any().check(s.id, func() {
		before := rand.IntN(6)
		time.Sleep(time.Duration(before) * time.Millisecond)
		n = s.checked.Add(1)
		time.Sleep(time.Duration(6-before) * time.Millisecond)
	})
	for was := s.finished.Load(); was < n && !s.finished.CompareAndSwap(was, n); was = s.finished.Load() {
	}
	s.tell()
}

// search notes whether it says less than it must.
func (r *race) search(t *testing.T, s *secret) {
	least := s.finished.Load()
	a, result := r.any().Search(context.Background(), one(wire.JSON, s.id), func(context.Context, *wire.Call) wire.Answer {
		pause(5)
		n := s.checked.Load()
		pause(5)
		return says(wire.JSON, oneOf(wire.JSON, fragment(wire.JSON, s.id, ip, fmt.Sprint(n))))
	})
	if result.Collapsed {
		r.joined.Add(1)
	}
	var said int64
	found := verifications(a)
	if len(found) != 1 {
		t.Errorf("the answer is %s", a.Body)
		return
	}
	_, _ = fmt.Sscan(found[0].Price, &said)
	if said < least {
		r.stale.Add(1)
	}
}
