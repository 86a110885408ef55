package ledger

import (
	"container/list"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestEvictionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{MaxEntries: 6})
		observe(l, request("overdue"))
		pass(l, overdueAfter)
		observe(l, request("late"), request("soon", wire.Param{Name: "workflow_id", Value: "3"}),
			request("done first"), request("done second"))
		observe(l, check("done first", "0"), check("untracked end", "0"), check("done second", "0"))
		wantStats(t, l, 2, 1, 6)
		var lost int
		for i, victim := range []string{"untracked end", "done first", "done second", "overdue", "soon", "late"} {
			if l.records.byID[victim] == nil {
				t.Errorf("%q went too early", victim)
			}
			events := observe(l, request(fmt.Sprint(i), wire.Param{Name: "next_event_wait", Value: "900"}))
			if l.records.byID[victim] != nil {
				t.Errorf("%q did not go", victim)
			}
			lost += len(events.Finished)
			if got := l.Stats(); got.Entries != 6 || got.Lost != uint64(lost) {
				t.Errorf("Stats() = %+v after %d lost", got, lost)
			}
		}
		if lost != 3 {
			t.Errorf("%d lost, want 3", lost)
		}
	})
}

// Whatever floods it, the bound holds, and so do the sums.
func TestFlood(t *testing.T) {
	tests := map[string]func(id string) []Observation{
		"requests":  func(id string) []Observation { return []Observation{request(id)} },
		"verified":  func(id string) []Observation { return []Observation{request(id), check(id, "0")} },
		"untracked": func(id string) []Observation { return []Observation{finds(id, wire.Expired)} },
		"nothing": func(id string) []Observation {
			return []Observation{finds(id, wire.InProgress), check(id, "16"), check(id, "6"), refuses("101", id)}
		},
	}
	for name, flood := range tests {
		t.Run(name, func(t *testing.T) {
			const most = 100
			l := New(Settings{MaxEntries: most})
			var started, finished int
			for i := range 10_000 {
				events := observe(l, flood(fmt.Sprint(i))...)
				started += len(events.Started)
				finished += len(events.Finished)
				if len(l.records.byID) > most {
					t.Fatalf("%d entries", len(l.records.byID))
				}
			}
			if s := l.Stats(); started != finished+s.UnderWay+s.Unsettled {
				t.Errorf("%d started, %d finished, %+v", started, finished, s)
			}
			l.consistent(t)
		})
	}
}

// consistent checks that each record is in the list that fits it.
func (l *Ledger) consistent(t *testing.T) {
	t.Helper()
	var n, open, overdue int
	look := func(r *record, fits bool) {
		n++
		if l.records.byID[r.id] != r || !fits {
			t.Errorf("misplaced: %+v", r)
		}
		if !r.finished {
			open++
			if r.overdue {
				overdue++
			}
		}
	}
	walk := func(queue *list.List, fits func(*record) bool) {
		for e := queue.Front(); e != nil; e = e.Next() {
			r := e.Value.(*record)
			look(r, r.queue == queue && r.element == e && fits(r))
		}
	}
	walk(&l.records.finished, func(r *record) bool { return r.finished && !r.untracked })
	walk(&l.records.untracked, func(r *record) bool { return r.finished && r.untracked })
	walk(&l.records.due, func(r *record) bool { return !r.finished && r.overdue })
	for i, r := range l.records.waiting {
		look(r, r.queue == nil && r.index == i && !r.finished)
	}
	if n != len(l.records.byID) || open != l.open || overdue != l.overdue {
		t.Errorf("%d in their places, %d entries; %d open, counted %d; %d overdue, counted %d",
			n, len(l.records.byID), open, l.open, overdue, l.overdue)
	}
}

// After a night without anybody calling it, Advance does all there is to do, and holds
// the lock for a part of it at a time.
func TestAfterANight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		l := New(Settings{})
		for i := range n {
			observe(l, request(fmt.Sprint(i)))
		}
		time.Sleep(10 * time.Hour)
		var events Events
		if moved := l.advance(portion, &events); moved != portion {
			t.Errorf("%d were moved at a time", moved)
		}
		wantStats(t, l, n-portion, portion, n)
		events.add(l.Advance())
		if len(events.Finished) != n {
			t.Errorf("%d of %d were given up", len(events.Finished), n)
		}
		wantStats(t, l, 0, 0, n)
		if events := pass(l, time.Hour); len(events.Finished) != 0 {
			t.Errorf("%d were given up again", len(events.Finished))
		}
		wantStats(t, l, 0, 0, 0)
	})
}

func TestConcurrently(t *testing.T) {
	l := New(Settings{MaxEntries: 500})
	var all sync.WaitGroup
	var mu sync.Mutex
	var total Events
	for range 8 {
		all.Go(func() {
			var own Events
			for i := range 2000 {
				id := fmt.Sprint(i)
				own.add(l.Observe(request(id).costing("1", "", "EUR")))
				own.add(l.Observe(check(id, "0").costing("1", "", "EUR")))
				l.Origin(id)
				own.add(l.Advance())
				l.Due(10)
				if i%100 == 0 {
					l.Stats()
					runtime.Gosched()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(own)
		})
	}
	all.Wait()
	s := l.Stats()
	if len(total.Started) != len(total.Finished)+s.UnderWay+s.Unsettled {
		t.Errorf("%d started, %d finished, %+v", len(total.Started), len(total.Finished), s)
	}
	l.consistent(t)
}

func TestDefaults(t *testing.T) {
	observe(New(Settings{MaxEntries: -1}), request("a")) // makes no sense, but it must come back
	if got, want := New(Settings{}).settings, (Settings{100_000, 90 * time.Second, time.Hour, time.Hour}); got != want {
		t.Errorf("defaults = %+v, want %+v", got, want)
	}
}
