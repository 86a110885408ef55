package search

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// patience is how long a list waits for the end of a call under way, so that one that hangs
// holds up nobody else.
const patience = 500 * time.Millisecond

// lists has the flights that go upstream while a call is under way go together, as Nagle's
// algorithm has small packets: a list goes when it is full, when any call has ended, or when
// its patience has. With none under way a flight goes by itself, and at once.
type lists struct {
	mu       sync.Mutex
	underWay int
	pending  [len(wire.Formats)]*list // only while something is under way
	refused  refusals
}

// list is one upstream call, and the flights that it is made for.
type list struct {
	format wire.Format
	ctx    context.Context // with the values of the first flight's
	send   wire.Sender     // the first's
	timer  *time.Timer     // its patience
	// ids are what the flights ask for, each once; several tells that they are asked for by
	// request_ids. Neither changes once the call is sent.
	ids     []string
	several bool
	caller  string // of the first that waits: it is of his calls
	// flights are those that wait. Where lasting is set the call goes on without any, since it
	// refreshes what memory has.
	flights []*flight
	lasting bool
	filled  func(sent bool)    // see Cache.Fill
	cancel  context.CancelFunc // nil until it goes
	done    chan struct{}      // closed once answer is there
	answer  wire.Answer
}

func newList(ctx context.Context, f *flight, send wire.Sender) *list {
	return &list{format: f.format, ctx: ctx, send: send, filled: func(bool) {}, done: make(chan struct{})}
}

func (l *list) add(f *flight) {
	if len(l.flights) == 0 {
		l.caller = f.caller
	}
	l.flights = append(l.flights, f)
	l.several = l.several || f.list
	for _, id := range f.asked() {
		if !slices.Contains(l.ids, id) {
			l.ids = append(l.ids, id)
		}
	}
}

// fits tells that what a flight asks for need not be divided.
func (l *list) fits(f *flight) bool {
	n := len(l.ids)
	for _, id := range f.asked() {
		if !slices.Contains(l.ids, id) {
			n++
		}
	}
	return n <= wire.MaxIDs
}

// among tells that the call asks for more than a flight does.
func (l *list) among(f *flight) bool { return len(l.ids) > len(f.asked()) }

// askUpstream has the upstream asked for a flight, with others if it can be, and tells by which
// call; by none where the flight's time was over before that had an answer.
func (c *Cache) askUpstream(ctx context.Context, f *flight, send wire.Sender) (wire.Answer, *list) {
	s := &c.lists
	s.mu.Lock()
	l := s.pending[f.format]
	alone := f.alone || s.refused.any(f.asked(), c.now())
	if s.underWay == 0 || alone {
		s.underWay++
		s.mu.Unlock()
		return c.askNow(ctx, f, send, !alone)
	}
	if l != nil && !l.fits(f) {
		c.depart(l)
		l = nil
	}
	if l == nil {
		l = newList(ctx, f, send)
		s.pending[f.format] = l
		l.timer = time.AfterFunc(patience, func() { c.hurry(l) })
	}
	l.add(f)
	if len(l.ids) == wire.MaxIDs {
		c.depart(l)
	}
	s.mu.Unlock()
	return c.wait(ctx, l, f)
}

// askNow asks for a flight by a call that is counted already and, with more, for what can go
// with it.
func (c *Cache) askNow(ctx context.Context, f *flight, send wire.Sender, more bool) (wire.Answer, *list) {
	l := newList(ctx, f, send)
	l.add(f)
	l.cancel = func() {} // the flight's context ends the call
	if more {
		c.complement(l)
	}
	if l.lasting {
		var cancel context.CancelFunc
		l.ctx, cancel = c.limited(ctx)
		defer cancel()
	}
	c.call(l)
	return l.answer, l
}

// askAlone asks for a flight once more, without what may have been the reason that the answer
// to a list is none to it.
func (c *Cache) askAlone(ctx context.Context, f *flight, send wire.Sender) wire.Answer {
	if err := ctx.Err(); err != nil {
		return fault(wire.UpstreamTimeout, true, f.format, err)
	}
	c.lists.mu.Lock()
	c.lists.underWay++
	c.lists.mu.Unlock()
	a, _ := c.askNow(ctx, f, send, false)
	return a
}

// wait waits for the answer to a list, see askUpstream.
func (c *Cache) wait(ctx context.Context, l *list, f *flight) (wire.Answer, *list) {
	select {
	case <-l.done:
		return l.answer, l
	case <-ctx.Done():
		c.leave(l, f)
		return fault(wire.UpstreamTimeout, true, f.format, ctx.Err()), nil
	}
}

// leave has a list do without a flight. The call is cancelled when none is left.
func (c *Cache) leave(l *list, f *flight) {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	l.flights = slices.DeleteFunc(l.flights, func(other *flight) bool { return other == f })
	switch {
	case l.cancel != nil:
		if len(l.flights) == 0 && !l.lasting {
			l.cancel()
		}
	case len(l.flights) == 0:
		l.timer.Stop()
		c.lists.pending[l.format] = nil
	default:
		left := l.flights
		l.ids, l.flights, l.several = nil, nil, false
		for _, f := range left {
			l.add(f)
		}
	}
}

// depart has a pending list go. The caller holds the lists' lock.
func (c *Cache) depart(l *list) {
	l.timer.Stop()
	c.lists.pending[l.format] = nil
	c.lists.underWay++
	l.ctx, l.cancel = c.limited(l.ctx)
	go func() {
		defer l.cancel()
		c.complement(l)
		c.call(l)
	}()
}

// hurry has a list go whose patience has ended.
func (c *Cache) hurry(l *list) {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	if c.lists.pending[l.format] == l {
		c.depart(l)
	}
}

// ended notes that a call is no longer under way. What waited for that goes.
func (c *Cache) ended() {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	c.lists.underWay--
	for _, l := range c.lists.pending {
		if l != nil {
			c.depart(l)
		}
	}
}

// call makes the upstream call for a list. It has an answer even where send does not return.
func (c *Cache) call(l *list) {
	ended := sync.OnceFunc(c.ended)
	stop := context.AfterFunc(l.ctx, ended) // where send hangs
	answer := fault(wire.AnswerUnreadable, true, l.format, errNoAnswer)
	defer func() {
		if p := recover(); p != nil {
			answer = fault(wire.AnswerUnreadable, true, l.format, fmt.Errorf("panic in a search: %v\n%s", p, debug.Stack()))
		}
		stop()
		l.answer = answer
		c.noteRefusal(l)
		l.filled(answer.Fault == nil || answer.Fault.MayHaveSent)
		close(l.done)
		ended()
	}()
	call := wire.SearchFor(l.format, l.ids, l.several || len(l.ids) > 1)
	call.Caller = l.caller
	answer = l.send(l.ctx, call)
}

// limited gives a call its context: with the values of the search that began it, but neither
// its end nor its deadline.
func (c *Cache) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.inForce.Load().settings.Timeout)
}
