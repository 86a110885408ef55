package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// logged are the entries of a log that are kept, the oldest first.
type logged struct {
	name    string // its positions begin with, so that those of one that was forgotten are none
	first   int    // number of entries[0]
	entries []told
}

type told struct {
	v         []byte
	at, until time.Time
}

func (l *logged) drop(n int) {
	clear(l.entries[:n])
	l.entries = l.entries[n:]
	l.first += n
}

func (m view) Tell(_ context.Context, log Name, entries [][]byte, most int, life time.Duration) error {
	now := m.at()
	defer m.mu.Unlock()
	l := m.logs[log]
	if l == nil {
		l = &logged{name: rand.Text()}
		m.logs[log] = l
	}
	for _, v := range entries {
		l.entries = append(l.entries, told{slices.Clone(v), now, now.Add(life)})
	}
	l.drop(max(0, len(l.entries)-most))
	l.sweep(now)
	return nil
}

func (l *logged) sweep(now time.Time) {
	over := 0
	for over < len(l.entries) && !l.entries[over].until.After(now) {
		over++
	}
	l.drop(over)
}

func (m view) Read(_ context.Context, log Name, after Position, most int) ([]Entry, error) {
	now := m.at()
	defer m.mu.Unlock()
	l := m.logs[log]
	if l == nil {
		return nil, nil
	}
	l.sweep(now)
	last := -1
	if len(after) > len(l.name) && string(after[:len(l.name)]) == l.name {
		_, _ = fmt.Sscan(string(after[len(l.name):]), &last)
	}
	from := min(max(0, last+1-l.first), len(l.entries))
	var found []Entry
	for i, e := range l.entries[from:min(from+most, len(l.entries))] {
		position := Position(fmt.Sprint(l.name, l.first+from+i))
		found = append(found, Entry{position, now.Sub(e.at), slices.Clone(e.v)})
	}
	return found, nil
}
