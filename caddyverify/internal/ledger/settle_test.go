package ledger

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a"), request("b"), request("short", wire.Param{Name: "workflow_id", Value: "3"}))
		observe(l, check("b", "0"))
		pass(l, 389*time.Second)
		wantStats(t, l, 2, 0, 3)
		wantDue(t, l, 10)
		pass(l, 1*time.Second+tick)
		wantStats(t, l, 1, 1, 3)
		wantDue(t, l, 10, "short")
		pass(l, 305*time.Second)
		wantStats(t, l, 0, 2, 3)
		got := observe(l, finds("a", wire.Expired), finds("short", wire.Failed)).outcomes()
		if want := []wire.Outcome{wire.OutcomeExpired, wire.OutcomeFailed}; !slices.Equal(got, want) {
			t.Errorf("outcomes = %v, want %v", got, want)
		}
		wantStats(t, l, 0, 0, 3)
		time.Sleep(2 * time.Hour)
		if events := wantDue(t, l, 10); len(events.Finished) != 0 {
			t.Errorf("finished again: %+v", events.Finished)
		}
		wantStats(t, l, 0, 0, 0)
	})
}

func TestDueInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		var all, asked []string
		for i := range 25 {
			all = append(all, fmt.Sprint(i))
			observe(l, request(all[i]))
		}
		pass(l, overdueAfter)
		for _, most := range []int{0, 3, 10, 100, 10} {
			ids := l.Due(most)
			if len(ids) > min(most, 10) {
				t.Errorf("Due(%d) = %v", most, ids)
			}
			asked = append(asked, ids...)
		}
		if !slices.Equal(asked, all) {
			t.Errorf("asked about %v, want each once", asked)
		}
		wantDue(t, l, 10)
	})
}

// Lists that go for others have no verification that would have them refused.
func TestDueTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			observe(l, request(id))
		}
		observe(l, refuses("3", "a", "c"))
		pass(l, overdueAfter)
		for _, tt := range []struct {
			got, want []string
		}{
			{l.DueTogether(0), nil},
			{l.DueTogether(2), []string{"b", "d"}},
			{l.DueAlone(), []string{"a"}},
			{l.DueTogether(10), []string{"e"}},
			{l.DueTogether(10), nil},
			{l.DueAlone(), []string{"c"}},
			{l.DueAlone(), nil},
		} {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("due are %v, want %v", tt.got, tt.want)
			}
		}
		time.Sleep(2*time.Minute + tick)
		wantDue(t, l, 10, "b", "d")
		wantDue(t, l, 10, "a")
	})
}

// A search that brings nothing is repeated after 2, 6 and 18 minutes.
func TestAskedAgain(t *testing.T) {
	tests := []struct {
		name string
		seen *Observation
	}{
		{"no answer at all", nil},
		{"throttled", new(refuses("1", "a"))},
		{"provider in trouble", new(refuses("5", "a"))},
		{"fault", new(refuses("101", "a").faulty())},
		{"101 from memory", new(refuses("101", "a").remembered())},
		{"still in progress", new(finds("a", wire.InProgress))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Settings{})
				observe(l, request("a"))
				time.Sleep(overdueAfter)
				for i, wait := range []time.Duration{2 * time.Minute, 6 * time.Minute, 18 * time.Minute, time.Hour} {
					if i == 3 {
						wait = 60*time.Minute - 26*time.Minute - 4*tick
					}
					wantDue(t, l, 10, "a")
					if tt.seen != nil && len(observe(l, *tt.seen).Finished) != 0 {
						t.Error("finished")
					}
					time.Sleep(wait - time.Second)
					wantDue(t, l, 10)
					wantStats(t, l, 0, 1, 1)
					time.Sleep(time.Second + tick)
				}
				time.Sleep(4 * tick)
				if got := wantDue(t, l, 10).outcomes(); !slices.Equal(got, []wire.Outcome{wire.OutcomeUnknown}) {
					t.Errorf("outcomes = %v, want it given up", got)
				}
				wantStats(t, l, 0, 0, 1)
				if got := observe(l, finds("a", wire.Expired).costing("1", "", "EUR")); len(got.Finished)+len(got.Untracked) != 0 || len(got.Costs) != 1 {
					t.Errorf("%+v, want the cost only", got)
				}
			})
		})
	}
}

