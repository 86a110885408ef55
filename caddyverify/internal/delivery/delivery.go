// Package delivery sees to it that a call reaches the upstream once and its
// answer reaches the client, though the client leaves or asks again meanwhile. It does so
// by idempotency keys, by request coalescing (singleflight) and by keeping answers that
// no client acknowledged.
package delivery

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
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

// Deduper keeps the calls under way and the answers that may be asked for again.
// Make it with New. Its methods may be used by any number of goroutines; it has
// none of its own.
//
// What it keeps is bounded, and no caller can take up what others need: see quota.
type Deduper struct {
	salt   [32]byte
	shared atomic.Pointer[store.Shared] // nil: nobody else
	alone  atomic.Uint64
	left   leftovers

	mu       sync.Mutex
	underWay quota
	flights  map[digest]*flight // requests by all that they say; checks by what repeats them
	turns    map[digest][]*turn // checks that wait for an identical one
	keys     kept               // by Idempotency-Key
	unread   kept               // by what repeats them: requests and checks that no client got the answer to
	unreadBy map[string]digest  // where a verification's request is in unread

	tracking bool
	coming   map[digest]int // what Reserve has announced, by number and by Idempotency-Key
	numbers  kept           // by a request's number, what may have started a verification of it
}

// New returns a Deduper.
func New() *Deduper {
	d := &Deduper{
		underWay: newQuota(maxUnderWay),
		flights:  map[digest]*flight{},
		turns:    map[digest][]*turn{},
		keys:     newKept(maxKeys),
		unread:   newKept(maxUnread),
		unreadBy: map[string]digest{},
		numbers:  newKept(maxUnread),
		coming:   map[digest]int{},
	}
	_, _ = rand.Read(d.salt[:]) // never fails
	d.unread.items.OnEvicted(func(key string, item any) {
		if id := item.(*entry).flight.answer.RequestID; d.unreadBy[id].text() == key {
			delete(d.unreadBy, id)
		}
	})
	return d
}

// Ack acknowledges an answer. It is to be called once that was written, with whether the
// client got it as far as can be told.
type Ack func(ok bool)

// Call is what Deliver needs to know of a call. Its Caller separates clients from each
// other.
type Call struct {
	*wire.Call
	// IdempotencyKey is the client's own name for the call, or "".
	IdempotencyKey string

	turn *turn // of a check that waits for an identical one; else nil
}

// Upstream is how Deliver learns what it does not know. Neither of its functions is
// cancelled when the client leaves.
type Upstream struct {
	// Send makes the call.
	Send func() wire.Answer
	// State finds out what has become of a verification.
	State func(requestID string) State
	// Timeout bounds Send. Other gateways wait a little longer for what comes of it.
	Timeout time.Duration
	// Store is where gateways agree on who makes the call. Of several accounts with one of
	// which it is made, it is that of the first, whichever is chosen. Default: what Share has.
	Store *store.Shared
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
func (d *Deduper) Deliver(ctx context.Context, call Call, upstream Upstream) (wire.Answer, wire.DeliverySource, Ack) {
	for {
		f, source, refused := d.enter(&call)
		switch {
		case refused != nil:
			return refused.Answer(), source, func(bool) {}
		case source == inTurn:
			select {
			case <-call.turn.come:
				continue
			case <-ctx.Done():
				d.leave(&call)
				return left().Answer(), wire.Shared, func(bool) {}
			}
		}
		ack := func(ok bool) { d.ack(&call, f, ok) }
		if source == wire.Sent {
			answer, source := d.run(ctx, &call, f, upstream)
			return answer, source, ack
		}
		select {
		case <-f.done:
			if f.keyOnly && !d.isKeyOf(&call, f) { // it joined an identical call, whose key was another's
				ack(false)
				continue
			}
			return f.answer, source, ack
		case <-ctx.Done():
			ack(false)
			return left().Answer(), source, func(bool) {}
		}
	}
}

// Track has Sent know of requests from now on.
func (d *Deduper) Track() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tracking = true
}

// Sent tells whether a request was made already, or one of the same caller for the same
// number that may have started a verification which can still be completed: by its
// request_id if that is known. With a second account one must not be made anew.
func (d *Deduper) Sent(call Call) (requestID string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys.sweep()
	d.numbers.sweep()
	for _, name := range d.names(&call) {
		if d.coming[name] > 0 {
			return "", true
		}
	}
	if call.IdempotencyKey != "" && d.keys.get(d.idempotencyKey(&call)) != nil {
		return "", true
	}
	if f := d.numbers.get(d.number(&call)); f != nil {
		return f.answer.RequestID, true
	}
	return "", false
}

