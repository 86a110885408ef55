package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestFleetKey(t *testing.T) {
	together(t, 3, func(f *fleet) {
		f.slow = time.Second
		call := requestFor("447700900000").with(keyed("k"))
		wait := f.atOnce(call, true, 0, 1)
		f.expect(2, requestFor("447700900001").with(keyed("k")), true, "idempotency_key_reused sent")
		if got := fmt.Sprint(wait()); got != "[id-1 replayed id-1 sent]" {
			f.Errorf("got %s", got)
		}
		f.expect(2, call, true, "id-1 replayed")
		f.expect(2, requestFor("447700900001").with(keyed("k")), true, "idempotency_key_reused sent")
		f.expect(1, call.with(from("app")), true, "id-2 sent")
		f.expect(1, checkOf("a", "1234").with(keyed("k")), true, "id-3 sent")
		f.expect(2, checkOf("a", "1234").with(keyed("k")), true, "id-3 replayed")
		f.expect(0, Call{Call: &wire.Call{Operation: wire.Control, Params: params("request_id", "a", "cmd", "cancel")}, IdempotencyKey: "k"}, true, "id-4 sent")
		f.expect(1, Call{Call: &wire.Call{Operation: wire.Control, Params: params("request_id", "a", "cmd", "cancel")}, IdempotencyKey: "k"}, true, "id-4 replayed")
		time.Sleep(KeepFor)
		f.expect(0, call, true, "id-5 sent")
		f.expectSent(5)
	})
}

// A key is kept for its call even if another's answer is what it got.
func TestFleetKeyOfSharedCall(t *testing.T) {
	together(t, 3, func(f *fleet) {
		f.slow = time.Second
		call := requestFor("447700900000")
		a := f.atOnce(call, true, 0)
		b := f.atOnce(call.with(keyed("here")), true, 0)
		c := f.atOnce(call.with(keyed("there")), true, 1)
		if got := fmt.Sprint(a(), b(), c()); got != "[id-1 sent] [id-1 shared] [id-1 shared]" {
			f.Errorf("got %s", got)
		}
		time.Sleep(time.Minute)
		f.expect(2, call.with(keyed("here")), true, "id-1 replayed")
		f.expect(2, call.with(keyed("there")), true, "id-1 replayed")
		f.expectSent(1)
	})
}

// However many keys stand for a call, its client does not wait for all of them to be told.
func TestFleetManyKeysOfACall(t *testing.T) {
	together(t, 1, func(f *fleet) {
		f.slow = time.Second
		f.gateways[0].trouble.slow(10 * time.Millisecond)
		call := requestFor("447700900000")
		got := make(chan result)
		go func() { got <- f.ask(0, call, true) }()
		synctest.Wait()
		for i := range 1000 {
			go f.ask(0, call.with(keyed(fmt.Sprint(i))), true)
		}
		if r := <-got; r.String() != "id-1 sent" || r.after > 3*time.Second {
			f.Errorf("got %v after %v", r, r.after)
		}
		time.Sleep(time.Minute)
	})
}

// What a key stands for elsewhere is not for those who ask for the same without it.
func TestFleetKeyIsNobodyElses(t *testing.T) {
	call := requestFor("447700900000")
	for name, test := range map[string]struct {
		elsewhere Call
		want      string
	}{
		"the same call":    {call.with(keyed("k")), "[id-1 replayed] [id-1 shared] [id-2 sent] [id-2 shared]"},
		"another call":     {requestFor("447700900001").with(keyed("k")), "[idempotency_key_reused sent] [id-2 sent] [id-2 shared]"},
		"one that is lost": {Call{}, "[gateway_lost shared] [gateway_lost shared] [id-1 sent] [id-1 shared]"},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				if test.elsewhere.Call == nil {
					f.dies(0, checkOf("a", "1").with(keyed("k")).with(func(c *Call) { c.Operation, c.Params = call.Operation, call.Params }))
				} else {
					f.expect(0, test.elsewhere, true, "id-1 sent")
				}
				f.gateways[1].trouble.slow(time.Millisecond)
				f.slow = time.Second
				a, b := f.atOnce(call.with(keyed("k")), true, 1), func() []string { return nil }
				if name != "another call" { // which is nobody's, so that its repetition may join the others
					b = f.atOnce(call.with(keyed("k")), true, 1)
				}
				c, d := f.atOnce(call, true, 1), f.atOnce(call.with(keyed("l")), true, 1)
				others := []string{fmt.Sprint(c()), fmt.Sprint(d())}
				slices.Sort(others)
				all := append([]string{fmt.Sprint(a()), fmt.Sprint(b())}, others...)
				if got := strings.ReplaceAll(strings.Join(all, " "), "[] ", ""); got != test.want {
					f.Errorf("got %s", got)
				}
				f.expect(2, call.with(keyed("l")), true, strings.Trim(fmt.Sprint(c()), "[]")[:4]+" replayed")
			})
		})
	}
}

