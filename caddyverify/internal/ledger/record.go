package ledger

import (
	"container/heap"
	"container/list"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// record is one verification.
type record struct {
	id string
	// Times are since the ledger was made. expires is when it is unsettled, when is
	// what the place that it is in goes by.
	begun, expires, when time.Duration
	// told is what answers have told as cost, of a fee and of messages, and estimated what stands for both
	// where none has.
	told      [2]units
	estimated units
	link      Link
	country   string // label
	caller    string // who started it
	workflow  uint8  // index in Workflows
	// currency is the index in the ledger's currencies plus 1; 0 for none yet.
	currency  uint8
	schedule  schedule
	attempts  int
	checks    int          // under way
	seen      wire.Outcome // by a search, while a check is under way
	asks      int          // how often the settler was given it
	alone     bool         // to be asked for by itself
	outcome   uint8        // once finished: index in wire.Outcomes
	overdue   bool         // expires has passed
	finished  bool
	untracked bool
	adopted   bool   // another gateway saw it start
	elsewhere bool   // another gateway has counted its end, and how it ended is not known here
	name      string // while Named finds it

	// A record is in a queue at an element, or else waits at an index of the heap.
	queue   *list.List
	element *list.Element
	index   int
	seq     uint64 // which of those that wait for the same moment is first
}

// Link leads to the span of a verification's request by the ids of the trace and of the
// span in it. The zero Link leads nowhere.
type Link struct {
	Trace [16]byte
	Span  [8]byte
}

// records are all those of a ledger. Beside the map by id, each is in one place: in a
// priority queue by the time of what comes next, or in one of three FIFO queues, whose
// linked lists let a record leave from the middle. So whatever is due next, or to be
// evicted next, is at the front of one of them.
type records struct {
	byID map[string]*record // by their spelling
	// waiting for their expiry, or for the next time to be asked about.
	waiting waiting
	seq     uint64 // that of the last one
	// FIFO queues. due are ready to be asked about; finished were seen from the start,
	// untracked not.
	due, finished, untracked list.List
}

func (s *records) add(id string) *record {
	r := &record{id: id, index: -1}
	s.byID[wire.Spelling(id)] = r
	return r
}

func (s *records) find(id string) *record { return s.byID[wire.Spelling(id)] }

// push puts a record that is nowhere at the end of a queue.
func (s *records) push(queue *list.List, r *record) {
	r.queue, r.element = queue, queue.PushBack(r)
}

// wait has a record that is nowhere wait until its time comes.
func (s *records) wait(r *record, when time.Duration) {
	s.seq++
	r.when, r.seq = when, s.seq
	heap.Push(&s.waiting, r)
}

// next takes out a record whose time has come, or returns nil.
func (s *records) next(now time.Duration) *record {
	if len(s.waiting) == 0 || s.waiting[0].when > now {
		return nil
	}
	return heap.Pop(&s.waiting).(*record)
}

// leave takes a record from its place.
func (s *records) leave(r *record) {
	if r.queue == nil {
		heap.Remove(&s.waiting, r.index)
		return
	}
	r.queue.Remove(r.element)
	r.queue, r.element = nil, nil
}

// drop ends a record.
func (s *records) drop(r *record) {
	s.leave(r)
	delete(s.byID, wire.Spelling(r.id))
}

// first returns the oldest record of a queue, or nil.
func first(queue *list.List) *record {
	if e := queue.Front(); e != nil {
		return e.Value.(*record)
	}
	return nil
}

// waiting is a priority queue: a min-heap by when, with the first come first among
// equals.
type waiting []*record

func (w waiting) Len() int { return len(w) }

func (w waiting) Less(i, j int) bool {
	if w[i].when != w[j].when {
		return w[i].when < w[j].when
	}
	return w[i].seq < w[j].seq
}

func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push is for package heap.
func (w *waiting) Push(r any) {
	r.(*record).index = len(*w)
	*w = append(*w, r.(*record))
}

// Pop is for package heap.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	r := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	r.index = -1
	return r
}

// soonest returns the record whose time comes first, or nil.
func (w waiting) soonest() *record {
	if len(w) == 0 {
		return nil
	}
	return w[0]
}