// Reserve has Sent know of a request that is about to be delivered, until that has been.
func (d *Deduper) Reserve(call Call) (release func()) {
	names := d.names(&call)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		d.coming[name]++
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, name := range names {
			if d.coming[name]--; d.coming[name] == 0 {
				delete(d.coming, name)
			}
		}
	}
}

// names are what two requests of a caller must not differ in the account by.
func (d *Deduper) names(call *Call) []digest {
	names := []digest{d.number(call)}
	if call.IdempotencyKey != "" {
		names = append(names, d.idempotencyKey(call))
	}
	return names
}

// inTurn is enter's word for a check that has to wait until an identical one is
// settled. A code is good for one of them: if that one's client gets the success,
// this one is sent to be told that it is over.
const inTurn wire.DeliverySource = "in turn"

// enter finds the flight that answers a call. A new one, to be run by the caller,
// has the source wire.Sent.
func (d *Deduper) enter(call *Call) (*flight, wire.DeliverySource, *wire.Fault) {
	own := &flight{done: make(chan struct{}), fingerprint: d.fingerprint(call)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys.sweep()
	d.unread.sweep()
	f, source, refused := d.find(call, own)
	if call.turn != nil && source != inTurn {
		d.endTurn(call, refused == nil && source == wire.Sent)
	}
	return f, source, refused
}

// find finds the flight that answers a call, which may be f, a new one. The caller holds
// d.mu.
func (d *Deduper) find(call *Call, f *flight) (*flight, wire.DeliverySource, *wire.Fault) {
	if call.IdempotencyKey != "" {
		if known := d.keys.get(d.idempotencyKey(call)); known != nil {
			if known.fingerprint != f.fingerprint {
				return nil, wire.Sent, wire.Refuse(wire.IdempotencyKeyReused, "")
			}
			if f.lost = d.shared.Load() != nil && known.isLost(); !f.lost { // else another gateway may have told by now
				known.unacked++
				select {
				case <-known.done:
					return known, wire.Replayed, nil
				default:
					return known, wire.Shared, nil // it is under way
				}
			}
		}
		if !d.keys.quota.available(call.Caller) {
			return nil, wire.Sent, tooMany()
		}
	}
	f.key = f.fingerprint
	if call.Operation == wire.Check {
		f.key = d.repetitionKey(call)
	}
	if known, ok := d.flights[f.key]; ok {
		switch {
		case call.Operation != wire.Check:
		case d.queue(call, f.key):
			return known, inTurn, nil
		default:
			return nil, wire.Sent, tooMany()
		}
		known.unacked++
		d.bindKey(call, known)
		return known, wire.Shared, nil
	}
	if call.turn == nil && !d.underWay.acquire(call.Caller) {
		return nil, wire.Sent, tooMany()
	}
	if f.last = d.takeUnread(call); f.last != nil {
		f.lastClaims = f.last.claims
	}
	if call.Operation.Starts() || call.Operation == wire.Check {
		d.flights[f.key] = f
	}
	if d.tracking && call.Operation.Starts() && d.numbers.get(d.number(call)) == nil {
		d.numbers.put(d.number(call), call.Caller, f, time.Now().Add(KeepFor))
	}
	f.unacked++
	d.bindKey(call, f)
	return f, wire.Sent, nil
}

// bindKey stores what an Idempotency-Key stands for. The caller holds d.mu, and has seen
// that its quota allows it.
func (d *Deduper) bindKey(call *Call, f *flight) {
	if call.IdempotencyKey != "" && d.keys.put(d.idempotencyKey(call), call.Caller, f, time.Now().Add(KeepFor)) {
		f.keys = append(f.keys, d.idempotencyKey(call))
		if d.shared.Load() != nil {
			f.names = append(f.names, keyName(call))
		}
	}
}

// isKeyOf tells whether a flight is what a call's Idempotency-Key stands for.
func (d *Deduper) isKeyOf(call *Call, f *flight) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return call.IdempotencyKey != "" && d.keys.get(d.idempotencyKey(call)) == f
}

// tooMany sheds load: it refuses a call for which there is no place.
func tooMany() *wire.Fault {
	return &wire.Fault{Cause: wire.TooManyUnderWay, Refused: true, RetryAfter: time.Second}
}

// left is about a client that left before an answer that it had to wait for.
func left() *wire.Fault { return &wire.Fault{Cause: wire.ClientLeft, MayHaveSent: true} }
