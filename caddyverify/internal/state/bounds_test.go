package state

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// known are those of some ids that a Book knows.
func known(t *testing.T, b *Book, ids ...string) (found []string) {
	t.Helper()
	for _, id := range ids {
		if isKnown(t.Context(), b, id) {
			found = append(found, id)
		}
	}
	return found
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := New(Settings{MaxEntries: 4})
		long := start()
		long.Wait = 15 * time.Minute
		b.Began(ctx, "long", long)
		b.Began(ctx, "short", start())
		b.Began(ctx, "first", start())
		b.Began(ctx, "second", start())
		time.Sleep(time.Second)
		b.Checked(ctx, "first", true, 0)
		time.Sleep(time.Second)
		b.Checked(ctx, "second", true, 0)
		for i, c := range []struct {
			lost, want string
			stats      Stats
		}{
			{"first", "[long short second]", Stats{Entries: 4, Lost: 1}},
			{"second", "[long short]", Stats{Entries: 4, Lost: 2}},
			{"short", "[long]", Stats{Entries: 4, Lost: 3, LostRunning: 1}},
		} {
			b.Began(ctx, fmt.Sprint("new", i), long)
			if got := fmt.Sprint(known(t, b, "long", "short", "first", "second")); got != c.want || b.Stats() != c.stats {
				t.Errorf("after %s there are %s and %+v, want %s and %+v", c.lost, got, b.Stats(), c.want, c.stats)
			}
		}
		for i := range 100 {
			b.Told(ctx, fmt.Sprint("nobody's", i), hook("failed"))
		}
		if s := b.Stats(); len(known(t, b, "long", "new0", "new1", "new2")) != 4 || s.Dropped != 100 || s.Lost != 3 || s.LostRunning != 1 {
			t.Errorf("webhooks of others push out what is known: %+v", s)
		}
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := New(Settings{Keep: time.Hour})
		b.Share(&shelf{away: true})
		b.Began(ctx, "ended", start())
		b.Began(ctx, "expires", start())
		b.Checked(ctx, "ended", true, 0)
		b.Checked(ctx, "unbegun", true, 0)
		time.Sleep(time.Hour - 1)
		if got := fmt.Sprint(known(t, b, "ended", "expires")); got != "[ended expires]" || b.Stats().Entries != 3 || b.Stats().Untold != 3 {
			t.Errorf("%s and %+v before the hour is over", got, b.Stats())
		}
		time.Sleep(time.Nanosecond)
		if got := fmt.Sprint(known(t, b, "ended", "expires")); got != "[expires]" || b.Stats().Entries != 1 {
			t.Errorf("%s and %+v after an hour", got, b.Stats())
		}
		time.Sleep(6*time.Minute + margin)
		if s := b.Stats(); (s != Stats{Unread: 1}) {
			t.Errorf("%+v at last", s)
		}
		if len(b.records.byNumber) != 0 || len(b.pending) != 0 {
			t.Error("numbers are still found")
		}
	})
}

// TestEarly has webhooks say when it was.
func TestEarly(t *testing.T) {
	for _, c := range []struct {
		name      string
		at, since time.Duration // ago; 0 is not told
		want      bool
	}{
		{"just now", time.Second, time.Hour, true},
		{"a minute ago", orphan, time.Second, false},
		{"nearly a minute ago", orphan - 1, 0, true},
		{"in a little while, by another clock", -time.Second, 0, true},
		{"in the future", -orphan, time.Second, false},
		{"in a year", -365 * 24 * time.Hour, 0, false},
		{"not over, and begun just now", 0, time.Second, true},
		{"not over, and begun a minute ago", 0, orphan, false},
		{"not over, and begun in the future", 0, -orphan, false},
		{"never", 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ago := func(d time.Duration) (at time.Time) {
					if d != 0 {
						at = time.Now().Add(-d)
					}
					return at
				}
				if e := (Event{At: ago(c.at), Since: ago(c.since)}); e.Early() != c.want {
					t.Errorf("early: %t", e.Early())
				}
			})
		})
	}
}

