package redis

import (
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// TestServerThatRefuses has the server answer with errors, and gateways come back by
// themselves once it does not.
func TestServerThatRefuses(t *testing.T) {
	for _, tt := range []struct{ name, begin, end, why string }{
		{"no memory", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM"},
		{"a replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY"},
		{"writes that replicas must have", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"},
		{"a user without rights", "ACL SETUSER default -eval -evalsha", "ACL SETUSER default +@all", "NOPERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			g, admin := gateway(t, s.dial(), "gateway"), s.admin()
			run := func(command string) {
				t.Helper()
				words := strings.Fields(command)
				if err := admin.Do(t.Context(), admin.B().Arbitrary(words...).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, back, "connected", g.Watching)
			run(tt.begin)
			eventually(t, back, tt.why, func() bool {
				why := g.Stats().Why
				return why != nil && strings.Contains(why.Error(), tt.why)
			})
			eventually(t, back, "without copies in memory", func() bool { return !g.Watching() })
			run(tt.end)
			took := eventually(t, back, "back", func() bool { return g.Watching() && g.Stats().Away.IsZero() })
			t.Logf("back after %v", took)
		})
	}
}

// TestScriptsAreLoadedAgain has the server forget the scripts alone.
func TestScriptsAreLoadedAgain(t *testing.T) {
	s := newServer(t)
	a, admin := s.patient().open("account", "gateway"), s.admin()
	for range 3 {
		if err := admin.Do(t.Context(), admin.B().ScriptFlush().Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Look(t.Context(), store.Name{Kind: store.Verification, ID: "id"}, "json"); err != nil {
			t.Error(err)
		}
	}
}

// TestPassword has one that is right and one that is not, whose errors show neither.
func TestPassword(t *testing.T) {
	const right, wrong = "hunter2-and-more", "hunter3-and-more"
	s := newServer(t, "--requirepass", right)
	dialTest(t, options{addresses: []string{s.address()}, prefix: "verify", password: right})

	c := dial(options{addresses: []string{s.address()}, prefix: "verify", password: wrong})
	defer c.close()
	eventually(t, back, "refused", func() bool {
		_, err := c.open("account", "gateway").Finish(t.Context(), store.Name{Kind: store.Verification, ID: "id"}, "mark", back)
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Fatalf("error: %v", err)
		}
		return strings.Contains(err.Error(), "WRONGPASS")
	})
}
