package delivery

import "slices"

// turn is the place of a check in the queue behind an identical one. One after the other
// has its turn: woken all at once, thousands would look for their turn as often as there
// are of them. A check that waits is one of those under way.
type turn struct {
	key  digest
	come chan struct{} // closed when it has come
}

// queue has a check wait, unless too many of its caller are under way. One whose place a
// newcomer has taken goes to the front. The caller holds d.mu.
func (d *Deduper) queue(call *Call, key digest) bool {
	if call.turn != nil {
		call.turn.come = make(chan struct{})
		d.turns[key] = slices.Insert(d.turns[key], 0, call.turn)
		return true
	}
	if !d.underWay.acquire(call.Caller) {
		return false
	}
	call.turn = &turn{key, make(chan struct{})}
	d.turns[key] = append(d.turns[key], call.turn)
	return true
}

// nextTurn lets the first of those go that wait, if nothing is before it any more. The
// caller holds d.mu.
func (d *Deduper) nextTurn(key digest) {
	waiting := d.turns[key]
	if len(waiting) == 0 || d.flights[key] != nil {
		return
	}
	close(waiting[0].come)
	d.setTurns(key, waiting[1:])
}

func (d *Deduper) setTurns(key digest, waiting []*turn) {
	if d.turns[key] = waiting; len(waiting) == 0 {
		delete(d.turns, key)
	}
}

// endTurn is about a check whose turn has come. If it is sent, its place among those
// under way is the flight's. The caller holds d.mu.
func (d *Deduper) endTurn(call *Call, sent bool) {
	if !sent {
		d.underWay.release(call.Caller)
	}
	d.nextTurn(call.turn.key)
	call.turn = nil
}

// leave is about a check whose client leaves while it waits.
func (d *Deduper) leave(call *Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setTurns(call.turn.key, slices.DeleteFunc(d.turns[call.turn.key], func(other *turn) bool { return other == call.turn }))
	d.endTurn(call, false) // it may have come in the same moment
}
