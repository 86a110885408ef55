package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var (
	budget = store.Name{Kind: store.Cap, ID: "account/day"}
	events = store.Name{Kind: store.Log, ID: "events"}
)

const keepFor = 25 * time.Hour

// teller is who tells of a budget with a cap of 100.
type teller struct {
	*world
	s   store.Store
	by  store.Mark
	seq uint64
}

func (w *world) teller(gateway string) *teller {
	return &teller{world: w, s: w.Open(gateway), by: store.Mark(gateway)}
}

// opened has a budget be known for so long that more can be granted.
func (w *world) opened() {
	w.Helper()
	w.teller("first").holds(0, 0, 0, store.Grant{})
	w.Pass(store.BudgetClosed + tick)
}

// book is the next one; spent is within one slice, which has just begun.
func (t *teller) book(spent, held, want int64) store.Book {
	t.seq++
	b := store.Book{By: t.by, Seq: t.seq, Cap: 100, Keep: keepFor, Held: held, Want: want}
	if spent > 0 {
		b.Spent = []store.Spent{{Slice: 7, Amount: spent}}
	}
	return b
}

func (t *teller) holds(spent, held, want int64, expect store.Grant) {
	t.Helper()
	t.tells(t.book(spent, held, want), expect)
}

func (t *teller) tells(b store.Book, expect store.Grant) {
	t.Helper()
	if got := must[store.Grant](t.world)(t.s.Hold(t.Context(), budget, b)); got != expect {
		t.Errorf("%s is granted %+v, want %+v", t.by, got, expect)
	}
}

