package ledger

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Observation is a call and its answer.
type Observation struct {
	Call   *wire.Call
	Answer *wire.Answer
	// FromMemory tells that the upstream did not give this answer to this call: it
	// was replayed, cached or stale, and says nothing new.
	FromMemory bool
	// Country is the label for a request's destination, as country.List's Label
	// returns it. It is kept, and comes back with the verification's end and cost, so that
	// shares hold when the list of countries changes in between.
	Country string
	// Link is kept for a request and handed back by Origin.
	Link Link
	// Timing is that of the verification which a request starts, where it is not what the request
	// says by version 1 of the API; the zero value is for where it is.
	Timing wire.Timing
	// Took is how long the upstream took to answer.
	Took time.Duration
	// checked is what checking returned.
	checked *record
}

// maxID is the longest request_id that is kept. No client can ask about a longer
// one (wire.Parse); real ones have 32 characters.
const maxID = 64

// Observe learns from an answer and tells what it brought about. It is to be fed
// where answers come in from the upstream, in any order and however often.
func (l *Ledger) Observe(o Observation) (events Events) {
	if o.FromMemory {
		return events
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteDoubt(&o)
	now := l.now()
	defer l.checkedNow(o.checked, now, &events)
	if o.Answer.Fault != nil {
		return events // the gateway's own words
	}
	switch o.Call.Operation {
	case wire.Request, wire.PSD2:
		l.request(&o, now, &events)
	case wire.Check:
		l.check(&o, now, &events)
	case wire.Control:
		if o.Answer.Status == wire.Success && o.Call.Get("cmd") == "cancel" {
			l.end(o.Call.RequestID(), wire.OutcomeCancelled, now, &events)
		}
	case wire.Search:
		l.search(&o, now, &events)
	case wire.Templates: // is about no verification
	}
	return events
}

func (l *Ledger) request(o *Observation, now time.Duration, events *Events) {
	id := o.Answer.RequestID
	if o.Answer.Status != wire.Success || id == "" || len(id) > maxID {
		return // status 10 names the verification that is under way already
	}
	if r := l.records.find(id); r != nil {
		if !r.untracked {
			return
		}
		l.records.drop(r)
	}
	r := l.insert(id, now, events)
	r.country, r.workflow, r.link, r.caller = o.Country, workflowOf(o.Call), o.Link, o.Call.Caller
	timing, life := o.Call.Timing(), o.Call.Lifetime()
	if o.Timing != (wire.Timing{}) {
		timing, life = o.Timing, o.Timing.Lifetime(o.Call.Get("workflow_id"))
	}
	r.schedule = schedule{Timing: timing, took: o.Took, messages: 1}
	r.expires = now + life + l.settings.Grace
	l.records.wait(r, r.expires)
	l.enter(r)
	l.open++
	start := Start{Country: r.country, Workflow: Workflows[r.workflow], Caller: r.caller}
	events.Started = append(events.Started, start)
	if l.hide != nil {
		events.Beginnings = append(events.Beginnings, Beginning{RequestID: r.id, Start: start, Link: r.link, Timing: r.schedule.Timing, Took: o.Took})
	}
}

func (l *Ledger) check(o *Observation, now time.Duration, events *Events) {
	id := o.Call.RequestID()
	r := l.records.find(id)
	status := o.Answer.Status
	switch status {
	case wire.Success, wire.WrongCode, wire.TooManyWrongCodes:
		if r != nil {
			r.attempts++
		}
	}
	switch status {
	case wire.Success:
		if finish := l.end(id, wire.OutcomeSuccess, now, events); finish != nil {
			finish.TimeToSuccess = now - r.begun
		}
	case wire.TooManyWrongCodes:
		l.end(id, wire.OutcomeFailed, now, events)
	}
	if r != nil {
		l.price(r, &o.Answer.Verification, events)
	}
}

func (l *Ledger) search(o *Observation, now time.Duration, events *Events) {
	ids, _ := o.Call.IDs()
	a := o.Answer
	if !a.List && a.Status.Numeric() {
		l.refused(ids, a.Status, now, events)
		return
	}
	var told [wire.MaxIDs]bool
	for _, v := range a.Found {
		n := slices.IndexFunc(ids, func(id string) bool { return wire.Spelling(id) == wire.Spelling(v.RequestID) })
		if v.RequestID == "" && len(ids) == 1 && !a.List {
			n = 0
		}
		if n < 0 || n >= len(told) || v.Status == wire.NoResponse {
			continue // not asked for, or left out in other words
		}
		told[n] = true //nolint:gosec // looked at above
		if r := l.records.find(ids[n]); r != nil && !r.untracked {
			l.noteTimes(r, v, o.Call.Format)
		}
		if outcome, final := outcomeOf(v.Status); final {
			l.seenOver(ids[n], outcome, now, events)
		}
		if r := l.records.find(ids[n]); r != nil {
			l.price(r, v, events)
		}
	}
	if !a.List {
		return
	}
	for n, id := range ids {
		if n < len(told) && !told[n] {
			l.gone(id, now, events)
		}
	}
}

// refused takes in a search that was answered with a number. What it says of ten
// may be due to one of them: they are asked about one by one.
func (l *Ledger) refused(ids []string, s wire.Status, now time.Duration, events *Events) {
	if len(ids) == 1 {
		if s == wire.NoResponse {
			l.gone(ids[0], now, events)
		}
		return
	}
	switch s {
	case wire.NoResponse, wire.Invalid, wire.NotFoundOrFinished:
		for _, id := range ids {
			if r := l.records.find(id); r != nil {
				r.alone = true
			}
		}
	}
}

// gone gives up a verification that the provider does not know. Before it is
// overdue that says nothing: a search may answer 101 right after the end.
func (l *Ledger) gone(id string, now time.Duration, events *Events) {
	if r := l.records.find(id); r != nil && r.overdue {
		l.finish(r, r.unseen(), now, events)
	}
}

// end finishes a verification, or notes the end of one that is untracked.
func (l *Ledger) end(id string, outcome wire.Outcome, now time.Duration, events *Events) *Finish {
	if r := l.records.find(id); r != nil {
		return l.finish(r, outcome, now, events)
	}
	if id == "" || len(id) > maxID {
		return nil
	}
	r := l.insert(id, now, events)
	r.untracked, r.finished, r.outcome = true, true, indexOf(outcome)
	r.when = now + l.settings.Keep
	l.records.push(&l.records.untracked, r)
	events.Ends = append(events.Ends, End{r.id, outcome})
	if l.hide != nil {
		events.Bookings = append(events.Bookings, Booking{RequestID: r.id, Untracked: outcome})
		return nil
	}
	events.Untracked = append(events.Untracked, outcome)
	return nil
}
