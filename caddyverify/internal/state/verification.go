package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// margin is how much later than planned a verification counts as expired: the provider works
	// its events off when it comes to them.
	margin = 5 * time.Second
	// defaultWait is the longest default on record of a step's time.
	defaultWait = 5 * time.Minute
	// maxSteps bounds a workflow; v2 has three.
	maxSteps = 8
	// defaultSteps is how many there are where nobody says.
	defaultSteps = 3
)

// Verification is what was known of one at a moment. It goes on with the clock.
type Verification struct {
	id    string
	facts []*fact
}

// RequestID is the verification's, as wire.Spelling writes it.
func (v *Verification) RequestID() string { return v.id }

// Status is how it is with the verification now: IN PROGRESS, SUCCESS, FAILED, EXPIRED or CANCELLED; or
// 101, v1's word for no answer, where it is over and nobody here knows how it has ended.
func (v *Verification) Status() wire.Status { return v.look(time.Now()).status }

// Until is until when the clock does not change the Status; the zero time is for ever.
func (v *Verification) Until() time.Time {
	if l := v.look(time.Now()); l.status == wire.InProgress {
		return l.expires
	}
	return time.Time{}
}

// Age is how long ago the verification began.
func (v *Verification) Age() time.Duration {
	if f := v.start(); f != nil {
		return time.Since(f.at)
	}
	return 0
}

// Messages is how many messages were sent until now, by plan if nobody has told.
func (v *Verification) Messages() int { return len(v.look(time.Now()).messages) }

// Network is the mobile network's code (MCCMNC) that a webhook has told of: the provider blocks it.
func (v *Verification) Network() string {
	return v.said(func(e *Event) string { return e.Network })
}

