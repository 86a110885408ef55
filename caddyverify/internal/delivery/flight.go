package delivery

import (
	"bytes"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// maxAnswer is the longest answer that is kept, in bytes. Those of the provider to
// anything but a search are under 400.
const maxAnswer = 2 << 10

// flight is one call and all that wait for its answer.
type flight struct {
	says  sum // all that the call says
	under sum // where it is in Office.flights
	done  chan struct{}
	// settled is closed when all clients of a check have been told, or have left.
	settled chan struct{}
	last    *flight // the unread one that this repeats, until it is done
	keys    []sum   // the Idempotency-Keys that stand for it, until it is done
	answer  wire.Answer
	waiting int       // clients whose handing over is still to be told
	read    bool      // a client got the answer
	until   time.Time // when the answer is of no use any more
}

// run answers the call. Whatever becomes of it, those who wait get an answer.
func (o *Office) run(call *Call, f *flight, upstream Upstream) (answer wire.Answer, source Source) {
	state, answered := Unknown, false
	defer func() {
		if !answered { // a function of upstream has panicked
			answer = (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer()
		}
		o.land(call, f, answer, state)
		if !answered {
			o.handed(call, f, false)
		}
	}()
	if last := f.last; last != nil {
		if call.Operation == wire.Check {
			state = Running // over, which is what the client is to be told
		} else {
			state = upstream.State(last.answer.RequestID)
		}
		if state == Running {
			answered = true
			return last.answer, Replayed
		}
	}
	answer = upstream.Send()
	answered = true
	return answer, Sent
}

// land ends a flight. What may be asked for again is kept by itself, whatever else
// the answer came with.
func (o *Office) land(call *Call, f *flight, answer wire.Answer, state State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.underWay.give(call.Caller)
	if call.Operation != wire.Check {
		delete(o.flights, f.under)
	}
	f.answer = alone(answer)
	f.until = time.Now().Add(KeepFor)
	if call.Operation.Starts() {
		f.until = time.Now().Add(min(KeepFor, call.Lifetime()))
	}
	if last := f.last; last != nil {
		switch {
		case state == Running:
			f.until = last.until // being handed out has not made it younger
		case state == Unknown && answer.RequestID == "" && o.unread.get(o.repeat(call)) == nil:
			o.keepUnread(call, last) // for the next one that asks
		}
	}
	for _, key := range f.keys {
		switch {
		case f.unsent():
			o.keys.drop(key, f) // to make the call again is what helps
		case !f.fits():
			o.keys.replace(key, f, f.tooLarge())
		}
	}
	f.last, f.keys = nil, nil
	close(f.done)
}

// alone copies out of an answer what is needed to give it again.
func alone(a wire.Answer) wire.Answer {
	kept := wire.Answer{Code: a.Code, ContentType: strings.Clone(a.ContentType), Body: bytes.Clone(a.Body), Fault: a.Fault}
	kept.RequestID, kept.Status = a.RequestID, a.Status
	if kept.Fault != nil {
		fault := *kept.Fault
		fault.Err = nil
		kept.Fault = &fault
	}
	return kept
}

// unsent tells a call of which nothing can have been sent.
func (f *flight) unsent() bool {
	if f.answer.Fault != nil {
		return !f.answer.Fault.MayHaveSent
	}
	return f.answer.Status == wire.Throttled
}

// fits tells an answer that may be kept.
func (f *flight) fits() bool {
	return len(f.answer.Body)+len(f.answer.ContentType)+len(f.answer.RequestID) <= maxAnswer
}

// tooLarge takes the place of a call whose answer is too large to be kept: its key
// still says that it was made.
func (f *flight) tooLarge() *flight {
	fault := &wire.Fault{Cause: wire.AnswerTooLarge, MayHaveSent: true}
	return &flight{says: f.says, done: f.done, answer: fault.Answer()}
}

// handed notes whether a client got the answer, and keeps a success that none did.
func (o *Office) handed(call *Call, f *flight, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.read = f.read || ok
	f.waiting--
	if f.waiting > 0 {
		return
	}
	if !f.read {
		o.keepUnread(call, f)
	}
	if call.Operation == wire.Check && o.flights[f.under] == f {
		delete(o.flights, f.under)
		close(f.settled)
	}
}
