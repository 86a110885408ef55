package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var fence = []behaviour{
	{"an entry is found by others, with its age", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		f := w.look(a)
		if f.Entry != nil || f.Hold || f.Token == "" {
			w.Fatalf("of what nobody knows: %+v", f)
		}
		w.keep(a, f.Token, "state", true)
		w.Pass(tick)
		got := w.look(b)
		if string(got.Entry) != "state" || got.Age < tick || got.Age > 2*time.Second || got.Left > 10*time.Second-tick || got.Left < 8*time.Second {
			w.Errorf("found %+v", got)
		}
		if other := must[store.Found](w)(b.Look(w.Context(), id, "xml")); other.Entry != nil || other.Token != f.Token {
			w.Errorf("another field: %+v, want no entry and the same token", other)
		}
	}},
	{"bytes come back as they are", func(w *world) {
		a := w.Open("a")
		v := make([]byte, 256)
		for i := range v {
			v[i] = byte(i)
		}
		w.keep(a, w.look(a).Token, string(v), true)
		if got := w.look(a).Entry; !bytes.Equal(got, v) {
			w.Errorf("got %x", got)
		}
	}},
	{"a search that a check overtakes stores nothing", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		token := w.look(a).Token
		m := w.before(b, 10*time.Second)
		w.keep(a, token, "old", false)
		w.after(b, m)
		w.keep(a, token, "old", false)
		w.sees(a, "")
		w.keep(a, w.look(a).Token, "new", true)
	}},
	{"a check drops what there is, at both its ends", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		w.keep(a, w.look(a).Token, "old", true)
		m := w.before(b, 10*time.Second)
		f := w.look(a)
		if f.Entry != nil || !f.Hold {
			w.Errorf("during the check: %+v", f)
		}
		w.keep(a, f.Token, "during", false)
		w.after(b, m)
		w.keep(a, f.Token, "during", false)
		if f := w.look(a); f.Entry != nil || f.Hold {
			w.Errorf("after the check: %+v", f)
		}
	}},
	{"the first of two checks at once does not lift the second's mark", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		one, two := w.before(a, 10*time.Second), w.before(b, 10*time.Second)
		w.after(a, one)
		if f := w.look(a); !f.Hold {
			w.Error("nothing is held though a check is under way")
		} else {
			w.keep(a, f.Token, "during", false)
		}
		w.after(b, two)
		w.keep(a, w.look(a).Token, "after", true)
	}},
	{"the mark of a gateway that died runs out", func(w *world) {
		a := w.Open("a")
		w.before(w.Open("dead"), 4*tick)
		f := w.look(a)
		w.keep(a, f.Token, "during", false)
		w.Pass(5 * tick)
		if f := w.look(a); f.Hold {
			w.Fatal("it is held for ever")
		}
		w.keep(a, f.Token, "after", true)
	}},
	{"many checks at once end in time", func(w *world) {
		a := w.Open("a")
		marks := make([]store.Mark, 3*store.MaxEntries)
		for i := range marks {
			marks[i] = w.before(a, time.Second)
		}
		for _, m := range marks[1:] {
			w.after(a, m)
		}
		if !w.look(a).Hold {
			w.Error("nothing is held though a check is under way")
		}
		w.after(a, marks[0])
		w.Pass(time.Second + tick)
		if w.look(a).Hold {
			w.Error("it is held for ever")
		}
	}},
	{"entries are bounded", func(w *world) {
		a := w.Open("a")
		token, kept := w.look(a).Token, 0
		for i := range 2 * store.MaxEntries {
			if must[bool](w)(a.Keep(w.Context(), id, token, store.Field(fmt.Sprint(i)), []byte("v"), time.Second)) {
				kept++
			}
		}
		if kept != store.MaxEntries {
			w.Errorf("%d entries were kept", kept)
		}
	}},
	{"an entry is over when its life is", func(w *world) {
		a := w.Open("a")
		if !must[bool](w)(a.Keep(w.Context(), id, w.look(a).Token, json, []byte("v"), tick)) {
			w.Fatal("it was not kept")
		}
		w.sees(a, "v")
		w.Pass(2 * tick)
		w.sees(a, "")
	}},
	{"scripts that run twice or late do no harm", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m := w.before(a, 4*tick)
		w.after(a, m)
		w.after(a, m)
		token := w.look(b).Token
		w.keep(b, token, "new", true)
		w.keep(b, token, "new", true)
		must[store.Known](w)(a.Before(w.Context(), id, m, 4*tick)) // only now, after its After
		w.sees(b, "")
		w.keep(b, w.look(b).Token, "held", false)
		w.Pass(5 * tick)
		w.keep(b, w.look(b).Token, "newer", true)
	}},
	{"checks are told, searches are not", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		w.keep(a, w.look(a).Token, "old", true)
		e := w.listen(b)
		w.look(a)
		w.keep(a, w.look(a).Token, "old", true)
		m := w.before(a, 10*time.Second)
		w.hears(e, id)
		w.Pass(tick)
		w.after(a, m)
		w.hears(e, id)
		w.keep(a, w.look(a).Token, "new", true)
		w.look(b)
		w.Pass(tick)
		w.heardNothing(e, w.hidden(id))
	}},
	{"what was only looked for is soon forgotten, and what is known is not", func(w *world) {
		a := w.Open("a")
		token := w.look(a).Token
		w.long(store.Glance + time.Second)
		w.keep(a, token, "v", false)
		token = w.look(a).Token
		if kept, err := a.Keep(w.Context(), id, token, "json", []byte("v"), 5*time.Minute); err != nil || !kept {
			w.Fatal(kept, err)
		}
		w.look(a)
		w.long(store.Glance + time.Second)
		if f := must[store.Found](w)(a.Look(w.Context(), id, "json")); string(f.Entry) != "v" || f.Token != token {
			w.Errorf("then %+v", f)
		}
	}},
	{"all that is known of a verification ends", func(w *world) {
		a := w.Open("a")
		token := w.look(a).Token
		w.keep(a, token, "v", true)
		w.long(store.Life + time.Minute)
		w.keep(a, token, "v", false)
		if f := w.look(a); f.Token == token || f.Entry != nil {
			w.Errorf("after its life: %+v", f)
		}
	}},
}

