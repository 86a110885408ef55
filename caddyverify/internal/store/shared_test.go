package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var (
	id  = store.Name{Kind: store.Verification, ID: "the request_id"}
	key = store.Name{Kind: store.Request, ID: "checkout 447700900000"}
)

// faulty is a store with a fault. It answers what it was not made for with nil.
type faulty struct {
	store.Store
	hangs, fails atomic.Bool
	calls        atomic.Int64
	boot         atomic.Value
	spent        atomic.Int64
	left         atomic.Bool
	watch        func(store.Name)
}

func (f *faulty) trouble() error {
	f.calls.Add(1)
	if f.hangs.Load() {
		time.Sleep(time.Minute) // whatever the context says
	}
	if f.fails.Load() {
		return errors.New("refused")
	}
	return nil
}

func (f *faulty) Release(context.Context, store.Name, store.Mark) error { return f.trouble() }

func (f *faulty) Watch(told func(store.Name)) func() {
	f.watch = told
	return func() { f.watch = nil }
}

func (f *faulty) Beat(_ context.Context, p store.Pulse) (store.Seen, error) {
	if err := f.trouble(); err != nil {
		return store.Seen{}, err
	}
	f.spent.Add(int64(p.Spent))
	boot, _ := f.boot.Load().(string)
	return store.Seen{Gateways: 2, Boot: boot}, nil
}

func (f *faulty) Leave(context.Context) error {
	f.left.Store(true)
	return f.trouble()
}

func release(s *store.Shared, ctx context.Context) error { return s.Release(ctx, key, "") }

func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		f.hangs.Store(true)
		s := store.NewShared(f, keys(t, "account", first))
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() {
				for range 20 {
					start := time.Now()
					err := release(s, t.Context())
					if took := time.Since(start); !errors.Is(err, store.ErrAway) || took > store.Budget {
						t.Errorf("%v after %v", err, took)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if n := f.calls.Load(); n > store.Flights {
			t.Errorf("%d calls are under way, want at most %d", n, store.Flights)
		}
		if st := s.Stats(); st.Away.IsZero() || st.Why == nil || st.Calls != store.Flights || st.Calls+st.Alone != 8000 {
			t.Errorf("stats: %+v", st)
		}
		time.Sleep(2 * time.Minute) // the hung ones come back
		f.hangs.Store(false)
		if err := release(s, t.Context()); err != nil {
			t.Errorf("once it is back: %v", err)
		}
		if st := s.Stats(); !st.Away.IsZero() || st.Why != nil {
			t.Errorf("stats once it is back: %+v", st)
		}
	})
}

func TestStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		f.fails.Store(true)
		s := store.NewShared(f, keys(t, "account", first))
		for i := range 10 {
			if err := release(s, t.Context()); !errors.Is(err, store.ErrAway) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if n := f.calls.Load(); n != 5 {
			t.Errorf("%d calls were made, want 5", n)
		}
		f.fails.Store(false)
		time.Sleep(999 * time.Millisecond)
		if err := release(s, t.Context()); !errors.Is(err, store.ErrAway) {
			t.Errorf("before the second is over: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		if err := release(s, t.Context()); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

func TestCallersThatLeaveDoNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		f.hangs.Store(true)
		s := store.NewShared(f, keys(t, "account", first))
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := release(s, ctx); !errors.Is(err, store.ErrAway) {
				t.Error(err)
			}
			cancel()
		}
		f.hangs.Store(false)
		if err := release(s, t.Context()); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); !st.Away.IsZero() {
			t.Errorf("stats: %+v", st)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		f.boot.Store("one")
		s := store.NewShared(f, keys(t, "account", first))
		var flushed atomic.Int64
		s.Watch(func(n store.Name) {
			if n == (store.Name{}) {
				flushed.Add(1)
			}
		})
		expect := func(when string, local bool, flushes int64) {
			t.Helper()
			synctest.Wait()
			if s.Local() != local || flushed.Load() != flushes {
				t.Errorf("%s: local copies %v, %d flushes; want %v, %d", when, s.Local(), flushed.Load(), local, flushes)
			}
		}
		expect("before the first beat", false, 0)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go s.Run(ctx)
		expect("after it", true, 1)
		time.Sleep(10 * time.Second)
		expect("after many", true, 1)
		if st := s.Stats(); st.Gateways != 2 || !st.Local {
			t.Errorf("stats: %+v", st)
		}

		f.watch(store.Name{}) // the connection is lost
		expect("after a loss", false, 2)
		time.Sleep(200 * time.Millisecond)
		expect("after the next beat", true, 3)

		f.boot.Store("two")
		time.Sleep(200 * time.Millisecond)
		expect("when the store has forgotten", true, 4)
		if st := s.Stats(); st.Forgot != 1 {
			t.Errorf("stats: %+v", st)
		}

		f.fails.Store(true)
		s.Spent(3)
		time.Sleep(500 * time.Millisecond)
		f.fails.Store(false)
		time.Sleep(400 * time.Millisecond)
		if n := f.spent.Load(); n != 3 {
			t.Errorf("%d calls were told of after a short trouble, want 3", n)
		}

		f.hangs.Store(true)
		time.Sleep(time.Second)
		expect("when it has hung for a second", false, flushed.Load())
		if st := s.Stats(); st.Gateways != 2 || st.Local {
			t.Errorf("stats: %+v", st)
		}
		f.hangs.Store(false)
		time.Sleep(1500 * time.Millisecond)
		if !s.Local() {
			t.Error("it does not come back within a second and a half")
		}
		stop()
		synctest.Wait()
		if !f.left.Load() || f.watch != nil {
			t.Error("it has not signed off")
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestAwait(t *testing.T) {
	type outcome struct {
		c    store.Claim
		took time.Duration
	}
	// wait has one gateway claim, another wait, and the first do something after a second.
	wait := func(t *testing.T, then func(*store.Shared, store.Mark)) outcome {
		m, k := new(store.Memory), keys(t, "account", first)
		a, b := store.NewShared(m.Open("account", "a"), k), store.NewShared(m.Open("account", "b"), k)
		mark := store.NewMark()
		if _, err := a.Claim(t.Context(), key, mark, [32]byte{}, 10*time.Second, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(1010*time.Millisecond, func() { then(a, mark) })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		c, err := b.Await(ctx, key, store.NewMark(), [32]byte{}, 10*time.Second, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return outcome{c, time.Since(start)}
	}
	for _, tt := range []struct {
		name string
		then func(*store.Shared, store.Mark)
		want store.ClaimState
		took time.Duration
	}{
		{"an answer", func(a *store.Shared, m store.Mark) {
			_, _ = a.Answer(context.Background(), key, m, []byte("sent"), time.Minute)
		}, store.Answered, 1010 * time.Millisecond},
		{"a release", func(a *store.Shared, m store.Mark) { _ = a.Release(context.Background(), key, m) }, store.Yours, 1010 * time.Millisecond},
		{"a death", func(*store.Shared, store.Mark) {}, store.Lost, 10*time.Second + time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := wait(t, tt.then); got.c.State != tt.want || got.took < tt.took || got.took > tt.took+50*time.Millisecond {
					t.Errorf("%+v after %v, want %d after %v", got.c, got.took, tt.want, tt.took)
				}
			})
		})
	}
}

func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
		want    string
	}{
		{"none", nil, "no encryption key"},
		{"short", []string{first, "short"}, "encryption key 2 has fewer than 32 characters"},
		{"twice", []string{first, second, first}, "encryption key 3 is one of those before it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := store.NewKeys("account", tt.secrets...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "key,") {
				t.Errorf("error: %v, want %q", err, tt.want)
			}
		})
	}
	if keys(t, "one", first).Account() == keys(t, "two", first).Account() {
		t.Error("two accounts have one name")
	}
}