// SentTo are the phone numbers of the messages that were sent until now, by plan if nobody has told,
// as the provider was told them. E-mail is left out.
func (v *Verification) SentTo() (numbers []string) {
	start := v.start()
	if start == nil {
		return nil
	}
	steps := slices.Clone(start.Start.Channels)
	for _, m := range v.look(time.Now()).messages {
		number := start.Start.Number
		if len(start.Start.Numbers) > 0 {
			number = start.Start.to(m, steps)
		}
		if number != "" {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// to is the number of the step that a message is of, which it takes out of those left: a webhook leaves out steps of
// which nothing was sent, and may have a message of none. "" is for an e-mail address.
func (s *Start) to(m Message, left []string) string {
	i := slices.Index(left[:min(len(left), len(s.Numbers))], m.Channel)
	switch {
	case i >= 0:
		left[i] = ""
		return s.Numbers[i]
	case m.Channel == "email":
		return ""
	}
	return s.Number
}

// Price is what the verification has cost in all, in EUR, where a webhook has told; "" where none has told
// anything above 0: that nothing was spent would be taken for all that it has cost.
func (v *Verification) Price() string {
	return v.said(func(e *Event) string {
		if strings.Trim(e.Price, "0.") == "" {
			return ""
		}
		return e.Price
	})
}

// said is what the last webhook that says something says.
func (v *Verification) said(what func(*Event) string) (text string) {
	var last *fact
	for _, f := range v.facts {
		if f.Kind == told && what(f.Event) != "" && (last == nil || f.later(last)) {
			last, text = f, what(f.Event)
		}
	}
	return text
}

// later orders webhooks by the provider's time.
func (f *fact) later(g *fact) bool {
	return cmp.Or(f.Event.At.Compare(g.Event.At), cmp.Compare(f.ID, g.ID)) > 0
}

// Format tells nothing of a Start: it has a phone number.
func (Start) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a start")) }

// Format tells nothing of a Verification: it has a phone number.
func (Verification) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a verification")) }

func (v *Verification) start() *fact {
	for _, f := range v.facts {
		if f.Kind == begun {
			return f
		}
	}
	return nil
}

// caller is who started the verification; "" where it is not known.
func (v *Verification) caller() string {
	if f := v.start(); f != nil {
		return f.Start.Caller
	}
	return ""
}

// look is how a verification looks at a moment.
type look struct {
	status   wire.Status
	expires  time.Time // by the clock
	end      time.Time // for people, once it is over
	doubt    bool      // a call may have ended it, and it is not known whether one has
	messages []Message // with v1's words for channels
}

// look takes everything together. The verification has begun.
func (v *Verification) look(now time.Time) look {
	start := v.start()
	if start == nil {
		return look{status: wire.InProgress}
	}
	offsets, all := v.plan(start)
	l := look{status: wire.InProgress, expires: start.at.Add(all + margin)}
	elapsed := now.Sub(start.at)
	if end := v.verdict(start); end.status != "" {
		l.status, l.end = end.status, time.UnixMilli(end.shown)
		elapsed = min(elapsed, end.elapsed)
	} else {
		late := !now.Before(l.expires)
		l.doubt = v.since(doubted, l.expires)
		switch {
		case l.doubt && (late || v.since(gone, l.expires)):
			l.status = wire.NoResponse
		case late:
			l.status, l.end = wire.Expired, v.date(start, len(offsets), all)
		}
	}
	l.messages = v.messages(start, offsets, elapsed)
	return l
}

// submitted is when the provider can have got the request first, for people.
func submitted(start *fact) time.Time {
	return time.UnixMilli(start.Shown).Add(-start.Start.Took)
}

// plan is when each step begins and the last one ends, since the beginning.
func (v *Verification) plan(start *fact) (offsets []time.Duration, end time.Duration) {
	wait := start.Start.Wait
	if wait <= 0 {
		wait = defaultWait
	}
	steps := len(start.Start.Channels)
	if steps == 0 {
		steps = defaultSteps
	}
	var triggers []time.Duration
	for _, f := range v.facts {
		if f.Kind == triggered {
			triggers = append(triggers, f.at.Sub(start.at))
		}
	}
	slices.Sort(triggers)
	offsets = append(offsets, 0)
	for _, t := range append(triggers, 1<<62) {
		for last := offsets[len(offsets)-1]; len(offsets) < steps && last+wait <= t; last += wait {
			offsets = append(offsets, last+wait)
		}
		if len(offsets) < steps {
			offsets = append(offsets, max(t, 0))
		}
	}
	return offsets, offsets[len(offsets)-1] + wait
}

// date is when a step of the plan, or its end, was due, for people. The provider's time begins within the request; what a
// client had sent before its time, and what follows that, is since the answer to it.
func (v *Verification) date(start *fact, step int, offset time.Duration) time.Time {
	at := submitted(start).Add(offset)
	if step > 0 && slices.ContainsFunc(v.facts, func(f *fact) bool { return f.Kind == triggered && f.at.Sub(start.at) <= offset }) {
		at = at.Add(start.Start.Took)
	}
	return at
}

// ending is one way in which a verification may have ended. Of several the least is believed.
type ending struct {
	status  wire.Status
	rank    int
	shown   int64 // in Unix milliseconds: by the provider's clock where that tells
	id      string
	elapsed time.Duration // since the beginning
}

// How much an ending is worth. That a code was right is worth most, whoever says so: nothing takes
// it back. What the provider has answered is worth more than what came later from somewhere.
const (
	rankVerified = iota
	rankToldVerified
	rankCancelled
	rankEnded
	rankTold
)

func (e ending) compare(other ending) int {
	return cmp.Or(
		cmp.Compare(e.rank, other.rank), cmp.Compare(e.shown, other.shown),
		-cmp.Compare(e.status, other.status), cmp.Compare(e.id, other.id), // FAILED before EXPIRED
	)
}

// verdict is how the verification has ended by what is known; its status is "" where that is not.
func (v *Verification) verdict(start *fact) (best ending) {
	consider := func(e ending) {
		if best.status == "" || e.compare(best) < 0 {
			best = e
		}
	}
	for _, f := range v.facts {
		e := ending{shown: f.Shown, id: f.ID, elapsed: f.at.Sub(start.at)}
		switch f.Kind {
		case checked:
			if f.Valid {
				e.status, e.rank = wire.Succeeded, rankVerified
				consider(e)
			}
		case ended:
			e.status, e.rank = f.Status, rankEnded
			switch f.Status {
			case wire.Succeeded:
				e.rank = rankVerified
			case wire.Cancelled:
				e.rank = rankCancelled
			}
			consider(e)
		case told:
			if f.decides() {
				consider(f.endingTold(start))
			}
		case begun, triggered, doubted, gone:
		}
	}
	if e, ok := v.lastStep(start); ok {
		consider(e)
	}
	return best
}

// endingTold is the ending that a webhook tells of.
func (f *fact) endingTold(start *fact) ending {
	e := ending{status: f.Event.status(), rank: rankTold, shown: f.Shown, id: f.ID, elapsed: f.at.Sub(start.at)}
	if e.status == wire.Succeeded {
		e.rank = rankToldVerified
	}
	if at := f.Event.At; !at.IsZero() {
		e.shown = at.UnixMilli()
		// The webhook may have come late.
		e.elapsed = min(e.elapsed, max(0, at.Sub(submitted(start))))
	}
	return e
}

// lastStep is the ending of who has failed at each of his steps. One that fails is followed by the
// next.
func (v *Verification) lastStep(start *fact) (ending, bool) {
	steps := max(1, len(start.Start.Channels))
	type step struct {
		channel string
		sent    int64
	}
	failed := map[step]ending{}
	for _, f := range v.facts {
		if f.Kind != told || f.decides() || f.Event.status() == "" {
			continue
		}
		of := step{channel: f.Event.Channel}
		if sent := f.Event.Sent; len(sent) > 0 && !sent[0].At.IsZero() {
			of.sent = sent[0].At.UnixMilli()
		}
		e := f.endingTold(start)
		if known, ok := failed[of]; !ok || e.compare(known) < 0 {
			failed[of] = e
		}
	}
	if len(failed) < steps {
		return ending{}, false
	}
	var all []ending
	for _, e := range failed {
		all = append(all, e)
	}
	slices.SortFunc(all, ending.compare)
	return all[steps-1], true
}

// messages are those sent in some time since the beginning: as webhooks tell, else by plan.
func (v *Verification) messages(start *fact, offsets []time.Duration, elapsed time.Duration) (sent []Message) {
	if all := v.summarised(); len(all) > 0 {
		return all
	}
	for i, offset := range offsets {
		if offset > max(elapsed, 0) || i >= len(start.Start.Channels) {
			break
		}
		sent = append(sent, Message{Channel: start.Start.Channels[i], At: v.date(start, i, offset)})
	}
	var known []Message
	for _, f := range v.facts {
		if f.Kind == told && f.Event.Type != summaryType {
			for _, m := range f.Event.Sent {
				if m = m.inWordsOfV1(); !m.At.IsZero() && !slices.ContainsFunc(known, m.equal) {
					known = append(known, m)
				}
			}
		}
	}
	sortMessages(known)
	if len(known) >= len(sent) && len(known) > 0 {
		return known[:min(len(known), max(1, len(offsets)))]
	}
	return sent
}

// summarised are the messages of the last summary that tells when they were sent.
func (v *Verification) summarised() (sent []Message) {
	var last *fact
	for _, f := range v.facts {
		if f.Kind != told || f.Event.Type != summaryType || len(f.Event.Sent) == 0 || last != nil && !f.later(last) {
			continue
		}
		if !slices.ContainsFunc(f.Event.Sent, func(m Message) bool { return m.At.IsZero() }) {
			last = f
		}
	}
	if last == nil {
		return nil
	}
	for _, m := range last.Event.Sent {
		sent = append(sent, m.inWordsOfV1())
	}
	sortMessages(sent)
	return sent
}

func sortMessages(m []Message) {
	slices.SortFunc(m, func(a, b Message) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Channel, b.Channel)) })
}

func (m Message) equal(other Message) bool { return m.Channel == other.Channel && m.At.Equal(other.At) }

func (m Message) inWordsOfV1() Message {
	if m.Channel == "voice" {
		m.Channel = "tts"
	}
	return m
}