var ledger = []behaviour{
	{"how it started is known to others, and to checks", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		w.ok(a.Begin(w.Context(), id, []byte("start"), time.Hour))
		w.ok(b.Begin(w.Context(), id, []byte("another"), time.Hour))
		w.Pass(tick)
		if f := w.look(b); string(f.Start) != "start" || f.Begun < tick || f.Begun > 2*time.Second || f.Finished {
			w.Errorf("a search knows %+v", f.Known)
		}
		m := store.NewMark()
		if k := must[store.Known](w)(b.Before(w.Context(), id, m, time.Second)); string(k.Start) != "start" || k.Begun < tick || k.Finished {
			w.Errorf("a check knows %+v", k)
		}
		w.after(b, m)
		w.long(30 * time.Minute)
		if f := w.look(b); string(f.Start) != "start" {
			w.Errorf("after half an hour: %+v", f.Known)
		}
		w.Pass(2 * time.Hour)
		if f := w.look(b); f.Start != nil {
			w.Errorf("after hours: %+v", f.Known)
		}
	}},
	{"one gateway counts it, however often they ask", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		e := w.listen(b)
		for i, want := range []struct {
			s     store.Store
			mark  store.Mark
			first bool
		}{{a, "one", true}, {b, "two", false}, {a, "one", true}, {b, "two", false}, {a, "three", false}} {
			if first := must[bool](w)(want.s.Finish(w.Context(), id, want.mark, time.Hour)); first != want.first {
				w.Errorf("answer %d is %v", i, first)
			}
			if i == 0 {
				w.hears(e, store.Name{Kind: store.Ended, ID: id.ID})
			}
		}
		w.heardNothing(e)
		if !w.look(b).Finished {
			w.Error("it is not known to be over")
		}
		if k := must[store.Known](w)(b.Before(w.Context(), id, store.NewMark(), time.Second)); !k.Finished {
			w.Error("a check does not know that it is over")
		}
		w.long(30 * time.Minute)
		if must[bool](w)(b.Finish(w.Context(), id, "two", time.Hour)) {
			w.Error("it is counted again after half an hour")
		}
	}},
	{"what is tried is known to those who come later", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		w.ok(a.Begin(w.Context(), id, []byte("start"), time.Hour))
		if w.look(b).Tried {
			w.Error("it was tried before anybody did")
		}
		m := store.NewMark()
		if must[store.Known](w)(a.Before(w.Context(), id, m, time.Second)).Tried {
			w.Error("the first check says that there was one before it")
		}
		w.after(a, m)
		if !w.look(b).Tried {
			w.Error("a search does not know that it was tried")
		}
		if !must[store.Known](w)(b.Before(w.Context(), id, store.NewMark(), time.Second)).Tried {
			w.Error("a second check does not know of the first")
		}
	}},
	{"each part of a cost is told once", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		for i, want := range []struct {
			s            store.Store
			mark         store.Mark
			kind         store.Field
			amount, more int64
		}{
			{a, "one", "price", 10_000_000, 10_000_000},
			{b, "two", "price", 10_000_000, 0},
			{b, "three", "price", 25_000_000, 15_000_000},
			{a, "one", "price", 10_000_000, 10_000_000}, // it was not heard the first time
			{a, "four", "price", 20_000_000, 0},
			{a, "one", "estimate", 1, 1},
			{b, "three", "price", 25_000_000, 15_000_000},
			{a, "most", "price", store.MaxAmount, store.MaxAmount - 25_000_000},
		} {
			if more := must[int64](w)(want.s.Paid(w.Context(), id, want.mark, want.kind, want.amount, time.Hour)); more != want.more {
				w.Errorf("answer %d is %d, want %d", i, more, want.more)
			}
		}
	}},
	{"the parts of a cost are bounded", func(w *world) {
		a := w.Open("a")
		var sum int64
		for i := range int64(3 * store.MaxEntries) {
			for range 2 {
				if more := must[int64](w)(a.Paid(w.Context(), id, store.Mark(fmt.Sprint(i)), "price", 2*i, time.Hour)); more != min(2*i, 2) {
					w.Fatalf("part %d is %d", i, more)
				}
			}
			sum += min(2*i, 2)
		}
		if more := must[int64](w)(a.Paid(w.Context(), id, "last", "price", sum+5, time.Hour)); more != 5 {
			w.Errorf("of %d and 5 there are %d more", sum, more)
		}
		w.before(a, time.Second) // whatever else is in it is left alone
		if more := must[int64](w)(a.Paid(w.Context(), id, "later", "price", sum+5, time.Hour)); more != 0 {
			w.Errorf("after a check there are %d more", more)
		}
	}},
	{"hints are told and end", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		e := w.listen(b)
		if v, _, err := b.Hinted(w.Context(), topic); v != nil || err != nil {
			w.Fatalf("before: %q, %v", v, err)
		}
		w.ok(a.Hint(w.Context(), topic, []byte("open"), 10*tick))
		w.hears(e, topic)
		v, left, err := b.Hinted(w.Context(), topic)
		if err != nil || string(v) != "open" || left <= 0 || left > 10*tick {
			w.Errorf("got %q for %v, %v", v, left, err)
		}
		w.ok(b.Hint(w.Context(), topic, []byte("open still"), 10*tick))
		if v, _, _ := a.Hinted(w.Context(), topic); string(v) != "open still" {
			w.Errorf("got %q", v)
		}
		w.Pass(11 * tick)
		if v, left, err := b.Hinted(w.Context(), topic); v != nil || left != 0 || err != nil {
			w.Errorf("afterwards: %q for %v, %v", v, left, err)
		}
	}},
}
