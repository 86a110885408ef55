package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// story is what happens to one gateway, one after the other.
type story []step

type step struct {
	call   Call
	gets   bool
	later  time.Duration
	says   wire.Status
	fault  *wire.Fault
	over   bool // all that has started so far
	nobody bool // knows the states
}

func newStory(r *rand.Rand) story {
	calls := []Call{requestFor("447700900000"), requestFor("447700900001"), checkOf("a", "1234"), checkOf("a", "1235")}
	s := make(story, 30)
	for i := range s {
		step := &s[i]
		step.call = calls[r.IntN(len(calls))]
		if r.IntN(3) == 0 {
			step.call = step.call.with(keyed(fmt.Sprint(r.IntN(3))))
		}
		// A key's answer that no client got, and then one did, is not unread in the store any more.
		step.gets = r.IntN(2) == 0 || step.call.IdempotencyKey != ""
		step.later = time.Duration(r.IntN(3)) * time.Second
		step.says = wire.Success
		switch r.IntN(8) {
		case 0:
			step.says = wire.Throttled
		case 1:
			step.says = wire.WrongCode
		case 2:
			step.fault = &wire.Fault{Cause: wire.BreakerOpen}
		case 3:
			step.fault = &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}
		}
		step.over, step.nobody = r.IntN(8) == 0, r.IntN(4) == 0
	}
	return s
}

func (s step) String() string {
	return fmt.Sprintln(s.call.Operation, s.call.Params, s.call.IdempotencyKey, s.gets, s.later, s.says, s.fault, s.over, s.nobody)
}

// tell has it happen, and returns what the clients got.
func (s story) tell(f *fleet) string {
	var got strings.Builder
	over := map[string]bool{}
	up := f.upstreamOf()
	for i, step := range s {
		f.fault, f.says = step.fault, step.says
		if step.over {
			for n := range f.sent {
				over[fmt.Sprint("id-", n+1)] = true
				f.gateways[0].Forget(fmt.Sprint("id-", n+1))
			}
		}
		up.State = func(id string) State {
			switch {
			case over[id]:
				return Over
			case step.nobody:
				return Unknown
			}
			return Running
		}
		up.Send = func() wire.Answer {
			f.gateways[0].trouble.begin()
			return f.send()
		}
		begun := time.Now()
		answer, source, ack := f.gateways[0].Deliver(context.Background(), step.call, up)
		ack(step.gets)
		f.gateways[0].trouble.end()
		if took := time.Since(begun); took > 0 {
			f.Errorf("step %d has waited for %v, where there is nobody to wait for", i, took)
		}
		said := string(answer.Body)
		if answer.Fault != nil {
			said = string(answer.Fault.Cause)
		}
		fmt.Fprintln(&got, i, said, source)
		time.Sleep(step.later)
	}
	return got.String()
}

// TestFleetOfOne: one gateway alone does with a store what it does without, whatever the store
// does not answer.
func TestFleetOfOne(t *testing.T) {
	for _, test := range []struct {
		calls string // that fail; "after" is from when a call is made until its client has the answer
		done  bool   // though they are done
	}{
		{"", false},
		{"*", false},
		{"*", true},
		{"K", false},
		{"K", true},
		{"C", false},
		{"C", true},
		{"KC", false},
		{"T", false},
		{"T", true},
		{"A", false},
		{"A", true},
		{"after R", false},
		{"after R", true},
		{"after AR", false},
		{"after *", false},
		{"after *", true},
	} {
		t.Run(fmt.Sprint(test.calls, test.done), func(t *testing.T) {
			for seed := range uint64(15) {
				s := newStory(rand.New(rand.NewPCG(seed, 1)))
				var want, got string
				together(t, 1, func(f *fleet) {
					f.gateways[0].Share(nil)
					want = s.tell(f)
				})
				together(t, 1, func(f *fleet) {
					if after, found := strings.CutPrefix(test.calls, "after "); found {
						f.gateways[0].trouble.after(after, test.done)
					} else {
						f.gateways[0].trouble.fail(test.calls, test.done)
					}
					got = s.tell(f)
					if alone := f.gateways[0].Alone() > 0; alone != strings.ContainsAny(test.calls, "*KC") && !strings.ContainsAny(test.calls, "Ta") {
						t.Errorf("seed %d: alone %d times", seed, f.gateways[0].Alone())
					}
				})
				if got != want {
					t.Fatalf("seed %d: with the store\n%swithout\n%s%s", seed, got, want, fmt.Sprintf("%+v", s))
				}
			}
		})
	}
}

