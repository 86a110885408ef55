package search

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// slow is an upstream whose calls take a second, unless their context ends.
type slow struct {
	*upstream
	cancelled []string
}

func newSlow(states map[string]string) *slow { return &slow{upstream: newUpstream(states)} }

func (s *slow) fetch(ctx context.Context, call *wire.Call) wire.Answer {
	a := s.upstream.fetch(ctx, call)
	select {
	case <-time.After(time.Second):
		return a
	case <-ctx.Done():
		ids, _ := call.IDs()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancelled = append(s.cancelled, strings.Join(ids, ","))
		return fault(wire.ConnectionLost, true, call.Format, ctx.Err())
	}
}

// asking is a search under way.
type asking struct {
	answer wire.Answer
	result Result
	took   time.Duration
	leave  context.CancelFunc
	done   chan struct{}
}

func (c *Cache) start(call *wire.Call, fetch wire.Sender) *asking {
	ctx, cancel := context.WithCancel(context.Background())
	a := &asking{leave: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		begun := time.Now()
		a.answer, a.result = c.Search(ctx, call, fetch)
		a.took = time.Since(begun)
	}()
	synctest.Wait()
	return a
}

// said waits for the answer and returns its statuses, or its fault's cause.
func (a *asking) said() string {
	<-a.done
	a.leave()
	switch {
	case a.answer.Fault != nil:
		return string(a.answer.Fault.Cause)
	case a.answer.Status.Numeric():
		return string(a.answer.Status)
	}
	var said []string
	for _, v := range verifications(a.answer) {
		said = append(said, v.RequestID+" "+string(v.Status))
	}
	return strings.Join(said, ", ")
}

func TestOneFlight(t *testing.T) {
	const j = wire.JSON
	tests := []struct {
		name  string
		asks  []*wire.Call
		calls string
		said  string
		shown []string
	}{
		{
			"the same",
			[]*wire.Call{one(j, "a"), one(j, "a"), one(j, "a")},
			"a", "a SUCCESS|a SUCCESS|a SUCCESS",
			[]string{"fwd=miss; stored", "fwd=miss; collapsed", "fwd=miss; collapsed"},
		},
		{
			"overlapping",
			[]*wire.Call{many(j, "a", "b"), many(j, "b", "c")},
			"a,b c", "a SUCCESS, b SUCCESS|b SUCCESS, c SUCCESS",
			[]string{"fwd=miss; stored", "fwd=miss; stored; collapsed"},
		},
		{"crosswise", []*wire.Call{many(j, "a", "b"), many(j, "c", "b"), many(j, "c", "a")}, "a,b c", "a SUCCESS, b SUCCESS|c SUCCESS, b SUCCESS|c SUCCESS, a SUCCESS", nil},
		{"one of a list", []*wire.Call{many(j, "a", "b"), one(j, "b")}, "a,b", "a SUCCESS, b SUCCESS|b SUCCESS", nil},
		{"one within a list", []*wire.Call{one(j, "b"), many(j, "a", "b")}, "b a", "b SUCCESS|a SUCCESS, b SUCCESS", nil},
		{"other format", []*wire.Call{one(j, "a"), one(wire.XML, "a")}, "a a", "a SUCCESS|a SUCCESS", nil},
		{"101 alone, within a list", []*wire.Call{one(j, "z"), many(j, "a", "z")}, "z a", "101|a SUCCESS", nil},
		{"101 for a list", []*wire.Call{many(j, "y", "z"), one(j, "z")}, "y,z", "101|101", nil},
		{"left out of a list, alone", []*wire.Call{many(j, "a", "z"), one(j, "z")}, "a,z z", "a SUCCESS|101", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newSlow(map[string]string{"a": done, "b": done, "c": done})
				var asked []*asking
				for _, call := range test.asks {
					asked = append(asked, c.start(call, u.fetch))
				}
				var said []string
				for i, a := range asked {
					said = append(said, a.said())
					if test.shown != nil {
						expect(t, "Cache-Status", a.result.CacheStatus(), "caddy-verify; "+test.shown[i])
					}
				}
				expect(t, "said", strings.Join(said, "|"), test.said)
				expect(t, "calls", strings.Join(u.called(), " "), test.calls)
			})
		})
	}
}

// A list that is refused for one id is no answer to who asked for another.
func TestRefusedForAnother(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": done})
		u.failing(func(call *wire.Call) *wire.Answer {
			if call.Params[0].Value == "bad" {
				return refusing("3")(call)
			}
			return nil
		})
		first, second, third := c.start(many(wire.JSON, "bad", "a"), u.fetch), c.start(one(wire.JSON, "a"), u.fetch), c.start(many(wire.JSON, "a"), u.fetch)
		expect(t, "first", first.said(), "3")
		expect(t, "second", second.said(), "a SUCCESS")
		expect(t, "third", third.said(), "a SUCCESS")
	})
}

