// Package delivery sees to it that a call reaches the upstream once and its
// answer reaches the client, though the client leaves or asks again meanwhile.
package delivery

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/patrickmn/go-cache"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// KeepFor is how long an answer is kept for a client that asks again.
	KeepFor = 10 * time.Minute
	// maxUnread bounds the answers that are kept for want of a reader. It is more than
	// the provider lets an account start within KeepFor.
	maxUnread = 20_000
	// maxKeys bounds the calls that are kept by their Idempotency-Key; more are
	// refused, since a key is a promise. It is what 160 calls a second come to.
	maxKeys = 100_000
	// maxUnderWay bounds the calls under way, those included whose clients left.
	maxUnderWay = 1024
	// sweepEvery is how often expired answers are looked for, as calls come in.
	sweepEvery = time.Minute
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

// Office keeps the calls under way and the answers that may be asked for again.
// Make it with New. Its methods may be used by any number of goroutines; it has
// none of its own.
type Office struct {
	mu       sync.Mutex
	underWay int
	flights  map[[sha256.Size]byte]*flight // requests under way, by all that they say
	byKey    *cache.Cache                  // *flight, by Idempotency-Key
	unread   *cache.Cache                  // *flight, by caller, number and brand
	unreadBy map[string]string             // key in unread, by request_id
	unhanded int                           // clients of requests whose handing over is still to be told, or never will be after a panic
	known    *cache.Cache                  // request_ids that someone knows, while their answers may be still to come
	swept    time.Time
}

// New returns an Office.
func New() *Office {
	o := &Office{
		flights: map[[sha256.Size]byte]*flight{},
		// No janitor: it would be a goroutine that only the garbage collector ends.
		byKey:    cache.New(KeepFor, 0),
		unread:   cache.New(KeepFor, 0),
		known:    cache.New(KeepFor, 0),
		unreadBy: map[string]string{},
		swept:    time.Now(),
	}
	o.unread.OnEvicted(func(_ string, f any) { delete(o.unreadBy, f.(*flight).answer.RequestID) })
	return o
}

