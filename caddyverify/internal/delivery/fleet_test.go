package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	timeout = 10 * time.Second
	lease   = timeout + spare
)

// fleet are gateways that share a store, and call one upstream.
type fleet struct {
	*testing.T
	*script
	gateways []*member
	timeout  time.Duration
}

type member struct {
	*Deduper
	trouble *trouble
}

// trouble is a store as a gateway reaches it, or not.
type trouble struct {
	store.Store
	mu    sync.Mutex
	draw  func() bool // of each call, if not nil
	fails string      // the calls that fail, by the first letters of their names; "*" for all
	done  bool        // though they are done
	sent  string      // the same, once something is sent
	late  time.Duration
}

// fail has some calls fail from now on.
func (s *trouble) fail(calls string, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.done = calls, done
}

// after has some calls fail between begin and end.
func (s *trouble) after(calls string, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.done = calls, done
}

// slow has all calls take longer.
func (s *trouble) slow(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = by
}

func (s *trouble) begin() {
	if s.sent != "" {
		s.fail(s.sent, s.done)
	}
}

func (s *trouble) end() {
	if s.sent != "" {
		s.fail("", s.done)
	}
}

func try[T any](s *trouble, call string, do func() (T, error)) (T, error) {
	s.mu.Lock()
	fails := s.fails == "*" || call != "" && strings.Contains(s.fails, call) || s.draw != nil && s.draw()
	done, late := s.done, s.late
	s.mu.Unlock()
	var none T
	time.Sleep(late)
	if fails && !done {
		return none, errors.New("away")
	}
	v, err := do()
	if fails {
		return none, errors.New("away")
	}
	return v, err
}

func (s *trouble) Claim(ctx context.Context, k store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (store.Claim, error) {
	return try(s, map[store.Kind]string{store.Key: "K", store.Request: "C"}[k.Kind], func() (store.Claim, error) { return s.Store.Claim(ctx, k, m, says, lease, ttl) })
}

func (s *trouble) Answer(ctx context.Context, k store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	return try(s, "A", func() (bool, error) { return s.Store.Answer(ctx, k, m, v, ttl) })
}

func (s *trouble) Take(ctx context.Context, k store.Name, says [32]byte) ([]byte, error) {
	return try(s, "T", func() ([]byte, error) { return s.Store.Take(ctx, k, says) })
}

func (s *trouble) Release(ctx context.Context, k store.Name, m store.Mark) error {
	_, err := try(s, "R", func() (bool, error) { return true, s.Store.Release(ctx, k, m) })
	return err
}

func (s *trouble) Beat(ctx context.Context, p store.Pulse) (store.Seen, error) {
	return try(s, "", func() (store.Seen, error) { return s.Store.Beat(ctx, p) })
}

// together runs a test with gateways that share a store.
func together(t *testing.T, gateways int, test func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{T: t, script: newScript(), timeout: timeout}
		memory := new(store.Memory)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range gateways {
			keys, err := store.NewKeys("account", strings.Repeat("k", store.MinKey))
			if err != nil {
				t.Fatal(err)
			}
			m := &member{New(), &trouble{Store: memory.Open("account", fmt.Sprint(i))}}
			shared := store.NewShared(m.trouble, keys)
			running.Go(func() { shared.Run(ctx) })
			m.Share(shared)
			f.gateways = append(f.gateways, m)
		}
		synctest.Wait()
		test(f)
		stop()
		running.Wait()
	})
}

// forget has the store begin anew with nothing, and the gateways notice.
func (f *fleet) forget() {
	memory := new(store.Memory)
	for i, m := range f.gateways {
		m.trouble.mu.Lock()
		m.trouble.Store = memory.Open("account", fmt.Sprint(i))
		m.trouble.mu.Unlock()
	}
	time.Sleep(time.Second)
}

// result is what a client gets.
type result struct {
	answer string // or the cause
	source wire.DeliverySource
	after  time.Duration
}

func (r result) String() string { return r.answer + " " + string(r.source) }

func (f *fleet) upstreamOf() Upstream {
	up := f.script.upstream()
	up.Timeout = f.timeout
	return up
}

// deliver makes a call of a gateway whose ack is up to the test.
func (f *fleet) deliver(gateway int, call Call) (result, Ack) {
	begun := time.Now()
	answer, source, ack := f.gateways[gateway].Deliver(f.Context(), call, f.upstreamOf())
	r := result{string(answer.Body), source, time.Since(begun)}
	if answer.Fault != nil {
		r.answer = string(answer.Fault.Cause)
	}
	return r, ack
}

// ask makes a call of a gateway whose client gets the answer, or not.
func (f *fleet) ask(gateway int, call Call, gets bool) result {
	r, ack := f.deliver(gateway, call)
	ack(gets)
	return r
}

func (f *fleet) expect(gateway int, call Call, gets bool, want string) {
	f.Helper()
	if got := f.ask(gateway, call, gets).String(); got != want {
		f.Errorf("gateway %d: got %s, want %s", gateway, got, want)
	}
}

// atOnce makes a call of several gateways, and returns what comes of it once it has.
func (f *fleet) atOnce(call Call, gets bool, gateways ...int) func() []string {
	results := make([]string, len(gateways))
	var wg sync.WaitGroup
	for i, gateway := range gateways {
		wg.Go(func() { results[i] = f.ask(gateway, call, gets).String() })
	}
	synctest.Wait()
	return func() []string {
		wg.Wait()
		slices.Sort(results)
		return results
	}
}

func (f *fleet) expectSent(want int) {
	f.Helper()
	f.script.mu.Lock()
	defer f.script.mu.Unlock()
	if f.sent != want {
		f.Errorf("%d were sent, want %d", f.sent, want)
	}
}

// dies has a gateway's calls hang for good, and nothing that it does be done any more.
func (f *fleet) dies(gateway int, call Call) {
	f.gateways[gateway].trouble.fail("", false)
	up := f.upstreamOf()
	up.Send = func() wire.Answer {
		<-f.Context().Done()
		return wire.Answer{}
	}
	go func() { _, _, _ = f.gateways[gateway].Deliver(f.Context(), call, up) }()
	synctest.Wait()
	f.gateways[gateway].trouble.fail("*", false)
}

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
