package search

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const ip, done = "IN PROGRESS", "SUCCESS"

func TestHitEqualsMiss(t *testing.T) {
	for _, f := range wire.Formats {
		for _, status := range []string{ip, done, "FAILED", "EXPIRED", "CANCELLED", "101"} {
			t.Run(f.String()+" "+status, func(t *testing.T) {
				bubble(t, Settings{}, func(t *testing.T, c *Cache) {
					u := newUpstream(map[string]string{})
					if status != "101" {
						u.set("a1", status)
					}
					miss, r := c.ask(u, one(f, "a1"))
					expect(t, "miss", r.CacheStatus(), "caddy-verify; fwd=miss; stored")
					hit, r := c.ask(u, one(f, "a1"))
					expect(t, "hit", r.Kind, wire.CacheHit)
					expect(t, "body", string(hit.Body), string(miss.Body))
					expect(t, "Content-Type", hit.ContentType, miss.ContentType)
					expect(t, "HTTP code", hit.Code, miss.Code)
					expect(t, "status", hit.Status, miss.Status)
					expect(t, "list", hit.List, miss.List)
					expect(t, "calls", u.called(), []string{"a1"})
				})
			})
		}
	}
}

func TestShapes(t *testing.T) {
	states := map[string]string{"a": ip, "b": done, "c": "EXPIRED"}
	for _, f := range wire.Formats {
		u := newUpstream(states)
		whole := func(ids ...string) string {
			var parts []string
			for _, id := range ids {
				parts = append(parts, fragment(f, id, states[id], u.price))
			}
			return listOf(f, parts...)
		}
		alone := func(id string) string { return oneOf(f, fragment(f, id, states[id], u.price)) }
		tests := []struct {
			name   string
			before []*wire.Call
			ask    *wire.Call
			body   string
			status string // Cache-Status
			calls  string // of ask
		}{
			{"one, nothing known", nil, one(f, "a"), alone("a"), "fwd=miss; stored", "a"},
			{"list of one, nothing known", nil, many(f, "a"), whole("a"), "fwd=miss; stored", "a"},
			{"list, nothing known", nil, many(f, "b", "a"), whole("b", "a"), "fwd=miss; stored", "b,a"},
			{"one, known from a list", []*wire.Call{many(f, "a", "b")}, one(f, "b"), string(wire.One(f, []byte(fragment(f, "b", done, u.price)))), "hit; ttl=60", ""},
			{"list of one, known alone", []*wire.Call{one(f, "a")}, many(f, "a"), u.assembled(f, "a"), "hit; ttl=2", ""},
			{"list, all known, another order", []*wire.Call{many(f, "a", "b", "c")}, many(f, "c", "a", "b"), u.assembled(f, "c", "a", "b"), "hit; ttl=2", ""},
			{"list, some known", []*wire.Call{one(f, "b")}, many(f, "c", "b", "a"), u.assembled(f, "c", "b", "a"), `fwd=partial; stored; detail="1 of 3 from memory"`, "c,a"},
			{"list, one not there", nil, many(f, "a", "zz", "b"), whole("a", "b"), "fwd=miss; stored", "a,zz,b"},
			{"list, known but one not there", []*wire.Call{one(f, "b")}, many(f, "zz", "b"), u.assembled(f, "b"), `fwd=partial; stored; detail="1 of 2 from memory"`, "zz"},
			{"list, known but for a known 101", []*wire.Call{one(f, "b"), one(f, "zz")}, many(f, "zz", "b"), u.assembled(f, "b"), "hit; ttl=1", ""},
			{"list, nothing there", nil, many(f, "yy", "zz"), number(f, "101"), "fwd=miss", "yy,zz"},
			{"list, nothing there, from memory", []*wire.Call{one(f, "zz"), one(f, "yy")}, many(f, "yy", "zz"), number(f, "101"), "hit; ttl=1", ""},
			{"one, 101 from a list of one", []*wire.Call{many(f, "zz")}, one(f, "zz"), number(f, "101"), "hit; ttl=1", ""},
		}
		for _, test := range tests {
			t.Run(f.String()+" "+test.name, func(t *testing.T) {
				bubble(t, Settings{}, func(t *testing.T, c *Cache) {
					u := newUpstream(states)
					for _, call := range test.before {
						c.ask(u, call)
					}
					before := len(u.called())
					a, r := c.ask(u, test.ask)
					expect(t, "body", string(a.Body), test.body)
					expect(t, "Cache-Status", r.CacheStatus(), "caddy-verify; "+test.status)
					expect(t, "calls", strings.Join(u.called()[before:], " "), test.calls)
					expect(t, "Content-Type", a.ContentType, contentType(f))
					read, err := wire.Read(wire.Search, f, a.Body)
					if err != nil {
						t.Fatal(err)
					}
					expect(t, "list", a.List, read.List)
					expect(t, "status", a.Status, read.Status)
				})
			})
		}
	}
}

