package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// shelf is a store that may be away: it takes nothing, or takes it and does not say so.
type shelf struct {
	store.Logs
	away, silent bool
	given        bytes.Buffer
	mu           sync.Mutex
	tells, reads int
}

var errAway = errors.New("away")

func (s *shelf) Tell(ctx context.Context, log store.Name, entries [][]byte, most int, life time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tells++
	if s.away {
		return errAway
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, e := range entries {
		s.given.Write(e)
	}
	err := s.Logs.Tell(ctx, log, entries, most, life)
	if s.silent {
		return errAway
	}
	return err
}

func (s *shelf) Read(ctx context.Context, log store.Name, after store.Position, most int) ([]store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.away || s.silent {
		return nil, errAway
	}
	return s.Logs.Read(ctx, log, after, most)
}

// fleet is two Books with a store, each with its own way to it.
type fleet struct {
	memory *store.Memory
	books  [2]*Book
	ways   [2]*shelf
}

func newFleet() *fleet {
	f := &fleet{memory: &store.Memory{}}
	for i := range f.books {
		f.ways[i] = &shelf{Logs: f.memory.Open("a", fmt.Sprint(i))}
		f.books[i] = New(Settings{})
		f.books[i].Share(f.ways[i])
	}
	return f
}

func (f *fleet) away(away bool) {
	for _, w := range f.ways {
		w.away = away
	}
}

// everywhere checks that all Books tell the same, and what that is.
func (f *fleet) everywhere(t *testing.T, want wire.Status) {
	t.Helper()
	var first wire.Answer
	for i, b := range append(f.books[:], f.fresh()) {
		a := search(t.Context(), b, wire.SearchFor(wire.JSON, []string{id}, false))
		if a.Status != want {
			t.Errorf("Book %d says %v, want %v", i, a.Status, want)
		}
		if i == 0 {
			first = a
		} else if !bytes.Equal(a.Body, first.Body) {
			t.Errorf("Book %d says\n%s\nand the first\n%s", i, a.Body, first.Body)
		}
	}
}

// fresh is the Book of a gateway that was started just now.
func (f *fleet) fresh() *Book {
	b := New(Settings{})
	b.Share(f.memory.Open("a", "fresh"))
	return b
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, f *fleet, a, b *Book)
		want wire.Status
	}{
		{"begun at one", func(ctx context.Context, _ *fleet, a, _ *Book) {
			a.Began(ctx, id, start())
		}, wire.InProgress},
		{"checked at the other", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			time.Sleep(time.Second)
			b.Checked(ctx, id, false, 0)
			time.Sleep(time.Second)
			b.Checked(ctx, uuid, true, 0)
		}, wire.Succeeded},
		{"cancelled at one while the other is told", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			a.Ended(ctx, id, wire.Cancelled)
			b.Told(ctx, id, hook("failed"))
		}, wire.Cancelled},
		{"a webhook that comes twice", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			e := hook("failed")
			b.Told(ctx, id, e)
			time.Sleep(time.Minute)
			a.Told(ctx, id, e)
		}, wire.Failed},
		{"a webhook at the other", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			if known, _ := b.Told(ctx, uuid, hook("failed")); !known || b.Stats().Dropped != 0 {
				t.Error("the other does not know whose it is")
			}
			time.Sleep(time.Hour)
		}, wire.Failed},
		{"checked before the start is known", func(ctx context.Context, f *fleet, a, b *Book) {
			f.ways[0].away = true
			a.Began(ctx, id, start())
			b.Checked(ctx, id, true, 0)
			f.ways[0].away = false
			a.Retell(ctx)
		}, wire.Succeeded},
		{"triggered at the other, and over", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			time.Sleep(time.Minute)
			b.Triggered(ctx, id, 0)
			time.Sleep(4*time.Minute + margin)
		}, wire.Expired},
		{"triggered at the other, and not over", func(ctx context.Context, _ *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			time.Sleep(time.Minute)
			b.Triggered(ctx, id, 0)
			time.Sleep(4*time.Minute + margin - 1)
		}, wire.InProgress},
		{"the store is away, and told by the next search", func(ctx context.Context, f *fleet, a, _ *Book) {
			f.away(true)
			a.Began(ctx, id, start())
			time.Sleep(time.Minute)
			a.Checked(ctx, id, true, 0)
			time.Sleep(time.Hour)
			f.away(false)
			a.Find(ctx, id)
		}, wire.Succeeded},
		{"the store is away, and told with the next fact", func(ctx context.Context, f *fleet, a, _ *Book) {
			f.away(true)
			a.Began(ctx, id, start())
			time.Sleep(time.Minute)
			a.Checked(ctx, id, false, 0)
			f.away(false)
			a.Checked(ctx, id, true, 0)
		}, wire.Succeeded},
		{"the store is away, and told in time", func(ctx context.Context, f *fleet, a, _ *Book) {
			f.away(true)
			a.Began(ctx, id, start())
			a.Checked(ctx, id, true, 0)
			a.Retell(ctx)
			f.away(false)
			a.Retell(ctx)
		}, wire.Succeeded},
		{"the store takes it and does not say so", func(ctx context.Context, f *fleet, a, _ *Book) {
			f.ways[0].silent = true
			a.Began(ctx, id, start())
			a.Checked(ctx, id, true, 0)
			a.Retell(ctx)
			f.ways[0].silent = false
			a.Retell(ctx)
		}, wire.Succeeded},
		{"another store", func(ctx context.Context, f *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			f.memory = &store.Memory{}
			a.Share(f.memory.Open("a", "0"))
			b.Share(f.memory.Open("a", "1"))
			a.Retell(ctx)
		}, wire.InProgress},
		{"a store that has forgotten", func(ctx context.Context, f *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			b.Find(ctx, id)
			f.memory = &store.Memory{}
			f.ways[0].Logs, f.ways[1].Logs = f.memory.Open("a", "0"), f.memory.Open("a", "1")
			b.Find(ctx, id) // whoever knows
		}, wire.InProgress},
		{"the client has left", func(ctx context.Context, _ *fleet, a, _ *Book) {
			a.Began(ctx, id, start())
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			a.Checked(ctx, id, true, 0)
			if a.Stats().Untold != 0 {
				t.Error("the store is not told")
			}
		}, wire.Succeeded},
		{"the clocks differ", func(ctx context.Context, f *fleet, a, b *Book) {
			a.Began(ctx, id, start())
			// The same webhook, by the clock of a gateway that is slow.
			e := hook("failed")
			e.At = time.Time{}
			b.Told(ctx, id, e)
			e.ID = ""
			slow := fact{Kind: told, ID: of(&e), Event: &e}.now()
			slow.Shown -= 5000
			_ = f.memory.Open("a", "slow").Tell(ctx, logOf(id), [][]byte{slow.encode()}, maxLog, time.Hour)
		}, wire.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				c.do(t.Context(), f, f.books[0], f.books[1])
				f.everywhere(t, c.want)
				for i, b := range f.books {
					if s := b.Stats(); s.Untold != 0 || s.Lost != 0 {
						t.Errorf("Book %d has not told, or lost: %+v", i, s)
					}
				}
			})
		})
	}
}

