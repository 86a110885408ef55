package search

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// flight is one upstream call and the searches that wait for it: request coalescing, as
// package singleflight does it, but by verification, so that searches for several share
// what they have in common. While it is under way a shard's table names it for each
// verification it asks for; only what is still named there when the answer comes is
// stored.
type flight struct {
	caller string
	format wire.Format
	// ids and list are what is asked. ids is complete before the call begins.
	ids  []string
	list bool
	// since is, for each of them, how much its shard had dropped when it was asked for.
	since []uint64
	// shared is the store that is asked first, nil where there is none; strict tells that what
	// others do may go unnoticed just now, so that only the store and the upstream are asked.
	shared *store.Shared
	strict bool
	// longest is how long IN PROGRESS may be answered from memory.
	longest time.Duration
	// begun is when it set out.
	begun time.Duration
	// refreshes tells that it began for nobody in particular.
	refreshes bool
	// alone has the upstream asked for nothing else in the same call.
	alone bool
	// done is closed once answer is there and what can be kept is stored.
	done chan struct{}
	// stored tells that something was; valid after done.
	stored bool

	mu sync.Mutex
	// waiters counts who waits, once for each verification.
	waiters int
	// over: answer will not change any more.
	over   bool
	answer wire.Answer
	looks  []look // by ids; nil until the store has been asked
	cancel context.CancelFunc
}

func newFlight(caller string, f wire.Format, list bool) *flight {
	return &flight{caller: caller, format: f, list: list, done: make(chan struct{})}
}

// join makes the caller wait for the flight, unless it has failed: an error is
// for those who asked before it happened. One that is over and still there waits for the
// store's word, so nobody knows whether its answer is good for others.
func (f *flight) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over && (f.shared != nil || failed(&f.answer)) {
		return false
	}
	f.waiters++
	return true
}

// joined tells that others wait for a flight that refreshes.
func (f *flight) joined() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiters > 1
}

// leave takes back a join. It reports true, once, when nobody is left to wait.
func (f *flight) leave() (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || f.over {
		return false
	}
	f.over, f.answer = true, fault(wire.ClientLeft, true, f.format, nil)
	f.cancel()
	return true
}

// end sets the answer. It reports false when there is one already.
func (f *flight) end(a wire.Answer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.over, f.answer = true, a
	return true
}

// begin gives the flight its context.
func (f *flight) begin(ctx context.Context, c *Cache) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = c.now()
	if f.shared != nil {
		ctx = store.WithBudget(ctx)
	}
	ctx, f.cancel = c.limited(ctx)
	return ctx
}

// grace is how long after the deadline of its context a call may take to say what it was
// waiting for.
const grace = time.Second

// fetch looks in the store, has the upstream asked for what is not there, and completes the
// flight, soon after its deadline at the latest, even where send hangs. Where the flight goes by
// a list already, it has been looked for.
func (c *Cache) fetch(ctx context.Context, f *flight, by *list, send wire.Sender) {
	stuck := time.AfterFunc(c.inForce.Load().settings.Timeout+grace, func() {
		c.complete(f, fault(wire.UpstreamTimeout, true, f.format, ctx.Err()))
	})
	// Deferred, so that a send which ends the goroutine still completes it.
	answer := fault(wire.AnswerUnreadable, true, f.format, errNoAnswer)
	defer func() {
		stuck.Stop()
		if len(f.asked()) > 0 {
			answer = f.examine(answer)
		}
		c.keep(ctx, f, c.complete(f, answer))
		f.cancel()
	}()
	if by == nil && f.shared != nil && !c.look(ctx, f) {
		return // all have left meanwhile
	}
	if len(f.asked()) == 0 {
		return
	}
	if by == nil {
		answer, by = c.askUpstream(ctx, f, send)
	} else {
		answer, by = c.wait(ctx, by, f)
	}
	switch {
	case by == nil || !by.among(f) || !f.otherwiseAlone(&answer, by.caller):
	case !f.refreshes || f.joined():
		answer = c.askAlone(ctx, f, send)
	case !failed(&answer):
		answer = wire.Answer{Code: answer.Code, Reading: wire.Reading{List: true}} // left out
	case len(answer.Found) > 0: // and nobody else's states are for who joins yet
		answer = fault(wire.AnswerUnreadable, true, f.format, errOthers)
	}
}

