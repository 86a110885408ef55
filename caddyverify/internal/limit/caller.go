package limit

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// class is what a call is among its caller's, the most urgent first: behind a check
// is a user with a code in hand, and nobody need wait for a search, or a template.
type class int

const (
	check class = iota
	request
	search
	classes
)

// classOf returns the class of a customer's call.
func classOf(o wire.Operation) class {
	switch o {
	case wire.Check:
		return check
	case wire.Search, wire.Templates:
		return search
	case wire.Request, wire.Control, wire.PSD2:
	}
	return request
}

// inRow is how many calls of a class go before one of those behind it, when both come:
// a flood of checks must not end all new verifications.
const inRow = 3

// unit is what a call of a caller with the weight 1 takes in virtual time. It can be
// divided by many weights.
const unit = 720_720

// caller is who calls, and the calls that it has waiting. It is guarded by Limiter.mu.
type caller struct {
	name   string
	weight int64
	named  bool   // it is in the settings, and so is never forgotten
	slots  *slots // of its own limit; nil for none

	queue   [classes][]*waiter // in the order of arrival
	waiting int
	place
	searches place // its searches' among all
	// lately is how many calls it has made lately.
	lately int

	// row is, for each class, how many of it went in a row while calls of those behind
	// it waited, or since one of them was refused: where the pace is slow, there is no
	// place to wait for both.
	row     [classes]int
	refused [classes]bool // one of those behind, since one last went
}

// waiter is a call that waits. It holds no slot: a slot is taken when its turn
// comes, so one that leaves takes nothing along.
type waiter struct {
	turn     chan struct{} // closed when it may go, or is refused
	admitted bool          // it may go
	until    time.Time     // the end of its patience
}

func newWaiter() *waiter { return &waiter{turn: make(chan struct{})} }

func (w *waiter) admit() {
	w.admitted = true
	close(w.turn)
}

// without returns a queue without one that leaves it.
func without(queue []*waiter, w *waiter) []*waiter {
	return slices.DeleteFunc(queue, func(other *waiter) bool { return other == w })
}

// behind tells how many calls wait of the classes behind k.
func (c *caller) behind(k class) (n int) {
	for k++; k < classes; k++ {
		n += len(c.queue[k])
	}
	return n
}

// next tells the class of the caller whose turn it is, of those for which may.
func (c *caller) next(may func(class) bool) (k class, ok bool) {
	var can [classes]bool
	for k := range can {
		can[k] = len(c.queue[k]) > 0 && may(class(k))
		ok = ok || can[k]
	}
	if !ok {
		return 0, false
	}
	for k = check; k < search; k++ {
		if can[k] && (c.row[k] < inRow || !slices.Contains(can[k+1:], true)) {
			break
		}
	}
	return k, true
}

// went notes that a call of a class goes.
func (c *caller) went(k class) {
	for ahead := range k {
		c.row[ahead], c.refused[ahead] = 0, false
	}
	if c.refused[k] || c.behind(k) > 0 {
		c.row[k]++
	} else {
		c.row[k] = 0
	}
}

// wasRefused notes that a call of a class does not go.
func (c *caller) wasRefused(k class) {
	for ahead := range k {
		c.refused[ahead] = true
	}
}

// ahead tells how many of the caller's calls that wait go before one of a class that
// comes now, as next has them go. Searches that are held do not go before others.
func (c *caller) ahead(k class, held bool) int {
	// Of those behind check, as if there were no checks; then with them.
	requests, searches := len(c.queue[request]), len(c.queue[search])
	if held && k != search {
		searches = 0
	}
	var n int
	switch k {
	case check:
		return interleaved(len(c.queue[check]), requests+searches, c.row[check])
	case request:
		n = interleaved(requests, searches, c.row[request])
	default:
		n = searches + min(requests, inRow*(searches+1)-min(c.row[request], inRow))
	}
	return n + min(len(c.queue[check]), inRow*(n+1)-min(c.row[check], inRow))
}

// interleaved tells how many calls go before the next one of a class of which n wait,
// when some of those behind it do, too.
func interleaved(n, behind, row int) int { return n + min(behind, (min(row, inRow)+n)/inRow) }

// freeAt returns when the caller's own limit lets a call go that has n of its calls
// before it.
func (c *caller) freeAt(n int) time.Time {
	if c.slots == nil {
		return time.Time{}
	}
	return c.slots.after(n)
}
