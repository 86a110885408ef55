package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// script is an upstream that counts and numbers what it starts.
type script struct {
	mu    sync.Mutex
	sent  int
	slow  time.Duration
	fault *wire.Fault
	says  wire.Status
	asked []string // verifications whose state was asked for
	state map[string]State
}

func (s *script) upstream() Upstream { return Upstream{Send: s.send, State: s.stateOf} }

// stateOf says that a verification runs, unless it was told otherwise.
func (s *script) stateOf(id string) State {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, id)
	if state, ok := s.state[id]; ok {
		return state
	}
	return Running
}

func (s *script) send() wire.Answer {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	if s.fault != nil {
		return s.fault.Answer()
	}
	v := wire.Verification{RequestID: fmt.Sprint("id-", s.sent), Status: s.says}
	return wire.Answer{Code: 200, Body: []byte(v.RequestID), Reading: wire.Reading{Verification: v}}
}

func newScript() *script { return &script{says: wire.Success} }

func params(pairs ...string) (all []wire.Param) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, wire.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

func requestFor(number string, more ...string) Call {
	return Call{Call: &wire.Call{Operation: wire.Request, Params: params(append([]string{"number", number, "brand", "Acme"}, more...)...)}}
}

func (c Call) with(change func(*Call)) Call {
	own := *c.Call
	c.Call = &own
	change(&c)
	return c
}

func keyed(key string) func(*Call) { return func(c *Call) { c.IdempotencyKey = key } }

// ask makes a call whose client gets the answer, or not.
func ask(d *Deduper, s *script, call Call, gets bool) (string, wire.DeliverySource) {
	answer, source, ack := d.Deliver(context.Background(), call, s.upstream())
	ack(gets)
	if answer.Fault != nil {
		return string(answer.Fault.Cause), source
	}
	return string(answer.Body), source
}

func expect(t *testing.T, d *Deduper, s *script, call Call, gets bool, want string, wantSource wire.DeliverySource) {
	t.Helper()
	if got, source := ask(d, s, call, gets); got != want || source != wantSource {
		t.Errorf("got %s, %v; want %s, %v", got, source, want, wantSource)
	}
}

func TestUnreadAnswer(t *testing.T) {
	call := requestFor("447700900000")
	tests := []struct {
		name   string
		before func(*Deduper)
		again  Call
		want   string
		source wire.DeliverySource
	}{
		{name: "the same", again: call, want: "id-1", source: wire.Replayed},
		{name: "the number written otherwise", again: requestFor("+44 7700-900000"), want: "id-1", source: wire.Replayed},
		{name: "in another language", again: requestFor("447700900000", "lg", "de-de"), want: "id-1", source: wire.Replayed},
		{name: "another number", again: requestFor("447700900001"), want: "id-2", source: wire.Sent},
		{name: "another country", again: requestFor("447700900000", "country", "GB"), want: "id-2", source: wire.Sent},
		{name: "another brand", again: Call{Call: &wire.Call{Params: params("number", "447700900000", "brand", "Other")}}, want: "id-2", source: wire.Sent},
		{name: "another PIN", again: requestFor("447700900000", "pin_code", "9876"), want: "id-2", source: wire.Sent},
		{name: "another caller", again: call.with(func(c *Call) { c.Caller = "app" }), want: "id-2", source: wire.Sent},
		{name: "another format", again: Call{Call: &wire.Call{Format: wire.XML, Params: call.Params}}, want: "id-2", source: wire.Sent},
		{name: "after a check", before: func(d *Deduper) { d.Forget("id-1") }, again: call, want: "id-2", source: wire.Sent},
		{name: "after another's check", before: func(d *Deduper) { d.Forget("id-9") }, again: call, want: "id-1", source: wire.Replayed},
		{name: "just in time", before: wait(KeepFor - time.Second), again: call, want: "id-1", source: wire.Replayed},
		{name: "too late", before: wait(KeepFor + 1), again: call, want: "id-2", source: wire.Sent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := New(), newScript()
				expect(t, d, s, call, false, "id-1", wire.Sent)
				if test.before != nil {
					test.before(d)
				}
				expect(t, d, s, test.again, true, test.want, test.source)
			})
		})
	}
}

