package redis

import (
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// BenchmarkCalls measures each call by way of one server on this machine, one at a time, as
// gateways make them: sealed, and in a goroutine that may be left behind.
func BenchmarkCalls(b *testing.B) {
	s := newServer(b)
	k, err := store.NewKeys("account", encryptionKey)
	if err != nil {
		b.Fatal(err)
	}
	g := store.NewShared(dialTest(b, options{addresses: []string{s.address()}, prefix: "verify"}).open(k.Account(), "gateway"), k)
	ctx, id, claimed := b.Context(), store.Name{Kind: store.Verification, ID: "id"}, store.Name{Kind: store.Key, ID: "key"}
	entry, mark := make([]byte, 600), store.NewMark()
	f, err := g.Look(ctx, id, "json")
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		call func() error
	}{
		{"Keep", func() error { _, err := g.Keep(ctx, id, f.Token, "json", entry, time.Minute); return err }},
		{"Look", func() error { _, err := g.Look(ctx, id, "json"); return err }},
		{"Before", func() error { _, err := g.Before(ctx, id, mark, time.Minute); return err }},
		{"After", func() error { return g.After(ctx, id, mark) }},
		{"Finish", func() error { _, err := g.Finish(ctx, id, mark, time.Hour); return err }},
		{"Paid", func() error { _, err := g.Paid(ctx, id, mark, "price", 1, time.Hour); return err }},
		{"Claim", func() error { _, err := g.Claim(ctx, claimed, mark, [32]byte{}, time.Minute, time.Minute); return err }},
		{"Slot", func() error { _, err := g.Slot(ctx, store.Ask{Size: 28}); return err }},
		{"Beat", func() error { _, err := g.Beat(ctx, store.Pulse{}); return err }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			failed := 0
			for b.Loop() {
				if bb.call() != nil {
					failed++
				}
			}
			if failed > b.N/10 {
				b.Errorf("%d of %d failed", failed, b.N)
			}
		})
	}
}

// BenchmarkGet is what the calls are to be compared with.
func BenchmarkGet(b *testing.B) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{newServer(b).address()}, DisableCache: true, AlwaysPipelining: true})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Do(b.Context(), c.B().Get().Key("none").Build()).Error()
	}
}