// TestRotation is of gateways of several ages on one store.
func TestRotation(t *testing.T) {
	m := new(store.Memory)
	gateway := func(secrets ...string) *store.Shared {
		return store.NewShared(m.Open("account", "a"), keys(t, "account", secrets...))
	}
	keep := func(s *store.Shared, v string) {
		t.Helper()
		f, err := s.Look(t.Context(), id, "json")
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := s.Keep(t.Context(), id, f.Token, "json", []byte(v), time.Minute); !kept || err != nil {
			t.Fatal(kept, err)
		}
	}
	sees := func(s *store.Shared, want string) {
		t.Helper()
		f, err := s.Look(t.Context(), id, "json")
		if err != nil || string(f.Entry) != want {
			t.Errorf("entry %q, %v, want %q", f.Entry, err, want)
		}
	}
	old, rotated := gateway(first), gateway(second, first)
	keep(old, "by the old")
	sees(rotated, "by the old")
	keep(rotated, "by the new")
	sees(rotated, "by the new")
	sees(old, "") // its key is not known: a miss
	keep(old, "by the old")
	sees(rotated, "by the old")
}

// TestNothingInClear looks at all that a store is given.
func TestNothingInClear(t *testing.T) {
	spy := &spy{Store: new(store.Memory).Open("account", "a")}
	s := store.NewShared(spy, keys(t, "account", first))
	ctx, says := t.Context(), [32]byte{'4', '4', '7', '7', '0', '0'}
	f, _ := s.Look(ctx, id, "checkout json")
	_, _ = s.Keep(ctx, id, f.Token, "checkout json", []byte("447700900000"), time.Minute)
	_ = s.Begin(ctx, id, []byte("447700900000"), time.Minute)
	mark := store.NewMark()
	_, _ = s.Claim(ctx, key, mark, says, time.Minute, time.Minute)
	_, _ = s.Answer(ctx, key, mark, []byte("447700900000"), time.Minute)
	_, _ = s.Take(ctx, key, says)
	_ = s.Hint(ctx, store.Name{Kind: store.Topic, ID: "checkout"}, []byte("447700"), time.Minute)
	if len(spy.given) < 1000/8 {
		t.Fatalf("only %d bytes were given", len(spy.given))
	}
	for _, clear := range []string{"447700", "checkout", "json", id.ID, key.ID} {
		if bytes.Contains(spy.given, []byte(clear)) {
			t.Errorf("%q is in clear", clear)
		}
	}
}

// TestMovedEntryDoesNotOpen is of who can write into the store but has no key.
func TestMovedEntryDoesNotOpen(t *testing.T) {
	spy := &spy{Store: new(store.Memory).Open("account", "a")}
	s := store.NewShared(spy, keys(t, "account", first))
	f, _ := s.Look(t.Context(), id, "json")
	_, _ = s.Keep(t.Context(), id, f.Token, "json", []byte("v"), time.Minute)
	for _, tt := range []struct {
		name  string
		move  bool
		value func([]byte) []byte
		want  string
	}{
		{"as it was", false, func(v []byte) []byte { return v }, "v"},
		{"moved", true, func(v []byte) []byte { return v }, ""},
		{"of a later version", false, func(v []byte) []byte { return append([]byte{v[0] + 1}, v[1:]...) }, ""},
		{"changed", false, func(v []byte) []byte { v[len(v)-1] ^= 1; return v }, ""},
		{"cut", false, func(v []byte) []byte { return v[:3] }, ""},
		{"without tag", false, func(v []byte) []byte { return v[:8] }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := id
			if tt.move {
				name.ID = "another"
			}
			hidden := s.Hidden(name)
			f, _ := spy.Store.Look(t.Context(), hidden, spy.field)
			if kept, err := spy.Store.Keep(t.Context(), hidden, f.Token, spy.field, tt.value(bytes.Clone(spy.value)), time.Minute); !kept || err != nil {
				t.Fatal(kept, err)
			}
			got, err := s.Look(t.Context(), name, "json")
			if err != nil || string(got.Entry) != tt.want || got.Token == "" {
				t.Errorf("got %+v, %v, want %q", got, err, tt.want)
			}
		})
	}
}
