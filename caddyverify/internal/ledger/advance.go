package ledger

import (
	"container/list"
	"time"
)

// portion is how many verifications are moved under the lock at a time, so that calls
// need not wait long after an hour without Advance.
const portion = 256

// Advance brings the ledger to the present: what has run out is overdue, what has been
// overdue for too long is given up, what has finished long ago is forgotten. Nothing
// else moves with time.
func (l *Ledger) Advance() (events Events) {
	for l.advance(portion, &events) == portion {
	}
	return events
}

// advance moves at most so many, and tells how many.
func (l *Ledger) advance(most int, events *Events) (moved int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for moved < most && (l.expire(now, events) || l.giveUp(now, events) || l.forget(now)) {
		moved++
	}
	return moved
}

// expire moves a verification that has run out, or is to be asked about again, to those
// due. It reports false when there is none.
func (l *Ledger) expire(now time.Duration, events *Events) bool {
	r := l.records.next(now)
	if r == nil {
		return false
	}
	if !r.overdue {
		r.overdue = true
		if !r.adopted {
			l.overdue++
		}
		if l.hide != nil {
			events.Overdue = append(events.Overdue, r.id)
		}
	}
	l.records.push(&l.records.due, r)
	return true
}

// giveUp ends a verification that nobody will learn about any more, if there is one.
func (l *Ledger) giveUp(now time.Duration, events *Events) bool {
	r := first(&l.records.due)
	if r == nil || l.givenUpAt(r) > now {
		return false
	}
	l.finish(r, r.unseen(), now, events)
	return true
}

// forget drops a verification that has finished long ago, if there is one.
func (l *Ledger) forget(now time.Duration) bool {
	for _, queue := range [...]*list.List{&l.records.finished, &l.records.untracked} {
		if r := first(queue); r != nil && r.when <= now {
			l.records.drop(r)
			return true
		}
	}
	return false
}

func (l *Ledger) givenUpAt(r *record) time.Duration { return r.expires + l.settings.GiveUp }
