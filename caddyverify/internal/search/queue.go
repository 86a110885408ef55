package search

// queues holds a store's entries, those of each class by age. Entries of a class live
// equally long, so that this is also the order in which they expire.
//
// Entries are linked by number. By pointers, the garbage collector would have to go
// from one to the next, each of them elsewhere in memory.
type queues struct {
	of      [classes]queue
	entries []*entry // that with the number n is at n-1
	unused  []ref
}

type queue struct {
	oldest, newest ref
	len            int
}

// ref is the number of an entry; 0 is none.
type ref uint32

func (q *queues) at(n ref) *entry {
	if n == 0 {
		return nil
	}
	return q.entries[n-1]
}

func (q *queues) oldest(c class) *entry { return q.at(q.of[c].oldest) }

// victim returns what expires first of the class with most entries. Among all
// classes it would be a state that somebody polls, while finals of this morning
// would stay; so a class displaces others only up to its share, be it finals or a
// flood of unknown ids. There is one while there are entries.
func (q *queues) victim() *entry {
	most := class(0)
	for c := range classes {
		if q.of[c].len > q.of[most].len {
			most = c
		}
	}
	return q.oldest(most)
}

func (q *queues) push(e *entry) {
	if n := len(q.unused); n > 0 {
		e.self, q.unused = q.unused[n-1], q.unused[:n-1]
		q.entries[e.self-1] = e
	} else {
		q.entries = append(q.entries, e)
		e.self = ref(len(q.entries)) //nolint:gosec // as many as MaxEntries
	}
	of := &q.of[e.class]
	e.prev, e.next = of.newest, 0
	if newest := q.at(of.newest); newest != nil {
		newest.next = e.self
	} else {
		of.oldest = e.self
	}
	of.newest = e.self
	of.len++
}

func (q *queues) unlink(e *entry) {
	of := &q.of[e.class]
	if prev := q.at(e.prev); prev != nil {
		prev.next = e.next
	} else {
		of.oldest = e.next
	}
	if next := q.at(e.next); next != nil {
		next.prev = e.prev
	} else {
		of.newest = e.prev
	}
	of.len--
	q.entries[e.self-1] = nil
	q.unused = append(q.unused, e.self)
	e.self, e.prev, e.next = 0, 0, 0
}
