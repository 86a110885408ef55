package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestPolling has three applications poll verifications each second, as bench/replay does, and
// wants few of their searches to go upstream.
func TestPolling(t *testing.T) {
	for _, tt := range []struct {
		ids           int // in a search, at most
		verifications int // that begin within a minute
		percent       int // of the searches go upstream, at most
	}{{10, 1000, 12}, {1, 250, 5}} {
		t.Run(fmt.Sprint(tt.ids), func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				p := &polled{Cache: c, upstream: newUpstream(map[string]string{}), random: rand.New(rand.NewPCG(1, 2)), most: tt.ids}
				p.run(tt.verifications)
				calls := len(p.called())
				t.Logf("%d searches, %d upstream", p.asked, calls)
				if calls*100 > p.asked*tt.percent {
					t.Errorf("%.1f %% go upstream", 100*float64(calls)/float64(p.asked))
				}
			})
		})
	}
}

// polled are verifications that applications poll until they are over.
type polled struct {
	*Cache
	*upstream
	most int

	mu     sync.Mutex
	random *rand.Rand
	open   [3][]string // of each application
	asked  int
}

func (p *polled) run(verifications int) {
	var users sync.WaitGroup
	for i := range verifications {
		begin, ends := time.Duration(p.random.Int64N(int64(time.Minute))), 5*time.Second+time.Duration(p.random.Int64N(int64(40*time.Second)))
		users.Go(func() {
			time.Sleep(begin)
			p.live(fmt.Sprint("id", i), ends)
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	var apps sync.WaitGroup
	for n := range p.open {
		apps.Go(func() {
			time.Sleep(time.Duration(n) * 300 * time.Millisecond)
			for ctx.Err() == nil {
				p.poll(n)
			}
		})
	}
	users.Wait()
	time.Sleep(10 * time.Second)
	stop()
	apps.Wait()
}

// live takes a verification to its end.
func (p *polled) live(id string, ends time.Duration) {
	p.set(id, ip)
	p.mu.Lock()
	for n := range p.open {
		p.open[n] = append(p.open[n], id)
	}
	p.mu.Unlock()
	time.Sleep(ends)
	p.Drop(id)
	time.Sleep(15 * time.Millisecond)
	p.set(id, done)
	time.Sleep(15 * time.Millisecond)
	p.Drop(id)
}

// poll asks for all that is open at an application, within a second.
func (p *polled) poll(n int) {
	p.mu.Lock()
	rest := slices.Clone(p.open[n])
	var pages [][]string
	for len(rest) > 0 {
		k := min(1+p.random.IntN(p.most), len(rest))
		pages, rest = append(pages, rest[:k]), rest[k:]
	}
	p.mu.Unlock()
	next := time.Now().Add(time.Second)
	for _, page := range pages {
		go p.search(n, page)
		time.Sleep(time.Second / time.Duration(len(pages)+1))
	}
	time.Sleep(time.Until(next))
}

func (p *polled) search(n int, ids []string) {
	a, r := p.Search(context.Background(), wire.SearchFor(wire.JSON, ids, p.most > 1), func(ctx context.Context, call *wire.Call) wire.Answer {
		time.Sleep(15 * time.Millisecond)
		defer time.Sleep(15 * time.Millisecond)
		return p.upstream.fetch(ctx, call)
	})
	defer r.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	for _, v := range verifications(a) {
		if v.Status.Final() {
			p.open[n] = slices.DeleteFunc(p.open[n], func(id string) bool { return id == v.RequestID })
		}
	}
}
