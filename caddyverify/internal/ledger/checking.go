package ledger

import (
	"cmp"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A search may tell of the end that a check under way has brought about, before the check's own
// answer comes. Only that one says when a verification succeeded, and that a code was tried: the
// end waits for it.

// checking notes that a check is under way, until Observe is given what it returns.
func (l *Ledger) checking(call *wire.Call) *record {
	if call.Operation != wire.Check {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.find(call.RequestID())
	if r == nil || r.finished {
		return nil
	}
	r.checks++
	return r
}

// checkedNow is for when what checking has noted is over, and its answer looked at.
func (l *Ledger) checkedNow(r *record, now time.Duration, events *Events) {
	if r == nil {
		return
	}
	r.checks--
	if r.checks == 0 && r.seen != "" && l.records.find(r.id) == r {
		l.finish(r, r.seen, now, events)
	}
}

// seenOver is for an end that a search tells of.
func (l *Ledger) seenOver(id string, outcome wire.Outcome, now time.Duration, events *Events) {
	if r := l.records.find(id); r != nil && r.checks > 0 && !r.finished {
		r.seen = outcome
		return
	}
	l.end(id, outcome, now, events)
}

// unseen is the outcome of one that is given up.
func (r *record) unseen() wire.Outcome { return cmp.Or(r.seen, wire.OutcomeUnknown) }
