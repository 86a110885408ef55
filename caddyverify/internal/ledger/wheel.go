package ledger

import "time"

// The wheel turns by one slot a tick, and once around is longer than anything
// waits by default.
const (
	tick  = 5 * time.Second
	slots = 2048 // 2 h 50 min
)

// wheel holds records until their time comes. Unlike in a heap, none of its steps
// takes longer with more records, and unlike in a queue they may wait for
// different times. They come out up to a tick late, never early. It needs its
// records.
type wheel struct {
	records *records
	// at is the tick whose slot is looked at next; those before it are empty, so
	// that the slots stand for the ticks at .. at+slots-1.
	at int64
	// nearest is not after the first tick that has a record.
	nearest int64
	size    int
}

func (w *wheel) add(r *record, when time.Duration) {
	r.when = when
	t := int64((when + tick - 1) / tick)
	// What is further away than the wheel reaches comes by to be put in again.
	t = min(max(t, w.at), w.at+slots-1)
	w.nearest = min(w.nearest, t)
	w.records.push(place(t%slots), r)
	w.size++
}

func (w *wheel) remove(r *record) {
	w.records.unlink(r)
	w.size--
}

// next removes and returns a record whose time has come, or nil. It looks at no
// more records than most, which it counts down. Empty slots are not counted: all
// that a day without calls leaves behind take some 30 µs.
func (w *wheel) next(now time.Duration, most *int) *record {
	for *most > 0 && time.Duration(w.at)*tick <= now {
		if w.size == 0 {
			w.at = int64(now/tick) + 1
			break
		}
		r := w.records.first(place(w.at % slots))
		if r == nil {
			w.at++
			continue
		}
		*most--
		w.remove(r)
		if r.when <= now {
			return r
		}
		w.add(r, r.when)
	}
	return nil
}

// soonest returns a record of the slot that comes first, or nil.
func (w *wheel) soonest() *record {
	if w.size == 0 {
		return nil
	}
	for w.nearest = max(w.nearest, w.at); ; w.nearest++ {
		if r := w.records.first(place(w.nearest % slots)); r != nil {
			return r
		}
	}
}
