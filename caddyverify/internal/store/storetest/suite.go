// Package storetest holds every store to the contract of store.Store.
package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// Subject is a store of one account that nobody else uses.
type Subject struct {
	// Open returns the store as a gateway sees it.
	Open func(gateway string) store.Store
	// Pass lets time pass for the store.
	Pass func(time.Duration)
	// Now is the store's time; nil where that is time.Now.
	Now func() time.Time
	// Real says that time is real, so that no more than seconds are let pass.
	Real bool
	// Anew gives the store an account of which nothing is known, where time is Real.
	Anew func()
	// Deaf says that nothing is told to those who watch.
	Deaf bool
	// Hidden is the name under which Watch tells of another; nil where that is the same.
	Hidden func(store.Name) store.Name
}

// Around runs a test with a Subject of its own.
type Around func(t *testing.T, test func(*testing.T, Subject))

var (
	id    = store.Name{Kind: store.Verification, ID: "id"}
	key   = store.Name{Kind: store.Key, ID: "key"}
	topic = store.Name{Kind: store.Topic, ID: "topic"}
)

const (
	json = store.Field("json")
	tick = 50 * time.Millisecond
)

// Run runs the whole suite.
func Run(t *testing.T, around Around) {
	for _, group := range [][]behaviour{fence, ledger, claims, rates, fleet, budgets, logs} {
		for _, b := range group {
			t.Run(b.name, func(t *testing.T) {
				around(t, func(t *testing.T, s Subject) { run(t, s, b) })
			})
		}
	}
}

// run runs one test, and again if it fails while a real clock runs away from a busy machine.
func run(t *testing.T, s Subject, b behaviour) {
	if !s.Real {
		b.test(&world{T: t, Subject: s})
		return
	}
	for range tries {
		w := &world{T: t, Subject: s, begun: time.Now()}
		var wg sync.WaitGroup
		wg.Go(func() { b.test(w) })
		wg.Wait()
		if !w.void.Load() {
			if w.tooLong {
				t.Skip("the clock is real")
			}
			return
		}
		s.Anew()
	}
	t.Fatalf("the machine was late %d times", tries)
}

// tries is how often the machine may be late; a test that is wrong is wrong as often.
const tries = 20

type behaviour struct {
	name string
	test func(*world)
}

// world is a test and its store, with calls that must not fail.
type world struct {
	*testing.T
	Subject

	begun   time.Time
	passed  time.Duration // as was said to Pass
	cut     atomic.Bool   // a connection was lost, or a call brought no answer
	void    atomic.Bool   // it has failed, and was late
	tooLong bool
}

// Pass lets time pass for the store.
func (w *world) Pass(d time.Duration) {
	w.passed += d
	w.Subject.Pass(d)
}

// failing ends a test that has failed when more time had passed than it knows of: what the
// store did may have been right.
func (w *world) failing(why string) {
	w.Helper()
	if took := time.Since(w.begun) - w.passed; w.Real && (w.cut.Load() || took > tick/2) {
		w.Logf("once more, as the calls took %v: %s", took, why)
		w.void.Store(true)
		runtime.Goexit()
	}
}

func (w *world) Error(args ...any) {
	w.Helper()
	w.failing(fmt.Sprint(args...))
	w.T.Error(args...)
}

func (w *world) Errorf(format string, args ...any) {
	w.Helper()
	w.failing(fmt.Sprintf(format, args...))
	w.T.Errorf(format, args...)
}

func (w *world) Fatal(args ...any) {
	w.Helper()
	w.failing(fmt.Sprint(args...))
	w.T.Fatal(args...)
}

func (w *world) Fatalf(format string, args ...any) {
	w.Helper()
	w.failing(fmt.Sprintf(format, args...))
	w.T.Fatalf(format, args...)
}

func (w *world) hidden(n store.Name) store.Name {
	if w.Hidden == nil {
		return n
	}
	return w.Hidden(n)
}

func (w *world) now() time.Time {
	if w.Now == nil {
		return time.Now()
	}
	return w.Now()
}

// long lets time pass that is too long for a real clock.
func (w *world) long(d time.Duration) {
	if w.Real {
		w.tooLong = true
		runtime.Goexit()
	}
	w.Pass(d)
}

// must returns a value of a call that must not fail.
func must[T any](w *world) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		w.ok(err)
		return v
	}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.cut.Store(true)
		w.Fatal(err)
	}
}

func (w *world) look(s store.Store) store.Found {
	w.Helper()
	return must[store.Found](w)(s.Look(w.Context(), id, json))
}

func (w *world) keep(s store.Store, token store.Token, v string, want bool) {
	w.Helper()
	if kept := must[bool](w)(s.Keep(w.Context(), id, token, json, []byte(v), 10*time.Second)); kept != want {
		w.Fatalf("Keep(%q) = %v, want %v", v, kept, want)
	}
}

// sees fails unless there is this entry; "" is none.
func (w *world) sees(s store.Store, want string) {
	w.Helper()
	if f := w.look(s); string(f.Entry) != want {
		w.Fatalf("the entry is %q, want %q", f.Entry, want)
	}
}

func (w *world) before(s store.Store, hold time.Duration) store.Mark {
	w.Helper()
	m := store.NewMark()
	must[store.Known](w)(s.Before(w.Context(), id, m, hold))
	return m
}

func (w *world) after(s store.Store, m store.Mark) {
	w.Helper()
	w.ok(s.After(w.Context(), id, m))
}

// ears note what Watch tells.
type ears struct {
	mu    sync.Mutex
	heard []store.Name
}

func (w *world) listen(s store.Store) *ears {
	e := new(ears)
	w.Cleanup(s.Watch(func(n store.Name) {
		if n == (store.Name{}) {
			w.cut.Store(true)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, n)
	}))
	return e
}

// hears waits until a name was heard, and forgets what was.
func (w *world) hears(e *ears, n store.Name) {
	w.Helper()
	if w.Deaf {
		return
	}
	n = w.hidden(n)
	for range 5000 {
		e.mu.Lock()
		found := slices.Contains(e.heard, n)
		if found {
			e.heard = nil
		}
		e.mu.Unlock()
		if found {
			return
		}
		w.Subject.Pass(time.Millisecond) // no test waits for it
	}
	w.Fatalf("nobody told of %c", n.Kind)
}

// heardNothing fails if something was heard by now.
func (w *world) heardNothing(e *ears, but ...store.Name) {
	w.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.heard {
		if !slices.Contains(but, n) {
			w.Fatalf("%v was told", n)
		}
	}
}