func TestWhatWasNotAsked(t *testing.T) {
	for _, f := range wire.Formats {
		stranger, mine := fragment(f, "x", done, "1"), fragment(f, "a", done, "1")
		tests := []struct {
			name  string
			ask   *wire.Call
			says  string
			body  string
			fault wire.Cause
		}{
			{"one, about another", one(f, "a"), oneOf(f, stranger), "", wire.AnswerUnreadable},
			{"one, id in other case", one(f, "X"), oneOf(f, stranger), oneOf(f, stranger), ""}, // which is the same one
			{"one, 101 for another", one(f, "a"), oneOf(f, fragment(f, "x", "101", "0")), "", wire.AnswerUnreadable},
			{"one, 101 for it", one(f, "a"), oneOf(f, fragment(f, "a", "101", "0")), oneOf(f, fragment(f, "a", "101", "0")), ""},
			{"list, 101 for one of them", many(f, "a"), listOf(f, fragment(f, "a", "101", "0")), listOf(f, fragment(f, "a", "101", "0")), ""},
			{"one, no id", one(f, "a"), oneOf(f, fragment(f, "", done, "1")), "", wire.AnswerUnreadable},
			{"one, a list without it", one(f, "a"), listOf(f, stranger), "", wire.AnswerUnreadable},
			{"one, a list with it", one(f, "a"), listOf(f, stranger, mine), string(wire.One(f, []byte(mine))), ""},
			{"list, and another", many(f, "a"), listOf(f, stranger, mine), string(wire.AppendList(nil, f, [][]byte{[]byte(mine)})), ""},
			{"list, only another", many(f, "a"), listOf(f, stranger), string(wire.AppendList(nil, f, nil)), ""},
			{"list, an object", many(f, "a"), oneOf(f, mine), string(wire.AppendList(nil, f, [][]byte{[]byte(mine)})), ""},
		}
		for _, test := range tests {
			t.Run(f.String()+" "+test.name, func(t *testing.T) {
				bubble(t, Settings{}, func(t *testing.T, c *Cache) {
					u := newUpstream(map[string]string{})
					u.failing(func(*wire.Call) *wire.Answer { a := says(f, test.says); return &a })
					a, _ := c.ask(u, test.ask)
					if test.fault != "" {
						if a.Fault == nil || a.Fault.Cause != test.fault || !a.Fault.MayHaveSent {
							t.Errorf("answered %s", a.Body)
						}
						expect(t, "entries", c.Stats().Entries, 0)
					} else {
						expect(t, "body", string(a.Body), test.body)
					}
					if e := c.shard("x").find("x", "app", f, 0, time.Hour); e != nil {
						t.Error("stored what was not asked for")
					}
				})
			})
		}
	}
}

func TestWhoSeesWhat(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newUpstream(map[string]string{"a": done})
		for _, caller := range []string{"app", "ap", "other"} {
			for _, f := range wire.Formats {
				fetch := func(ctx context.Context, call *wire.Call) wire.Answer {
					expect(t, "the caller of the call", call.Caller, caller)
					return u.fetch(ctx, call)
				}
				if _, r := c.Search(t.Context(), by(caller, one(f, "a")), fetch); r.Kind != wire.CacheMiss {
					t.Errorf("%s, %s: %s", caller, f, r.CacheStatus())
				}
			}
		}
		expect(t, "entries", c.Stats().Entries, 6)
		c.Drop("a")
		expect(t, "entries", c.Stats().Entries, 0)
		expect(t, "bytes", c.Stats().Bytes, 0)
	})
}