var budgets = []behaviour{
	{"together they hold and spend no more than the cap", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		a.holds(0, 0, 60, store.Grant{Held: 60})
		b.holds(0, 0, 60, store.Grant{Held: 40, OthersHeld: 60})
		a.holds(30, 30, 60, store.Grant{Held: 30, OthersHeld: 40})
		a.holds(30, 30, 10, store.Grant{Held: 10, OthersHeld: 40})
		b.holds(0, 40, 70, store.Grant{Held: 60, OthersSpent: 30, OthersHeld: 10})
		a.holds(50, 10, 20, store.Grant{Held: 10, OthersHeld: 60}) // more was spent than held
		b.holds(5, 60, 70, store.Grant{Held: 60, OthersSpent: 50, OthersHeld: 10})
		b.holds(5, 30, 20, store.Grant{Held: 20, OthersSpent: 50, OthersHeld: 10})
		a.holds(50, 10, 100, store.Grant{Held: 25, OthersSpent: 5, OthersHeld: 20})
	}},
	{"budgets are apart", func(w *world) {
		w.opened()
		a := w.teller("a")
		a.holds(10, 0, 60, store.Grant{Held: 60})
		other := store.Name{Kind: store.Cap, ID: "account/month"}
		b := w.teller("b").book(0, 5, 60)
		if g := must[store.Grant](w)(a.s.Hold(w.Context(), other, b)); g != (store.Grant{Held: 5}) {
			w.Errorf("of another budget: %+v", g)
		}
	}},
	{"a book that is told twice, or late, changes nothing", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		first := a.book(10, 0, 60)
		a.tells(first, store.Grant{Held: 60})
		b.holds(0, 0, 10, store.Grant{Held: 10, OthersSpent: 10, OthersHeld: 60})
		a.tells(first, store.Grant{Held: 60, OthersHeld: 10})
		second := a.book(30, 40, 20)
		a.tells(second, store.Grant{Held: 20, OthersHeld: 10})
		b.holds(0, 10, 50, store.Grant{Held: 50, OthersSpent: 30, OthersHeld: 20})
		a.tells(second, store.Grant{Held: 20, OthersHeld: 50})
		a.tells(first, store.Grant{Held: 0, OthersHeld: 50}) // nobody waits for the answer
		b.holds(0, 50, 50, store.Grant{Held: 50, OthersSpent: 30, OthersHeld: 20})
	}},
	{"what is spent counts for as long as it is to", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		book := a.book(10, 0, 0)
		book.Spent = append(book.Spent, store.Spent{Slice: 6, Age: keepFor - time.Second, Amount: 20}, store.Spent{Slice: 5, Age: keepFor, Amount: 40})
		a.tells(book, store.Grant{})
		b.holds(0, 0, 10, store.Grant{Held: 10, OthersSpent: 30})
		w.Pass(time.Second + tick)
		b.holds(0, 10, 10, store.Grant{Held: 10, OthersSpent: 10})
		w.long(keepFor)
		b.holds(0, 10, 100, store.Grant{Held: 100})
	}},
	{"who leaves holds nothing, and has spent what he has", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		a.holds(10, 0, 60, store.Grant{Held: 60})
		a.holds(25, 0, 0, store.Grant{})
		b.holds(0, 0, 100, store.Grant{Held: 75, OthersSpent: 25})
	}},
	{"what the dead held counts as spent, until it would not", func(w *world) {
		w.opened()
		a, b := w.teller("dead"), w.teller("b")
		a.holds(10, 0, 60, store.Grant{Held: 60})
		b.holds(0, 0, 100, store.Grant{Held: 30, OthersSpent: 10, OthersHeld: 60})
		w.long(store.Gone)
		b.holds(0, 30, 100, store.Grant{Held: 30, OthersSpent: 70})
		w.Pass(keepFor - store.Gone - time.Second)
		b.holds(0, 30, 100, store.Grant{Held: 30, OthersSpent: 70})
		w.Pass(time.Second)
		b.holds(0, 30, 100, store.Grant{Held: 100})
	}},
	{"who comes back has what he says", func(w *world) {
		w.opened()
		a, b := w.teller("cut"), w.teller("b")
		a.holds(10, 0, 60, store.Grant{Held: 60})
		w.long(time.Hour)
		b.holds(0, 0, 100, store.Grant{Held: 30, OthersSpent: 70})
		a.holds(20, 50, 0, store.Grant{OthersHeld: 30})
		b.holds(0, 30, 100, store.Grant{Held: 80, OthersSpent: 20})
	}},
	{"a store that knows nothing grants nothing for a while", func(w *world) {
		a, b := w.teller("a"), w.teller("b")
		a.holds(20, 30, 60, store.Grant{Held: 30})
		b.holds(0, 0, 60, store.Grant{OthersSpent: 20, OthersHeld: 30})
		b.holds(0, 10, 5, store.Grant{Held: 5, OthersSpent: 20, OthersHeld: 30})
		w.Pass(store.BudgetClosed + tick)
		b.holds(0, 5, 60, store.Grant{Held: 50, OthersSpent: 20, OthersHeld: 30})
	}},
	{"what nobody tells again since it was forgotten counts as spent", func(w *world) {
		a, b, late := w.teller("a"), w.teller("b"), w.teller("late")
		book := a.book(20, 10, 10)
		book.Others = 50 // 40 of the late one, and 10 of one that is dead
		a.tells(book, store.Grant{Held: 10, OthersSpent: 50})
		w.Pass(store.BudgetClosed + tick)
		b.holds(0, 0, 100, store.Grant{Held: 20, OthersSpent: 70, OthersHeld: 10})
		late.holds(30, 10, 0, store.Grant{OthersSpent: 30, OthersHeld: 30})
		b.holds(0, 20, 100, store.Grant{Held: 30, OthersSpent: 60, OthersHeld: 10})
		w.long(keepFor)
		b.holds(0, 30, 100, store.Grant{Held: 100})
	}},
	{"what all tell again is not lost", func(w *world) {
		a, b := w.teller("a"), w.teller("b")
		for i, t := range []*teller{a, b} {
			book := t.book(20, 10, 10)
			book.Others = 30
			t.tells(book, store.Grant{Held: 10, OthersSpent: 30 - 10*int64(i), OthersHeld: 10 * int64(i)})
		}
		w.Pass(store.BudgetClosed + tick)
		a.holds(20, 10, 100, store.Grant{Held: 50, OthersSpent: 20, OthersHeld: 10})
	}},
	{"a store that has gone back in time grants nothing for a while", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		b.holds(0, 0, 0, store.Grant{})
		a.holds(0, 0, 60, store.Grant{Held: 60})
		a.seq += 10 // what was told in between is gone
		book := a.book(20, 70, 70)
		book.Answered = a.seq - 1
		a.tells(book, store.Grant{Held: 70})
		b.holds(0, 0, 60, store.Grant{OthersSpent: 20, OthersHeld: 70})
		w.Pass(store.BudgetClosed + tick)
		b.holds(0, 0, 60, store.Grant{Held: 10, OthersSpent: 20, OthersHeld: 70})
		b.holds(0, 10, 0, store.Grant{OthersSpent: 20, OthersHeld: 70})
		unknown := w.teller("unknown")
		book = unknown.book(0, 5, 10)
		book.Seq, book.Answered = 2, 1
		unknown.tells(book, store.Grant{Held: 5, OthersSpent: 20, OthersHeld: 70})
	}},
	{"amounts may be large", func(w *world) {
		w.opened()
		a, b := w.teller("a"), w.teller("b")
		book := a.book(store.MaxAmount/4+1, 0, store.MaxAmount/4)
		book.Cap = store.MaxAmount
		a.tells(book, store.Grant{Held: store.MaxAmount / 4})
		book = b.book(0, 0, store.MaxAmount)
		book.Cap = store.MaxAmount
		b.tells(book, store.Grant{Held: store.MaxAmount/2 - 1, OthersSpent: store.MaxAmount/4 + 1, OthersHeld: store.MaxAmount / 4})
	}},
	{"gateways are told apart up to a number, and all that they have spent counts", func(w *world) {
		w.opened()
		const n, most = 3 * store.MaxGateways, int64(store.MaxGateways) - 1
		for i := range int64(n) {
			w.teller(fmt.Sprint("g", i)).tells(store.Book{
				By: store.Mark(fmt.Sprint(i)), Seq: 1, Cap: 10_000, Keep: keepFor, Spent: []store.Spent{{Amount: 2}}, Want: 1,
			}, store.Grant{Held: 1, OthersSpent: 2*i + max(0, i-most), OthersHeld: min(i, most)})
		}
		w.long(keepFor - time.Second)
		last := w.teller("last")
		last.holds(0, 0, 0, store.Grant{OthersSpent: 3 * n})
		w.Pass(2 * keepFor / store.Pasts)
		last.holds(0, 0, 0, store.Grant{})
	}},
}

