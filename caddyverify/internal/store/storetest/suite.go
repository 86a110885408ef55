// Package storetest holds every store to the contract of store.Store.
package storetest

import (
	"slices"
	"sync"
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
				around(t, func(t *testing.T, s Subject) { b.test(&world{T: t, Subject: s}) })
			})
		}
	}
}

type behaviour struct {
	name string
	test func(*world)
}

// world is a test and its store, with calls that must not fail.
type world struct {
	*testing.T
	Subject
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
		w.Skip("the clock is real")
	}
	w.Pass(d)
}

// must returns a value of a call that must not fail.
func must[T any](w *world) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
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
	for range 100 {
		e.mu.Lock()
		found := slices.Contains(e.heard, n)
		if found {
			e.heard = nil
		}
		e.mu.Unlock()
		if found {
			return
		}
		w.Pass(10 * time.Millisecond)
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