// The verification of a payment is no other payment's, and no login's.
func TestUnreadAnswerOfPSD2(t *testing.T) {
	psd2 := func(more ...string) Call {
		return Call{Call: &wire.Call{Operation: wire.PSD2, Params: params(more...)}}
	}
	call := psd2("number", "447700900000", "payee", "Acme", "amount", "48.00")
	for _, test := range []struct {
		name   string
		again  Call
		want   string
		source wire.DeliverySource
	}{
		{"the same", call, "id-1", wire.Replayed},
		{"the number written otherwise", psd2("number", "+44 7700 900000", "payee", "Acme", "amount", "48.00"), "id-1", wire.Replayed},
		{"another amount", psd2("number", "447700900000", "payee", "Acme", "amount", "49.00"), "id-2", wire.Sent},
		{"another payee", psd2("number", "447700900000", "payee", "Other", "amount", "48.00"), "id-2", wire.Sent},
		{"another number", psd2("number", "447700900001", "payee", "Acme", "amount", "48.00"), "id-2", wire.Sent},
		{"a request", requestFor("447700900000"), "id-2", wire.Sent},
		{"a request that says the same", Call{Call: &wire.Call{Operation: wire.Request, Params: call.Params}}, "id-2", wire.Sent},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, s := New(), newScript()
			expect(t, d, s, call, false, "id-1", wire.Sent)
			expect(t, d, s, test.again, true, test.want, test.source)
		})
	}
}

// Calls that are under way at the same time share one delivery only if they are of
// one operation and say the same.
func TestPSD2UnderWay(t *testing.T) {
	params := params("number", "447700900000", "payee", "Acme", "amount", "48.00")
	first := &Call{Call: &wire.Call{Operation: wire.PSD2, Params: params}}
	d := New()
	if _, source, _ := d.enter(first); source != wire.Sent {
		t.Fatal(source)
	}
	if _, source, _ := d.enter(&Call{Call: &wire.Call{Operation: wire.PSD2, Params: params}}); source != wire.Shared {
		t.Errorf("an identical psd2 is %v", source)
	}
	if _, source, _ := d.enter(&Call{Call: &wire.Call{Operation: wire.Request, Params: params}}); source != wire.Sent {
		t.Errorf("a request that says the same is %v", source)
	}
}

func wait(d time.Duration) func(*Deduper) { return func(*Deduper) { time.Sleep(d) } }

func TestUnreadAnswerIsGivenOnce(t *testing.T) {
	d, s, call := New(), newScript(), requestFor("447700900000")
	expect(t, d, s, call, false, "id-1", wire.Sent)
	expect(t, d, s, call, false, "id-1", wire.Replayed) // that client left, too
	expect(t, d, s, call, true, "id-1", wire.Replayed)
	expect(t, d, s, call, true, "id-2", wire.Sent)
}

// A user who asks again after a finished verification gets a new one, and so does
// one whose first answer was read.
func TestNewVerification(t *testing.T) {
	d, s, call := New(), newScript(), requestFor("447700900000")
	expect(t, d, s, call, true, "id-1", wire.Sent)
	expect(t, d, s, call, true, "id-2", wire.Sent)
	expect(t, d, s, call, false, "id-3", wire.Sent)
	d.Forget("id-3") // its check
	expect(t, d, s, call, true, "id-4", wire.Sent)
}

// A verification that may be over already is not given out.
func TestUnreadAnswerOfShortVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), newScript()
		call := requestFor("447700900000", "workflow_id", "6", "next_event_wait", "60")
		expect(t, d, s, call, false, "id-1", wire.Sent)
		time.Sleep(30 * time.Second)
		expect(t, d, s, call, false, "id-1", wire.Replayed)
		time.Sleep(30*time.Second + 1) // being given out has not made it younger
		expect(t, d, s, call, false, "id-2", wire.Sent)
	})
}

func TestUnreadFailuresAreNotKept(t *testing.T) {
	for name, s := range map[string]*script{
		"status 10": {says: wire.Concurrent},
		"a fault":   {fault: &wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}},
	} {
		d, call := New(), requestFor("447700900000")
		ask(d, s, call, false)
		ask(d, s, call, false)
		if s.sent != 2 {
			t.Errorf("%s: sent %d times", name, s.sent)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	check := Call{Call: &wire.Call{Operation: wire.Check, Params: params("request_id", "a", "code", "1234")}}
	for name, call := range map[string]Call{"request": requestFor("447700900000"), "check": check} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := New(), newScript()
				call := call.with(keyed("k"))
				expect(t, d, s, call, true, "id-1", wire.Sent)
				expect(t, d, s, call, true, "id-1", wire.Replayed)
				d.Forget("id-1")
				time.Sleep(KeepFor - time.Second)
				expect(t, d, s, call, false, "id-1", wire.Replayed)
				expect(t, d, s, call.with(keyed("l")), true, "id-2", wire.Sent)
				expect(t, d, s, call.with(func(c *Call) { c.Caller = "app" }), true, "id-3", wire.Sent)
				other := call.with(func(c *Call) {
					c.Call = &wire.Call{Operation: c.Operation, Params: params("request_id", "b", "number", "1")}
				})
				expect(t, d, s, other, true, string(wire.IdempotencyKeyReused), wire.Sent)
				time.Sleep(time.Second + 1)
				expect(t, d, s, call, true, "id-4", wire.Sent)
			})
		})
	}
}

