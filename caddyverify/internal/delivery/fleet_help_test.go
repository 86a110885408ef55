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
