package search

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// states are as many verifications as asked for, "a" and those that follow.
func states(n int) map[string]string {
	states := map[string]string{}
	for i := range n {
		states[string(rune('a'+i))] = ip
	}
	return states
}

// statuses are what a list of these says.
func statuses(ids ...string) string {
	var said []string
	for _, id := range ids {
		said = append(said, id+" "+ip)
	}
	return strings.Join(said, ", ")
}

func (c *Cache) callsUnderWay() int {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	return c.lists.underWay
}

func TestLists(t *testing.T) {
	const j = wire.JSON
	letters := func(from, to rune) (ids []string) {
		for c := from; c <= to; c++ {
			ids = append(ids, string(c))
		}
		return ids
	}
	tests := []struct {
		name  string
		asks  []*wire.Call // after one for "z", at its time
		calls string
		took  []time.Duration // of the asks
	}{
		{"one", []*wire.Call{one(j, "a")}, "z a", []time.Duration{patience + time.Second}},
		{"several", []*wire.Call{one(j, "a"), many(j, "b", "c"), one(j, "d")}, "z a,b,c,d", []time.Duration{patience + time.Second, patience + time.Second, patience + time.Second}},
		{"a full one goes at once", []*wire.Call{many(j, letters('a', 'f')...), many(j, letters('g', 'j')...), one(j, "k")}, "z a,b,c,d,e,f,g,h,i,j k", []time.Duration{time.Second, time.Second, patience + time.Second}},
		{"what is asked together stays together", []*wire.Call{many(j, letters('a', 'f')...), many(j, letters('g', 'k')...)}, "z a,b,c,d,e,f g,h,i,j,k", []time.Duration{time.Second, patience + time.Second}},
		{"each once", []*wire.Call{by("x", many(j, letters('a', 'h')...)), by("y", many(j, letters('c', 'j')...))}, "z a,b,c,d,e,f,g,h,i,j", []time.Duration{time.Second, time.Second}},
		{"by format", []*wire.Call{one(j, "a"), one(wire.XML, "a"), one(j, "b"), one(wire.XML, "c")}, "z a,b a,c", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newSlow(states(26))
				asked := []*asking{c.start(one(j, "z"), u.fetch)}
				for _, call := range test.asks {
					asked = append(asked, c.start(call, u.fetch))
				}
				expect(t, "z", asked[0].said(), statuses("z"))
				expect(t, "took", asked[0].took, time.Second)
				for i, call := range test.asks {
					ids, _ := call.IDs()
					a := asked[i+1]
					expect(t, "said", a.said(), statuses(ids...))
					expect(t, "Cache-Status", a.result.CacheStatus(), "caddy-verify; fwd=miss; stored")
					if test.took != nil {
						expect(t, "took", a.took, test.took[i])
					}
				}
				calls, want := u.called(), strings.Split(test.calls, " ")
				slices.Sort(calls) // what goes at one moment has no order
				slices.Sort(want)
				expect(t, "calls", calls, want)
			})
		})
	}
}

// What is pending goes as soon as a call has ended, whoever is the first to ask for it.
func TestGoesWhenACallHasEnded(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(states(3))
		var callers []string
		send := func(ctx context.Context, call *wire.Call) wire.Answer {
			callers = append(callers, call.Caller)
			return u.fetch(ctx, call)
		}
		first := c.start(by("x", one(wire.JSON, "a")), send)
		pass(900 * time.Millisecond)
		second, third := c.start(by("y", one(wire.JSON, "b")), send), c.start(by("z", many(wire.JSON, "c", "b")), send)
		first.said()
		expect(t, "second", second.said(), statuses("b"))
		expect(t, "took", second.took, 1100*time.Millisecond)
		expect(t, "third", third.said(), statuses("c", "b"))
		expect(t, "calls", u.called(), []string{"a", "b,c"})
		expect(t, "callers", callers, []string{"x", "y"})
		expect(t, "entries", c.Stats().Entries, 4)
		// An answer is nobody else's.
		for caller, ids := range map[string]string{"x": "a", "y": "b", "z": "bc"} {
			for _, id := range []string{"a", "b", "c"} {
				_, there := c.Search(t.Context(), by(caller, one(wire.JSON, id)), newUpstream(nil).fetch)
				expect(t, caller+" "+id, there.Kind == wire.CacheHit, strings.Contains(ids, id))
			}
		}
		// Nothing is under way any more.
		fourth := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "fourth", fourth.said(), statuses("a"))
		expect(t, "took", fourth.took, time.Second)
	})
}

