package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func nobody(context.Context, *wire.Call) wire.Answer { panic("asked upstream") }

// filled is a Cache with n entries of final states.
func filled(b *testing.B, n int) *Cache {
	c := New(Settings{MaxEntries: 2 * n, MaxBytes: 8 << 30, Final: 1000 * time.Hour})
	b.Cleanup(c.Close)
	now := c.now()
	for i := range n {
		c.fill(realID(i), "app", final, now)
	}
	return c
}

var sizes = []int{100, 10_000, 1_000_000}

func BenchmarkHit(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) { benchmarkHit(b, filled(b, n), n) })
	}
	b.Run("entries=100 with a store", func(b *testing.B) {
		c := New(Settings{Final: 1000 * time.Hour})
		b.Cleanup(c.Close)
		keys, err := store.NewKeys("account", encryptionKey)
		if err != nil {
			b.Fatal(err)
		}
		shared := store.NewShared(new(store.Memory).Open("account", "gateway"), keys)
		heard := make(chan struct{}, 1)
		shared.Watch(func(store.Name) { heard <- struct{}{} })
		c.Share(shared)
		ctx, stop := context.WithCancel(b.Context())
		b.Cleanup(stop)
		go shared.Run(ctx)
		for <-heard; !shared.Watching(); {
			runtime.Gosched()
		}
		for i := range 100 {
			c.fill(realID(i), "app", final, c.now())
		}
		benchmarkHit(b, c, 100)
	})
}

func benchmarkHit(b *testing.B, c *Cache, n int) {
	calls := make([]*wire.Call, 1<<14)
	for i := range calls {
		calls[i] = by("app", one(wire.JSON, realID(rand.IntN(n))))
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := rand.IntN(len(calls)); p.Next(); i++ {
			if _, r := c.Search(ctx, calls[i%len(calls)], nobody); r.Kind != wire.CacheHit {
				b.Error(r.CacheStatus())
			}
		}
	})
}

func BenchmarkHitTenIDs(b *testing.B) {
	for _, n := range sizes {
		for _, f := range wire.Formats[:1] {
			b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
				c := filled(b, n)
				calls := make([]*wire.Call, 1<<12)
				for i := range calls {
					ids := make([]string, wire.MaxIDs)
					for k := range ids {
						ids[k] = realID(rand.IntN(n))
					}
					calls[i] = by("app", many(f, ids...))
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					_, r := c.Search(b.Context(), calls[i%len(calls)], nobody)
					if r.Kind != wire.CacheHit {
						b.Error(r.CacheStatus())
					}
					r.Release()
				}
			})
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	c := New(Settings{InProgress: -1})
	b.Cleanup(c.Close)
	a := says(wire.JSON, string(realistic("a", ip)))
	fetch := func(context.Context, *wire.Call) wire.Answer { return a }
	call := one(wire.JSON, "a")
	b.ReportAllocs()
	for range b.N {
		c.Search(b.Context(), call, fetch)
	}
}

// BenchmarkSweepPause removes a million entries, half of those there are, and
// reports the longest time that a shard's lock was held for it. The collector is
// off meanwhile, to show the lock's own time on a machine that may have few cores.
func BenchmarkSweepPause(b *testing.B) {
	const n = 2_000_000
	for range b.N {
		b.StopTimer()
		c := New(Settings{MaxEntries: 2 * n, MaxBytes: 8 << 30})
		for i := range n {
			c.fill(realID(i), "app", []class{final, inProgress}[i%2], time.Hour)
		}
		runtime.GC()
		percent := debug.SetGCPercent(-1)
		b.StartTimer()
		var holds []time.Duration
		for i := range c.inForce.Load().shards {
			for {
				begun := time.Now()
				removed := c.inForce.Load().shards[i].sweep(2*time.Hour, time.Minute, sweepAtOnce)
				holds = append(holds, time.Since(begun))
				if removed < sweepAtOnce {
					break
				}
			}
		}
		b.StopTimer()
		debug.SetGCPercent(percent)
		slices.Sort(holds)
		b.ReportMetric(float64(holds[len(holds)-1]), "max-ns/hold")
		b.ReportMetric(float64(holds[len(holds)*999/1000]), "p99.9-ns/hold")
		b.ReportMetric(float64(holds[len(holds)/2]), "p50-ns/hold")
		b.ReportMetric(float64(c.Stats().EvictedExpired), "removed")
		c.Close()
	}
}

// BenchmarkFlood stores ever new ids in a full Cache, and reports the longest of
// it: the lock is held for less.
func BenchmarkFlood(b *testing.B) {
	const n = 1_000_000
	c := New(Settings{MaxEntries: n, MaxBytes: 8 << 30, NotFound: time.Hour})
	b.Cleanup(c.Close)
	for i := range n {
		c.fill(realID(i), "app", notFound, 0)
	}
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = realID(-1 - i)
	}
	var longest time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		begun := time.Now()
		c.fill(ids[i%len(ids)], "app", notFound, 0)
		longest = max(longest, time.Since(begun))
	}
	b.ReportMetric(float64(longest), "max-ns")
	if c.Stats().Entries > n {
		b.Error("over the bound")
	}
}

// BenchmarkMemory reports what a state takes, and what of that max_bytes counts.
func BenchmarkMemory(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for range b.N {
				before := heap()
				c := filled(b, n)
				b.ReportMetric(float64(heap()-before)/float64(n), "B/entry")
				b.ReportMetric(float64(c.Stats().Bytes)/float64(n), "counted-B/entry")
				b.ReportMetric(float64(len(realistic(realID(0), string(wire.Succeeded)))), "answer-B")
				runtime.KeepAlive(c)
			}
		})
	}
}

// BenchmarkRefreshable is what a call takes to find what goes along, of so much that is polled.
func BenchmarkRefreshable(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("polled=%d", n), func(b *testing.B) {
			c := New(Settings{})
			b.Cleanup(c.Close)
			for i := range n {
				c.fill(realID(i), "app", inProgress, time.Duration(i))
				c.shard(realID(i)).find(realID(i), "app", wire.JSON, 0, time.Hour)
			}
			in := c.inForce.Load()
			b.ReportAllocs()
			for b.Loop() {
				if len(in.refreshable(wire.JSON, 1500*time.Millisecond)) == 0 {
					b.Fatal("nothing")
				}
			}
		})
	}
}
