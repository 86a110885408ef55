package delivery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The answer that began a verification is given to another only while that one is
// known to run.
func TestUnreadAnswerIsAskedAbout(t *testing.T) {
	tests := []struct {
		name   string
		state  State
		then   *script // what the upstream does meanwhile
		want   string
		source wire.DeliverySource
		// again is what the one after that gets, whose state is Running.
		again   string
		source2 wire.DeliverySource
	}{
		{name: "it runs", state: Running, want: "id-1", source: wire.Replayed, again: "id-2", source2: wire.Sent},
		{name: "it is over", state: Over, want: "id-2", source: wire.Sent, again: "id-3", source2: wire.Sent},
		{name: "nobody knows", state: Unknown, want: "id-2", source: wire.Sent, again: "id-3", source2: wire.Sent},
		{name: "nobody knows, and the new one is not sent", state: Unknown, then: &script{fault: &wire.Fault{Cause: wire.BreakerOpen}}, want: "breaker_open", source: wire.Sent, again: "id-1", source2: wire.Replayed},
		{name: "nobody knows, nor what becomes of the new one", state: Unknown, then: &script{fault: &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}}, want: "upstream_timeout", source: wire.Sent, again: "id-1", source2: wire.Replayed},
		{name: "it is over, and the new one is not sent", state: Over, then: &script{fault: &wire.Fault{Cause: wire.BreakerOpen}}, want: "breaker_open", source: wire.Sent, again: "id-2", source2: wire.Sent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, s, call := New(), newScript(), requestFor("447700900000")
			expect(t, d, s, call, false, "id-1", wire.Sent)
			then := test.then
			if then == nil {
				then = s
			}
			then.state = map[string]State{"id-1": test.state}
			expect(t, d, then, call, true, test.want, test.source)
			if fmt.Sprint(then.asked) != "[id-1]" {
				t.Errorf("the states of %v were asked for", then.asked)
			}
			s.state = nil
			expect(t, d, s, call, true, test.again, test.source2)
		})
	}
}

// Two that ask at once do not both get it, and nobody waits for the answer about the
// one's verification but those who ask for the same.
func TestUnreadAnswerGoesToOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, call := New(), newScript(), requestFor("447700900000")
		expect(t, d, s, call, false, "id-1", wire.Sent)
		s.slow = time.Second
		begun := time.Now()
		go expect(t, d, s, call, true, "id-1", wire.Replayed)
		synctest.Wait()
		go expect(t, d, s, call, true, "id-1", wire.Shared)
		go expect(t, d, s, requestFor("447700900000", "lg", "de-de"), true, "id-2", wire.Sent)
		synctest.Wait()
		quick := newScript()
		expect(t, d, quick, requestFor("447700900001"), true, "id-1", wire.Sent)
		if time.Since(begun) != 0 {
			t.Error("it waits for others")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(s.asked) != 1 || s.sent != 2 {
			t.Errorf("%v were asked about, %d were sent", s.asked, s.sent)
		}
	})
}

// A panic while it is asked about loses nothing.
func TestUnreadAnswerSurvivesPanic(t *testing.T) {
	d, s, call := New(), newScript(), requestFor("447700900000")
	expect(t, d, s, call, false, "id-1", wire.Sent)
	func() {
		defer func() { _ = recover() }()
		d.Deliver(context.Background(), call, Upstream{State: func(string) State { panic("state") }})
	}()
	expect(t, d, s, call, true, "id-1", wire.Replayed)
}

// The check of a verification may come before the answer that started it, by way
// of a status 10. The late answer must not be given out then.
func TestCheckBeforeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, call := New(), newScript(), requestFor("447700900000")
		s.slow = time.Second
		go ask(d, s, call, false)
		synctest.Wait()
		d.Forget("id-1")
		s.state = map[string]State{"id-1": Over}
		time.Sleep(time.Second)
		synctest.Wait()
		s.slow = 0
		expect(t, d, s, call, true, "id-2", wire.Sent)
	})
}

func checkOf(id, code string, more ...string) Call {
	return Call{Call: &wire.Call{Operation: wire.Check, Params: params(append([]string{"request_id", id, "code", code}, more...)...)}}
}

