package storetest

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var (
	says  = [32]byte{1}
	other = [32]byte{2}
)

const lease = 6 * tick

// claim fails unless the claim goes as it should.
func (w *world) claim(s store.Store, m store.Mark, says [32]byte, want store.ClaimState) store.Claim {
	w.Helper()
	c := must[store.Claim](w)(s.Claim(w.Context(), key, m, says, lease, 10*time.Second))
	if c.State != want {
		w.Fatalf("the claim is %+v, want %d", c, want)
	}
	return c
}

var claims = []behaviour{
	{"one sends, others get the answer", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m, second := store.NewMark(), store.NewMark()
		w.claim(a, m, says, store.Yours)
		w.claim(a, m, says, store.Yours) // once more, as after an error
		if c := w.claim(b, second, says, store.Wait); c.Left <= 0 || c.Left > lease {
			w.Errorf("the lease has %v left", c.Left)
		}
		e := w.listen(b)
		if !must[bool](w)(a.Answer(w.Context(), key, m, []byte("sent"), time.Second)) {
			w.Error("the answer was not kept")
		}
		w.hears(e, key)
		for _, mark := range []store.Mark{second, m} {
			if c := w.claim(b, mark, says, store.Answered); string(c.Answer) != "sent" {
				w.Errorf("the answer is %q", c.Answer)
			}
		}
	}},
	{"what is said otherwise is a conflict", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m := store.NewMark()
		w.claim(a, m, says, store.Yours)
		w.claim(b, store.NewMark(), other, store.Conflict)
		must[bool](w)(a.Answer(w.Context(), key, m, []byte("sent"), time.Second))
		w.claim(b, store.NewMark(), other, store.Conflict)
	}},
	{"the claim of a gateway that died is lost after its lease", func(w *world) {
		b := w.Open("b")
		m := store.NewMark()
		w.claim(w.Open("dead"), m, says, store.Yours)
		w.claim(b, store.NewMark(), says, store.Wait)
		w.Pass(lease + tick)
		w.claim(b, store.NewMark(), says, store.Lost)
		w.claim(b, store.NewMark(), says, store.Lost)
	}},
	{"who was only slow may answer after his lease", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m := store.NewMark()
		w.claim(a, m, says, store.Yours)
		w.Pass(lease + tick)
		w.claim(b, store.NewMark(), says, store.Lost)
		if !must[bool](w)(a.Answer(w.Context(), key, m, []byte("late"), time.Second)) {
			w.Error("the answer was not kept")
		}
		if c := w.claim(b, store.NewMark(), says, store.Answered); string(c.Answer) != "late" {
			w.Errorf("the answer is %q", c.Answer)
		}
	}},
	{"a name that is kept for its lease alone is free after it", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m, second := store.NewMark(), store.NewMark()
		must[store.Claim](w)(a.Claim(w.Context(), key, m, says, lease, lease))
		w.Pass(lease + tick)
		w.claim(b, second, says, store.Yours)
		if must[bool](w)(a.Answer(w.Context(), key, m, []byte("late"), time.Second)) {
			w.Error("the answer of one was kept where another sends")
		}
		w.ok(a.Release(w.Context(), key, m)) // late, too
		w.claim(a, store.NewMark(), says, store.Wait)
	}},
	{"a release frees the name, of its owner alone", func(w *world) {
		a, b := w.Open("a"), w.Open("b")
		m := store.NewMark()
		w.claim(a, m, says, store.Yours)
		w.ok(b.Release(w.Context(), key, store.NewMark()))
		w.claim(b, store.NewMark(), says, store.Wait)
		e := w.listen(b)
		w.ok(a.Release(w.Context(), key, m))
		w.hears(e, key)
		w.claim(b, store.NewMark(), other, store.Yours)
	}},
	{"an unread answer is taken once", func(w *world) {
		a := w.Open("a")
		m := store.NewMark()
		w.claim(a, m, says, store.Yours)
		if v := must[[]byte](w)(a.Take(w.Context(), key, says)); v != nil {
			w.Errorf("before there is an answer, %q is taken", v)
		}
		must[bool](w)(a.Answer(w.Context(), key, m, []byte("unread"), time.Second))
		if v := must[[]byte](w)(a.Take(w.Context(), key, other)); v != nil {
			w.Errorf("who asks for something else gets %q", v)
		}
		var (
			mu    sync.Mutex
			taken []string
			wg    sync.WaitGroup
		)
		for _, g := range []string{"a", "b", "c", "d"} {
			s := w.Open(g)
			wg.Go(func() {
				v, err := s.Take(w.Context(), key, says)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					w.cut.Store(true)
					w.Error(err)
				}
				if v != nil {
					taken = append(taken, string(v))
				}
			})
		}
		wg.Wait()
		if len(taken) != 1 || taken[0] != "unread" {
			w.Errorf("taken were %q", taken)
		}
		w.claim(a, store.NewMark(), says, store.Yours)
	}},
	{"answers and claims end", func(w *world) {
		a := w.Open("a")
		m := store.NewMark()
		w.claim(a, m, says, store.Yours)
		must[bool](w)(a.Answer(w.Context(), key, m, []byte("sent"), 2*tick))
		w.Pass(3 * tick)
		w.claim(a, store.NewMark(), says, store.Yours)
		w.long(11 * time.Second)
		w.claim(a, store.NewMark(), says, store.Yours)
	}},
	{"of many that claim at once one sends", func(w *world) {
		var (
			mu    sync.Mutex
			yours int
			wg    sync.WaitGroup
		)
		for _, g := range []string{"a", "b", "c", "d"} {
			s := w.Open(g)
			wg.Go(func() {
				c, err := s.Claim(w.Context(), key, store.NewMark(), says, time.Second, time.Second)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					w.cut.Store(true)
					w.Error(err)
				}
				if c.State == store.Yours {
					yours++
				}
			})
		}
		wg.Wait()
		if yours != 1 {
			w.Errorf("%d send", yours)
		}
	}},
}
