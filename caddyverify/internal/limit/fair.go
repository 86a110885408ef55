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
	joins    uint64
	// clock is the virtual time: when the last call began that went.
	clock int64
	made  recent
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
	if c.waiting == 0 {
		f.joins++
		c.joined, c.tag = f.joins, f.begins(c)
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

// begins is the virtual time at which the next call of a caller begins.
func (f *fair) begins(c *caller) int64 {
	if c.waiting > 0 {
		return c.tag
	}
	return max(c.tag, f.clock-credit*unit/c.weight)
}

// went notes that a call of a known caller goes.
func (f *fair) went(c *caller, k class, now time.Time) {
	begins := f.begins(c)
	f.clock = max(f.clock, begins)
	c.tag = begins + unit/c.weight
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
// caller.
func (f *fair) before(c *caller, n int) (calls int) {
	begins := f.begins(c) + int64(n)*(unit/c.weight)
	for _, other := range f.busy {
		if other == c {
			continue
		}
		earlier := begins - other.tag
		if c.waiting > 0 && c.joined < other.joined {
			earlier-- // of two that begin at the same time, it is first
		}
		if earlier >= 0 {
			calls += min(other.waiting, int(earlier/(unit/other.weight))+1)
		}
	}
	return calls
}

// next returns the caller whose turn it is, and which class of its calls, of those for
// which may.
func (f *fair) next(may func(*caller, class) bool) (next *caller, k class) {
	for _, c := range f.busy {
		if next != nil && (c.tag > next.tag || c.tag == next.tag && c.joined > next.joined) {
			continue
		}
		if can, ok := c.next(func(k class) bool { return may(c, k) }); ok {
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
