package ledger

import (
	"strings"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Ledger holds verifications. It is safe for concurrent use; make one with New. It has
// no goroutine: whoever owns it calls Advance, once a second say.
type Ledger struct {
	settings Settings
	epoch    time.Time

	mu      sync.Mutex
	records records
	// overdue is how many are unsettled, open how many have not finished.
	overdue, open int
	lost          uint64
	currencies    [MaxCurrencies]string
	// learnt is how long the provider was last seen to wait after each message of a workflow.
	learnt [len(Workflows)][maxMessages]time.Duration
	// hide is what Share was given, and names are the records that Named finds.
	hide  func(requestID string) string
	names map[string]*record
}

// New returns an empty Ledger.
func New(settings Settings) *Ledger {
	return &Ledger{
		settings: settings.withDefaults(),
		epoch:    time.Now(),
		records:  records{byID: map[string]*record{}},
	}
}

func (l *Ledger) now() time.Duration { return time.Since(l.epoch) }

// Origin returns what Observe was given for the verification's request: its
// country and its link.
func (l *Ledger) Origin(requestID string) (country string, link Link, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.records.find(requestID); r != nil && !r.untracked {
		return r.country, r.link, true
	}
	return "", Link{}, false
}

// StartedBy returns the caller that started a verification, where this ledger knows.
func (l *Ledger) StartedBy(requestID string) (caller string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.records.find(requestID); r != nil && !r.untracked {
		return r.caller, true
	}
	return "", false
}

// Over tells that the verification is known to have ended. Where it is false, the
// verification may have ended all the same: through another gateway, or unseen.
func (l *Ledger) Over(requestID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.find(requestID)
	return r != nil && r.finished
}

// Stats is what a Ledger holds.
type Stats struct {
	// UnderWay can still be verified; Unsettled have run out, and how is not known.
	UnderWay, Unsettled int
	// Entries is all that is kept, with what has finished.
	Entries int
	// Lost is how many were under way or unsettled when they had to make room.
	// They count as finished with outcome unknown.
	Lost uint64
}

// Stats tells what the ledger holds, as of the last Advance. It changes nothing.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{UnderWay: l.open - l.overdue, Unsettled: l.overdue, Entries: len(l.records.byID), Lost: l.lost}
}

// insert makes room and takes in a verification.
func (l *Ledger) insert(id string, now time.Duration, events *Events) *record {
	for len(l.records.byID) >= l.settings.MaxEntries {
		l.evict(now, events)
	}
	r := l.records.add(strings.Clone(id)) // not a part of an answer
	r.begun = now
	return r
}

// evict drops what is missed least: the oldest untracked, the oldest finished, what
// is unsettled for longest, what is nearest to its expiry.
func (l *Ledger) evict(now time.Duration, events *Events) {
	for _, victim := range [...]*record{first(&l.records.untracked), first(&l.records.finished), first(&l.records.due), l.records.waiting.soonest()} {
		if victim == nil {
			continue
		}
		switch {
		case victim.finished:
		case victim.adopted: // who saw its start has it
			l.leaveNames(victim)
		default:
			l.lost++
			l.finish(victim, victim.unseen(), now, events)
		}
		l.records.drop(victim)
		return
	}
}

// finish ends a verification with an outcome, once, and returns what it added to
// events, or nil.
func (l *Ledger) finish(r *record, outcome wire.Outcome, now time.Duration, events *Events) *Finish {
	if r.finished {
		if r.elsewhere { // now it is known how
			r.elsewhere, r.outcome = false, indexOf(outcome)
		}
		return nil
	}
	l.close(r, indexOf(outcome), now)
	events.Ends = append(events.Ends, End{r.id, outcome})
	return events.finished(l.booking(r), Finish{
		Outcome:  outcome,
		Country:  r.country,
		Workflow: Workflows[r.workflow],
		Caller:   r.caller,
		Attempts: r.attempts,
	})
}

// close moves a record that has not finished to those that have.
func (l *Ledger) close(r *record, outcome uint8, now time.Duration) {
	l.records.leave(r)
	l.leaveNames(r)
	if !r.adopted {
		l.open--
		if r.overdue {
			l.overdue--
		}
	}
	r.finished, r.outcome = true, outcome
	r.when = now + l.settings.Keep
	l.records.push(&l.records.finished, r)
}

// booking is for what is told of a record: nil where nobody else counts it.
func (l *Ledger) booking(r *record) *Booking {
	if l.hide == nil && !r.adopted {
		return nil
	}
	return &Booking{RequestID: r.id, Own: !r.adopted}
}
