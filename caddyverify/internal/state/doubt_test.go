package state

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestInDoubt has each row happen to a verification that has begun, and be told to two Books.
func TestInDoubt(t *testing.T) {
	const (
		life = 6 * time.Minute
		took = 10 * time.Second
	)
	over := func() { time.Sleep(life + margin) }
	for _, c := range []struct {
		name string
		do   func(t *testing.T, b *Book)
		want wire.Status
	}{
		{"while it may run", func(t *testing.T, b *Book) { b.Doubted(t.Context(), id, took) }, wire.InProgress},
		{"by another spelling", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), uuid, took)
			b.Gone(t.Context(), uuid, 0)
		}, wire.NoResponse},
		{"and then gone", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
		}, wire.NoResponse},
		{"gone without a doubt", func(t *testing.T, b *Book) { b.Gone(t.Context(), id, 0) }, wire.InProgress},
		{"gone without a doubt, and over", func(t *testing.T, b *Book) {
			b.Gone(t.Context(), id, 0)
			over()
		}, wire.Expired},
		{"gone, and in doubt later", func(t *testing.T, b *Book) {
			b.Gone(t.Context(), id, 0)
			time.Sleep(time.Second)
			b.Doubted(t.Context(), id, 0)
		}, wire.InProgress},
		{"over by the clock", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			over()
		}, wire.NoResponse},
		{"not yet over by the clock", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			time.Sleep(life + margin - 1)
		}, wire.InProgress},
		{"when it was over", func(t *testing.T, b *Book) {
			over()
			b.Doubted(t.Context(), id, 0)
		}, wire.Expired},
		{"when it was nearly over", func(t *testing.T, b *Book) {
			over()
			b.Doubted(t.Context(), id, 1)
		}, wire.NoResponse},
		{"a wrong code afterwards", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			time.Sleep(time.Minute)
			b.Checked(t.Context(), id, false, time.Minute-1)
			over()
		}, wire.Expired},
		{"a wrong code at the same time", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			time.Sleep(time.Minute)
			b.Checked(t.Context(), id, false, time.Minute)
			b.Gone(t.Context(), id, 0)
		}, wire.NoResponse},
		{"the next message afterwards", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			time.Sleep(time.Second)
			b.Triggered(t.Context(), id, 0)
			over()
		}, wire.Expired},
		{"gone, and yet a wrong code", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
			time.Sleep(time.Second)
			b.Checked(t.Context(), id, false, 0)
		}, wire.InProgress},
		{"a wrong code, and again", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
			time.Sleep(time.Second)
			b.Checked(t.Context(), id, false, 0)
			time.Sleep(time.Second)
			b.Doubted(t.Context(), id, 0)
		}, wire.InProgress},
		{"a right code after all", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Checked(t.Context(), id, true, 0)
			over()
		}, wire.Succeeded},
		{"told completed", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
			b.Told(t.Context(), id, hook("completed"))
		}, wire.Succeeded},
		{"told blocked", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
			b.Told(t.Context(), id, hook("blocked"))
		}, wire.Failed},
		{"told expired", func(t *testing.T, b *Book) {
			b.Doubted(t.Context(), id, took)
			over()
			b.Told(t.Context(), id, hook("expired"))
		}, wire.Expired},
		{"cancelled, and again without an answer", func(t *testing.T, b *Book) {
			b.Ended(t.Context(), id, wire.Cancelled)
			b.Doubted(t.Context(), id, took)
			b.Gone(t.Context(), id, 0)
		}, wire.Cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.books[0].Began(t.Context(), id, start())
				c.do(t, f.books[0])
				f.everywhere(t, c.want)
			})
		})
	}
}

// TestInDoubtInAList: of those of which nobody knows how they have ended a search for several says as little
// as of those that there are not.
func TestInDoubtInAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Settings{})
		b.Began(t.Context(), id, start())
		b.Began(t.Context(), otherID, start())
		b.Doubted(t.Context(), id, 0)
		call := wire.SearchFor(wire.JSON, []string{id, otherID}, true)
		if a := search(t.Context(), b, call); len(a.Found) != 2 {
			t.Errorf("while both run: %s", a.Body)
		}
		b.Gone(t.Context(), id, 0)
		if a := search(t.Context(), b, call); len(a.Found) != 1 || a.Found[0].RequestID != otherID {
			t.Errorf("when one is over: %s", a.Body)
		}
	})
}

// TestInDoubtElsewhere: what is in doubt at one gateway is at the others, also when these see that it is over.
func TestInDoubtElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.books[0].Began(t.Context(), id, start())
		f.books[1].Doubted(t.Context(), id, 0) // which has not heard of it yet
		f.everywhere(t, wire.InProgress)
		f.fresh().Gone(t.Context(), id, 0)
		f.everywhere(t, wire.NoResponse)
	})
}

// TestNobodysDoubt: a check of what nobody here has begun leaves nothing, unless the store cannot say that.
func TestNobodysDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		b := f.books[0]
		b.Doubted(t.Context(), id, 0)
		if s := b.Stats(); s.Entries != 0 || f.ways[0].tells != 0 {
			t.Errorf("%+v, and the store was told %d times", s, f.ways[0].tells)
		}
		f.away(true)
		b.Doubted(t.Context(), id, 0)
		f.away(false)
		f.books[1].Began(t.Context(), id, start())
		b.Retell(t.Context())
		time.Sleep(7 * time.Minute)
		f.everywhere(t, wire.NoResponse)
	})
}

// TestGoneOnce: that one is gone is noted once, however often it is checked, and one that nobody has begun is not one
// that was searched for.
func TestGoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Settings{})
		b.Gone(t.Context(), id, 0)
		if s := b.Stats(); s.Missed != 0 || s.Entries != 0 {
			t.Errorf("%+v", s)
		}
		b.Began(t.Context(), id, start())
		b.Doubted(t.Context(), id, 0)
		for range 100 {
			b.Gone(t.Context(), id, 0)
		}
		if n := len(b.records.byID[id].facts); n != 3 {
			t.Errorf("%d facts are kept", n)
		}
	})
}
