package ledger

import (
	"encoding/binary"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Beginning is how a verification began, as one gateway tells the others.
type Beginning struct {
	RequestID string
	Start
	Link Link
	// Timing is what its request says, and Took how long the upstream took to answer that.
	Timing wire.Timing
	Took   time.Duration
	// Age is how long ago it was when the others were told, which is late where they could not be
	// at once.
	Age time.Duration
	// Vague tells that it may have been longer ago than anybody knows. It is not told.
	Vague bool
}

// Booking is an end or a cost that other gateways may learn of as well, for whoever finds out
// which of them counts it.
type Booking struct {
	RequestID string
	// Own tells that this ledger has seen it start.
	Own bool
	// Of these one is there: an end, the end of a verification whose start nobody has told of
	// yet, or a cost.
	Finish    *Finish
	Untracked wire.Outcome
	Cost      *Cost
	// Amount is what the verification is known to have cost of the Cost's kind, in all. It is in
	// units that Of takes.
	Amount int64
}

// Of returns the cost with another amount, in the units of Booking.Amount.
func (c Cost) Of(amount int64) Cost {
	c.Amount = float64(amount) / unit
	return c
}

const (
	// beginningVersion is the first byte of an encoded Beginning.
	beginningVersion = 2
	// maxWord, maxTime, maxTook and maxAge bound what is believed of what another gateway says.
	maxWord = 255
	maxTime = time.Hour
	maxTook = time.Minute
	maxAge  = 2 * time.Hour
	// patience is how much longer than the one that saw the start other ledgers wait for an
	// end, before they ask for it: in good order they never have to.
	patience = 5 * time.Minute
)

// Encode returns what DecodeBeginning reads, but for the request_id.
func (b *Beginning) Encode() []byte {
	v := []byte{beginningVersion}
	for _, n := range [...]time.Duration{b.Timing.Wait / time.Second, b.Timing.PIN / time.Second, b.Took / time.Millisecond, b.Age / time.Millisecond} {
		v = binary.AppendUvarint(v, uint64(max(0, n))) //nolint:gosec // it is not below 0
	}
	v = append(append(v, b.Link.Trace[:]...), b.Link.Span[:]...)
	for _, word := range [...]string{b.Caller, b.Country, b.Workflow} {
		word = word[:min(len(word), maxWord)]
		v = append(append(v, byte(len(word))), word...) //nolint:gosec // it is cut
	}
	return v
}

// DecodeBeginning reads what Encode has written. It reports false for anything else, such as
// what a later version has written.
func DecodeBeginning(requestID string, v []byte) (b Beginning, ok bool) {
	if len(v) == 0 || v[0] != beginningVersion || requestID == "" || len(requestID) > maxID {
		return b, false
	}
	b.RequestID = requestID
	v = v[1:]
	for _, field := range [...]struct {
		value      *time.Duration
		unit, most time.Duration
	}{{&b.Timing.Wait, time.Second, maxTime}, {&b.Timing.PIN, time.Second, maxTime}, {&b.Took, time.Millisecond, maxTook}, {&b.Age, time.Millisecond, maxAge}} {
		number, n := binary.Uvarint(v)
		if n <= 0 {
			return b, false
		}
		*field.value = time.Duration(min(number, uint64(field.most/field.unit))) * field.unit //nolint:gosec // two hours at most
		v = v[n:]
	}
	if len(v) < len(b.Link.Trace)+len(b.Link.Span) {
		return b, false
	}
	v = v[copy(b.Link.Trace[:], v):]
	v = v[copy(b.Link.Span[:], v):]
	for _, word := range [...]*string{&b.Caller, &b.Country, &b.Workflow} {
		if len(v) == 0 || len(v) <= int(v[0]) {
			return b, false
		}
		end := 1 + int(v[0])
		*word, v = string(v[1:end]), v[end:]
	}
	return b, len(v) == 0
}

// Share has ends and costs come as Bookings, and Named find verifications by what hide makes of
// their request_id. nil is for no other gateway.
func (l *Ledger) Share(hide func(requestID string) string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hide, l.names = hide, map[string]*record{}
	for _, r := range l.records.byID {
		r.name = ""
		if !r.finished {
			l.enter(r)
		}
	}
}

// Named returns the verification of a hidden name, if it is here and not known to be over.
func (l *Ledger) Named(name string) (requestID string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.names[name]; r != nil {
		return r.id, true
	}
	return "", false
}

// enter has Named find a record until leaveNames.
func (l *Ledger) enter(r *record) {
	if l.hide != nil {
		r.name = l.hide(r.id)
		l.names[r.name] = r
	}
}

func (l *Ledger) leaveNames(r *record) {
	if r.name != "" {
		delete(l.names, r.name)
		r.name = ""
	}
}

// Adopt takes in a verification that another gateway has told of, age ago. over tells that
// its end has been counted. It is none of Started, nor of Stats' UnderWay and Unsettled: who saw
// the start counts it.
func (l *Ledger) Adopt(b Beginning, age time.Duration, over bool) (events Events) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	known := l.records.find(b.RequestID)
	if known != nil && !known.untracked {
		if over {
			l.endElsewhere(known, now)
		}
		return events
	}
	if known != nil {
		l.records.drop(known)
	}
	r := l.insert(b.RequestID, now, &events)
	r.adopted, r.begun = true, now-max(0, age)-b.Age
	r.country, r.caller, r.workflow, r.link = b.Country, b.Caller, workflowNamed(b.Workflow), b.Link
	r.schedule = schedule{Timing: b.Timing, took: b.Took, vague: b.Vague, messages: 1}
	r.expires = r.begun + b.Timing.Lifetime(b.Workflow) + l.settings.Grace + patience
	l.records.wait(r, r.expires)
	l.enter(r)
	switch {
	case known != nil: // its end is known, and told of
		l.close(r, known.outcome, now)
	case over:
		l.endElsewhere(r, now)
	}
	return events
}

// EndedElsewhere notes that another gateway has counted the end of a verification.
func (l *Ledger) EndedElsewhere(requestID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.records.find(requestID); r != nil && !r.untracked {
		l.endElsewhere(r, l.now())
	}
}

func (l *Ledger) endElsewhere(r *record, now time.Duration) {
	if !r.finished {
		r.elsewhere = true
		l.close(r, indexOf(wire.OutcomeUnknown), now)
	}
}
