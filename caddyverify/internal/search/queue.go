package search

// queues holds a store's entries, those of each caller and class by age. Entries of a
// class live equally long, but for what is in progress, which makes no more than half a minute; so
// this is about the order in which they expire.
//
// Entries are linked by number. By pointers, the garbage collector would have to go
// from one to the next, each of them elsewhere in memory.
type queues struct {
	of      map[string]*shares // by caller; of those that have entries
	entries []*entry           // that with the number n is at n-1
	unused  []ref
}

// shares are a caller's entries.
type shares struct {
	of  [classes]queue
	len int
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

// victim returns what expires first of the caller with most entries, and of his class
// with most. Among all classes it would be a state that somebody polls, while finals of
// this morning would stay; so a class, as a caller, displaces others only up to its share,
// be it finals or a flood of unknown ids. There is one while there are entries.
func (q *queues) victim() *entry {
	var of *shares
	for _, other := range q.of {
		if of == nil || other.len > of.len {
			of = other
		}
	}
	most := class(0)
	for c := range classes {
		if of.of[c].len > of.of[most].len {
			most = c
		}
	}
	return q.at(of.of[most].oldest)
}

func (q *queues) push(e *entry) {
	if n := len(q.unused); n > 0 {
		e.self, q.unused = q.unused[n-1], q.unused[:n-1]
		q.entries[e.self-1] = e
	} else {
		q.entries = append(q.entries, e)
		e.self = ref(len(q.entries)) //nolint:gosec // as many as MaxEntries
	}
	caller := e.kind.Value().caller
	all := q.of[caller]
	if all == nil {
		all = new(shares)
		q.of[caller] = all
	}
	all.len++
	of := &all.of[e.class]
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
	caller := e.kind.Value().caller
	all := q.of[caller]
	if all.len--; all.len == 0 {
		delete(q.of, caller)
	}
	of := &all.of[e.class]
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
