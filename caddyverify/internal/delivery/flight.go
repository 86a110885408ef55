package delivery

import (
	"bytes"
	"cmp"
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// maxAnswer is the longest answer that is kept, in bytes. Those of the provider to
// anything but a search are under 400.
const maxAnswer = 2 << 10

// flight is one call and all that wait for its answer: request coalescing, as package
// singleflight does it.
type flight struct {
	fingerprint digest // all that the call says
	key         digest // where it is in Deduper.flights
	done        chan struct{}
	last        *flight  // the unread one that this repeats, until it is done
	keys        []digest // the Idempotency-Keys that stand for it, until it is done
	answer      wire.Answer
	unacked     int       // clients whose Ack is still to come
	acked       bool      // a client got the answer
	until       time.Time // when the answer is of no use any more

	claims     *claims       // in the store; nil where there is none, or nothing to be told any more
	lastClaims *claims       // those of last
	names      []store.Name  // of the Idempotency-Keys, in the store, until it is done
	shared     atomic.Bool   // the store has had the answer, and may have given it to another gateway
	forgot     atomic.Uint64 // what the store had: how often it had forgotten all by then
	lost       bool          // its Idempotency-Key is known for a call of which nobody has told
	keyOnly    bool          // the answer is that of its Idempotency-Key, the first of keys, and nobody else's
}

// run answers the call. Whatever becomes of it, those who wait get an answer.
func (d *Deduper) run(ctx context.Context, call *Call, f *flight, upstream Upstream) (answer wire.Answer, source wire.DeliverySource) {
	state, answered := Unknown, false
	if s := cmp.Or(upstream.Store, d.shared.Load()); s != nil {
		f.claims = newClaims(ctx, s, &d.left, call, upstream.Timeout)
	}
	defer func() {
		if !answered { // a function of upstream has panicked
			answer = (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer()
		}
		last := f.last
		d.complete(call, f, answer, state)
		if f.claims != nil {
			f.claims.settle(f, last, state)
			if f.claims.alone {
				d.alone.Add(1)
			}
		}
		if !answered {
			d.ack(call, f, false)
		}
	}()
	for {
		if f.claims != nil {
			if known, source := f.claims.ask(f); known != nil {
				answered, f.keyOnly = true, f.claims.keyOnly
				return *known, source
			}
		}
		if last := f.last; last != nil {
			if call.Operation == wire.Check {
				state = Running // over, which is what the client is to hear
			} else {
				state = upstream.State(last.answer.RequestID)
			}
			if state == Running {
				answered = true
				return last.answer, wire.Replayed
			}
		}
		if f.claims == nil || !f.claims.between {
			break
		}
	}
	answer = upstream.Send()
	answered = true
	return answer, wire.Sent
}

// complete ends a flight. What may be asked for again is kept by itself, whatever else
// the answer came with.
func (d *Deduper) complete(call *Call, f *flight, answer wire.Answer, state State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.underWay.release(call.Caller)
	if call.Operation != wire.Check {
		delete(d.flights, f.key)
	}
	f.answer = essence(answer)
	f.until = time.Now().Add(KeepFor)
	if call.Operation.Starts() {
		f.until = time.Now().Add(min(KeepFor, call.Lifetime()))
		if d.tracking {
			d.numbers.drop(d.number(call), f)
		}
		if d.tracking && !f.unsent() && (answer.InDoubt() || answer.RequestID != "") {
			d.numbers.put(d.number(call), call.Caller, f, f.until)
		}
	}
	if last := f.last; last != nil {
		switch {
		case state == Running:
			f.until = last.until // being given out has not made it younger
		case state == Unknown && answer.RequestID == "" && d.unread.get(d.repetitionKey(call)) == nil:
			d.keepUnread(call, last) // for the next one that asks
		}
	}
	for i, key := range f.keys {
		switch {
		case f.unsent():
			d.keys.drop(key, f) // to make the call again is what helps
		case i > 0 && f.keyOnly:
			d.keys.drop(key, f)
		case !f.fits():
			d.keys.replace(key, f, f.tooLarge())
		}
	}
	f.last, f.lastClaims, f.keys = nil, nil, nil
	close(f.done)
}

// essence copies out of an answer what is needed to give it again.
func essence(a wire.Answer) wire.Answer {
	copied := wire.Answer{Code: a.Code, ContentType: strings.Clone(a.ContentType), Body: bytes.Clone(a.Body), Fault: a.Fault, Unsure: a.Unsure}
	copied.RequestID, copied.Status = a.RequestID, a.Status
	if copied.Fault != nil {
		fault := *copied.Fault
		fault.Err = nil
		copied.Fault = &fault
	}
	return copied
}

// unsent tells a call of which nothing can have been sent, or which the provider has
// refused for the account, and so has not acted on.
func (f *flight) unsent() bool {
	if f.answer.Fault != nil {
		return !f.answer.Fault.MayHaveSent
	}
	switch f.answer.Status {
	case wire.Throttled, wire.BadCredentials, wire.AccountBarred, wire.NoCredit:
		return true
	}
	return false
}

// fits tells an answer that may be kept.
func (f *flight) fits() bool {
	return len(f.answer.Body)+len(f.answer.ContentType)+len(f.answer.RequestID) <= maxAnswer
}

// tooLarge takes the place of a call whose answer is too large to be kept: its key
// still says that it was made.
func (f *flight) tooLarge() *flight {
	fault := &wire.Fault{Cause: wire.AnswerTooLarge, MayHaveSent: true}
	return &flight{fingerprint: f.fingerprint, done: f.done, answer: fault.Answer()}
}

// ack notes whether a client got the answer, and keeps a success that none did.
func (d *Deduper) ack(call *Call, f *flight, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := ok && !f.acked
	f.acked = f.acked || ok
	f.unacked--
	last := f.unacked == 0
	if (last || first && call.Operation.Starts()) && f.claims != nil { // it is done
		c, acked := f.claims, f.acked
		d.mu.Unlock()
		c.acked(f, acked)
		d.mu.Lock()
	}
	if !last {
		return
	}
	if f.acked {
		f.claims = nil // all is told
	}
	if !f.acked {
		d.keepUnread(call, f)
	}
	if call.Operation == wire.Check && d.flights[f.key] == f {
		delete(d.flights, f.key)
		d.nextTurn(f.key)
	}
}