func TestTrouble(t *testing.T) {
	refused := func(call *wire.Call) *wire.Answer {
		a := faulty(wire.BreakerOpen)(call)
		a.Fault.Refused = true
		return a
	}
	const stale = "caddy-verify; hit; ttl=-12; detail=stale-if-error"
	tests := []struct {
		name  string
		fails func(*wire.Call) *wire.Answer
		later time.Duration // than the end of the lifetime
		ask   []string
		drop  string
		want  string // the ids found, or the failure
		say   string
	}{
		{"fault", faulty(wire.ConnectFailed), 12 * time.Second, []string{"b", "a"}, "", "b,a", stale},
		{"status 5", refusing("5"), 12 * time.Second, []string{"b", "a"}, "", "b,a", stale},
		{"status 1", refusing("1"), 12 * time.Second, []string{"b", "a"}, "", "b,a", stale},
		{"status 4", refusing("4"), 12 * time.Second, []string{"a"}, "", "4", "caddy-verify; fwd=miss"},
		{"status 3", refusing("3"), 12 * time.Second, []string{"a"}, "", "3", "caddy-verify; fwd=miss"},
		{"just in time", faulty(wire.ConnectFailed), 5*time.Minute - 1, []string{"a"}, "", "a", "caddy-verify; hit; ttl=-300; detail=stale-if-error"},
		{"too late", faulty(wire.ConnectFailed), 5 * time.Minute, []string{"a"}, "", "5", "caddy-verify; fwd=miss"},
		{"one never known", faulty(wire.ConnectFailed), 12 * time.Second, []string{"a", "c"}, "", "5", "caddy-verify; fwd=miss"},
		{"one was 101", faulty(wire.ConnectFailed), 12 * time.Second, []string{"a", "zz"}, "", "5", "caddy-verify; fwd=miss"},
		{"one was 101 a moment ago", faulty(wire.ConnectFailed), 0, []string{"a", "zz"}, "", "5", "caddy-verify; fwd=miss"},
		{"one dropped", faulty(wire.ConnectFailed), 12 * time.Second, []string{"a", "b"}, "b", "5", "caddy-verify; fwd=miss"},
		{"refused", refused, 12 * time.Second, []string{"b", "a"}, "", "b,a", stale},
		{"refused too late", refused, 5 * time.Minute, []string{"a"}, "", "5", "caddy-verify; detail=breaker_open"},
		{"one never known, refused", refused, 12 * time.Second, []string{"a", "c"}, "", "5", "caddy-verify; detail=breaker_open"},
		{"HTTP code", func(*wire.Call) *wire.Answer { return &wire.Answer{Code: 502} }, 12 * time.Second, []string{"a"}, "", "a", stale},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newUpstream(map[string]string{"a": ip, "b": ip})
				c.ask(u, many(wire.JSON, "a", "b"))
				c.ask(u, one(wire.JSON, "zz"))
				pass(2*time.Second + test.later)
				u.set("a", done)
				u.set("b", done)
				u.failing(test.fails)
				if test.drop != "" {
					c.Drop(test.drop)
				}
				a, r := c.ask(u, many(wire.JSON, test.ask...))
				got := string(a.Status)
				if got == "" {
					var ids []string
					for _, v := range verifications(a) {
						expect(t, "status of "+v.RequestID, v.Status, ip)
						ids = append(ids, v.RequestID)
					}
					got = strings.Join(ids, ",")
				}
				expect(t, "answer", got, test.want)
				expect(t, "Cache-Status", r.CacheStatus(), test.say)
				u.failing(nil)
				if a, _ = c.ask(u, one(wire.JSON, "a")); a.Status != done {
					t.Errorf("after the trouble: %s", a.Body)
				}
			})
		})
	}
}

