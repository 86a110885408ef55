package ledger

import (
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A verification is asked about when it is overdue, and where that brings no end,
// 2, 8 and 26 minutes later. After that, or GiveUp, nobody asks any more.
const (
	maxAsks   = 4
	firstWait = 2 * time.Minute
	growth    = 3
)

// Due returns the verifications that one search should ask about, at most so many and at
// most ten, and marks them as asked about. It takes them from what is overdue as of the
// last Advance. Observe takes in the answer; where the search fails they come again
// later, a few times.
func (l *Ledger) Due(most int) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for range min(most, wire.MaxIDs) {
		r := first(&l.records.due)
		if r == nil || r.alone && len(ids) > 0 {
			break
		}
		ids = append(ids, r.id)
		l.asked(r, now)
		if r.alone {
			break
		}
	}
	return ids
}

// DueTogether is Due for a search that asks about others, too: it has nothing that is to be
// asked about alone.
func (l *Ledger) DueTogether(most int) []string { return l.dueThat(most, false) }

// DueAlone returns one that is to be asked about alone, if it is due.
func (l *Ledger) DueAlone() []string { return l.dueThat(1, true) }

func (l *Ledger) dueThat(most int, alone bool) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for e := l.records.due.Front(); e != nil && len(ids) < most; {
		r := e.Value.(*record)
		e = e.Next() // before r leaves
		if r.alone == alone {
			ids = append(ids, r.id)
			l.asked(r, now)
		}
	}
	return ids
}

// NotAsked takes back that these were asked about: they are due as before, but for those of which
// more is known by now.
func (l *Ledger) NotAsked(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if r := l.records.find(id); r != nil && !r.finished && r.asks > 0 && r.queue == nil {
			r.asks--
			l.records.leave(r)
			l.records.push(&l.records.due, r)
		}
	}
}

// asked has a record that is due wait until it is to be asked about again, or for
// being given up.
func (l *Ledger) asked(r *record, now time.Duration) {
	end := l.givenUpAt(r)
	next := end
	if r.asks++; r.asks < maxAsks {
		wait := firstWait
		for range r.asks - 1 {
			wait *= growth
		}
		next = min(next, now+wait)
	}
	l.records.leave(r)
	l.records.wait(r, next)
}
