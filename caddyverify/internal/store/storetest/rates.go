package storetest

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// open beats until the rate is open, and returns the stores of some gateways.
func (w *world) open(gateways ...string) []store.Store {
	w.Helper()
	all := make([]store.Store, len(gateways))
	for i, g := range gateways {
		all[i] = w.Open(g)
	}
	for range 100 {
		w.beat(all...)
		if must[store.Slot](w)(all[0].Slot(w.Context(), store.Ask{Size: 10, Most: -time.Second})).State != store.Alone {
			return all
		}
		w.Pass(50 * time.Millisecond)
	}
	w.Fatal("the rate stays closed")
	return nil
}

// beat says that gateways are alive.
func (w *world) beat(all ...store.Store) {
	w.Helper()
	for _, s := range all {
		must[store.Seen](w)(s.Beat(w.Context(), store.Pulse{}))
	}
}

// take asks for slots until there is none, and returns how many there were and what was
// said in the end.
func (w *world) take(s store.Store, ask store.Ask) (n int, last store.Slot) {
	w.Helper()
	for range 100 {
		last = must[store.Slot](w)(s.Slot(w.Context(), ask))
		if last.State != store.Given {
			return n, last
		}
		n++
	}
	w.Fatal("there are slots without end")
	return n, last
}

var rates = []behaviour{
	{"all gateways together have as many calls as there are slots", func(w *world) {
		s := w.open("a", "b")
		one, _ := w.take(s[0], store.Ask{Size: 10, Spare: 6})
		two, last := w.take(s[1], store.Ask{Size: 10})
		if one != 4 || two != 6 || last.State != store.Full || last.Wait <= 0 || last.Wait > time.Second {
			w.Errorf("%d and %d, then %+v", one, two, last)
		}
	}},
	{"a slot may be taken ahead, within bounds", func(w *world) {
		s := w.open("a")
		w.take(s[0], store.Ask{Size: 10})
		w.Pass(700 * time.Millisecond)
		w.beat(s...)
		ask := store.Ask{Size: 10, Most: 500 * time.Millisecond}
		n, last := w.take(s[0], ask)
		if n < 1 || n > 10 || last.Wait <= ask.Most || last.Wait > time.Second {
			w.Errorf("%d, then %+v", n, last)
		}
	}},
	{"in no second there are more", func(w *world) {
		s := w.open("a", "b", "c")
		start := w.now()
		var at []time.Duration
		var longest time.Duration
		for i := 0; w.now().Sub(start) < 2500*time.Millisecond; i++ {
			ask := store.Ask{Size: 10, Most: 250 * time.Millisecond, Spare: i % 2 * 3}
			asked := w.now()
			slot := must[store.Slot](w)(s[i%3].Slot(w.Context(), ask))
			answered := w.now()
			longest = max(longest, answered.Sub(asked))
			// The store took its time at most so long before it answered.
			if slot.State == store.Given {
				at = append(at, answered.Sub(start)+slot.Wait)
			}
			if i%9 == 0 {
				w.Pass(10 * time.Millisecond)
				w.beat(s...)
			}
		}
		most := Most(at, time.Second-5*time.Millisecond-longest)
		if most > 10 { // however late the machine was
			w.T.Errorf("up to %d calls in a second", most)
		}
		if len(at) < 20 {
			w.Errorf("%d calls, up to %d in a second", len(at), most)
		}
	}},
	{"what was called without a slot is taken off", func(w *world) {
		s := w.open("a", "b")
		must[store.Slot](w)(s[0].Slot(w.Context(), store.Ask{Size: 10, Most: -time.Second})) // so that there is a ring
		must[store.Seen](w)(s[1].Beat(w.Context(), store.Pulse{Spent: 7}))
		if n, _ := w.take(s[0], store.Ask{Size: 10}); n != 3 {
			w.Errorf("%d calls, want 3", n)
		}
		if seen := must[store.Seen](w)(s[0].Beat(w.Context(), store.Pulse{})); seen.Used != 10 {
			w.Errorf("%d slots are in use, want 10", seen.Used)
		}
	}},
	{"the share of who is silent is kept back", func(w *world) {
		s := w.open("a", "b")
		w.Pass(store.Silent + tick)
		w.beat(s[0])
		if n, _ := w.take(s[0], store.Ask{Size: 10}); n != 5 {
			w.Errorf("%d calls, want half of 10", n)
		}
	}},
	{"of what is kept back nothing is left to others", func(w *world) {
		s := w.open("a", "b")
		w.Pass(store.Silent + tick)
		w.beat(s[0])
		if n, _ := w.take(s[0], store.Ask{Size: 10, Later: 4, Soon: 100 * time.Millisecond}); n != 3 {
			w.Errorf("%d calls, want 5 but for 2", n)
		}
	}},
	{"the share of who has left is free", func(w *world) {
		s := w.open("a", "b")
		w.ok(s[1].Leave(w.Context()))
		w.Pass(store.Silent + tick)
		w.beat(s[0])
		if n, _ := w.take(s[0], store.Ask{Size: 10}); n != 10 {
			w.Errorf("%d calls, want 10", n)
		}
	}},
	{"nobody is forgotten while nobody could speak", func(w *world) {
		s := w.open("a", "b")
		w.long(store.Gone - time.Second)
		w.beat(s[0])
		for range 50 {
			w.Pass(500 * time.Millisecond)
			w.beat(s[0])
		}
		if n, _ := w.take(s[0], store.Ask{Size: 10}); n != 5 {
			w.Errorf("%d calls, want half of 10", n)
		}
		for range 100 {
			w.Pass(500 * time.Millisecond)
			w.beat(s[0])
		}
		if n, _ := w.take(s[0], store.Ask{Size: 10}); n != 10 {
			w.Errorf("%d calls once it is gone, want 10", n)
		}
	}},
	{"a change of the size gives nothing away", func(w *world) {
		s := w.open("a")
		w.take(s[0], store.Ask{Size: 10})
		for _, size := range []int{4, 10, 20} {
			if n, _ := w.take(s[0], store.Ask{Size: size}); n != 0 {
				w.Errorf("at %d there are %d more", size, n)
			}
		}
		w.Pass(2*time.Second + tick)
		w.beat(s...)
		if n, _ := w.take(s[0], store.Ask{Size: 20}); n != 20 {
			w.Errorf("seconds later there are %d, want 20", n)
		}
	}},
	{"slots that are free soon are good enough to leave", func(w *world) {
		s := w.open("a")
		ask := store.Ask{Size: 10, Spare: 1, Later: 3, Soon: 350 * time.Millisecond}
		if n, _ := w.take(s[0], ask); n != 6 {
			w.Errorf("%d calls, want all but 4", n)
		}
		w.take(s[0], store.Ask{Size: 10}) // they come back one each 100 ms
		w.Pass(time.Second - 50*time.Millisecond)
		w.beat(s...)
		n, last := w.take(s[0], ask)
		for range 5 {
			if n == 0 {
				w.Pass(last.Wait + tick)
				w.beat(s...)
				n, last = w.take(s[0], ask)
			}
		}
		if left, _ := w.take(s[0], store.Ask{Size: 10}); n == 0 || left < 1 || left > 2 {
			w.Errorf("%d calls, and then %d, want 1 left", n, left)
		}
	}},
	{"who says a smaller size leaves the rest to others", func(w *world) {
		s := w.open("a", "b")
		w.take(s[0], store.Ask{Size: 10})
		w.Pass(2 * time.Second)
		w.beat(s...)
		one, _ := w.take(s[0], store.Ask{Size: 4})
		two, _ := w.take(s[1], store.Ask{Size: 10})
		if one != 4 || two != 6 {
			w.Errorf("%d and %d calls, want 4 and 6", one, two)
		}
	}},
	{"the size is bounded", func(w *world) {
		s := w.open("a")
		for _, size := range []int{0, -3, store.MaxSize * 100} {
			must[store.Slot](w)(s[0].Slot(w.Context(), store.Ask{Size: size, Spare: size}))
		}
	}},
}

