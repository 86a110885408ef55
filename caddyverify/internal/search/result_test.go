package search

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestCacheStatus(t *testing.T) {
	tests := []struct {
		result Result
		want   string
	}{
		{Result{Kind: wire.CacheHit, TTL: 23*time.Second + 999*time.Millisecond}, "caddy-verify; hit; ttl=23"},
		{Result{Kind: wire.CacheHit}, "caddy-verify; hit; ttl=0"},
		{Result{}, "caddy-verify; fwd=miss"},
		{Result{Refused: wire.BreakerOpen}, "caddy-verify; detail=breaker_open"},
		{Result{Refused: wire.LimitReached, Collapsed: true, Stored: true}, "caddy-verify; detail=limit_reached"},
		{Result{Stored: true}, "caddy-verify; fwd=miss; stored"},
		{Result{Collapsed: true}, "caddy-verify; fwd=miss; collapsed"},
		{Result{Stored: true, Collapsed: true}, "caddy-verify; fwd=miss; stored; collapsed"},
		{Result{Kind: wire.CachePartial, Stored: true, Asked: 5, FromMemory: 2}, `caddy-verify; fwd=partial; stored; detail="2 of 5 from memory"`},
		{Result{Kind: wire.CacheStale, TTL: -12 * time.Second}, "caddy-verify; hit; ttl=-12; detail=stale-if-error"},
		{Result{Kind: wire.CacheStale, TTL: -time.Millisecond}, "caddy-verify; hit; ttl=-1; detail=stale-if-error"},
		{Result{Kind: wire.CacheHit, FromMemory: 2, Shared: 1}, "caddy-verify; hit; ttl=0; detail=store"},
		{Result{Kind: wire.CacheHit, Alone: true}, "caddy-verify; hit; ttl=0; detail=alone"},
		{Result{Stored: true, Alone: true}, "caddy-verify; fwd=miss; stored; detail=alone"},
		{Result{Kind: wire.CachePartial, Asked: 5, FromMemory: 2, Shared: 1}, `caddy-verify; fwd=partial; detail="2 of 5 from memory"`},
		{Result{Kind: wire.CachePartial, Asked: 5, FromMemory: 2, Alone: true}, `caddy-verify; fwd=partial; detail="2 of 5 from memory, alone"`},
		{Result{Kind: wire.CacheStale, TTL: -time.Second, Alone: true}, `caddy-verify; hit; ttl=-1; detail="stale-if-error, alone"`},
		{Result{Refused: wire.BreakerOpen, Alone: true}, "caddy-verify; detail=breaker_open"},
	}
	for _, test := range tests {
		expect(t, "Cache-Status", test.result.CacheStatus(), test.want)
	}
}

func TestAge(t *testing.T) {
	seconds, ok := Result{Kind: wire.CacheHit, FromMemory: 1, Age: 1900 * time.Millisecond}.AgeSeconds()
	expect(t, "hit", []any{seconds, ok}, []any{1, true})
	_, ok = Result{Stored: true}.AgeSeconds()
	expect(t, "miss", ok, false)
}
