package ledger

import "time"

// record is one verification.
type record struct {
	id                string
	link              any
	country, workflow string
	// Times are since the ledger was made. expires is when it is unsettled, when is
	// what the list that it is in goes by.
	begun, expires, when time.Duration
	outcome              Outcome // empty until it finished
	// paid is what was told as cost, by the index in Kinds.
	paid [len(Kinds)]units
	// currency is the index in the ledger's currencies plus 1; 0 for none yet.
	currency uint8
	attempts uint8
	asks     uint8 // how often the settler was given it
	alone    bool  // to be asked for by itself
	overdue  bool  // expires has passed
	stranger bool

	in         *list
	prev, next *record
}

// list holds records in the order they came. A record is in one list at a time.
type list struct {
	first, last *record
}

func (l *list) push(r *record) {
	r.in, r.prev, r.next = l, l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
}

func (l *list) unlink(r *record) {
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.in, r.prev, r.next = nil, nil, nil
}