func TestGone(t *testing.T) {
	tests := []struct {
		name string
		seen Observation
		want []wire.Outcome
		next []string // what is asked about 2 minutes later
	}{
		{"101", refuses("101", "a"), []wire.Outcome{wire.OutcomeUnknown}, []string{"b"}},
		{"left out", lists([]string{"a", "b"}, part("b", wire.Expired)), []wire.Outcome{wire.OutcomeExpired, wire.OutcomeUnknown}, nil},
		{"both left out", lists([]string{"a", "b"}), []wire.Outcome{wire.OutcomeUnknown, wire.OutcomeUnknown}, nil},
		{"101 in a list", lists([]string{"a", "b"}, part("a", "101"), part("b", wire.InProgress)), []wire.Outcome{wire.OutcomeUnknown}, []string{"b"}},
		{"101 for both", refuses("101", "a", "b"), nil, []string{"a"}},
		{"one of both spoils it", refuses("3", "a", "b"), nil, []string{"a"}},
		{"another one is found", Observation{Call: wire.SearchFor(wire.JSON, []string{"a"}, false), Answer: finds("z", wire.Expired).Answer}, nil, []string{"a", "b"}},
		{"trouble", refuses("5", "a", "b"), nil, []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Settings{})
				observe(l, request("a"), request("b"))
				time.Sleep(overdueAfter)
				wantDue(t, l, 10, "a", "b")
				if got := observe(l, tt.seen).outcomes(); !slices.Equal(got, tt.want) {
					t.Errorf("outcomes = %v, want %v", got, tt.want)
				}
				time.Sleep(2*time.Minute + tick)
				wantDue(t, l, 10, tt.next...)
				if len(tt.next) == 1 && len(tt.want) == 0 {
					wantDue(t, l, 10, "b") // by itself, too
				}
			})
		})
	}
}

func TestAloneAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a"), request("b"))
		time.Sleep(time.Minute)
		observe(l, request("before"))
		time.Sleep(75 * time.Second)
		observe(l, request("after"))
		time.Sleep(overdueAfter - 135*time.Second)
		wantDue(t, l, 10, "a", "b")
		observe(l, refuses("101", "a", "b"))
		pass(l, 135*time.Second)
		wantStats(t, l, 0, 4, 4)
		for _, want := range []string{"before", "a", "b", "after"} {
			wantDue(t, l, 10, want)
		}
	})
}

func TestAskedNoMoreThan(t *testing.T) {
	for giveUp, want := range map[time.Duration]int{time.Minute: 1, 10 * time.Minute: 3, 48 * time.Hour: 4} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Settings{GiveUp: giveUp})
			observe(l, request("a"))
			expires := time.Now().Add(695 * time.Second)
			for asked := 0; ; time.Sleep(time.Second) {
				events := l.Advance()
				asked += len(l.Due(10))
				if len(events.Finished) == 0 {
					continue
				}
				if late := time.Since(expires.Add(giveUp)); asked != want || late < 0 || late > tick+time.Second {
					t.Errorf("asked %d times, want %d, and given up %v late", asked, want, late)
				}
				return
			}
		})
	}
}

// Without a settler, and without calls.
func TestGivenUpByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Grace: time.Minute, GiveUp: 10 * time.Minute, Keep: 5 * time.Minute})
		observe(l, request("a"), check("a", "16"))
		if got := pass(l, (605+60+600-1)*time.Second); len(got.Finished) != 0 {
			t.Errorf("given up early: %+v", got)
		}
		wantStats(t, l, 0, 1, 1)
		got := pass(l, time.Second).Finished
		if want := []Finish{{wire.OutcomeUnknown, "GB", "default", "", 0, 1}}; !slices.Equal(got, want) {
			t.Errorf("Finished = %+v, want %+v", got, want)
		}
		wantStats(t, l, 0, 0, 1)
		pass(l, 5*time.Minute)
		wantStats(t, l, 0, 0, 0)
	})
}

// TestNotAsked: what was not asked about after all is due at once, as often as it takes.
func TestNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a"), request("b"), request("c"))
		pass(l, overdueAfter)
		for range 2 * maxAsks {
			ids := l.DueTogether(2)
			if fmt.Sprint(ids) != "[a b]" && fmt.Sprint(ids) != "[c a]" && fmt.Sprint(ids) != "[b c]" {
				t.Fatalf("due are %v", ids)
			}
			l.NotAsked(ids)
		}
		if ids := l.DueTogether(10); len(ids) != 3 {
			t.Errorf("due are %v", ids)
		}
		observe(l, finds("a", wire.Expired))
		l.NotAsked([]string{"a", "unknown"})
		wantDue(t, l, 10)
		wantStats(t, l, 0, 2, 3)
		pass(l, firstWait) // they were asked about once
		if ids := l.DueTogether(10); len(ids) != 2 {
			t.Errorf("due again are %v", ids)
		}
	})
}