// TestStoreAway has gateways go on alone.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.books[0], f.books[1]
		a.Began(t.Context(), id, start())
		b.Find(t.Context(), id)
		f.away(true)
		a.Checked(t.Context(), id, true, 0)
		if v, ok, _ := a.Find(t.Context(), id); !ok || v.Status() != wire.Succeeded {
			t.Errorf("who has checked says %v", v.Status())
		}
		if v, ok, _ := b.Find(t.Context(), id); !ok || v.Status() != wire.InProgress {
			t.Errorf("who has heard of it says %v", v.Status())
		}
		if _, ok, sure := b.Find(t.Context(), unknownID); ok || sure || b.Stats().Missed != 0 || b.Stats().Unread != 1 {
			t.Errorf("nobody can say who has begun that: %t, %+v", sure, b.Stats())
		}
		if s := a.Stats(); s.Untold != 1 {
			t.Errorf("%d are untold", s.Untold)
		}
		a.Share(nil)
		if s := a.Stats(); s.Untold != 0 {
			t.Errorf("%d are untold, and there is nobody to tell", s.Untold)
		}
	})
}

// TestNothingIsToldTwice counts what is asked of a store in good order.
func TestNothingIsToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.books[0], f.books[1]
		a.Began(t.Context(), id, start())
		b.Checked(t.Context(), id, false, 0)
		a.Told(t.Context(), id, hook("completed"))
		for range 10 {
			a.Find(t.Context(), id)
			b.Find(t.Context(), id)
			a.Retell(t.Context())
			isKnown(t.Context(), a, id)
		}
		if w := f.ways; w[0].tells != 2 || w[1].tells != 1 || w[0].reads != 10 || w[1].reads != 10 {
			t.Errorf("%d and %d told, %d and %d read", w[0].tells, w[1].tells, w[0].reads, w[1].reads)
		}
		if w := f.ways[1]; isKnown(t.Context(), b, unknownID) || w.reads != 11 || w.tells != 1 {
			t.Error("of an unknown verification it is asked otherwise than once")
		}
	})
}

