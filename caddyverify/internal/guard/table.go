package guard

// table keeps up to a number of things by their hashes. A full one forgets what the owner
// with the most has not used for longest: who fills it makes room at his own cost.
type table[V any] struct {
	most    int
	entries map[uint64]*entry[V]
	lanes   map[string]*lane[V]
}

// lane is a doubly linked list of what an owner has, the least recently used first.
type lane[V any] struct {
	owner       string
	first, last *entry[V]
	n           int
}

type entry[V any] struct {
	key        uint64
	lane       *lane[V]
	prev, next *entry[V]
	value      V
}

const (
	// maxLanes is how many owners are told apart.
	maxLanes = 64
	// shared is the lane of all others; no caller has a NUL in its name.
	shared = "\x00"
)

func newTable[V any](most int) table[V] {
	return table[V]{most: most, entries: map[uint64]*entry[V]{}, lanes: map[string]*lane[V]{}}
}

// find returns nil where there is none. It changes nothing.
func (t *table[V]) find(key uint64) *V {
	if e := t.entries[key]; e != nil {
		return &e.value
	}
	return nil
}

// get returns what there is, or is from now on, and notes that it was used.
func (t *table[V]) get(owner string, key uint64) *V {
	e := t.entries[key]
	if e != nil {
		e.lane.remove(e)
	} else {
		for len(t.entries) >= t.most {
			t.evict()
		}
		e = &entry[V]{key: key, lane: t.lane(owner)}
		t.entries[key] = e
	}
	e.lane.push(e)
	return &e.value
}

// drop forgets what there may be.
func (t *table[V]) drop(key uint64) {
	if e := t.entries[key]; e != nil {
		t.remove(e)
	}
}

func (t *table[V]) evict() {
	var largest *lane[V]
	for _, l := range t.lanes {
		if largest == nil || l.n > largest.n || l.n == largest.n && l.owner < largest.owner {
			largest = l
		}
	}
	t.remove(largest.first)
}

func (t *table[V]) remove(e *entry[V]) {
	delete(t.entries, e.key)
	if e.lane.remove(e); e.lane.n == 0 {
		delete(t.lanes, e.lane.owner)
	}
}

func (t *table[V]) lane(owner string) *lane[V] {
	l := t.lanes[owner]
	if l == nil && len(t.lanes) >= maxLanes {
		owner = shared
		l = t.lanes[owner]
	}
	if l == nil {
		l = &lane[V]{owner: owner}
		t.lanes[owner] = l
	}
	return l
}

func (l *lane[V]) push(e *entry[V]) {
	e.prev, e.next = l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
	l.n++
}

func (l *lane[V]) remove(e *entry[V]) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	l.n--
}