// A store that goes away while a gateway waits for another: that one is known to send.
func TestFleetAwayWhileWaiting(t *testing.T) {
	for name, test := range map[string]struct {
		call Call
		back bool // before the other tells
		want string
	}{
		"a request":            {requestFor("447700900000"), false, "id-2 sent"},
		"a key":                {requestFor("447700900000").with(keyed("k")), false, "gateway_lost shared"},
		"a request, and back":  {requestFor("447700900000"), true, "id-1 shared"},
		"a check":              {checkOf("a", "1234"), false, "id-2 sent"},
		"a check, and back":    {checkOf("a", "1234"), true, "id-2 sent"},
		"a key, and back":      {requestFor("447700900000").with(keyed("k")), true, "id-1 replayed"},
		"another call's key":   {requestFor("447700900000").with(keyed("other")), false, "id-2 sent"},
		"another key and back": {requestFor("447700900000").with(keyed("other")), true, "id-1 shared"},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(f *fleet) {
				f.slow = 5 * time.Second
				first := test.call
				if strings.HasPrefix(name, "another") {
					first = requestFor("447700900000")
				}
				owner := f.atOnce(first, true, 0)
				got := make(chan result, 1)
				go func() { got <- f.ask(1, test.call, true) }()
				synctest.Wait()
				f.gateways[1].trouble.fail("*", false)
				time.Sleep(4 * time.Second)
				if test.back {
					f.gateways[1].trouble.fail("", false)
				}
				r := <-got
				if r.String() != test.want {
					f.Errorf("got %v, want %s", r, test.want)
				}
				if least := lease; !test.back && r.after < least {
					f.Errorf("it took %v: the other may have been sending", r.after)
				}
				if r.after > lease+f.slow+time.Second {
					f.Errorf("it took %v", r.after)
				}
				owner()
			})
		})
	}
}

// An answer that was kept while the store was away is given where it is.
func TestFleetKeptWhileAway(t *testing.T) {
	for name, call := range map[string]Call{"a request": requestFor("447700900000"), "a check": checkOf("a", "1234")} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(f *fleet) {
				f.gateways[0].trouble.fail("*", false)
				f.expect(0, call, false, "id-1 sent")
				f.gateways[0].trouble.fail("", false)
				time.Sleep(2 * time.Second)
				f.expect(0, call, true, "id-1 replayed")
				f.expect(1, call, true, "id-2 sent")
				// When both know of it and one cannot ask, it goes on alone.
				f.expect(0, call, false, "id-3 sent")
				f.gateways[0].trouble.fail("*", false)
				f.expect(0, call, true, "id-3 replayed")
				f.gateways[0].trouble.fail("", false)
				time.Sleep(2 * time.Second)
				f.expect(0, call, true, "id-4 sent") // the store's copy was given back
			})
		})
	}
}

// TestFleetKeepsWhatItCannotTake: it may be gone from the store, and is kept here.
func TestFleetKeepsWhatItCannotTake(t *testing.T) {
	together(t, 1, func(f *fleet) {
		call := requestFor("447700900000")
		f.expect(0, call, false, "id-1 sent")
		f.gateways[0].trouble.fail("T", true)
		f.state, f.fault = map[string]State{"id-1": Unknown}, &wire.Fault{Cause: wire.BreakerOpen}
		f.expect(0, call, true, "breaker_open sent")
		f.gateways[0].trouble.fail("", false)
		f.state, f.fault = nil, nil
		f.expect(0, call, true, "id-1 replayed")
	})
}

// TestFleetWaitsNoLonger: another gateway's lease may be longer than what this one would wait.
func TestFleetWaitsNoLonger(t *testing.T) {
	for _, calls := range []string{"", "*"} {
		for name, call := range map[string]Call{"a request": requestFor("447700900000"), "a key": requestFor("447700900000").with(keyed("k"))} {
			t.Run(name+calls, func(t *testing.T) {
				together(t, 2, func(f *fleet) {
					f.timeout = 10 * timeout
					f.dies(0, call)
					f.timeout = timeout
					time.AfterFunc(time.Second, func() { f.gateways[1].trouble.fail(calls, false) })
					if r := f.ask(1, call, true); r.String() != "gateway_lost shared" || r.after < 2*lease || r.after > 2*lease+time.Second {
						f.Errorf("got %v after %v", r, r.after)
					}
				})
			})
		}
	}
}

// barging has another gateway claim what one has just taken.
type barging struct {
	store.Store
	barge func()
}