// A right code is not lost with its client.
func TestUnreadCheck(t *testing.T) {
	call := checkOf("a", "1234")
	tests := []struct {
		name   string
		before func(*Deduper)
		again  Call
		want   string
		source wire.DeliverySource
	}{
		{name: "the same", again: call, want: "id-1", source: wire.Replayed},
		{name: "from another address", again: checkOf("a", "1234", "ip_address", "192.0.2.1"), want: "id-1", source: wire.Replayed},
		{name: "another code", again: checkOf("a", "1235"), want: "id-2", source: wire.Sent},
		{name: "another verification", again: checkOf("b", "1234"), want: "id-2", source: wire.Sent},
		{name: "another caller", again: call.with(from("app")), want: "id-2", source: wire.Sent},
		{name: "another format", again: Call{Call: &wire.Call{Operation: wire.Check, Format: wire.XML, Params: call.Params}}, want: "id-2", source: wire.Sent},
		{name: "after what its own call forgets", before: func(d *Deduper) { d.Forget("a"); d.Forget("id-1") }, again: call, want: "id-1", source: wire.Replayed},
		{name: "just in time", before: wait(KeepFor - time.Second), again: call, want: "id-1", source: wire.Replayed},
		{name: "too late", before: wait(KeepFor + 1), again: call, want: "id-2", source: wire.Sent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := New(), newScript()
				s.state = map[string]State{"id-1": Over} // as it must be
				expect(t, d, s, call, false, "id-1", wire.Sent)
				if test.before != nil {
					test.before(d)
				}
				expect(t, d, s, test.again, true, test.want, test.source)
			})
		})
	}
}

func TestUnreadCheckIsGivenOnce(t *testing.T) {
	d, s, call := New(), newScript(), checkOf("a", "1234")
	expect(t, d, s, call, false, "id-1", wire.Sent)
	expect(t, d, s, call, false, "id-1", wire.Replayed) // that client left, too
	expect(t, d, s, call, true, "id-1", wire.Replayed)
	expect(t, d, s, call, true, "id-2", wire.Sent)
	expect(t, d, s, call, true, "id-3", wire.Sent)
}

// Nothing but a success is kept.
func TestUnreadCheckThatFailed(t *testing.T) {
	for name, s := range map[string]*script{
		"wrong code":    {says: wire.WrongCode},
		"over":          {says: wire.NotFoundOrFinished},
		"nobody knows":  {fault: &wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}},
		"a wrong codes": {says: wire.TooManyWrongCodes},
	} {
		d, call := New(), checkOf("a", "1234")
		ask(d, s, call, false)
		ask(d, s, call, false)
		if n := held(d); s.sent != 2 || n != 0 {
			t.Errorf("%s: sent %d times, %d things are kept", name, s.sent, n)
		}
	}
}

// A control is never kept: to cancel or trigger again is up to the client.
func TestUnreadControl(t *testing.T) {
	d, s := New(), newScript()
	call := Call{Call: &wire.Call{Operation: wire.Control, Params: params("request_id", "a", "cmd", "cancel")}}
	expect(t, d, s, call, false, "id-1", wire.Sent)
	expect(t, d, s, call, true, "id-2", wire.Sent)
}

// A client that asks again while its first check is under way still must not be told
// that the code is used up; one beside another client must.
func TestCheckWaitsItsTurn(t *testing.T) {
	for name, test := range map[string]struct {
		gets bool // the first client
		want string
		sent int
	}{
		"the first client left":     {false, "id-1 replayed", 1},
		"the first client gets its": {true, "id-2 sent", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s, call := New(), newScript(), checkOf("a", "1234")
				s.slow = time.Second
				go ask(d, s, call, test.gets)
				synctest.Wait()
				got := make(chan string, 1)
				go func() {
					body, source := ask(d, s, call, true)
					got <- body + " " + string(source)
				}()
				leaving, leave := context.WithCancel(context.Background())
				left := make(chan string, 1)
				go func() {
					answer, _, _ := d.Deliver(leaving, call, s.upstream())
					left <- string(answer.Fault.Cause)
				}()
				synctest.Wait()
				leave()
				if cause := <-left; cause != string(wire.ClientLeft) {
					t.Errorf("the one that left got %s", cause)
				}
				go expect(t, d, newScript(), checkOf("b", "1234"), true, "id-1", wire.Sent) // does not wait
				time.Sleep(time.Second)
				synctest.Wait()
				time.Sleep(time.Second)
				if result := <-got; result != test.want || s.sent != test.sent {
					t.Errorf("got %s, %d were sent; want %s, %d", result, s.sent, test.want, test.sent)
				}
				if n := held(d); n != 0 {
					t.Errorf("%d things are kept", n)
				}
			})
		})
	}
}