func TestLeaving(t *testing.T) {
	tests := []struct {
		name   string
		leave  []int // in this order, 100 ms apart
		said   string
		ending string // calls cancelled
		stored int
	}{
		{"nobody", nil, "a SUCCESS|a SUCCESS|a SUCCESS", "", 1},
		{"the first", []int{0}, "client_left|a SUCCESS|a SUCCESS", "", 1},
		{"the last", []int{2}, "a SUCCESS|a SUCCESS|client_left", "", 1},
		{"all but the last", []int{0, 1}, "client_left|client_left|a SUCCESS", "", 1},
		{"all", []int{0, 1, 2}, "client_left|client_left|client_left", "a", 0},
		{"all, from the end", []int{2, 1, 0}, "client_left|client_left|client_left", "a", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				u := newSlow(map[string]string{"a": done})
				var asked []*asking
				for range 3 {
					asked = append(asked, c.start(one(wire.JSON, "a"), u.fetch))
				}
				for i, who := range test.leave {
					pass(100 * time.Millisecond)
					asked[who].leave()
					<-asked[who].done
					expect(t, "left after", asked[who].took, time.Duration(i+1)*100*time.Millisecond)
				}
				var said []string
				for _, a := range asked {
					said = append(said, a.said())
				}
				synctest.Wait()
				expect(t, "said", strings.Join(said, "|"), test.said)
				expect(t, "cancelled", strings.Join(u.cancelled, " "), test.ending)
				expect(t, "calls", len(u.called()), 1)
				expect(t, "stored", c.Stats().Entries, test.stored)
			})
		})
	}
}

// Who comes after all have left gets a call of its own, at once.
func TestAfterAllLeft(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": done, "b": done})
		hanging := make(chan struct{})
		first := c.start(many(wire.JSON, "a", "b"), func(context.Context, *wire.Call) wire.Answer {
			<-hanging // does not heed its context
			return says(wire.JSON, listOf(wire.JSON, fragment(wire.JSON, "a", ip, "0"), fragment(wire.JSON, "b", ip, "0")))
		})
		first.leave()
		expect(t, "first", first.said(), "client_left")
		second := c.start(one(wire.JSON, "b"), u.fetch)
		expect(t, "second", second.said(), "b SUCCESS")
		close(hanging)
		synctest.Wait()
		third := c.start(many(wire.JSON, "b"), u.fetch)
		expect(t, "third", third.said(), "b SUCCESS")
		expect(t, "its kind", third.result.Kind, wire.CacheHit)
		expect(t, "entries", c.Stats().Entries, 1)
	})
}

// One leaves a call of its own and another's; both go on for others.
func TestLeavingTwoFlights(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": done, "b": done, "c": done})
		first := c.start(many(wire.JSON, "a", "b"), u.fetch)
		both := c.start(many(wire.JSON, "b", "c"), u.fetch)
		last := c.start(one(wire.JSON, "c"), u.fetch)
		both.leave()
		expect(t, "both", both.said(), "client_left")
		expect(t, "first", first.said(), "a SUCCESS, b SUCCESS")
		expect(t, "last", last.said(), "c SUCCESS")
		expect(t, "cancelled", len(u.cancelled), 0)
	})
}

func TestAnErrorIsForThoseBefore(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": done})
		u.failing(faulty(wire.ConnectFailed))
		first, second := c.start(one(wire.JSON, "a"), u.fetch), c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "first", first.said(), wire.ConnectFailed)
		u.failing(nil)
		third := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "second", second.said(), wire.ConnectFailed)
		expect(t, "third", third.said(), "a SUCCESS")
	})
}

// In the moment between a failure and its flight's end, nobody joins any more.
func TestNobodyJoinsAFailure(t *testing.T) {
	f := newFlight("app", wire.JSON, false)
	if !f.join() {
		t.Error("could not join")
	}
	f.end(fault(wire.ConnectFailed, true, wire.JSON, nil))
	if f.join() {
		t.Error("joined a failure")
	}
}

func TestDeadline(t *testing.T) {
	bubble(t, Settings{Timeout: 3 * time.Second}, func(t *testing.T, c *Cache) {
		hanging := make(chan struct{})
		stuck := func(ctx context.Context, call *wire.Call) wire.Answer {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 3*time.Second {
				t.Errorf("deadline %v, %v", deadline, ok)
			}
			<-hanging
			return says(call.Format, oneOf(call.Format, fragment(call.Format, "a", ip, "0")))
		}
		first := c.start(one(wire.JSON, "a"), stuck)
		pass(time.Second)
		second := c.start(one(wire.JSON, "a"), stuck)
		expect(t, "first", first.said(), wire.UpstreamTimeout)
		expect(t, "after", first.took, 3*time.Second+grace)
		expect(t, "second", second.said(), wire.UpstreamTimeout)
		expect(t, "after", second.took, 2*time.Second+grace)
		u := newSlow(map[string]string{"a": done})
		third := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "third", third.said(), "a SUCCESS")
		close(hanging)
		synctest.Wait()
		fourth := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "fourth", fourth.said(), "a SUCCESS")
	})
}

