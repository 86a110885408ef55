package relay

import (
	"strings"
	"testing"
)

// TestListeners shows that the newest listener is told, and that one which
// panics is not the end of the telling.
func TestListeners(t *testing.T) {
	var r Relay[int]
	var heard []string
	say := func(n int) {
		r.Push(n)
		r.Deliver()
	}
	say(0) // to nobody
	stopOld := r.Listen(func(int) { heard = append(heard, "old") })
	say(1)
	stopNew := r.Listen(func(int) { heard = append(heard, "new") })
	say(2)
	stopNew() // the new configuration failed to load
	say(3)
	stopNew = r.Listen(func(n int) {
		if n == 4 {
			panic("listener")
		}
		heard = append(heard, "newer")
	})
	stopOld()
	func() {
		defer func() { recover() }()
		say(4)
	}()
	say(5)
	stopNew()
	if got, want := strings.Join(heard, " "), "old new old newer"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}
