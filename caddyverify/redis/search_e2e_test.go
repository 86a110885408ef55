//go:build e2e

package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSearchFence has two gateways' caches be searched while one of them checks: what the provider says grows by one with the
// check, and no search that begins after its end may say less. Without the fence some do, so the test sees them. A check takes
// 40 ms, less than any provider's. E2E_ROUNDS says how many there are.
func TestSearchFence(t *testing.T) {
	rounds := raceRounds
	if text := os.Getenv("E2E_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("E2E_ROUNDS: write a number (%v)", err)
		}
	}
	for _, tt := range []struct {
		name   string
		rounds int
		naive  bool
	}{
		{"without the fence", 500, true},
		{"with it", rounds, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			r := &searchRace{t: t, naive: tt.naive}
			for i := range 2 {
				shared := gateway(t, s.dial(), fmt.Sprint(i))
				c := search.New(search.Settings{})
				t.Cleanup(c.Close)
				c.Share(shared)
				r.gateways = append(r.gateways, &searcher{c, shared})
				eventually(t, back, "connected", shared.Watching)
			}
			begun := time.Now()
			next := make(chan int)
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for i := range next {
						r.round(fmt.Sprintf("%032x", i))
					}
				})
			}
			for i := range tt.rounds {
				next <- i
			}
			close(next)
			all.Wait()
			var hits, shared uint64
			var failed uint64
			for _, g := range r.gateways {
				stats := g.Stats()
				hits, shared = hits+stats.Hits, shared+stats.SharedHits
				failed += g.shared.Stats().Failed + g.shared.Stats().Alone
			}
			t.Logf("%d rounds, %.0f a second; %d searches after a check, %d of them stale, and %d while the store did not answer in time (%d calls); %d hits, %d of them from the store",
				tt.rounds, float64(tt.rounds)/time.Since(begun).Seconds(), r.after.Load(), r.stale.Load(), r.excused.Load(), failed, hits, shared)
			if stale := r.stale.Load(); (stale > 0) != tt.naive {
				t.Errorf("%d searches were stale", stale)
			}
			if hits == shared || shared == 0 {
				t.Error("too little was looked at")
			}
		})
	}
}

type searchRace struct {
	t                     *testing.T
	naive                 bool
	gateways              []*searcher
	after, stale, excused atomic.Int64
}

type searcher struct {
	*search.Cache
	shared *store.Shared
}

// failures are how often the gateways have been without the store: then nothing is promised for as long as a state lives.
func (r *searchRace) failures() (n uint64) {
	for _, g := range r.gateways {
		s := g.shared.Stats()
		n += s.Failed + s.Alone
	}
	return n
}

func (r *searchRace) any() *searcher { return r.gateways[rand.IntN(len(r.gateways))] }

func (r *searchRace) round(id string) {
	var checked, finished atomic.Int64
	before := r.failures()
	search := func() {
		least := finished.Load()
		a, _ := r.any().Search(context.Background(), wire.SearchFor(wire.JSON, []string{id}, false), func(context.Context, *wire.Call) wire.Answer {
			pause()
			n := checked.Load()
			pause()
			return told(id, n)
		})
		reading, err := wire.Read(wire.Search, wire.JSON, a.Body)
		if err != nil || len(reading.Found) != 1 {
			r.t.Errorf("the answer is %s (%v)", a.Body, err)
			return
		}
		switch said, _ := strconv.ParseInt(reading.Found[0].Price, 10, 64); {
		case said >= least:
		case r.failures() != before:
			r.excused.Add(1)
		default:
			r.stale.Add(1)
		}
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			time.Sleep(rand.N(50 * time.Millisecond))
			search()
		})
	}
	all.Go(func() {
		pause()
		r.check(id, func() {
			time.Sleep(20 * time.Millisecond)
			checked.Add(1)
			time.Sleep(20 * time.Millisecond)
		})
		finished.Store(1)
		close(done)
	})
	for range 4 {
		all.Go(func() {
			<-done
			for range 2 {
				r.after.Add(1)
				search()
				pause()
			}
		})
	}
	all.Wait()
}

// check does what a gateway does for a check.
func (r *searchRace) check(id string, send func()) {
	g, named, mark := r.any(), store.Name{Kind: store.Verification, ID: id}, store.NewMark()
	if !r.naive {
		_, _ = g.shared.Before(context.Background(), named, mark, 30*time.Second)
	}
	g.Drop(id)
	send()
	g.Drop(id)
	if !r.naive {
		_ = g.shared.After(context.Background(), named, mark)
	}
}

// told is the provider's answer to a search after n checks.
func told(id string, n int64) wire.Answer {
	status := "IN PROGRESS"
	if n > 0 {
		status = "SUCCESS"
	}
	body := fmt.Sprintf(`{"request_id":"%s","status":"%s","price":"%d","currency":"EUR"}`, id, status, n)
	reading, err := wire.Read(wire.Search, wire.JSON, []byte(body))
	if err != nil {
		panic(err)
	}
	return wire.Answer{Code: http.StatusOK, ContentType: wire.JSON.ContentType(), Body: []byte(body), Reading: reading}
}
