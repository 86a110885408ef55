package search

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestStaleIsHeldBack has a drop forget to detach a call under way: what that brings is
// not kept, and told of.
func TestStaleIsHeldBack(t *testing.T) {
	c := New(Settings{})
	defer c.Close()
	stale := 0
	c.OnStale = func() { stale++ }
	const id = "cc121958d8fb4368"
	ask := func(between func(*shard, *flight)) (stored bool) {
		s := c.shard(id)
		own := newFlight("", wire.JSON, false)
		if e, f := s.findOrJoin(id, own, false, c.now()); e != nil || f != own {
			t.Fatal("it was known already")
		}
		between(s, own)
		verification := wire.Verification{RequestID: id, Status: wire.InProgress, Raw: []byte("{}")}
		c.complete(own, wire.Answer{Code: 200, Body: []byte("{}"), Reading: wire.Reading{Verification: verification, Found: []*wire.Verification{&verification}}})
		return own.stored
	}
	if ask(func(*shard, *flight) { c.Drop(id) }) || stale != 0 {
		t.Errorf("after a drop that did its work it was kept, or %d were told of", stale)
	}
	if ask(func(s *shard, f *flight) {
		c.Drop(id)
		s.flights[id] = []*flight{f}
	}) || stale != 1 {
		t.Errorf("after a drop that forgot the call it was kept, or %d were told of", stale)
	}
	if !ask(func(*shard, *flight) {}) || stale != 1 {
		t.Errorf("a search that began after the drop was not kept, or %d were told of", stale)
	}
	c.shard(id).sweep(c.now()+time.Hour, time.Minute, 1)
	if n := len(c.shard(id).dropped); n != 0 {
		t.Errorf("%d drops are remembered for ever", n)
	}
}