var fleet = []behaviour{
	{"gateways see each other", func(w *world) {
		s := w.open("a", "b", "c")
		w.beat(s...)
		if seen := must[store.Seen](w)(s[0].Beat(w.Context(), store.Pulse{})); seen.Gateways != 3 || seen.Boot == "" {
			w.Errorf("seen: %+v", seen)
		}
		w.ok(s[2].Leave(w.Context()))
		w.Pass(store.Silent + tick)
		w.beat(s[1])
		seen := must[store.Seen](w)(s[0].Beat(w.Context(), store.Pulse{}))
		if again := must[store.Seen](w)(s[1].Beat(w.Context(), store.Pulse{})); seen.Gateways != 2 || seen.Silent != 0 || again.Boot != seen.Boot {
			w.Errorf("seen: %+v, then %+v", seen, again)
		}
	}},
	{"who is silent is seen to be", func(w *world) {
		s := w.open("a", "b", "c")
		w.beat(s...)
		w.Pass(store.Silent + tick)
		w.beat(s[1])
		if seen := must[store.Seen](w)(s[0].Beat(w.Context(), store.Pulse{})); seen.Gateways != 2 || seen.Silent != 1 {
			w.Errorf("seen: %+v", seen)
		}
		w.beat(s[2])
		if seen := must[store.Seen](w)(s[0].Beat(w.Context(), store.Pulse{})); seen.Gateways != 3 || seen.Silent != 0 {
			w.Errorf("seen when it speaks again: %+v", seen)
		}
	}},
	{"gateways are bounded", func(w *world) {
		a := w.Open("a")
		w.beat(a)
		for i := range store.MaxGateways + 10 {
			w.beat(w.Open(string(rune('A' + i))))
		}
		if seen := must[store.Seen](w)(a.Beat(w.Context(), store.Pulse{})); seen.Gateways > store.MaxGateways {
			w.Errorf("seen: %+v", seen)
		}
	}},
}

// Most returns the most that there are in any window.
func Most(at []time.Duration, window time.Duration) (most int) {
	for _, from := range at {
		n := 0
		for _, t := range at {
			if t >= from && t < from+window {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}
