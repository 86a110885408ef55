package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestFleetUnread(t *testing.T) {
	call, check := requestFor("447700900000"), checkOf("a", "1234")
	left := func(f *fleet) { f.expect(0, call, false, "id-1 sent") }
	for _, test := range []struct {
		name   string
		before func(*fleet)
		again  Call
		at     int
		want   []string
	}{
		{"elsewhere, once", left, call, 1, []string{"id-1 replayed", "id-2 sent"}},
		{"elsewhere, in other words", left, requestFor("+44 7700 900000", "lg", "de-de"), 1, []string{"id-1 replayed", "id-2 sent"}},
		{"at the same gateway, once", left, call, 0, []string{"id-1 replayed", "id-2 sent"}},
		{"at the same gateway, once, when the store has forgotten", func(f *fleet) { left(f); f.forget() }, call, 0, []string{"id-1 replayed", "id-2 sent"}},
		{"to another caller", left, call.with(from("app")), 1, []string{"id-2 sent", "id-3 sent"}},
		{"after that client left, too", func(f *fleet) {
			left(f)
			f.expect(1, call, false, "id-1 replayed")
			f.expect(0, call, false, "id-1 replayed")
		}, call, 1, []string{"id-1 replayed", "id-2 sent"}},
		{"where it came from, when another has given it", func(f *fleet) {
			left(f)
			f.expect(1, call, true, "id-1 replayed")
			time.Sleep(time.Minute)
		}, call, 0, []string{"id-2 sent", "id-3 sent"}},
		{"just in time", func(f *fleet) { left(f); time.Sleep(KeepFor - time.Second) }, call, 1, []string{"id-1 replayed", "id-2 sent"}},
		{"too late", func(f *fleet) { left(f); time.Sleep(KeepFor + time.Second) }, call, 1, []string{"id-2 sent", "id-3 sent"}},
		{"its gateway died before its client had it", func(f *fleet) {
			f.deliver(0, call)
			f.gateways[0].trouble.fail("*", false)
		}, call, 1, []string{"id-1 replayed", "id-2 sent"}},
		{"it is over", func(f *fleet) { left(f); f.state = map[string]State{"id-1": Over} }, call, 1, []string{"id-2 sent", "id-3 sent"}},
		{"nobody knows, and a new one is sent", func(f *fleet) { left(f); f.state = map[string]State{"id-1": Unknown} }, call, 1, []string{"id-2 sent", "id-3 sent"}},
		{"nobody knew, and no new one was sent", func(f *fleet) {
			left(f)
			f.state, f.fault = map[string]State{"id-1": Unknown}, &wire.Fault{Cause: wire.BreakerOpen}
			f.expect(1, call, true, "breaker_open sent")
			f.state, f.fault = nil, nil
		}, call, 2, []string{"id-1 replayed", "id-3 sent"}},
		{"a waiting client got it", func(f *fleet) {
			f.slow = time.Second
			a, b := f.atOnce(call, false, 0), f.atOnce(call, true, 1)
			if got := fmt.Sprint(a(), b()); got != "[id-1 sent] [id-1 shared]" {
				f.Errorf("got %s", got)
			}
		}, call, 2, []string{"id-2 sent", "id-3 sent"}},
		{"no waiting client got it", func(f *fleet) {
			f.slow = time.Second
			a, b := f.atOnce(call, false, 0), f.atOnce(call, false, 1)
			a()
			b()
		}, call, 2, []string{"id-1 replayed", "id-2 sent"}},
		{"what failed", func(f *fleet) { f.says = wire.Concurrent; left(f); f.says = wire.Success }, call, 1, []string{"id-2 sent", "id-3 sent"}},
		{"by key and without", func(f *fleet) {
			f.expect(0, call.with(keyed("k")), false, "id-1 sent")
			f.expect(1, call.with(keyed("k")), true, "id-1 replayed")
		}, call, 2, []string{"id-2 sent", "id-3 sent"}},
		{"a check elsewhere, once", func(f *fleet) { f.expect(0, check, false, "id-1 sent") }, check, 1, []string{"id-1 replayed", "id-2 sent", "id-3 sent"}},
		{"a check after that client left, too", func(f *fleet) {
			f.expect(0, check, false, "id-1 sent")
			f.expect(1, check, false, "id-1 replayed")
		}, check, 0, []string{"id-1 replayed", "id-2 sent"}},
		{"a check where it came from, when another has given it", func(f *fleet) {
			f.expect(0, check, false, "id-1 sent")
			f.expect(1, check, true, "id-1 replayed")
		}, check, 0, []string{"id-2 sent"}},
		{"a check just in time", func(f *fleet) { f.expect(0, check, false, "id-1 sent"); time.Sleep(KeepFor - time.Second) }, check, 1, []string{"id-1 replayed"}},
		{"a check too late", func(f *fleet) { f.expect(0, check, false, "id-1 sent"); time.Sleep(KeepFor + time.Second) }, check, 1, []string{"id-2 sent"}},
		{"a wrong code", func(f *fleet) { f.says = wire.WrongCode; f.expect(0, check, false, "id-1 sent") }, check, 1, []string{"id-2 sent"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				test.before(f)
				for _, want := range test.want {
					f.expect(test.at, test.again, true, want)
				}
				for i, m := range f.gateways {
					if n := m.Alone(); n != 0 && f.gateways[i].trouble.fails == "" {
						f.Errorf("gateway %d was alone %d times", i, n)
					}
				}
			})
		})
	}
}