func (b *barging) Take(ctx context.Context, k store.Name, says [32]byte) ([]byte, error) {
	v, err := b.Store.Take(ctx, k, says)
	if b.barge != nil {
		b.barge()
	}
	return v, err
}

func TestFleetBargesIn(t *testing.T) {
	call := requestFor("447700900000")
	for name, test := range map[string]struct {
		call  Call
		state State
		reads bool // the first client
		want  string
	}{
		"it runs":         {call, Running, false, "id-1 replayed"},
		"it is over":      {call, Over, false, "id-2 shared"},
		"nobody knows":    {call, Unknown, false, "id-2 shared"},
		"it was read":     {call, Running, true, "id-2 shared"},
		"it is a check's": {checkOf("a", "1234"), Running, false, "id-1 replayed"},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(f *fleet) {
				b := &barging{Store: f.gateways[1].trouble.Store}
				f.gateways[1].trouble.Store = b
				f.expect(0, test.call, test.reads, "id-1 sent")
				var other func() []string
				b.barge = func() {
					b.barge = nil
					f.slow = time.Second
					started := make(chan struct{})
					up := f.upstreamOf()
					up.Send = func() wire.Answer {
						close(started)
						time.Sleep(2 * time.Second)
						return f.send()
					}
					got := make(chan []string, 1)
					go func() {
						answer, source, ack := f.gateways[2].Deliver(context.Background(), test.call, up)
						ack(true)
						got <- []string{string(answer.Body), string(source)}
					}()
					<-started
					other = func() []string { return <-got }
				}
				f.state = map[string]State{"id-1": test.state}
				f.expect(1, test.call, true, test.want)
				if got := fmt.Sprint(other()); got != "[id-2 sent]" {
					f.Errorf("the other got %s", got)
				}
				f.expectSent(2)
			})
		})
	}
}

// What another version has written is nobody's answer, and stays where it is.
func TestStored(t *testing.T) {
	fault := &wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true, Reason: wire.ReasonNoAnswer}
	answers := []wire.Answer{fault.Answer(), {
		Code: 200, ContentType: "application/json", Body: []byte(`{"request_id":"a","status":"0"}`),
		Reading: wire.Reading{Verification: wire.Verification{RequestID: "a", Status: wire.Success}},
	}}
	texts := []string{
		"\x01" + `{"use":1,"mark":"m","status":"5","fault":{"Cause":"upstream_timeout","Reason":"no_answer","Name":"","MayHaveSent":true,"Refused":false,"UpstreamCode":0,"UpstreamType":"","UpstreamLength":0,"UpstreamWhole":false,"MethodUnknown":false,"ProxyCode":0,"RetryAfter":0,"Err":null}}`,
		"\x01" + `{"use":1,"mark":"m","code":200,"type":"application/json","body":"eyJyZXF1ZXN0X2lkIjoiYSIsInN0YXR1cyI6IjAifQ==","id":"a","status":"0"}`,
	}
	for i, a := range answers {
		v := encode(&a, fresh, "m")
		if string(v) != texts[i] {
			t.Errorf("it is written as %q; another text is another version", v)
		}
		back, use, mark, ok := decode(v)
		if fmt.Sprintf("%+v", essence(a)) != fmt.Sprintf("%+v", essence(back)) && a.Fault == nil || !ok || use != fresh || mark != "m" {
			t.Errorf("%+v comes back as %+v", a, back)
		}
		if a.Fault != nil && *back.Fault != *a.Fault {
			t.Errorf("%+v comes back as %+v", a.Fault, back.Fault)
		}
	}
	for _, v := range []string{"", "\x01", "\x02" + texts[1][1:], "\x01{", "\x01" + `{"use":3,"status":"0"}`} {
		if _, _, _, ok := decode([]byte(v)); ok {
			t.Errorf("%q is read", v)
		}
	}
}

// foreign has all answers be of another version.
type foreign struct{ store.Store }

func (s foreign) Answer(ctx context.Context, k store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	return s.Store.Answer(ctx, k, m, append([]byte{9}, v[1:]...), ttl)
}

func TestFleetOfTwoVersions(t *testing.T) {
	together(t, 2, func(f *fleet) {
		f.gateways[0].trouble.Store = foreign{f.gateways[0].trouble.Store}
		call := requestFor("447700900000")
		f.expect(0, call.with(keyed("k")), false, "id-1 sent")
		f.expect(1, call.with(keyed("k")), true, "gateway_lost shared")
		f.expect(1, call, true, "id-2 sent")
		f.expect(0, call, true, "id-1 replayed") // here, as far as can be told
	})
}
