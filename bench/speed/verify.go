package main

import (
	"errors"
	"fmt"
)

// pass is how many calls of a run the upstream must have seen.
type pass struct {
	run   int
	of    figure
	calls int
}

func (b *bench) fail(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Errorf(format, args...))
}

// verify tells, once the sides have ended, whether they did what they were
// measured for.
func (b *bench) verify() error {
	if n := b.upstream.refused.Load(); n > 0 {
		b.fail("the upstream was asked for %d things that are no calls of the account", n)
	}
	for _, p := range b.passes {
		// The end of a run cuts off a call on each connection, which wrk does not
		// count.
		calls, twice := b.upstream.of(p.run)
		if twice > 0 || calls < p.calls || calls > p.calls+b.connections {
			b.fail("%s, %s: of %d calls answered, %d came upstream, and %d of these more than once", p.of.workload, p.of.side, p.calls, calls, twice)
		}
	}
	for name := range b.sides {
		if _, spans := variant(name); spans != "" && b.sink.of(name) == 0 {
			b.fail("%s: no span came out of it", name)
		}
	}
	return errors.Join(b.wrong...)
}
