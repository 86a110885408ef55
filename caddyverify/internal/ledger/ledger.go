package ledger

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Ledger holds verifications. It is safe for concurrent use; make one with New.
// It needs no goroutine: what time brings about is done by the calls that come,
// a little at each.
type Ledger struct {
	settings Settings
	epoch    time.Time

	mu      sync.Mutex
	records *records
	waiting wheel // for their expiry, or for the next time to be asked about
	// overdue is how many are unsettled, open how many have not finished.
	overdue, open int
	lost          uint64
	currencies    [MaxCurrencies]string
	countries     []string // labels that were seen, for all time: they are few
}

// New returns an empty Ledger.
func New(settings Settings) *Ledger {
	all := newRecords()
	return &Ledger{
		settings: settings.withDefaults(),
		epoch:    time.Now(),
		records:  all,
		waiting:  wheel{records: all},
	}
}

func (l *Ledger) now() time.Duration { return time.Since(l.epoch) }

// Origin returns what Observe was given for the verification's request: its
// country and its link.
func (l *Ledger) Origin(requestID string) (country string, link Link, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.records.find(requestID); r != nil && !r.stranger {
		return l.countries[r.country], r.link, true
	}
	return "", Link{}, false
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

// Stats tells what the ledger holds now.
func (l *Ledger) Stats() Stats {
	for {
		most := 256 // at a time, so that calls need not wait long
		l.mu.Lock()
		l.turn(l.now(), &most)
		stats := Stats{UnderWay: l.open - l.overdue, Unsettled: l.overdue, Entries: l.records.len(), Lost: l.lost}
		l.mu.Unlock()
		if most > 0 {
			return stats
		}
	}
}

// turn moves up to most of what has expired, or is to be asked about again, to
// those due.
func (l *Ledger) turn(now time.Duration, most *int) {
	for r := l.waiting.next(now, most); r != nil; r = l.waiting.next(now, most) {
		if !r.overdue {
			r.overdue = true
			l.overdue++
		}
		l.records.push(due, r)
	}
}

// tidy gives up and forgets a bounded part of what it is time for. A call adds at
// most ten records, so that this keeps up.
func (l *Ledger) tidy(now time.Duration, events *Events) {
	for range 16 {
		r := l.records.first(due)
		if r == nil || l.givenUpAt(r) > now {
			break
		}
		l.finish(r, Unknown, now, events)
	}
	for _, queue := range [...]place{finished, strangers} {
		for range 16 {
			r := l.records.first(queue)
			if r == nil || r.when > now {
				break
			}
			l.records.drop(r)
		}
	}
}

func (l *Ledger) givenUpAt(r *record) time.Duration { return r.expires + l.settings.GiveUp }

// insert makes room and takes in a verification.
func (l *Ledger) insert(id string, now time.Duration, events *Events) *record {
	for l.records.len() >= l.settings.MaxEntries {
		l.evict(now, events)
	}
	r := l.records.add(id)
	r.begun = now
	return r
}

// country returns the index of a label.
func (l *Ledger) country(label string) uint16 {
	i := slices.Index(l.countries, label)
	if i < 0 {
		i = len(l.countries)
		l.countries = append(l.countries, strings.Clone(label))
	}
	return uint16(i)
}

// evict drops what is missed least: the oldest stranger, the oldest finished, what
// is unsettled for longest, what is nearest to its expiry.
func (l *Ledger) evict(now time.Duration, events *Events) {
	for _, victim := range [...]*record{l.records.first(strangers), l.records.first(finished), l.records.first(due), l.waiting.soonest()} {
		if victim == nil {
			continue
		}
		if !victim.finished {
			l.lost++
			l.finish(victim, Unknown, now, events)
		}
		l.records.drop(victim)
		return
	}
}

// leave takes a record that has not finished out of the list it is in.
func (l *Ledger) leave(r *record) {
	if r.in == due {
		l.records.unlink(r)
	} else {
		l.waiting.remove(r)
	}
}

// finish ends a verification with an outcome, once, and returns what it added to
// events, or nil.
func (l *Ledger) finish(r *record, outcome Outcome, now time.Duration, events *Events) *Finish {
	if r.finished {
		return nil
	}
	l.leave(r)
	l.open--
	if r.overdue {
		l.overdue--
	}
	r.finished = true
	r.when = now + l.settings.Keep
	l.records.push(finished, r)
	events.Finished = append(events.Finished, Finish{
		Outcome:  outcome,
		Country:  l.countries[r.country],
		Workflow: Workflows[r.workflow],
		Attempts: int(r.attempts),
	})
	return &events.Finished[len(events.Finished)-1]
}