// TestForgetful has a store that tells how often it has forgotten.
func TestForgetful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		logs := &forgetful{Logs: memory.Open("a", "0")}
		b := New(Settings{})
		b.Share(logs)
		b.Began(t.Context(), id, start())
		memory = &store.Memory{}
		logs.Logs, logs.forgot = memory.Open("a", "0"), 1
		b.Retell(t.Context())
		fresh := New(Settings{})
		fresh.Share(memory.Open("a", "1"))
		if !isKnown(t.Context(), fresh, id) {
			t.Error("the store was not told again")
		}
	})
}

type forgetful struct {
	store.Logs
	forgot uint64
}

func (f *forgetful) Stats() store.Stats { return store.Stats{Forgot: f.forgot} }

// TestSealed looks for what is secret in what a store is given by store.Shared.
func TestSealed(t *testing.T) {
	var memory store.Memory
	spy := &spied{Store: memory.Open("a", "0")}
	keys, err := store.NewKeys("a", strings.Repeat("k", store.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	a, b := New(Settings{}), New(Settings{})
	a.Share(store.NewShared(spy, keys))
	b.Share(store.NewShared(memory.Open("a", "1"), keys))
	a.Began(t.Context(), id, start())
	if v, ok, _ := b.Find(t.Context(), uuid); !ok || v.Status() != wire.InProgress {
		t.Errorf("the other finds %v (%v)", v.Status(), ok)
	}
	given := spy.given.String()
	if given == "" || strings.Contains(given, number) || strings.Contains(given, id) || strings.Contains(given, "sms") {
		t.Errorf("the store is shown %q", given)
	}
}

// spied is a store that notes what it is given.
type spied struct {
	store.Store
	given bytes.Buffer
}

func (s *spied) Tell(ctx context.Context, log store.Name, entries [][]byte, most int, life time.Duration) error {
	s.given.WriteString(log.ID)
	for _, e := range entries {
		s.given.Write(e)
	}
	return s.Store.Tell(ctx, log, entries, most, life)
}

func TestShareNothing(t *testing.T) {
	b := New(Settings{})
	var none *store.Shared
	b.Share(none)
	b.Began(t.Context(), id, start())
	b.Retell(t.Context())
	if !isKnown(t.Context(), b, id) {
		t.Error("it is not known")
	}
}

// TestDecode has what others tell that this version does not know, or that is broken.
func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"nothing", ""},
		{"no JSON", "{"},
		{"null", "null"},
		{"of a later version", `{"k":"sung","i":"x","t":1}`},
		{"without a name", `{"k":"check","t":1}`},
		{"with too long a name", `{"k":"check","i":"` + strings.Repeat("x", maxWord+1) + `"}`},
		{"a start of nothing", `{"k":"start","i":"start"}`},
		{"an end that is none", `{"k":"end","i":"x","e":"IN PROGRESS"}`},
		{"a webhook without one", `{"k":"hook","i":"x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f := decode([]byte(c.text), 0); f != nil {
				t.Errorf("it is read as a %s", f.Kind)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := decode([]byte(`{"k":"check","i":"x","t":1,"w":-5}`), -time.Hour)
		if f == nil || !f.at.Equal(time.Now()) {
			t.Error("what comes from the future is not of now")
		}
		many := decode([]byte(`{"k":"start","i":"start","s":{"c":[`+strings.Repeat(`"sms",`, 100)+`"sms"]}}`), 0)
		if many == nil || len(many.Start.Channels) != maxSteps {
			t.Error("there are too many steps")
		}
	})
}

// TestCallerOverGateways: who started a verification is known wherever it was started. What a gateway of an earlier version
// says, which knows nothing of callers, takes nothing away.
func TestCallerOverGateways(t *testing.T) {
	for _, earlierFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var memory store.Memory
			logs := memory.Open("account", "gateway")
			start := fact{Kind: begun, ID: string(begun), Start: &Start{Number: "447700900000"}}
			earlier := start.now()
			start.Start = &Start{Number: "447700900000", Caller: "login"}
			tell := func(f *fact) {
				if err := logs.Tell(t.Context(), logOf("aa"), [][]byte{f.encode()}, maxLog, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			if earlierFirst {
				tell(earlier)
			}
			tell(start.now())
			if !earlierFirst {
				tell(earlier)
			}
			b := New(Settings{})
			b.Share(logs)
			if here := b.CallerHere("AA"); here != "" {
				t.Errorf("without having asked it is %q", here)
			}
			if name, sure := b.Caller(t.Context(), "AA"); name != "login" || !sure {
				t.Errorf("it is %q (%t)", name, sure)
			}
			if here := b.CallerHere("aa"); here != "login" {
				t.Errorf("then it is %q", here)
			}
			if name, sure := b.Caller(t.Context(), "bb"); name != "" || !sure {
				t.Errorf("nobody's is %q (%t)", name, sure)
			}
		})
	}
}
