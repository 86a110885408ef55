package ledger

import (
	"math"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// maxMessages is how many messages the longest workflow has.
	maxMessages = 3
	// near is for how long a verification is taken to be as a search has said around the moments
	// at which the provider may change it.
	near = time.Second
	// A moment is near from early before to late after it: the provider tells whole seconds, and
	// takes its time to do what is due.
	early = 2 * time.Second
	late  = 3 * time.Second
	// doubtful is for how long the provider may yet do what it was asked and has not said to be
	// done: a check that was not answered, or to send the next message now.
	doubtful = 30 * time.Second
)

// schedule is what is known of when the provider changes a verification by itself.
type schedule struct {
	wire.Timing
	// took is how long the request took: the provider's time began within it.
	took time.Duration
	// vague tells that it may have been earlier.
	vague bool
	// messages is how many had been sent when the provider last told, and last when the last of
	// them was, since the beginning.
	messages int
	last     time.Duration
	// end is when it ended, since the beginning, as far as the provider has told.
	end time.Duration
	// doubt is until when the provider may do something that was asked of it.
	doubt time.Duration
	// hurried tells that a client had a message sent before its time, so that the times of this
	// verification say nothing about others.
	hurried bool
}

// Unchanged returns for how long a verification will be as a search has said that was sent so long
// ago, as far as what its request asked for, what the provider documents and what it was seen
// to do tell: until the next message, or until no code can be checked any more. Near such a
// moment it is a second. It is false where nothing is known of a next one, or where something else
// may change it.
func (l *Ledger) Unchanged(requestID string, ago time.Duration) (d time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.find(requestID)
	now := l.now()
	if r == nil || r.untracked || r.finished || r.schedule.vague || r.workflow == workflowOther || now < r.schedule.doubt {
		return 0, false
	}
	s := &r.schedule
	d = math.MaxInt64
	at := now - r.begun + s.took
	l.moments(r, func(moment time.Duration) {
		if at-ago > moment+s.took+late { // it was over when the search was sent
			return
		}
		d, ok = max(min(d, moment-early-at), near), true
	})
	return d, ok
}

// moments tells when, since the beginning, the provider may change a verification by itself.
func (l *Ledger) moments(r *record, tell func(time.Duration)) {
	s := &r.schedule
	waits := wire.Waits(Workflows[r.workflow])
	pin := s.PIN
	if pin == 0 {
		pin = wire.DefaultPINExpiry
	}
	tell(pin)
	sent := s.last
	for n := s.messages; n <= len(waits); n++ {
		tell(sent + pin) // should the code be of this message
		if learnt := l.learnt[r.workflow][n-1]; n == s.messages && learnt > 0 && s.Timing == (wire.Timing{}) {
			tell(sent + learnt)
		}
		sent += s.waited(waits[n-1])
		tell(sent)
	}
}

// noteTimes takes in what a search tells about when the provider did what, and learns from it how
// long the provider really waits.
func (l *Ledger) noteTimes(r *record, v *wire.Verification, f wire.Format) {
	t, ok := v.Timeline(f)
	s := &r.schedule
	if s.end == 0 {
		s.end = t.End
	}
	if !ok || t.Last > l.now()-r.begun+s.took+early {
		return // nothing, or what has not come yet
	}
	if t.Messages == 0 { // it tells no more than when
		t.Messages = s.sentBy(t.Last, wire.Waits(Workflows[r.workflow]))
	}
	if t.Messages < s.messages || t.Messages > maxMessages {
		return
	}
	if t.Messages == s.messages+1 {
		l.learn(r, t.Last-s.last)
	}
	s.messages, s.last = t.Messages, t.Last
	if v.Status == wire.Expired && t.End > 0 {
		l.learn(r, t.End-t.Last)
	}
}

// sentBy is how many messages have been sent by a time, if the provider keeps to what it documents.
func (s *schedule) sentBy(last time.Duration, waits []time.Duration) (messages int) {
	var sent time.Duration
	for _, wait := range waits {
		if sent > last+early {
			break
		}
		messages++
		sent += s.waited(wait)
	}
	return max(messages, 1)
}

// sentBefore is how many messages may have been sent at most by a time since the beginning.
func (s *schedule) sentBefore(end time.Duration, workflow string) int {
	waits := wire.Waits(workflow)
	if s.hurried || s.vague {
		return len(waits)
	}
	return s.sentBy(end+s.took, waits)
}

// waited is how long the provider waits after a message, where it is otherwise so long.
func (s *schedule) waited(otherwise time.Duration) time.Duration {
	if s.Wait > 0 {
		return s.Wait
	}
	return otherwise
}

// learn notes how long the provider has waited after a record's last message, unless a client
// said how long it should.
func (l *Ledger) learn(r *record, waited time.Duration) {
	if s := &r.schedule; s.Timing == (wire.Timing{}) && !s.hurried {
		l.learnt[r.workflow][s.messages-1] = waited
	}
}

// noteDoubt takes note of what the provider may yet do by itself that a client has asked for.
func (l *Ledger) noteDoubt(o *Observation) {
	if o.Call.Operation != wire.Check && o.Call.Operation != wire.Control {
		return
	}
	trigger := o.Call.Get("cmd") == "trigger_next_event"
	switch {
	case o.Answer.InDoubt():
	case o.Answer.Fault == nil && (o.Answer.Status == wire.InternalError || trigger && o.Answer.Status == wire.Success):
	default:
		return
	}
	if r := l.records.find(o.Call.RequestID()); r != nil {
		r.schedule.doubt = l.now() + doubtful
		r.schedule.hurried = r.schedule.hurried || trigger
	}
}