// TestEarlyWebhook has a webhook come before the answer to the request.
func TestEarlyWebhook(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		want  wire.Status
	}{
		{"just before", time.Second, wire.Failed},
		{"long before", orphan, wire.InProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				b := f.books[0]
				if known, sure := b.Told(t.Context(), id, hook("blocked")); known || !sure || b.Stats().Dropped != 1 || f.ways[0].tells != 0 {
					t.Error("an unknown verification is told of")
				}
				if _, ok, _ := b.Find(t.Context(), id); ok {
					t.Error("an unknown verification is found")
				}
				time.Sleep(c.after)
				b.Began(t.Context(), id, start())
				f.everywhere(t, c.want)
			})
		})
	}
}

// A gateway that was asked to check what another has begun may know of its end before it knows of its
// beginning. What webhooks alone tell is of no such account.
func TestOwn(t *testing.T) {
	b := New(Settings{})
	b.Told(t.Context(), id, Event{ID: id, Type: "summary", Status: "completed"})
	if b.Own(id) || b.Here(id) {
		t.Error("a webhook makes it one's own")
	}
	b.Checked(t.Context(), id, true, 0)
	if !b.Own(id) || b.Here(id) {
		t.Error("a check does not")
	}
	b.Began(t.Context(), id, Start{Number: "447700900000"})
	if !b.Own(strings.ToUpper(id)) || !b.Here(id) {
		t.Error("it has begun")
	}
}

func TestTooManyFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		b := f.books[0]
		for range 1000 {
			b.Checked(t.Context(), id, false, 0)
			time.Sleep(time.Millisecond)
		}
		b.Began(t.Context(), id, start())
		b.Checked(t.Context(), id, true, 0)
		f.everywhere(t, wire.Succeeded)
		if s := b.Stats(); s.Full != 1000-maxOther {
			t.Errorf("%d were left out", s.Full)
		}
	})
}

func TestUnknownWord(t *testing.T) {
	b := New(Settings{})
	b.Began(t.Context(), id, start())
	b.Told(t.Context(), id, hook("action_pending"))
	if known, _ := b.Told(t.Context(), id, hook("in_limbo")); !known || b.Stats().Unknown != 1 {
		t.Errorf("%+v", b.Stats())
	}
	b.Told(t.Context(), id, Event{Type: "rumour", Status: "completed"})
	if v, _, _ := b.Find(t.Context(), id); v.Status() != wire.InProgress || b.Stats().Unknown != 2 {
		t.Errorf("%v and %+v", v.Status(), b.Stats())
	}
}

func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := New(Settings{})
		running := func(want string) {
			t.Helper()
			if got, ok := b.Running("+44 7700 900000"); got != want || ok != (want != "") {
				t.Errorf("%q is under way (%v), want %q", got, ok, want)
			}
		}
		cancelled := func(want time.Duration) {
			t.Helper()
			if got, ok := b.Cancelled(number); got != want || ok != (want >= 0) && want > 0 {
				t.Errorf("cancelled %v ago (%v), want %v", got, ok, want)
			}
		}
		running("")
		cancelled(0)
		b.Began(ctx, "one", start())
		time.Sleep(time.Second)
		b.Began(ctx, "two", start())
		running("two")
		b.Ended(ctx, "two", wire.Cancelled)
		time.Sleep(10 * time.Second)
		running("one")
		cancelled(10 * time.Second)
		b.Ended(ctx, "one", wire.Cancelled)
		time.Sleep(5 * time.Second)
		running("")
		cancelled(5 * time.Second)
		for i := range 3 * maxOfNumber {
			b.Began(ctx, fmt.Sprint("many", i), start())
			time.Sleep(time.Second)
		}
		b.Checked(ctx, "one", false, 0) // one that is found no more
		running(fmt.Sprint("many", 3*maxOfNumber-1))
		for i := 2*maxOfNumber + 1; i < 3*maxOfNumber; i++ {
			b.Ended(ctx, fmt.Sprint("many", i), wire.Failed)
		}
		running(fmt.Sprint("many", 2*maxOfNumber))
		if n := len(b.records.byNumber[number]); n != maxOfNumber {
			t.Errorf("%d are found by their number", n)
		}
		time.Sleep(time.Hour)
		running("")
	})
}

func TestVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, begin := t.Context(), time.Now()
		b := New(Settings{})
		b.Began(ctx, uuid, start())
		v, _, _ := b.Find(ctx, id)
		if v.RequestID() != id || v.Messages() != 1 || v.Until().Sub(begin) != 6*time.Minute+margin {
			t.Errorf("%s with %d messages until %v", v.RequestID(), v.Messages(), v.Until())
		}
		time.Sleep(2 * time.Minute)
		if v.Age() != 2*time.Minute || v.Messages() != 2 {
			t.Errorf("%d messages after %v", v.Messages(), v.Age())
		}
		e := hook("blocked")
		e.Network, e.Price = "23415", "0.03"
		b.Told(ctx, id, e)
		time.Sleep(time.Hour)
		if v.Status() != wire.Expired || !v.Until().IsZero() {
			t.Errorf("what was found is %v until %v", v.Status(), v.Until())
		}
		v, _, _ = b.Find(ctx, id)
		if v.Status() != wire.Failed || !v.Until().IsZero() || v.Messages() != 2 || v.Network() != "23415" || v.Price() != "0.03" {
			t.Errorf("%v until %v with %d messages, %q and %q", v.Status(), v.Until(), v.Messages(), v.Network(), v.Price())
		}
	})
}

// TestDefaults has nobody say how long steps last and how many there are.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Settings{})
		b.Began(t.Context(), id, Start{})
		v, _, _ := b.Find(t.Context(), id)
		time.Sleep(defaultSteps*defaultWait + margin - 1)
		if v.Status() != wire.InProgress {
			t.Errorf("it is %v", v.Status())
		}
		time.Sleep(time.Nanosecond)
		if v.Status() != wire.Expired {
			t.Errorf("it is %v", v.Status())
		}
	})
}

// TestTogether is for the race detector.
func TestTogether(t *testing.T) {
	f := newFleet()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			b := f.books[i%2]
			for n := range 15 {
				id := fmt.Sprint("id", n%5)
				b.Began(t.Context(), id, start())
				b.Checked(t.Context(), id, n%3 == 0, 0)
				b.Told(t.Context(), id, hook("failed"))
				v, _, _ := b.Find(t.Context(), id)
				_ = v.Status()
				b.Running(number)
				b.Cancelled(number)
				b.Retell(t.Context())
				b.Stats()
			}
		})
	}
	all.Wait()
}

// TestFullBook has the store know what there is no room for.
func TestFullBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := newFleet()
		f.books[0].Began(ctx, id, start())
		full := New(Settings{MaxEntries: 3})
		full.Share(f.ways[1])
		long := start()
		long.Wait = 15 * time.Minute
		for i := range 3 {
			full.Began(ctx, fmt.Sprint("long", i), long)
		}
		if !isKnown(ctx, full, id) {
			t.Error("it is not known")
		}
		if v, ok, _ := full.Find(ctx, id); !ok || v.Status() != wire.InProgress {
			t.Errorf("it is %v (%v)", v.Status(), ok)
		}
		if known, _ := full.Told(ctx, id, hook("failed")); !known || full.Stats().Dropped != 0 {
			t.Error("a webhook about it is dropped")
		}
		f.everywhere(t, wire.Failed)
		if v, ok, _ := full.Find(ctx, id); !ok || v.Status() != wire.Failed {
			t.Errorf("it is %v (%v) at last", v.Status(), ok)
		}
		if s := full.Stats(); s.Entries != 3 || s.Untold != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(25 * time.Hour)
		if _, ok, _ := full.Find(ctx, id); ok {
			t.Error("it is found after its time")
		}
	})
}