// No answer depends on what else a list asks for.
func TestFateOfAList(t *testing.T) {
	badly := func(a func(*wire.Call) *wire.Answer) func(*wire.Call) *wire.Answer {
		return func(call *wire.Call) *wire.Answer {
			if ids, _ := call.IDs(); slices.Contains(ids, "bad") {
				return a(call)
			}
			return nil
		}
	}
	const both, each = "z bad,a,b", "z bad,a,b bad a b"
	tests := []struct {
		name       string
		fails      func(*wire.Call) *wire.Answer
		bad, other string
		calls      string
	}{
		{"left out", nil, "101", statuses("a"), "z bad,a,b bad"},
		{"refused", badly(refusing("3")), "3", statuses("a"), each},
		{"provider's error", badly(refusing("5")), "5", statuses("a"), each},
		{"unreadable", badly(faulty(wire.AnswerUnreadable)), string(wire.AnswerUnreadable), statuses("a"), each},
		{"too large", badly(faulty(wire.AnswerTooLarge)), string(wire.AnswerTooLarge), statuses("a"), each},
		{"none there", badly(refusing("101")), "101", statuses("a"), each},
		{"withheld", badly(faulty(wire.AnswerWithSecret)), string(wire.AnswerWithSecret), statuses("a"), each},
		{"HTTP 400", badly(refusingBy(http.StatusBadRequest)), string(wire.UpstreamError), statuses("a"), each},
		{"HTTP 400 with a status", badly(refusing("3", http.StatusBadRequest)), "3", statuses("a"), each},
		{"HTTP 403", badly(refusing("3", http.StatusForbidden)), "3", "3", both},
		{"HTTP 500 with all that is asked for", badly(telling(http.StatusInternalServerError, listOf)), "bad " + ip, statuses("a"), each},
		{"HTTP 203 with all that is asked for", badly(telling(http.StatusNonAuthoritativeInfo, listOf)), "bad " + ip, statuses("a"), each},
		{"HTTP 500 with one of them", badly(telling(http.StatusInternalServerError, first)), "bad " + ip, statuses("a"), each},
		{"HTTP 500", badly(refusingBy(http.StatusInternalServerError)), string(wire.UpstreamError), string(wire.UpstreamError), both},
		{"a panic", badly(func(*wire.Call) *wire.Answer { panic("bad") }), string(wire.AnswerUnreadable), statuses("a"), each},
		{"throttled", badly(refusing("1")), "1", "1", both},
		{"credentials", badly(refusing("4")), "4", "4", both},
		{"lost", badly(faulty(wire.ConnectionLost)), string(wire.ConnectionLost), string(wire.ConnectionLost), both},
		{"refused by the gateway", badly(faulty(wire.BreakerOpen)), string(wire.BreakerOpen), string(wire.BreakerOpen), both},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newSlow(map[string]string{"a": ip, "b": ip, "z": ip})
				u.failing(test.fails)
				first := c.start(one(wire.JSON, "z"), u.fetch)
				bad, a, b := c.start(one(wire.JSON, "bad"), u.fetch), c.start(one(wire.JSON, "a"), u.fetch), c.start(many(wire.JSON, "b"), u.fetch)
				first.said()
				expect(t, "bad", bad.said(), test.bad)
				expect(t, "a", a.said(), test.other)
				expect(t, "b", b.said(), strings.Replace(test.other, "a "+ip, "b "+ip, 1))
				calls := u.called()
				if len(calls) > 2 {
					slices.Sort(calls[2:])
				}
				want := strings.Split(test.calls, " ")
				slices.Sort(want[2:])
				expect(t, "calls", calls, want)
			})
		})
	}
	t.Run("within its time", func(t *testing.T) {
		bubble(t, Settings{Timeout: 1800 * time.Millisecond}, func(t *testing.T, c *Cache) {
			u := newSlow(states(26))
			u.failing(badly(refusing("3")))
			c.start(one(wire.JSON, "z"), u.fetch)
			a, _ := c.start(one(wire.JSON, "a"), u.fetch), c.start(one(wire.JSON, "bad"), u.fetch)
			a.said()
			expect(t, "took", a.took, 1800*time.Millisecond)
			synctest.Wait()
			expect(t, "cancelled", len(u.cancelled), 2)
		})
	})
}

