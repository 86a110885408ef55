package limit

import (
	"cmp"
	"slices"
	"time"
)

// fair has callers share the slots: start-time fair queueing. Each call of a caller
// begins, in virtual time, where the last one ended, and takes a unit divided by the
// caller's weight; the call that begins first goes first. A caller that has nothing
// waiting saves up no more than credit: its next call begins at the present virtual time,
// or as many calls earlier. So whoever wants less than its share does not wait behind
// those who want more, even when its calls do not come evenly.
//
// What it knows are callers that wait, that called lately, or that the settings name.
// It is guarded by Limiter.mu.
type fair struct {
	callers map[string]*caller
	// stranger stands for one that is not among them.
	stranger caller
	busy     []*caller // have calls waiting
	order              // of all calls
	// searchOrder is that of searches among each other, where they have a limit of their own,
	// which searchesApart tells.
	searchOrder   order
	searchesApart bool
	made          recent
	// name is the last one that called, of those that have one, and since when it alone
	// has.
	name  string
	since time.Time
	alone bool // for long
	// active is the weight of all that called lately.
	active int64
}

const (
	// credit is how many calls a caller can have before its turn.
	credit = 2
	// aloneAfter is when a caller that has a name and calls alone may have all slots at
	// once: until then, others are to be expected.
	aloneAfter = time.Minute
	// fewest is how many calls are remembered at least, however slow the pace is: the
	// account's of the last second are, and so many.
	fewest = 16
)

// called notes who calls.
func (f *fair) called(name string, now time.Time) {
	if name != "" && name != f.name {
		f.name, f.since = name, now
	}
	f.alone = now.Sub(f.since) > aloneAfter
}

// get returns what is known of a caller, until the next get. A refusal leaves no trace
// of one that is not known.
func (f *fair) get(name string) *caller {
	if c := f.callers[name]; c != nil {
		return c
	}
	f.stranger = caller{name: name, weight: 1}
	return &f.stranger
}

// known returns the caller that get returned, to be kept.
func (f *fair) known(c *caller) *caller {
	if c == &f.stranger {
		c = &caller{name: c.name, weight: c.weight}
		f.callers[c.name] = c
	}
	return c
}

// release forgets a caller of which there is nothing to know.
func (f *fair) release(c *caller) {
	if c.waiting == 0 && c.lately == 0 && !c.named {
		delete(f.callers, c.name)
	}
}

// join has a call of a known caller wait.
func (f *fair) join(c *caller, k class, w *waiter) {
	if !f.waits(c) {
		f.order.join(&c.place, c.weight)
	}
	if k == search && len(c.queue[search]) == 0 {
		f.searchOrder.join(&c.searches, c.weight)
	}
	if c.waiting == 0 {
		f.busy = append(f.busy, c)
	}
	c.queue[k] = append(c.queue[k], w)
	c.waiting++
}

// left has one waiter less, which is out of its queue.
func (f *fair) left(c *caller) {
	if c.waiting--; c.waiting == 0 {
		i := slices.Index(f.busy, c)
		f.busy = slices.Delete(f.busy, i, i+1)
		f.release(c)
	}
}

// waits tells that a caller has its place among those that wait. Where searches have a limit
// of their own, who has nothing but these waiting does not: it would save up for its other
// calls for as long as they are kept back.
func (f *fair) waits(c *caller) bool {
	return c.waiting > 0 && (!f.searchesApart || c.waiting > len(c.queue[search]))
}

// begins is the virtual time at which the next call of a caller begins.
func (f *fair) begins(c *caller) int64 { return f.order.begins(&c.place, f.waits(c), c.weight) }

// went notes that a call of a known caller goes.
func (f *fair) went(c *caller, k class, now time.Time) {
	f.order.went(&c.place, f.waits(c), c.weight)
	if k == search {
		f.searchOrder.went(&c.searches, len(c.queue[search]) > 0, c.weight)
	}
	c.went(k)
	if c.lately++; c.lately == 1 {
		f.active += c.weight
	}
	if f.made.full() {
		f.forgetOldest()
	}
	f.made.push(call{c, now})
}

// forget is about calls before a time. It tells whether there were any.
func (f *fair) forget(before time.Time) (any bool) {
	for ; f.made.n > 0 && !f.made.oldest().at.After(before); any = true {
		f.forgetOldest()
	}
	return any
}

func (f *fair) forgetOldest() {
	c := f.made.pop().by
	if c.lately--; c.lately == 0 {
		f.active -= c.weight
		f.release(c)
	}
}

// balance compares what a caller has made of the calls of late with its share among all
// that made some: 1 for more, -1 for less.
func (f *fair) balance(c *caller) int {
	if f.made.n == c.lately && c.name != "" && !f.alone {
		return 1
	}
	return cmp.Compare(int64(c.lately)*f.active, int64(f.made.n)*c.weight)
}

// before tells how many of the others' calls that wait go before the next but n of a
// caller; of searches only where these are not held.
func (f *fair) before(c *caller, n int, held bool) (calls int) {
	begins := f.begins(c) + int64(n)*(unit/c.weight)
	for _, other := range f.busy {
		if other == c {
			continue
		}
		waiting := other.waiting
		if held {
			waiting -= len(other.queue[search])
		}
		calls += other.place.before(other.weight, waiting, begins, f.waits(c) && c.joined < other.joined)
	}
	return calls
}

// searchesBefore tells how many searches go before a caller's that comes now.
func (f *fair) searchesBefore(c *caller) (calls int) {
	n := len(c.queue[search])
	begins := f.searchOrder.begins(&c.searches, n > 0, c.weight) + int64(n)*(unit/c.weight)
	for _, other := range f.busy {
		if other != c {
			calls += other.searches.before(other.weight, len(other.queue[search]), begins, n > 0 && c.searches.joined < other.searches.joined)
		}
	}
	return n + calls
}

// nextSearcher returns the caller whose search's turn it is, of those for which may.
func (f *fair) nextSearcher(may func(*caller, class) bool) (first *caller) {
	for _, c := range f.busy {
		if len(c.queue[search]) > 0 && may(c, search) && (first == nil || c.searches.earlier(&first.searches)) {
			first = c
		}
	}
	return first
}

// next returns the caller whose turn it is, and which class of its calls, of those for
// which may.
func (f *fair) next(may func(*caller, class) bool) (next *caller, k class) {
	var searcher *caller
	if f.searchesApart {
		searcher = f.nextSearcher(may)
	}
	for _, c := range f.busy {
		if next != nil && !c.earlier(&next.place) {
			continue
		}
		if can, ok := c.next(func(k class) bool {
			return (k != search || !f.searchesApart || c == searcher) && may(c, k)
		}); ok {
			next, k = c, can
		}
	}
	return next, k
}

// recent is the calls of late: a ring, the oldest at head.
type recent struct {
	calls   []call
	head, n int
}

type call struct {
	by *caller
	at time.Time
}

func (r *recent) full() bool    { return r.n == len(r.calls) }
func (r *recent) oldest() *call { return &r.calls[r.head] }

func (r *recent) push(c call) {
	r.calls[(r.head+r.n)%len(r.calls)] = c
	r.n++
}

func (r *recent) pop() call {
	c := r.calls[r.head]
	r.calls[r.head] = call{}
	r.head = (r.head + 1) % len(r.calls)
	r.n--
	return c
}

// of counts the calls of a caller since a time.
func (r *recent) of(c *caller, since time.Time) (n int) {
	for i := range r.n {
		if made := r.calls[(r.head+i)%len(r.calls)]; made.by == c && made.at.After(since) {
			n++
		}
	}
	return n
}
