package search

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestConfigure(t *testing.T) {
	tests := []struct {
		name  string
		next  Settings
		after time.Duration
		calls []string
	}{
		{"what is kept keeps its lifetime", Settings{InProgress: time.Hour}, 2*time.Second - 1, []string{"a"}},
		{"and no more", Settings{InProgress: time.Hour}, 2 * time.Second, []string{"a", "a"}},
		{"a timeout changes nothing", Settings{Timeout: time.Minute}, time.Second, []string{"a"}},
		{"other bounds begin empty", Settings{MaxEntries: 7}, 0, []string{"a", "a"}},
		{"another size, too", Settings{MaxBytes: 1 << 20}, 0, []string{"a", "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newUpstream(map[string]string{"a": ip})
				c.ask(u, one(wire.JSON, "a"))
				c.Configure(tt.next)
				time.Sleep(tt.after)
				c.ask(u, one(wire.JSON, "a"))
				expect(t, "calls", u.called(), tt.calls)
				expect(t, "entries", c.Stats().Entries, int64(1))
			})
		})
	}
}

// What comes for a cache whose bounds have changed answers those who wait for it, and
// is neither stored nor given to others.
func TestConfigureWhileUnderWay(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": ip})
		before := c.start(one(wire.JSON, "a"), u.fetch)
		c.Configure(Settings{MaxEntries: 7})
		after := c.start(one(wire.JSON, "a"), u.fetch)
		<-before.done
		<-after.done
		expect(t, "before", before.answer.Status, wire.InProgress)
		expect(t, "after", after.answer.Status, wire.InProgress)
		expect(t, "calls", u.called(), []string{"a", "a"})
		expect(t, "stored", before.result.Stored, false)
		expect(t, "entries", c.Stats().Entries, int64(1))
	})
}

func TestDefaults(t *testing.T) {
	want := Settings{
		InProgress: 2 * time.Second, Settling: time.Minute, Final: 24 * time.Hour, NotFound: time.Second, StaleIfError: 5 * time.Minute,
		MaxEntries: 100_000, MaxBytes: 64 << 20, Timeout: 10 * time.Second,
	}
	c := New(Settings{})
	defer c.Close()
	expect(t, "settings", c.inForce.Load().settings, want)
}