// reads compares the values of a log after a position, and returns where they end.
func (w *world) reads(s store.Store, after store.Position, most int, want ...string) store.Position {
	w.Helper()
	got := make([]string, 0, most)
	for _, e := range must[[]store.Entry](w)(s.Read(w.Context(), events, after, most)) {
		if e.Age < 0 || e.Age > 10*time.Second {
			w.Errorf("%q is %v old", e.Value, e.Age)
		}
		got, after = append(got, string(e.Value)), e.Position
	}
	if !slices.Equal(got, want) {
		w.Errorf("it reads %q, want %q", got, want)
	}
	return after
}

func (w *world) tell(s store.Store, most int, values ...string) {
	w.Helper()
	entries := make([][]byte, len(values))
	for i, v := range values {
		entries[i] = []byte(v)
	}
	w.ok(s.Tell(w.Context(), events, entries, most, time.Hour))
}

var logs = []behaviour{
	{"what one tells, all read, in its order and once", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		at := w.reads(b, "", 10)
		w.tell(a, 100, "one", "two")
		w.tell(b, 100, "three\x00")
		at = w.reads(b, at, 2, "one", "two")
		at = w.reads(b, at, 2, "three\x00")
		at = w.reads(b, at, 2)
		w.tell(a, 100, "four")
		w.reads(b, at, 10, "four")
		w.reads(a, "", 10, "one", "two", "three\x00", "four")
		w.tell(a, 100)
	}},
	{"entries have an age", func(w *world) {
		a := w.Open("a")
		w.tell(a, 10, "one")
		w.Pass(4 * tick)
		if e := must[[]store.Entry](w)(a.Read(w.Context(), events, "", 10)); len(e) != 1 || e[0].Age < 4*tick-time.Millisecond || e[0].Age > 2*time.Second {
			w.Errorf("%+v", e)
		}
	}},
	{"the newest are kept", func(w *world) {
		a := w.Open("a")
		w.tell(a, 3, "one", "two")
		at := w.reads(a, "", 1, "one")
		w.tell(a, 3, "three", "four", "five")
		w.reads(a, "", 10, "three", "four", "five")
		w.reads(a, at, 10, "three", "four", "five")
	}},
	{"each is kept for its life", func(w *world) {
		a := w.Open("a")
		w.tell(a, 10, "one")
		w.long(40 * time.Minute)
		w.tell(a, 10, "two")
		w.Pass(20*time.Minute + time.Second)
		w.tell(a, 10, "three")
		got := make([]string, 0, 3)
		for _, e := range must[[]store.Entry](w)(a.Read(w.Context(), events, "", 10)) {
			got = append(got, string(e.Value))
		}
		if !slices.Equal(got, []string{"two", "three"}) {
			w.Errorf("%q", got)
		}
		w.Pass(2 * time.Hour)
		w.reads(a, "", 10)
	}},
	{"logs are apart", func(w *world) {
		a := w.Open("a")
		w.ok(a.Tell(w.Context(), store.Name{Kind: store.Log, ID: "others"}, [][]byte{[]byte("one")}, 10, time.Hour))
		w.reads(a, "", 10)
	}},
}
