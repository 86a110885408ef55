package event

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestNotifier(t *testing.T) {
	var n Notifier[int]
	var heard []string
	say := func(e int) {
		n.Push(e)
		n.Deliver()
	}
	hear := func(name string) func(int) {
		return func(e int) { heard = append(heard, fmt.Sprint(name, e)) }
	}
	say(0) // to nobody
	stopOld := n.Subscribe(hear("old"))
	say(1)
	stopNew := n.Subscribe(hear("new"))
	say(2)
	stopNew()
	say(3)
	n.Subscribe(func(e int) {
		if e == 4 {
			panic("a subscriber")
		}
	})
	n.Subscribe(func(e int) {
		hear("last")(e)
		if e == 5 {
			say(6) // brought about by an event
		}
	})
	panicked := func() (p any) {
		defer func() { p = recover() }()
		n.Push(4)
		say(5)
		return nil
	}()
	if panicked != "a subscriber" {
		t.Errorf("the panic was lost: %v", panicked)
	}
	stopOld()
	stopOld()
	say(7)
	if got, want := strings.Join(heard, " "), "old1 old2 new2 old3 old4 last4 old5 last5 old6 last6 last7"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// Whoever delivers, all is told, each event once and in the order of each who pushed.
func TestNotifierOfMany(t *testing.T) {
	var n Notifier[[2]int]
	last := map[int]int{}
	told := 0
	n.Subscribe(func(e [2]int) { // one at a time: the race detector watches
		if e[1] != last[e[0]]+1 {
			t.Errorf("%d came after %d", e[1], last[e[0]])
		}
		last[e[0]] = e[1]
		told++
	})
	var all sync.WaitGroup
	for who := range 8 {
		all.Go(func() {
			for i := range 100 {
				n.Push([2]int{who, i + 1})
				n.Deliver()
			}
		})
	}
	all.Wait()
	if told != 800 {
		t.Errorf("%d of 800 were told", told)
	}
}