func TestDropForgetsWhatFollowed(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newUpstream(map[string]string{"a": ip})
		c.ask(u, one(wire.JSON, "a"))
		c.ask(u, many(wire.XML, "a"))
		u.set("a", done)
		c.Drop("a")
		for _, call := range []*wire.Call{one(wire.JSON, "a"), many(wire.JSON, "a"), one(wire.XML, "a"), many(wire.XML, "a")} {
			a, _ := c.ask(u, call)
			if all := verifications(a); len(all) != 1 || all[0].Status != done {
				t.Errorf("answered %s", a.Body)
			}
		}
	})
}

// What upstream no longer tells is not brought up again in trouble.
func TestNoLongerTold(t *testing.T) {
	for _, now := range []string{"101", "SOMETHING NEW", "left out"} {
		t.Run(now, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newUpstream(map[string]string{"a": ip, "b": ip})
				c.ask(u, many(wire.JSON, "a", "b"))
				pass(10 * time.Second)
				if now == "SOMETHING NEW" {
					u.set("a", now)
				} else {
					delete(u.states, "a")
				}
				if now == "left out" {
					c.ask(u, many(wire.JSON, "a", "b"))
				} else {
					c.ask(u, one(wire.JSON, "a"))
				}
				pass(10 * time.Second)
				u.failing(faulty(wire.ConnectFailed))
				a, r := c.ask(u, one(wire.JSON, "a"))
				if a.Fault == nil {
					t.Errorf("answered %s: %s", r.CacheStatus(), a.Body)
				}
			})
		})
	}
}

func TestCallerGoneBefore(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newUpstream(map[string]string{"a": ip, "b": ip})
		c.ask(u, one(wire.JSON, "a"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a, _ := c.Search(ctx, one(wire.JSON, "b"), u.fetch)
		if a.Fault == nil || a.Fault.Cause != wire.ClientLeft || a.Fault.MayHaveSent || !errors.Is(a.Fault, context.Canceled) {
			t.Errorf("answered %s", a.Body)
		}
		if a, _ := c.Search(ctx, one(wire.JSON, "a"), u.fetch); a.Fault != nil {
			t.Errorf("answered %s", a.Body)
		}
		expect(t, "calls", u.called(), []string{"a"})
	})
}

func TestStats(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newUpstream(map[string]string{"a": ip, "b": done})
		c.ask(u, one(wire.JSON, "a"))       // miss
		c.ask(u, one(wire.JSON, "a"))       // hit
		c.ask(u, many(wire.JSON, "a", "b")) // partial
		pass(10 * time.Second)
		u.failing(refusing("5"))
		c.ask(u, many(wire.JSON, "a", "b")) // stale
		pass(time.Hour)
		s := c.Stats()
		expect(t, "stats", s, Stats{Hits: 1, Misses: 2, Stale: 1, EvictedExpired: 2})
	})
}

func TestNoIDs(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		a, _ := c.Search(t.Context(), &wire.Call{Operation: wire.Search}, func(context.Context, *wire.Call) wire.Answer {
			return says(wire.JSON, number(wire.JSON, "2"))
		})
		expect(t, "status", a.Status, "2")
	})
}

// TestRelease wants a list to stay what it is until it is released, however long.
func TestRelease(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		var ids []string
		u := newUpstream(map[string]string{})
		for i := range 12 {
			ids = append(ids, string(rune('a'+i)))
			u.set(ids[i], done)
			c.ask(u, one(wire.JSON, ids[i]))
		}
		u.price = strings.Repeat("1", len(buffer{}.bytes)) // too long for a buffer
		u.set("z", done)
		c.ask(u, one(wire.JSON, "z"))
		kept := map[string]wire.Answer{}
		results := map[string]*Result{}
		for range 3 {
			for i := range 10 {
				pair := []string{ids[i], ids[i+2]}
				if i == 5 {
					pair[1] = "z"
				}
				key := strings.Join(pair, ",")
				if old, ok := results[key]; ok {
					old.Release()
				}
				a, r := c.ask(u, many(wire.JSON, pair...))
				kept[key], results[key] = a, &r
				expect(t, "kind", r.Kind, wire.CacheHit)
				for key, a := range kept {
					var found []string
					for _, v := range verifications(a) {
						found = append(found, v.RequestID)
					}
					expect(t, "found", strings.Join(found, ","), key)
				}
			}
		}
	})
}
