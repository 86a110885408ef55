package state

import (
	"container/heap"
	"slices"
	"time"
)

// record is all that is known of one verification.
type record struct {
	id    string // as wire.Spelling
	facts []held
	// over is when it ended or will by the clock: who is over for Keep is forgotten.
	over  time.Time
	place int // in the queue
	// number is what it is found by, once it has begun.
	number string
}

type held struct {
	*fact
	told bool // the store has taken it
}

// add takes a fact in, and reports false where there is no room for it. took tells that the store
// knows it.
func (r *record) add(f *fact, took bool) bool {
	i := slices.IndexFunc(r.facts, func(h held) bool { return h.ID == f.ID })
	if i < 0 {
		most := maxOther
		if f.decides() {
			most = maxFacts
		}
		if len(r.facts) >= most {
			return false
		}
		r.facts = append(r.facts, held{f, took})
		return true
	}
	h := &r.facts[i]
	switch order := f.before(h.fact); {
	case order < 0:
		*h = held{f, took}
	case order == 0:
		h.told = h.told || took
	}
	return true
}

// untold are the facts that the store may not have. What webhooks say of a verification that
// nobody is known to have begun is kept to oneself.
func (r *record) untold() (facts []*fact) {
	known := r.begun()
	for _, h := range r.facts {
		if !h.told && (known || h.Kind != told) {
			facts = append(facts, h.fact)
		}
	}
	return facts
}

func (r *record) begun() bool {
	return slices.ContainsFunc(r.facts, func(h held) bool { return h.Kind == begun })
}

// found is what a search finds.
func (r *record) found() (v Verification, known bool) {
	if !r.begun() {
		return v, false
	}
	return r.verification(), true
}

// own tells whether gateways here had to do with it.
func (r *record) own() bool {
	return slices.ContainsFunc(r.facts, func(h held) bool { return h.Kind != told })
}

func (r *record) verification() Verification {
	v := Verification{id: r.id, facts: make([]*fact, len(r.facts))}
	for i, h := range r.facts {
		v.facts[i] = h.fact
	}
	return v
}

// queue has first who is forgotten first: the one that ended first, or of those that are under way
// the one nearest to its end.
type queue []*record

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].over.Before(q[j].over) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	r := x.(*record)
	r.place = len(*q)
	*q = append(*q, r)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return r
}

// records are all that a Book holds, under its lock.
type records struct {
	byID     map[string]*record
	byNumber map[string][]*record
	queue    queue
}

// maxOfNumber is how many of the last verifications of a number are found by it.
const maxOfNumber = 8

func (rs *records) put(r *record) {
	rs.byID[r.id] = r
	heap.Push(&rs.queue, r)
}

func (rs *records) move(r *record, over time.Time) {
	r.over = over
	heap.Fix(&rs.queue, r.place)
}

func (rs *records) index(r *record, number string) {
	if number == r.number {
		return
	}
	rs.leaveNumber(r)
	r.number = number
	if number == "" {
		return
	}
	of := append(rs.byNumber[number], r)
	if len(of) > maxOfNumber {
		of = slices.Delete(of, 0, 1)
	}
	rs.byNumber[number] = of
}

func (rs *records) leaveNumber(r *record) {
	if r.number == "" {
		return
	}
	of := slices.DeleteFunc(rs.byNumber[r.number], func(other *record) bool { return other == r })
	if rs.byNumber[r.number] = of; len(of) == 0 {
		delete(rs.byNumber, r.number)
	}
	r.number = ""
}

func (rs *records) drop(r *record) {
	heap.Remove(&rs.queue, r.place)
	delete(rs.byID, r.id)
	rs.leaveNumber(r)
}
