package caddyverify

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A check that one handler makes is about what the others of the account keep, too.
func TestDropInEveryCache(t *testing.T) {
	fetched := 0
	fetch := func(context.Context, *wire.Call) wire.Answer {
		fetched++
		body := []byte(benchState(benchID))
		reading, err := wire.Read(wire.Search, wire.JSON, "application/json", body)
		if err != nil {
			t.Error(err)
		}
		return wire.Answer{Code: http.StatusOK, ContentType: "application/json", Body: body, Reading: reading}
	}
	all := new(caches)
	mine, others := all.begin(search.Settings{}), all.begin(search.Settings{InProgress: time.Hour})
	ask := func(want int) {
		t.Helper()
		for _, cache := range []*search.Cache{mine, others} {
			cache.Search(t.Context(), "", wire.SearchFor(wire.JSON, []string{benchID}, false), fetch)
		}
		if fetched != want {
			t.Errorf("%d searches went upstream, want %d", fetched, want)
		}
	}
	ask(2)
	ask(2)
	all.drop(benchID)
	ask(4)
	all.end(mine)
	all.drop(benchID)
	ask(5) // one that has ended is let be
	all.end(others)
	if left := all.list(); len(left) != 0 {
		t.Errorf("%d caches are left", len(left))
	}
}