// TestRefusedAgain: who polls what the provider refuses has one list refused, and no more.
func TestRefusedAgain(t *testing.T) {
	bubble(t, Settings{InProgress: -1}, func(t *testing.T, c *Cache) {
		u := newSlow(states(26))
		u.failing(func(call *wire.Call) *wire.Answer {
			if ids, _ := call.IDs(); slices.Contains(ids, "bad") {
				return refusing("3")(call)
			}
			return nil
		})
		for i, want := range []string{"z bad,a bad a", "z a bad"} {
			u.calls = nil
			first := c.start(one(wire.JSON, "z"), u.fetch)
			bad, a := c.start(one(wire.JSON, "bad"), u.fetch), c.start(one(wire.JSON, "a"), u.fetch)
			expect(t, "first", first.said(), statuses("z"))
			expect(t, "bad", bad.said(), "3")
			expect(t, "a", a.said(), statuses("a"))
			calls, wanted := u.called(), strings.Split(want, " ")
			slices.Sort(calls)
			slices.Sort(wanted)
			expect(t, fmt.Sprint("time ", i), calls, wanted)
			synctest.Wait()
			expect(t, "under way", c.callsUnderWay(), 0)
		}
		pass(refusedFor)
		u.failing(nil)
		u.set("bad", ip)
		first := c.start(one(wire.JSON, "z"), u.fetch)
		bad, a := c.start(one(wire.JSON, "bad"), u.fetch), c.start(one(wire.JSON, "a"), u.fetch)
		for _, one := range []*asking{first, bad, a} {
			one.said()
		}
		expect(t, "later", u.called()[len(u.called())-1], "bad,a")
		for i := range 2 * mostRefused {
			c.lists.refused.add(realID(i), c.now())
		}
		expect(t, "they are so many at most", len(c.lists.refused), mostRefused)
	})
}

// TestLimitOfAList: who has had his share of the calls takes nobody along.
func TestLimitOfAList(t *testing.T) {
	for _, cause := range []wire.Cause{wire.CallerLimitReached, wire.LimitReached, wire.AccountThrottled} {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newSlow(states(26))
			u.failing(func(call *wire.Call) *wire.Answer {
				if call.Caller != "greedy" {
					return nil
				}
				return faulty(cause)(call)
			})
			first := c.start(one(wire.JSON, "z"), u.fetch)
			greedy, his := c.start(by("greedy", one(wire.JSON, "a")), u.fetch), c.start(by("greedy", one(wire.JSON, "b")), u.fetch)
			a, b := c.start(by("x", one(wire.JSON, "a")), u.fetch), c.start(by("y", one(wire.JSON, "c")), u.fetch)
			first.said()
			expect(t, "greedy", greedy.said(), cause)
			expect(t, "another of his", his.said(), cause)
			expect(t, "x", a.said(), statuses("a"))
			expect(t, "y", b.said(), statuses("c"))
			expect(t, "calls", len(u.called()), 4)
		})
	}
}

func TestLeavingALists(t *testing.T) {
	tests := []struct {
		name      string
		after     time.Duration
		leave     string
		calls     string
		cancelled string
	}{
		{"nobody", 0, "", "z a,b", ""},
		{"the first before it goes", 0, "a", "z b", ""},
		{"the second before it goes", 0, "b", "z a", ""},
		{"all before it goes", 0, "ab", "z", ""},
		{"the first", 700 * time.Millisecond, "a", "z a,b", ""},
		{"all", 700 * time.Millisecond, "ba", "z a,b", "a,b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newSlow(states(26))
				first := c.start(one(wire.JSON, "z"), u.fetch)
				asked := map[string]*asking{}
				for _, id := range []string{"a", "b"} {
					asked[id] = c.start(one(wire.JSON, id), u.fetch)
				}
				pass(test.after)
				for _, id := range test.leave {
					asked[string(id)].leave()
					synctest.Wait()
				}
				expect(t, "first", first.said(), statuses("z"))
				for id, a := range asked {
					want := statuses(id)
					if strings.Contains(test.leave, id) {
						want = string(wire.ClientLeft)
					}
					expect(t, id, a.said(), want)
				}
				pass(time.Second)
				expect(t, "calls", strings.Join(u.called(), " "), test.calls)
				expect(t, "cancelled", strings.Join(u.cancelled, " "), test.cancelled)
				expect(t, "under way", c.callsUnderWay(), 0)
			})
		})
	}
}

// What a check drops while its list waits or is under way is not kept of that list.
func TestDropOfAList(t *testing.T) {
	for _, after := range []time.Duration{0, 700 * time.Millisecond} {
		bubble(t, Settings{}, func(t *testing.T, c *Cache) {
			u := newSlow(states(26))
			c.start(one(wire.JSON, "z"), u.fetch)
			a, b := c.start(one(wire.JSON, "a"), u.fetch), c.start(one(wire.JSON, "b"), u.fetch)
			pass(after)
			c.Drop("a")
			u.set("a", done)
			c.Drop("a")
			again := c.start(one(wire.JSON, "a"), u.fetch)
			a.said()
			expect(t, "b", b.said(), statuses("b"))
			expect(t, "again", again.said(), "a "+done)
			_, r := c.ask(u.upstream, many(wire.JSON, "b", "z"))
			expect(t, "others", r.Kind, wire.CacheHit)
			last, r := c.ask(u.upstream, one(wire.JSON, "a"))
			expect(t, "kind", r.Kind, wire.CacheHit)
			expect(t, "last", last.Status, done)
		})
	}
}
