package ledger

import (
	"hash/maphash"
	"time"
)

// record is one verification. It has no pointers: a ledger is the most that a busy
// gateway keeps, and the garbage collector would go through all of it each time.
type record struct {
	// Times are since the ledger was made. expires is when it is unsettled, when is
	// what the list that it is in goes by.
	begun, expires, when time.Duration
	// paid is what was told as cost, by the index in Kinds.
	paid     [len(Kinds)]units
	link     Link
	self     ref
	country  uint16 // index in the ledger's countries
	workflow uint8  // index in Workflows
	// currency is the index in the ledger's currencies plus 1; 0 for none yet.
	currency uint8
	attempts uint8
	asks     uint8 // how often the settler was given it
	alone    bool  // to be asked for by itself
	overdue  bool  // expires has passed
	finished bool
	stranger bool

	in         place
	prev, next ref

	idLen  uint8
	idText [maxID]byte
}

func (r *record) id() string { return string(r.idText[:r.idLen]) }

// Link leads to the span of a verification's request by the ids of the trace and of the
// span in it. The zero Link leads nowhere.
type Link struct {
	Trace [16]byte
	Span  [8]byte
}

// ref stands for a record: its number, from 1. 0 stands for none.
type ref uint32

// key stands for a request_id: two hashes of it by seeds that nobody knows. Of a
// million ids, two share one with a probability of 1e-27.
type key [2]uint64

// place is one of the lists: a slot of the wheel, or one of these.
type place uint16

const (
	due       place = slots + iota // ready to be asked about
	finished                       // and seen from the start
	strangers                      // finished, the start not seen
	places

	nowhere = places // in none yet, or no more
)

// records are all those of a ledger. Each that stands for a verification is in one
// list. The memory of one that was dropped is used again, and not given back.
type records struct {
	seeds  [2]maphash.Seed
	byID   map[key]ref
	blocks []*[blockLen]record
	made   ref // how many there are in blocks
	unused ref // the first of those that were dropped, which next links
	lists  [places]list
}

// blockLen is how many records are made at once: 10 KiB of them, since there is a
// ledger for each account.
const blockLen = 64

// list holds records in the order they came.
type list struct{ first, last ref }

func newRecords() *records {
	return &records{seeds: [...]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, byID: make(map[key]ref)}
}

func (s *records) key(id string) key {
	return key{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
}

// at returns the record that n stands for, or nil.
func (s *records) at(n ref) *record {
	if n == 0 {
		return nil
	}
	return &s.blocks[(n-1)/blockLen][(n-1)%blockLen]
}

// find returns the record of a verification, or nil.
func (s *records) find(id string) *record { return s.at(s.byID[s.key(id)]) }

func (s *records) len() int { return len(s.byID) }

// add makes a record for a verification that has none. It is in no list yet.
func (s *records) add(id string) *record {
	r := s.at(s.unused)
	if r != nil {
		s.unused = r.next
		*r = record{self: r.self, in: nowhere}
	} else {
		if int(s.made) == len(s.blocks)*blockLen {
			s.blocks = append(s.blocks, new([blockLen]record))
		}
		s.made++
		r = s.at(s.made)
		r.self, r.in = s.made, nowhere
	}
	r.idLen = uint8(copy(r.idText[:], id))
	s.byID[s.key(id)] = r.self
	return r
}

// drop ends a record.
func (s *records) drop(r *record) {
	s.unlink(r)
	delete(s.byID, s.key(r.id()))
	r.next, s.unused = s.unused, r.self
}

func (s *records) first(p place) *record { return s.at(s.lists[p].first) }

func (s *records) push(p place, r *record) {
	l := &s.lists[p]
	r.in, r.prev, r.next = p, l.last, 0
	if l.last == 0 {
		l.first = r.self
	} else {
		s.at(l.last).next = r.self
	}
	l.last = r.self
}

// unlink panics for a record that is in no list: it would take another's place.
func (s *records) unlink(r *record) {
	l := &s.lists[r.in]
	if r.prev == 0 {
		l.first = r.next
	} else {
		s.at(r.prev).next = r.next
	}
	if r.next == 0 {
		l.last = r.prev
	} else {
		s.at(r.next).prev = r.prev
	}
	r.in, r.prev, r.next = nowhere, 0, 0
}
