package store_test

import (
	"context"
	"errors"
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
	takes        time.Duration
	calls        atomic.Int64
	boot         atomic.Value
	spent        atomic.Int64
	gateways     atomic.Int64 // that a beat is told of
	silent       atomic.Int64 // the same
	left         atomic.Bool
	watch        func(store.Name)
}

func (f *faulty) trouble() error {
	f.calls.Add(1)
	if f.hangs.Load() {
		time.Sleep(time.Minute) // whatever the context says
	}
	time.Sleep(f.takes)
	if f.fails.Load() {
		return errors.New("refused")
	}
	return nil
}

func (f *faulty) Release(context.Context, store.Name, store.Mark) error { return f.trouble() }

func (f *faulty) After(context.Context, store.Name, store.Mark) error { return errors.New("refused") }

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
	return store.Seen{Gateways: int(f.gateways.Load()), Silent: int(f.silent.Load()), Boot: boot, Used: 5}, nil
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

// More calls at once than a store that answers can take are no reason to do without it.
func TestManyCallsDoNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: 2 * time.Millisecond}
		s := store.NewShared(f, keys(t, "account", first))
		var all sync.WaitGroup
		var served atomic.Int64
		for range 400 {
			all.Go(func() {
				if release(s, t.Context()) == nil {
					served.Add(1)
				}
			})
		}
		all.Wait()
		if err := release(s, t.Context()); err != nil {
			t.Errorf("after %d were served: %v", served.Load(), err)
		}
		if st := s.Stats(); !st.Away.IsZero() || st.AwayFor != 0 || st.Alone == 0 {
			t.Errorf("stats: %+v", st)
		}
		f.hangs.Store(true)
		for range 400 {
			all.Go(func() {
				for range 3 {
					_ = release(s, t.Context())
				}
			})
		}
		all.Wait()
		if s.Stats().Away.IsZero() {
			t.Error("it hangs, and is not said to be away")
		}
		time.Sleep(2 * time.Minute)
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
		f.gateways.Store(2)
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
			if s.Watching() != local || flushed.Load() != flushes {
				t.Errorf("%s: local copies %v, %d flushes; want %v, %d", when, s.Watching(), flushed.Load(), local, flushes)
			}
		}
		expect("before the first beat", false, 0)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go s.Run(ctx)
		expect("after it", true, 1)
		time.Sleep(10 * time.Second)
		expect("after many", true, 1)
		if st := s.Stats(); st.Gateways != 2 || st.Used != 5 || !st.Watching {
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
		if st := s.Stats(); st.Gateways != 2 || st.Watching {
			t.Errorf("stats: %+v", st)
		}
		f.hangs.Store(false)
		time.Sleep(1500 * time.Millisecond)
		if !s.Watching() {
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

// TestTogether is of for how long nothing was done that this gateway has not heard of.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		s := store.NewShared(f, keys(t, "account", first))
		ctx, stop := context.WithCancel(t.Context())
		expect := func(when string, least, most time.Duration) {
			t.Helper()
			synctest.Wait()
			if d := s.Together(); d < least || d > most {
				t.Errorf("%s: for %v, want %v to %v", when, d, least, most)
			}
		}
		time.Sleep(time.Minute)
		expect("before the first beat", 0, 0)
		go s.Run(ctx)
		time.Sleep(10 * time.Second)
		expect("later", 10*time.Second, 10*time.Second)
		f.silent.Store(1)
		time.Sleep(10 * time.Second)
		expect("while another is silent", 0, 200*time.Millisecond)
		f.silent.Store(0)
		time.Sleep(10 * time.Second)
		expect("and then", 9800*time.Millisecond, 10200*time.Millisecond)
		f.fails.Store(true)
		time.Sleep(200 * time.Millisecond)
		expect("while the store is away", 0, 0)
		f.fails.Store(false)
		time.Sleep(200 * time.Millisecond)
		expect("when it has not been away for long", 10*time.Second, 11*time.Second)
		f.fails.Store(true)
		time.Sleep(2 * time.Second)
		f.fails.Store(false)
		time.Sleep(5 * time.Second)
		expect("when it has", 4*time.Second, 5*time.Second)
		if s.After(t.Context(), key, "") == nil {
			t.Error("the store knows no checks")
		}
		time.Sleep(time.Second)
		expect("when it could not be told of a check", time.Second, time.Second)
		stop()
		synctest.Wait()
	})
}

// TestFleetAfterLoss is of what a gateway tells, and of whom it knows, when the store was away
// and has forgotten.
func TestFleetAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(faulty)
		f.gateways.Store(4)
		s := store.NewShared(f, keys(t, "account", first))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx)
		}()
		time.Sleep(time.Second)
		f.fails.Store(true)
		s.Spent(10) // too long ago to be told of
		time.Sleep(3 * time.Second)
		for range 8 {
			s.Spent(1)
			time.Sleep(250 * time.Millisecond)
		}
		f.fails.Store(false)
		f.gateways.Store(1)
		for f.spent.Load() == 0 {
			s.Spent(1)
			time.Sleep(250 * time.Millisecond)
		}
		if n := f.spent.Load(); n < 3 || n > 6 {
			t.Errorf("%d calls were told of, want those of the last second", n)
		}
		if n := s.Stats().Gateways; n != 4 {
			t.Errorf("the store has heard of 1 gateway so far, and the share is for %d, want 4", n)
		}
		time.Sleep(4 * time.Second)
		if n := s.Stats().Gateways; n != 1 {
			t.Errorf("the share is for %d in the end, want 1", n)
		}
		stop()
		<-done
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

// TestSpellings has a verification be one however its id is written, and each spelling be
// answered with what was told of it.
func TestSpellings(t *testing.T) {
	s := store.NewShared(new(store.Memory).Open("account", "a"), keys(t, "account", first))
	name := func(spelling string) store.Name { return store.Name{Kind: store.Verification, ID: spelling} }
	for _, spelling := range []string{"abc-def", "ABCDEF", "abcdef"} {
		f, err := s.Look(t.Context(), name(spelling), "json")
		if err != nil || f.Entry != nil {
			t.Errorf("%s: %s, %v", spelling, f.Entry, err)
		}
		if kept, err := s.Keep(t.Context(), name(spelling), f.Token, "json", []byte(spelling), time.Minute); !kept || err != nil {
			t.Errorf("%s: %v, %v", spelling, kept, err)
		}
	}
	if f, err := s.Look(t.Context(), name("ABCDEF"), "json"); string(f.Entry) != "ABCDEF" || err != nil {
		t.Errorf("found %s, %v", f.Entry, err)
	}
	if _, err := s.Before(t.Context(), name("ABC-DEF"), store.NewMark(), time.Second); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Look(t.Context(), name("abcdef"), "json"); f.Entry != nil || !f.Tried || err != nil {
		t.Errorf("after a check: %+v, %v", f, err)
	}
}