// Of two that ask at once, one gets it; the other waits for that one's client, and gets the same
// beside it, or sends.
func TestFleetUnreadGoesToOne(t *testing.T) {
	for name, call := range map[string]Call{"a request": requestFor("447700900000"), "a check": checkOf("a", "1234")} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				f.expect(0, call, false, "id-1 sent")
				f.slow = time.Second
				got := strings.Join(f.atOnce(call, true, 1, 2)(), ", ")
				if strings.Count(got, "id-1 replayed") != 1 {
					f.Errorf("got %s", got)
				}
				if f.ask(0, call, true).answer == "id-1" {
					f.Error("it is given again")
				}
			})
		})
	}
}

// Who waits while an answer is given gets it when that client does not.
func TestFleetUnreadIsPassedOn(t *testing.T) {
	for name, call := range map[string]Call{"a request": requestFor("447700900000"), "a check": checkOf("a", "1234")} {
		for _, gets := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", ", gets), func(t *testing.T) {
				together(t, 3, func(f *fleet) {
					f.expect(0, call, false, "id-1 sent")
					r, ack := f.deliver(1, call)
					if r.String() != "id-1 replayed" {
						f.Fatalf("got %v", r)
					}
					wait := f.atOnce(call, true, 2)
					time.Sleep(time.Second)
					ack(gets)
					synctest.Wait()
					want := "[id-1 replayed]"
					switch {
					case gets && call.Operation == wire.Check:
						want = "[id-2 sent]"
					case gets:
						want = "[id-1 shared]"
					}
					if got := fmt.Sprint(wait()); got != want {
						f.Errorf("the one that waited got %s, want %s", got, want)
					}
				})
			})
		}
	}
}

// A request is read once one of its clients has the answer, whatever the others do.
func TestFleetReadByFirst(t *testing.T) {
	together(t, 2, func(f *fleet) {
		call := requestFor("447700900000")
		f.slow = time.Second
		acks := make(chan Ack, 2)
		for range 2 {
			go func() {
				_, ack := f.deliver(0, call)
				acks <- ack
			}()
		}
		(<-acks)(true)
		f.expect(1, call, true, "id-2 sent")
		(<-acks)(false)
		f.expect(1, call, true, "id-3 sent")
	})
}

// A check waits for what becomes of an identical one, wherever that is under way.
func TestFleetCheckWaitsItsTurn(t *testing.T) {
	for name, test := range map[string]struct {
		says wire.Status
		gets bool // the first client
		want string
	}{
		"the first client left":    {wire.Success, false, "[id-1 replayed]"},
		"the first client gets it": {wire.Success, true, "[id-2 sent]"},
		"it fails":                 {wire.WrongCode, false, "[id-2 sent]"},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(f *fleet) {
				f.slow, f.says = time.Second, test.says
				first := f.atOnce(checkOf("a", "1234"), test.gets, 0)
				second := f.atOnce(checkOf("a", "1234"), true, 1)
				first()
				if got := fmt.Sprint(second()); got != test.want {
					f.Errorf("got %s, want %s", got, test.want)
				}
			})
		})
	}
}

// Who finds out first whether an answer is of use yet has the time for both: no other sends
// meanwhile.
func TestFleetSlowState(t *testing.T) {
	for _, first := range []int{0, 1} { // who had the answer, and who did not
		together(t, 3, func(f *fleet) {
			call := requestFor("447700900000")
			f.expect(0, call, false, "id-1 sent")
			f.slow, f.state = timeout-time.Millisecond, map[string]State{"id-1": Over}
			wait := f.atOnce(call, true, first)
			f.expect(2, call, true, "id-2 shared")
			if got := fmt.Sprint(wait()); got != "[id-2 sent]" {
				f.Errorf("got %s", got)
			}
			f.expectSent(2)
		})
	}
}