func TestFleetOwnerDies(t *testing.T) {
	for _, test := range []struct {
		name  string
		call  Call
		want  string
		again string
		sent  int
	}{
		{"a request", requestFor("447700900000"), "id-1 sent", "id-2 sent", 2},
		{"a check", checkOf("a", "1234"), "id-1 sent", "id-2 sent", 2},
		{"a key", requestFor("447700900000").with(keyed("k")), "gateway_lost shared", "gateway_lost shared", 0},
		{"a check with a key", checkOf("a", "1234").with(keyed("k")), "gateway_lost shared", "gateway_lost shared", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				f.dies(0, test.call)
				got := make(chan result)
				go func() { got <- f.ask(1, test.call, true) }()
				time.Sleep(lease - time.Millisecond)
				synctest.Wait()
				f.expectSent(0)
				if r := <-got; r.String() != test.want || r.after < lease || r.after > lease+10*time.Millisecond {
					f.Errorf("got %v after %v", r, r.after)
				}
				f.expect(2, test.call, true, test.again)
				f.expectSent(test.sent)
				if test.sent > 0 {
					return
				}
				f.gateways[1].trouble.fail("*", false) // what it has heard it remembers
				f.expect(1, test.call, true, "gateway_lost shared")
				time.Sleep(KeepFor)
				f.expect(2, test.call, true, "id-1 sent")
			})
		})
	}
}

// Who was only slow tells after all, also those who were told that it was lost.
func TestFleetSlowOwner(t *testing.T) {
	together(t, 3, func(f *fleet) {
		call := requestFor("447700900000").with(keyed("k"))
		f.slow = lease + 5*time.Second
		wait := f.atOnce(call, true, 0)
		f.expect(1, call, true, "gateway_lost shared")
		if got := fmt.Sprint(wait()); got != "[id-1 sent]" {
			f.Errorf("got %s", got)
		}
		f.expect(1, call, true, "id-1 replayed")
		f.expect(2, call, true, "id-1 replayed")
		f.expectSent(1)
	})
}

func TestFleetIdenticalRequests(t *testing.T) {
	together(t, 4, func(f *fleet) {
		f.slow = time.Second
		call := requestFor("447700900000")
		wait := f.atOnce(call, true, 0, 1, 2, 3, 0, 1)
		if got := fmt.Sprint(wait()); got != "[id-1 sent id-1 shared id-1 shared id-1 shared id-1 shared id-1 shared]" {
			f.Errorf("got %s", got)
		}
		f.expect(1, call, true, "id-2 sent") // all got it
		f.expect(1, call.with(from("app")), true, "id-3 sent")
		f.expect(2, call, true, "id-4 sent")
		time.Sleep(passing + 1)
		f.expect(3, call, true, "id-5 sent")
	})
}

// What failed is told to those who waited, and to nobody else.
func TestFleetFailedRequest(t *testing.T) {
	together(t, 3, func(f *fleet) {
		f.slow, f.fault = time.Second, &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}
		call := requestFor("447700900000")
		if got := fmt.Sprint(f.atOnce(call, true, 0, 1)()); got != "[upstream_timeout sent upstream_timeout shared]" {
			f.Errorf("got %s", got)
		}
		f.fault = nil
		f.expect(2, call, true, "id-2 sent")
	})
}

// What was certainly not sent is sent by the next one, of those who wait as of those who come.
func TestFleetUnsent(t *testing.T) {
	for name, call := range map[string]Call{
		"a request": requestFor("447700900000"), "a check": checkOf("a", "1234"),
		"a key": requestFor("447700900000").with(keyed("k")),
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				f.slow, f.fault = time.Second, &wire.Fault{Cause: wire.BreakerOpen}
				first := f.atOnce(call, true, 0)
				second := f.atOnce(call, true, 1)
				if got := fmt.Sprint(first()); got != "[breaker_open sent]" {
					f.Errorf("the first got %s", got)
				}
				synctest.Wait()
				f.script.mu.Lock()
				f.fault = nil
				f.script.mu.Unlock()
				if got := fmt.Sprint(second()); got != "[id-2 sent]" {
					f.Errorf("the one that waited got %s", got)
				}
				f.script.mu.Lock()
				f.says = wire.Throttled
				f.script.mu.Unlock()
				f.expect(0, call.with(from("app")), true, "id-3 sent")
				f.expect(1, call.with(from("app")), true, "id-4 sent")
			})
		})
	}
}