// complete ends the flight and stores what may be. With a store it returns that, for keep.
func (c *Cache) complete(f *flight, a wire.Answer) (fresh map[string]*entry) {
	if !f.end(a) {
		return nil
	}
	for _, id := range f.asked() {
		e, stale := c.shard(id).insert(c, f, id)
		if stale {
			c.OnStale()
		}
		if e == nil {
			continue
		}
		f.stored = true
		if f.shared != nil {
			if fresh == nil {
				fresh = make(map[string]*entry, len(f.ids))
			}
			fresh[id] = e
		}
	}
	close(f.done)
	return fresh
}

var (
	errNoAnswer = errors.New("the search gave no answer")
	errOtherID  = errors.New("the answer is not about the verification asked for")
	errOthers   = errors.New("the answer tells of others' verifications, too")
)

// examine replaces an answer that is not about what was asked.
func (f *flight) examine(a wire.Answer) wire.Answer {
	if failedOnTheWay(&a) || a.List && f.list {
		return a
	}
	other := !a.List && len(a.Found) == 0 && !a.Status.Numeric()
	if !f.list {
		_, v := f.verdictOn(&a, f.ids[0])
		other = other || v == leftOut || a.RequestID != "" && !same(a.RequestID, f.ids[0])
	}
	if other {
		return fault(wire.AnswerUnreadable, true, f.format, errOtherID)
	}
	return a
}

// verdict is what an answer means for one verification.
type verdict uint8

const (
	found    verdict = iota // it tells its state
	unknown                 // it says 101
	leftOut                 // a list without it
	rejected                // the call failed, or was refused as a whole
)

// verdictOn finds what an answer says about one verification. What it says about
// others that were not asked for is not looked at.
func (f *flight) verdictOn(a *wire.Answer, id string) (*wire.Verification, verdict) {
	switch {
	case failed(a):
		return nil, rejected
	case !a.List && a.Status == wire.NoResponse:
		return nil, unknown
	}
	i := slices.IndexFunc(a.Found, func(v *wire.Verification) bool { return v.RequestID == id })
	if i < 0 { // the upstream may write it in another way
		i = slices.IndexFunc(a.Found, func(v *wire.Verification) bool { return same(v.RequestID, id) })
	}
	if i < 0 {
		return nil, leftOut
	}
	return a.Found[i], found
}

// same tells that two request_ids are the same one, however they are written.
func same(id, other string) bool { return wire.Spelling(id) == wire.Spelling(other) }

// otherwiseAlone tells that the answer to a list may be another if the flight's verifications
// were asked for alone: the list has none of them, or was refused, or cannot be read or passed on,
// for what may be due to what else it asks for; or to the caller whose call it was, who has had
// his share. What fails by its HTTP code and yet tells states can only be passed on as a whole,
// with those of others.
func (f *flight) otherwiseAlone(a *wire.Answer, caller string) bool {
	if a.Fault != nil {
		switch a.Fault.Cause {
		case wire.AnswerUnreadable, wire.AnswerTooLarge, wire.AnswerWithSecret, wire.StoreAway:
			return true
		case wire.UpstreamError:
			return refusesOne(a.Fault.UpstreamCode)
		case wire.CallerLimitReached, wire.LimitReached, wire.AccountThrottled:
			return f.caller != caller
		}
		return false
	}
	switch {
	case a.Code != http.StatusOK && len(a.Found) > 0:
		return true
	case a.Code != http.StatusOK && !refusesOne(a.Code):
		return false
	case failed(a):
		switch a.Status {
		case wire.Throttled, wire.BadCredentials, wire.AccountBarred, wire.NoCredit: // about the account
			return false
		}
		return true
	}
	for _, id := range f.asked() {
		if _, v := f.verdictOn(a, id); v == found {
			return false
		}
	}
	return true
}

// refusesOne tells the HTTP codes that are about one call, and not about the account.
func refusesOne(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	}
	return code/100 == 4
}

func failedOnTheWay(a *wire.Answer) bool { return a.Fault != nil || a.Code != http.StatusOK }

// failed tells that an answer holds no states: a number other than 101 is about
// the call as a whole.
func failed(a *wire.Answer) bool {
	return failedOnTheWay(a) || !a.List && a.Status.Numeric() && a.Status != wire.NoResponse
}

// inTrouble tells the failures for which a stale state may stand in (stale-if-error)
// from those that say something about the call.
func inTrouble(a *wire.Answer) bool {
	return failedOnTheWay(a) || a.Status == wire.Throttled || a.Status == wire.InternalError
}

// fault answers for the gateway. It speaks as the API does; who answers with
// HTTP codes writes the Fault anew.
func fault(cause wire.Cause, mayHaveSent bool, f wire.Format, err error) wire.Answer {
	return wire.Say(&wire.Fault{Cause: cause, MayHaveSent: mayHaveSent, Err: err}, wire.Search, f, false)
}