// flight is one call and all that wait for its answer.
type flight struct {
	says    [sha256.Size]byte // all that a call says, for requests and calls with a key
	done    chan struct{}
	answer  wire.Answer
	waiting int       // clients whose handing over is still to be told
	read    bool      // a client got the answer
	until   time.Time // when the verification that it started may be over
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

// Deliver makes a call by send, unless the answer is there already:
//
//   - A call with an Idempotency-Key that was seen in the last 10 minutes gets
//     the same answer, unless nothing can have been sent then.
//   - A request that is identical to one under way gets that one's answer.
//   - A request for the same number, brand and pin_code as one whose answer no
//     client got gets that answer, once, in place of a second message.
//
// send is not cancelled when ctx ends: it may cost money by then. Deliver returns
// when send does, or for a call that waits for another's send, when ctx ends.
func (o *Office) Deliver(ctx context.Context, call Call, send func() wire.Answer) (wire.Answer, Source, Handed) {
	f, source, refused := o.enter(&call)
	if refused != nil {
		return refused.Answer(), source, func(bool) {}
	}
	handed := func(ok bool) { o.handed(&call, f, ok) }
	if source == Sent {
		o.run(&call, f, send)
		return f.answer, source, handed
	}
	select {
	case <-f.done:
		return f.answer, source, handed
	case <-ctx.Done():
		handed(false)
		return (&wire.Fault{Cause: wire.ClientLeft, MayHaveSent: true}).Answer(), source, func(bool) {}
	}
}

// enter finds the flight that answers a call. A new one, to be run by the caller,
// has the source Sent.
func (o *Office) enter(call *Call) (*flight, Source, *wire.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sweep()
	f := &flight{done: make(chan struct{})}
	if call.Operation == wire.Request || call.IdempotencyKey != "" {
		f.says = call.says()
	}
	if call.IdempotencyKey != "" {
		if found, ok := o.byKey.Get(keyOf(call)); ok && !found.(*flight).unsent() {
			known := found.(*flight)
			if known.says != f.says {
				return nil, Sent, wire.Refuse(wire.IdempotencyKeyReused, "")
			}
			o.wait(call, known)
			return known, Replayed, nil
		}
		if o.byKey.ItemCount() >= maxKeys {
			return nil, Sent, tooMany()
		}
	}
	if call.Operation == wire.Request {
		if known := o.unreadFor(call); known != nil {
			o.forget(known.answer.RequestID)
			o.wait(call, known)
			o.remember(call, known)
			return known, Replayed, nil
		}
		if known, ok := o.flights[f.says]; ok {
			o.wait(call, known)
			o.remember(call, known)
			return known, Shared, nil
		}
	}
	if o.underWay >= maxUnderWay {
		return nil, Sent, tooMany()
	}
	o.underWay++
	if call.Operation == wire.Request {
		o.flights[f.says] = f
	}
	o.wait(call, f)
	o.remember(call, f)
	return f, Sent, nil
}

// wait adds a client to those that wait. The caller holds o.mu.
func (o *Office) wait(call *Call, f *flight) {
	f.waiting++
	if call.Operation == wire.Request {
		o.unhanded++
	}
}

// unreadFor returns the flight whose answer no client got and this one may have, or
// nil. The caller holds o.mu.
func (o *Office) unreadFor(call *Call) *flight {
	if o.unread.ItemCount() == 0 { // nearly always
		return nil
	}
	if found, ok := o.unread.Get(repeatOf(call)); ok {
		return found.(*flight)
	}
	return nil
}

// remember notes what an Idempotency-Key stands for. The caller holds o.mu.
func (o *Office) remember(call *Call, f *flight) {
	if call.IdempotencyKey != "" {
		o.byKey.SetDefault(keyOf(call), f)
	}
}

// run makes the call. Whatever becomes of it, those who wait get an answer.
func (o *Office) run(call *Call, f *flight, send func() wire.Answer) {
	answered := false
	defer func() {
		if !answered { // send has panicked
			f.answer = (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer()
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.underWay--
		if call.Operation == wire.Request {
			delete(o.flights, f.says)
			f.until = time.Now().Add(min(KeepFor, call.Lifetime()))
		}
		close(f.done)
	}()
	f.answer = send()
	answered = true
}

// unsent tells a call that is over and of which nothing can have been sent: to
// make it again is what helps.
func (f *flight) unsent() bool {
	select {
	case <-f.done:
	default:
		return false
	}
	if f.answer.Fault != nil {
		return !f.answer.Fault.MayHaveSent
	}
	return f.answer.Status == wire.Throttled
}

func tooMany() *wire.Fault {
	return &wire.Fault{Cause: wire.TooManyUnderWay, RetryAfter: time.Second}
}

// handed notes whether a client got the answer, and keeps the start of a
// verification that none did.
func (o *Office) handed(call *Call, f *flight, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.read = f.read || ok
	f.waiting--
	if call.Operation != wire.Request {
		return
	}
	o.unhanded--
	if f.waiting > 0 || f.read {
		return
	}
	if _, known := o.known.Get(f.answer.RequestID); known {
		return
	}
	left := time.Until(f.until)
	if f.answer.Fault != nil || f.answer.Status != wire.Success || f.answer.RequestID == "" || left <= 0 || o.unread.ItemCount() >= maxUnread {
		return
	}
	if older, ok := o.unread.Get(repeatOf(call)); ok {
		o.forget(older.(*flight).answer.RequestID)
	}
	o.unread.Set(repeatOf(call), f, left)
	o.unreadBy[f.answer.RequestID] = repeatOf(call)
}

// Forget drops the answer that started a verification, which a check or control
// shows to be known to someone.
func (o *Office) Forget(requestID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(requestID)
	// The request itself may be under way still: another one for the same number
	// was answered with status 10 and this request_id. Or it may be asked for again
	// by its key.
	if o.unhanded+o.byKey.ItemCount() > 0 && o.known.ItemCount() < maxKeys {
		o.known.SetDefault(requestID, nil)
	}
}

func (o *Office) forget(requestID string) {
	if repeat, ok := o.unreadBy[requestID]; ok {
		o.unread.Delete(repeat)
	}
}

// sweep removes what has expired. The caller holds o.mu.
func (o *Office) sweep() {
	if time.Since(o.swept) < sweepEvery {
		return
	}
	o.swept = time.Now()
	o.byKey.DeleteExpired()
	o.unread.DeleteExpired()
	o.known.DeleteExpired()
}

// says is a hash of all that a call says.
func (c *Call) says() [sha256.Size]byte {
	text := append(make([]byte, 0, 256), c.Caller...)
	text = append(append(append(text, '\n'), c.Format.String()...), '\n')
	return sha256.Sum256(c.AppendForm(text))
}

func keyOf(call *Call) string {
	return call.Caller + "\n" + call.Operation.String() + "\n" + call.IdempotencyKey
}

// repeatOf is what a repetition has in common with the call that it repeats.
func repeatOf(call *Call) string {
	text := append(make([]byte, 0, 256), call.Caller...)
	for _, part := range [...]string{call.Format.String(), call.Get("country"), call.Get("brand"), call.Get("pin_code")} {
		text = append(append(text, '\n'), part...)
	}
	text = append(text, '\n')
	for _, c := range []byte(call.Get("number")) {
		if c >= '0' && c <= '9' {
			text = append(text, c)
		}
	}
	return string(text)
}