// What certainly was not sent must not stop its repetition; what may have been,
// must.
func TestIdempotencyKeyAfterTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		*script
		sent int
	}{
		"nothing was sent":     {&script{fault: &wire.Fault{Cause: wire.BreakerOpen}}, 2},
		"throttled":            {&script{says: wire.Throttled}, 2},
		"it may have been":     {&script{fault: &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}}, 1},
		"the upstream failed":  {&script{says: wire.InternalError}, 1},
		"the input is refused": {&script{says: wire.Invalid}, 1},
	} {
		d, s, call := New(), test.script, requestFor("447700900000").with(keyed("k"))
		ask(d, s, call, true)
		ask(d, s, call, true)
		if s.sent != test.sent {
			t.Errorf("%s: sent %d times, want %d", name, s.sent, test.sent)
		}
	}
}

// What nobody can be told any more need not be remembered.
func TestForgetsChecks(t *testing.T) {
	d, s := New(), newScript()
	for i := range 100 {
		ask(d, s, requestFor(fmt.Sprint("44770090", 1000+i)), true)
		d.Forget(fmt.Sprint("id-", i+1))
	}
	if n := d.unread.len() + len(d.unreadBy) + len(d.flights) + d.underWay.used; n != 0 {
		t.Errorf("%d things are kept of requests that are over", n)
	}
}

// A key that joined an identical call is not held to what was not sent.
func TestKeyOfSharedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, call := New(), newScript(), requestFor("447700900000")
		s.slow, s.fault = time.Second, &wire.Fault{Cause: wire.BreakerOpen}
		for _, key := range []string{"a", "b"} {
			go ask(d, s, call.with(keyed(key)), true)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		s.slow, s.fault = 0, nil
		expect(t, d, s, call.with(keyed("b")), true, "id-2", wire.Sent)
		expect(t, d, s, call.with(keyed("b")), true, "id-2", wire.Replayed)
		expect(t, d, s, call.with(keyed("a")), true, "id-3", wire.Sent)
	})
}

func TestIdenticalRequestsShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), newScript()
		s.slow = time.Second
		call := requestFor("447700900000")
		results := make(chan string, 10)
		launch := func(ctx context.Context, call Call, gets bool) {
			go func() {
				answer, source, ack := d.Deliver(ctx, call, s.upstream())
				ack(gets)
				if answer.Fault != nil {
					results <- string(answer.Fault.Cause)
					return
				}
				results <- string(answer.Body) + " " + string(source)
			}()
			synctest.Wait()
		}
		leaving, leave := context.WithCancel(context.Background())
		launch(leaving, call, false) // sends, and its client leaves
		launch(context.Background(), call, true)
		launch(leaving, call, false)
		launch(context.Background(), requestFor("447700900000", "lg", "de-de"), true)
		leave()
		synctest.Wait()
		if got := <-results; got != string(wire.ClientLeft) {
			t.Errorf("the one that left while waiting got %s", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := map[string]int{}
		for range 3 {
			got[<-results]++
		}
		if s.sent != 2 || got["id-1 sent"]+got["id-2 sent"] != 2 || got["id-1 shared"]+got["id-2 shared"] != 1 {
			t.Errorf("%d were sent; %v", s.sent, got)
		}
		// One of the clients got the answer, so it is not kept for the other.
		s.slow = 0
		expect(t, d, s, call, true, "id-3", wire.Sent)
	})
}

func TestPanicLeavesNobodyWaiting(t *testing.T) {
	d, call := New(), requestFor("447700900000").with(keyed("k"))
	func() {
		defer func() { _ = recover() }()
		d.Deliver(context.Background(), call, Upstream{Send: func() wire.Answer { panic("send") }})
	}()
	answer, _, _ := d.Deliver(context.Background(), call, newScript().upstream())
	if answer.Fault == nil || !answer.Fault.MayHaveSent {
		t.Errorf("the repetition got %+v", answer)
	}
	if len(d.flights) != 0 || d.underWay.used != 0 {
		t.Errorf("%d flights, %d under way", len(d.flights), d.underWay.used)
	}
}

// A call that comes with the key of one that is under way shares its answer, as an
// identical one does; only what was answered before is replayed.
func TestKeyUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, call := New(), requestFor("447700900000").with(keyed("k"))
		upstream := Upstream{Send: func() wire.Answer {
			time.Sleep(time.Second)
			return wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success, RequestID: "id"}}}
		}, State: func(string) State { return Running }}
		var sources [3]wire.DeliverySource
		var all sync.WaitGroup
		for i := range sources {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 600 * time.Millisecond)
				_, source, ack := d.Deliver(t.Context(), call, upstream)
				ack(true)
				sources[i] = source
			})
		}
		all.Wait()
		if want := [...]wire.DeliverySource{wire.Sent, wire.Shared, wire.Replayed}; sources != want {
			t.Errorf("the answers come from %v, want %v", sources, want)
		}
	})
}