func TestPanics(t *testing.T) {
	ends := map[string]func(){
		"panic":       func() { panic("deep inside") },
		"nil pointer": func() { var a *wire.Answer; a.Code = 1 },
		"Goexit":      runtime.Goexit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, Settings{}, func(t *testing.T, c *Cache) {
				fetch := func(context.Context, *wire.Call) wire.Answer {
					time.Sleep(time.Second)
					end()
					return wire.Answer{}
				}
				first, second := c.start(one(wire.JSON, "a"), fetch), c.start(many(wire.JSON, "a"), fetch)
				expect(t, "first", first.said(), wire.AnswerUnreadable)
				expect(t, "second", second.said(), wire.AnswerUnreadable)
				if strings.Contains(string(first.answer.Body), "deep") {
					t.Error("shown to the client")
				}
				u := newSlow(map[string]string{"a": done})
				third := c.start(one(wire.JSON, "a"), u.fetch)
				expect(t, "third", third.said(), "a SUCCESS")
			})
		})
	}
}

// A check runs while a search that began before it is under way.
func TestDropDuringAFlight(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		u := newSlow(map[string]string{"a": ip, "b": ip})
		before := c.start(many(wire.JSON, "a", "b"), u.fetch)
		c.Drop("a")
		u.set("a", done)
		c.Drop("a")
		pass(100 * time.Millisecond)
		after := c.start(one(wire.JSON, "a"), u.fetch)
		list := c.start(many(wire.JSON, "b", "a"), u.fetch)
		expect(t, "before", before.said(), "a IN PROGRESS, b IN PROGRESS")
		at := c.start(one(wire.JSON, "a"), u.fetch) // when only the old one is complete
		expect(t, "after", after.said(), "a SUCCESS")
		expect(t, "list", list.said(), "b IN PROGRESS, a SUCCESS")
		expect(t, "at", at.said(), "a SUCCESS")
		later := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "later", later.said(), "a SUCCESS")
		expect(t, "later", later.result.Kind, wire.CacheHit)
		expect(t, "calls", strings.Join(u.called(), " "), "a,b a")
	})
}

func TestDetachedContext(t *testing.T) {
	type key struct{}
	bubble(t, Settings{}, func(t *testing.T, c *Cache) {
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "span"), time.Minute)
		defer cancel()
		c.Search(ctx, one(wire.JSON, "a"), func(ctx context.Context, call *wire.Call) wire.Answer {
			expect(t, "value", ctx.Value(key{}), "span")
			deadline, _ := ctx.Deadline()
			expect(t, "time left", time.Until(deadline), 10*time.Second) // its own, not the caller's
			return says(call.Format, number(call.Format, "101"))
		})
	})
}

func TestClosedStillAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Settings{})
		u := newSlow(map[string]string{"a": done})
		during := c.start(one(wire.JSON, "a"), u.fetch)
		c.Close()
		c.Close()
		expect(t, "during", during.said(), "a SUCCESS")
		after := c.start(one(wire.JSON, "a"), u.fetch)
		expect(t, "after", after.result.Kind, wire.CacheHit)
	})
}

// Many searches at random with real goroutines, for the race detector: nobody
// hangs, nothing is left behind.
func TestCrowd(t *testing.T) {
	bubble(t, Settings{InProgress: 5 * time.Millisecond, Timeout: 20 * time.Millisecond}, func(t *testing.T, c *Cache) {
		u := newUpstream(map[string]string{"1": ip, "2": ip, "3": done, "4": done, "5": ip})
		fetch := func(ctx context.Context, call *wire.Call) wire.Answer {
			a := u.fetch(ctx, call)
			switch n := len(u.called()); {
			case n%11 == 0:
				panic(n)
			case n%7 == 0:
				time.Sleep(25 * time.Millisecond)
			default:
				time.Sleep(time.Duration(n%5) * time.Millisecond)
			}
			return a
		}
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				for k := range 50 {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(i*k)%13)*time.Millisecond)
					ids := []string{fmt.Sprint((i+k)%7 + 1), fmt.Sprint((i*k)%7 + 8)}
					if k%10 == 9 {
						c.Drop(ids[0])
					}
					c.Search(ctx, wire.SearchFor(wire.Formats[i%2], ids[:1+k%2], k%2 == 1), fetch)
					cancel()
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		pass(time.Second)
		synctest.Wait()
		for i := range c.inForce.Load().shards {
			if n := len(c.inForce.Load().shards[i].flights); n != 0 {
				t.Errorf("%d flights left", n)
			}
		}
	})
}
