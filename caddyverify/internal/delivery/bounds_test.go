package delivery

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func from(caller string) func(*Call) { return func(c *Call) { c.Caller = caller } }

// A key is a promise: when no more can be kept, calls with one are refused. No caller
// has another's refused.
func TestFloodOfKeys(t *testing.T) {
	for name, test := range map[string]struct {
		script      *script
		calls, kept int
	}{
		"sent":               {newScript(), maxKeys, maxKeys / 2},
		"outcome unknown":    {&script{fault: &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}}, 1000, 1000},
		"breaker open":       {&script{fault: &wire.Fault{Cause: wire.BreakerOpen}}, 1000, 0},
		"limit reached":      {&script{fault: &wire.Fault{Cause: wire.LimitReached}}, 1000, 0},
		"account refused":    {&script{fault: &wire.Fault{Cause: wire.AccountNoCredit}}, 1000, 0},
		"provider throttles": {&script{says: wire.Throttled}, 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := New()
			refused := 0
			for i := range test.calls {
				if got, _ := ask(d, test.script, requestFor("447700900000").with(from("flood")).with(keyed(fmt.Sprint(i))), true); got == string(wire.TooManyUnderWay) {
					refused++
				}
			}
			if n := d.keys.len(); n != test.kept {
				t.Errorf("%d keys are kept, want %d; %d calls were refused", n, test.kept, refused)
			}
			s := newScript()
			for i := range 1000 {
				call := requestFor("447700900001").with(from("app")).with(keyed(fmt.Sprint(i)))
				expect(t, d, s, call, true, fmt.Sprint("id-", i+1), wire.Sent)
				expect(t, d, s, call, true, fmt.Sprint("id-", i+1), wire.Replayed)
			}
			if got, _ := ask(d, s, requestFor("447700900000").with(from("flood")), true); got == string(wire.TooManyUnderWay) {
				t.Error("a call without a key is refused, too")
			}
		})
	}
}

// Whatever others have taken, who has less than what is free gets more.
func TestQuota(t *testing.T) {
	q := newQuota(1024)
	for n, want := range []int{512, 256, 128, 64, 32, 16} { // who comes first
		caller := fmt.Sprint(n)
		for q.acquire(caller) {
		}
		if got := q.by[caller]; got != want {
			t.Errorf("caller %d has %d places, want %d", n, got, want)
		}
	}
	for i := range 6000 { // in the long run, all want more, and lose what they had
		if caller := fmt.Sprint(i % 6); q.by[caller] > 0 {
			q.release(caller)
		}
		for n := range 6 {
			q.acquire(fmt.Sprint(n))
		}
	}
	for caller, n := range q.by {
		if n < 1024/7-2 || n > 1024/7+2 {
			t.Errorf("caller %s has %d places in the long run, want a seventh", caller, n)
		}
	}
	if !q.acquire("new") {
		t.Error("there is no room for another caller")
	}
	for caller, n := range q.by {
		for range n {
			q.release(caller)
		}
	}
	if q.used != 0 || len(q.by) != 0 {
		t.Errorf("%d places of %d callers are in use", q.used, len(q.by))
	}
}

// README.md and docs/failures.md tell the bounds to who has to live with them.
func TestDocumentedBounds(t *testing.T) {
	if maxKeys != 100_000 || maxUnread != 40_000 || maxUnderWay != 1024 || maxAnswer != 2<<10 || KeepFor != 10*time.Minute {
		t.Error("a bound is not what the documents say")
	}
}

func TestTooManyUnderWay(t *testing.T) {
	if !tooMany().Refused {
		t.Error("it is no refusal to a log, which would have a line of each")
	}
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), newScript()
		s.slow = time.Minute
		for i := range maxUnderWay / 2 {
			go ask(d, s, requestFor(fmt.Sprint(447700000000+i)), true)
		}
		synctest.Wait()
		s.slow = 0
		expect(t, d, s, requestFor("1"), true, string(wire.TooManyUnderWay), wire.Sent)
		expect(t, d, s, requestFor("1").with(from("app")), true, "id-1", wire.Sent)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, _ := ask(d, s, requestFor("1"), true); got == string(wire.TooManyUnderWay) {
			t.Error("they are still under way")
		}
	})
}

