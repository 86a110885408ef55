// Package delivery sees to it that a call reaches the upstream once and its
// answer reaches the client, though the client leaves or asks again meanwhile.
package delivery

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// KeepFor is how long an answer is kept for a client that asks again.
	KeepFor = 10 * time.Minute
	// maxUnread bounds the answers that are kept for want of a reader. Half of it is more
	// than the provider lets an account start within KeepFor.
	maxUnread = 40_000
	// maxKeys bounds the calls that are kept by their Idempotency-Key; more are refused,
	// since a key is a promise. At 28 calls a second all callers together have 16,800.
	// Each takes 1 KiB of memory with an answer of the provider, and at most 3 KiB.
	maxKeys = 100_000
	// maxUnderWay bounds the calls under way, those included whose clients left.
	maxUnderWay = 1024
)

// Source says where the answer to a call comes from.
type Source uint8

const (
	// Sent: from upstream.
	Sent Source = iota
	// Shared: from upstream, by an identical call that was under way.
	Shared
	// Replayed: kept from an earlier call.
	Replayed
)

// String returns the word used in logs and spans.
func (s Source) String() string { return [...]string{"sent", "shared", "replayed"}[s] }

// State is what is known of a verification before the answer that began it is given
// to somebody else.
type State uint8

const (
	// Unknown: nobody could tell.
	Unknown State = iota
	// Running: its code can still be entered.
	Running
	// Over: it cannot.
	Over
)

// Office keeps the calls under way and the answers that may be asked for again.
// Make it with New. Its methods may be used by any number of goroutines; it has
// none of its own.
//
// What it keeps is bounded, and no caller can take up what others need: see room.
type Office struct {
	salt [32]byte

	mu       sync.Mutex
	underWay room
	flights  map[sum]*flight // requests by all that they say; checks by what repeats them
	keys     shelf           // by Idempotency-Key
	unread   shelf           // by what repeats them: requests and checks that no client got the answer to
	unreadBy map[string]sum  // where a verification's request is in unread
}

// New returns an Office.
func New() *Office {
	o := &Office{
		underWay: newRoom(maxUnderWay),
		flights:  map[sum]*flight{},
		keys:     newShelf(maxKeys),
		unread:   newShelf(maxUnread),
		unreadBy: map[string]sum{},
	}
	_, _ = rand.Read(o.salt[:]) // never fails
	o.unread.items.OnEvicted(func(under string, item any) {
		if id := item.(*kept).flight.answer.RequestID; o.unreadBy[id].key() == under {
			delete(o.unreadBy, id)
		}
	})
	return o
}

// Handed is to be called once the answer was written, with whether the client got
// it as far as can be told.
type Handed func(ok bool)

// Call is what Deliver needs to know of a call.
type Call struct {
	*wire.Call
	// Caller separates clients from each other.
	Caller string
	// IdempotencyKey is the client's own name for the call, or "".
	IdempotencyKey string
}

// Upstream is how Deliver learns what it does not know. Neither of its functions is
// cancelled when the client leaves.
type Upstream struct {
	// Send makes the call.
	Send func() wire.Answer
	// State finds out what has become of a verification.
	State func(requestID string) State
}

// Deliver makes a call, unless the answer is there already:
//
//   - A call with an Idempotency-Key that was seen in the last 10 minutes gets
//     the same answer, unless nothing can have been sent then.
//   - A request that is identical to one under way gets that one's answer.
//   - A request for the same number, brand and pin_code as one whose answer no
//     client got gets that answer, once, in place of a second message, if the
//     verification is still running. For psd2 it is number, payee and amount.
//   - A check of the same code as one whose success no client got gets that answer,
//     once. If that one is under way still, it waits for what becomes of it.
//
// The call is not cancelled when ctx ends: it may cost money by then. Deliver returns
// when the call is over, or for one that waits for another, when ctx ends.
func (o *Office) Deliver(ctx context.Context, call Call, upstream Upstream) (wire.Answer, Source, Handed) {
	for {
		f, source, refused := o.enter(&call)
		switch {
		case refused != nil:
			return refused.Answer(), source, func(bool) {}
		case source == inTurn:
			select {
			case <-f.settled:
				continue
			case <-ctx.Done():
				return left().Answer(), Shared, func(bool) {}
			}
		}
		handed := func(ok bool) { o.handed(&call, f, ok) }
		if source == Sent {
			answer, source := o.run(&call, f, upstream)
			return answer, source, handed
		}
		select {
		case <-f.done:
			return f.answer, source, handed
		case <-ctx.Done():
			handed(false)
			return left().Answer(), source, func(bool) {}
		}
	}
}

// inTurn is enter's word for a check that has to wait until an identical one is
// settled. A code is good for one of them: if that one's client gets the success,
// this one is sent to be told that it is over.
const inTurn Source = 255

// enter finds the flight that answers a call. A new one, to be run by the caller,
// has the source Sent.
func (o *Office) enter(call *Call) (*flight, Source, *wire.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys.sweep()
	o.unread.sweep()
	f := &flight{done: make(chan struct{}), says: o.says(call)}
	if call.IdempotencyKey != "" {
		if known := o.keys.get(o.key(call)); known != nil {
			if known.says != f.says {
				return nil, Sent, wire.Refuse(wire.IdempotencyKeyReused, "")
			}
			known.waiting++
			return known, Replayed, nil
		}
		if !o.keys.room.has(call.Caller) {
			return nil, Sent, tooMany()
		}
	}
	f.under = f.says
	if call.Operation == wire.Check {
		f.under, f.settled = o.repeat(call), make(chan struct{})
	}
	if known, ok := o.flights[f.under]; ok {
		if call.Operation == wire.Check {
			return known, inTurn, nil
		}
		known.waiting++
		o.remember(call, known)
		return known, Shared, nil
	}
	if !o.underWay.take(call.Caller) {
		return nil, Sent, tooMany()
	}
	f.last = o.takeUnread(call)
	if call.Operation.Starts() || call.Operation == wire.Check {
		o.flights[f.under] = f
	}
	f.waiting++
	o.remember(call, f)
	return f, Sent, nil
}

// remember notes what an Idempotency-Key stands for. The caller holds o.mu, and has
// seen that there is room.
func (o *Office) remember(call *Call, f *flight) {
	if call.IdempotencyKey != "" && o.keys.put(o.key(call), call.Caller, f, time.Now().Add(KeepFor)) {
		f.keys = append(f.keys, o.key(call))
	}
}

func tooMany() *wire.Fault {
	return &wire.Fault{Cause: wire.TooManyUnderWay, Refused: true, RetryAfter: time.Second}
}

// left is about a client that left before an answer that it had to wait for.
func left() *wire.Fault { return &wire.Fault{Cause: wire.ClientLeft, MayHaveSent: true} }