// Memory stays within bounds, and what expired is not kept.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), newScript()
		for i := range maxUnread/2 + 100 {
			ask(d, s, requestFor(fmt.Sprint(447700000000+i)).with(keyed(fmt.Sprint(i))), false)
		}
		if n, m := d.unread.len(), d.keys.len(); n != maxUnread/2 || m != maxUnread/2+100 || len(d.unreadBy) != n {
			t.Errorf("%d and %d are kept, %d by request_id", n, m, len(d.unreadBy))
		}
		time.Sleep(KeepFor + 1)
		ask(d, s, requestFor("1"), true)
		if n := held(d); n != 0 {
			t.Errorf("%d things are kept after their time", n)
		}
	})
}

// held is how much a Deduper holds in all.
func held(d *Deduper) int {
	return d.keys.len() + d.keys.order.Len() + d.keys.quota.used + len(d.keys.quota.by) +
		d.unread.len() + d.unread.order.Len() + d.unread.quota.used + len(d.unread.quota.by) +
		len(d.unreadBy) + len(d.flights) + len(d.turns) + d.underWay.used + len(d.underWay.by)
}

// What is too large to be kept is not sent again for that.
func TestLargeAnswer(t *testing.T) {
	d, s, call := New(), newScript(), requestFor("447700900000").with(keyed("k"))
	large := Upstream{State: s.stateOf, Send: func() wire.Answer {
		answer := s.send()
		answer.Body = append(answer.Body, strings.Repeat(" ", maxAnswer)...)
		return answer
	}}
	answer, _, ack := d.Deliver(t.Context(), call, large)
	if ack(false); len(answer.Body) <= maxAnswer {
		t.Errorf("the client gets %d bytes", len(answer.Body))
	}
	expect(t, d, s, call, true, string(wire.AnswerTooLarge), wire.Replayed)
	if n := d.unread.len(); n != 0 {
		t.Errorf("%d large answers are kept unread", n)
	}
}

// TestMemory holds the documented memory of a key against what it takes.
func TestMemory(t *testing.T) {
	const n = 10_000
	body := []byte(`{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74","status":"0"}`)
	for _, test := range []struct {
		name string
		body []byte
		most uint64 // bytes a key
	}{
		{"the provider's answer", body, 1 << 10},
		{"the longest answer", bytes.Repeat([]byte("x"), maxAnswer-64), 3 << 10},
	} {
		d := New()
		before := heap()
		for i := range n {
			v := wire.Verification{RequestID: fmt.Sprintf("%032d", i), Status: wire.Success}
			v.Raw = append(make([]byte, 0, 4096), test.body...) // as it was read
			answer := wire.Answer{Code: 200, ContentType: "application/json", Body: v.Raw, Reading: wire.Reading{Verification: v}}
			call := requestFor("447700900000").with(keyed(strings.Repeat("k", 200) + fmt.Sprint(i)))
			_, _, ack := d.Deliver(t.Context(), call, Upstream{Send: func() wire.Answer { return answer }})
			ack(true)
		}
		each := (heap() - before) / n
		runtime.KeepAlive(d)
		if t.Logf("%s: a key takes %d bytes", test.name, each); each > test.most {
			t.Errorf("that is more than %d", test.most)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Setting the clock must neither end nor prolong what is kept: go-cache would compare
// with the wall clock, and so would a time without its monotonic reading.
func TestTimeIsMonotonic(t *testing.T) {
	d, s := New(), newScript()
	ask(d, s, requestFor("447700900000").with(keyed("k")), false)
	ask(d, s, Call{Call: &wire.Call{Operation: wire.Check, Params: params("request_id", "a", "code", "1234")}}, false)
	times := 0
	for _, s := range []*kept{&d.keys, &d.unread} {
		for key, item := range s.items.Items() {
			if item.Expiration > 0 {
				t.Errorf("%x expires by the wall clock", key)
			}
			e := item.Object.(*entry)
			for _, at := range []time.Time{e.until, e.flight.until} {
				times++
				if reflect.DeepEqual(at, at.Round(0)) {
					t.Errorf("%v has no monotonic reading", at)
				}
			}
		}
	}
	if times != 6 {
		t.Errorf("%d times are kept, want 6", times)
	}
}
