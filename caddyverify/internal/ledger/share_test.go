package ledger

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func hidden(requestID string) string { return "hidden " + requestID }

// sharing returns a ledger that others are told of.
func sharing(s Settings) *Ledger {
	l := New(s)
	l.Share(hidden)
	return l
}

var elsewhere = Beginning{
	RequestID: "a", Start: Start{Country: "FR", Workflow: "6", Caller: "checkout"},
	Link: Link{Trace: [16]byte{1, 2}, Span: [8]byte{3}}, Timing: wire.Timing{PIN: 605 * time.Second}, Took: 300 * time.Millisecond,
}

func TestBeginning(t *testing.T) {
	v := elsewhere.Encode()
	got, ok := DecodeBeginning("a", v)
	if !ok || got != elsewhere {
		t.Errorf("decoded %+v, %v", got, ok)
	}
	long := elsewhere
	long.Caller, long.Timing.PIN = strings.Repeat("c", 300), 24*time.Hour
	if got, ok := DecodeBeginning("a", long.Encode()); !ok || len(got.Caller) != maxWord || got.Timing.PIN != maxTime {
		t.Errorf("decoded %+v, %v", got, ok)
	}
	later := slices.Clone(v)
	later[0]++
	for name, v := range map[string][]byte{"none": nil, "a later version": later, "with more": append(slices.Clone(v), 0)} {
		if got, ok := DecodeBeginning("a", v); ok {
			t.Errorf("%s: decoded %+v", name, got)
		}
	}
	for n := range v {
		if got, ok := DecodeBeginning("a", v[:n]); ok {
			t.Errorf("%d bytes: decoded %+v", n, got)
		}
	}
	for _, id := range []string{"", strings.Repeat("i", maxID+1)} {
		if _, ok := DecodeBeginning(id, v); ok {
			t.Errorf("decoded for an id of %d bytes", len(id))
		}
	}
}

func TestBeginningOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := append([]byte{beginningVersion}, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...)
		if b, ok := DecodeBeginning("a", v); ok {
			if again, ok := DecodeBeginning("a", b.Encode()); !ok || again != b {
				t.Errorf("%x is %+v, and then %+v", v, b, again)
			}
		}
	})
}

// TestShareTellsOfAll: what another gateway needs to count with is told.
func TestShareTellsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := sharing(Settings{})
		begin := request("a")
		begin.Call.Caller, begin.Link, begin.Took = "checkout", elsewhere.Link, elsewhere.Took
		events := l.Observe(begin)
		start := Start{"GB", "default", "checkout"}
		if want := []Beginning{{RequestID: "a", Start: start, Link: elsewhere.Link, Took: elsewhere.Took}}; !slices.Equal(events.Beginnings, want) || !slices.Equal(events.Started, []Start{start}) {
			t.Errorf("begins: %+v", events)
		}
		time.Sleep(30 * time.Second)
		events = observe(l, check("a", wire.Success).costing("0.1", "0.05", "EUR"), check("b", wire.Success))
		if len(events.Finished)+len(events.Costs)+len(events.Untracked) != 0 {
			t.Errorf("told as if nobody else knew: %+v", events)
		}
		want := []Booking{
			{RequestID: "a", Own: true, Finish: &Finish{wire.OutcomeSuccess, "GB", "default", "checkout", 30 * time.Second, 1}},
			{RequestID: "a", Own: true, Cost: &Cost{"EUR", wire.Fee, "GB", "checkout", 0.1}, Amount: 10_000_000},
			{RequestID: "a", Own: true, Cost: &Cost{"EUR", wire.Messages, "GB", "checkout", 0.05}, Amount: 5_000_000},
			{RequestID: "b", Untracked: wire.OutcomeSuccess},
		}
		if !reflect.DeepEqual(events.Bookings, want) {
			t.Errorf("bookings: %+v", events.Bookings)
		}
		if got := (Cost{Currency: "EUR", Amount: 3}).Of(5_000_000); got != (Cost{Currency: "EUR", Amount: 0.05}) {
			t.Errorf("a part of a cost is %+v", got)
		}
		wantStats(t, l, 0, 0, 2)
	})
}

// TestAdopted follows a verification that another gateway has seen start.
func TestAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := sharing(Settings{})
		if events := l.Adopt(elsewhere, time.Minute, false); !reflect.DeepEqual(events, Events{}) {
			t.Errorf("told: %+v", events)
		}
		l.Adopt(elsewhere, time.Hour, false) // a second time
		if by, ok := l.StartedBy("a"); by != "checkout" || !ok {
			t.Errorf("started by %q, %v", by, ok)
		}
		if country, link, ok := l.Origin("a"); country != "FR" || link != elsewhere.Link || !ok {
			t.Errorf("origin: %q, %v, %v", country, link, ok)
		}
		wantStats(t, l, 0, 0, 1) // it is under way elsewhere
		time.Sleep(time.Minute)
		events := observe(l, check("a", wire.WrongCode), check("a", wire.Success).costing("0.1", "", "EUR"))
		want := []Booking{
			{RequestID: "a", Finish: &Finish{wire.OutcomeSuccess, "FR", "6", "checkout", 2 * time.Minute, 2}},
			{RequestID: "a", Cost: &Cost{"EUR", wire.Fee, "FR", "checkout", 0.1}, Amount: 10_000_000},
		}
		if !reflect.DeepEqual(events.Bookings, want) {
			t.Errorf("bookings: %+v", events.Bookings)
		}
	})
}

// TestAdoptedIsPatient: who saw the start asks for the end first, and if he does not, others do.
func TestAdoptedIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := sharing(Settings{})
		l.Adopt(elsewhere, 0, false)
		pass(l, overdueAfter)
		wantDue(t, l, 10)
		if events := pass(l, patience); !slices.Equal(events.Overdue, []string{"a"}) {
			t.Errorf("overdue: %v", events.Overdue)
		}
		wantDue(t, l, 10, "a")
		wantStats(t, l, 0, 0, 1)
		if events := pass(l, time.Hour); len(events.Bookings) != 1 || events.Bookings[0].Own || events.Bookings[0].Finish.Outcome != wire.OutcomeUnknown {
			t.Errorf("given up: %+v", events)
		}
	})
}

func TestEndedElsewhere(t *testing.T) {
	own := func(l *Ledger) { l.Observe(request("a")) }
	for _, tt := range []struct {
		name string
		do   func(*Ledger)
	}{
		{"its own", func(l *Ledger) { own(l); l.EndedElsewhere("a") }},
		{"its own, told with the start", func(l *Ledger) { own(l); l.Adopt(elsewhere, 0, true) }},
		{"its own, that is overdue", func(l *Ledger) { own(l); pass(l, overdueAfter); l.EndedElsewhere("a") }},
		{"another's", func(l *Ledger) { l.Adopt(elsewhere, 0, false); l.EndedElsewhere("a") }},
		{"another's, before it is known", func(l *Ledger) { l.Adopt(elsewhere, 0, true) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := sharing(Settings{})
				tt.do(l)
				wantStats(t, l, 0, 0, 1)
				if id, ok := l.Named(hidden("a")); ok || !l.Over("a") {
					t.Errorf("it is open as %q; over: %v", id, l.Over("a"))
				}
				if v, _ := l.Verification("a"); v.Outcome != wire.OutcomeUnknown {
					t.Errorf("it ended as %q", v.Outcome)
				}
				wantDue(t, l, 10)
				events := observe(l, finds("a", wire.Failed), finds("a", wire.Expired))
				if len(events.Bookings)+len(events.Finished) != 0 {
					t.Errorf("told again: %+v", events)
				}
				if v, _ := l.Verification("a"); v.Outcome != wire.OutcomeFailed {
					t.Errorf("once it is known how, it ended as %q", v.Outcome)
				}
				pass(l, 3*time.Hour)
				wantStats(t, l, 0, 0, 0)
			})
		})
	}
	l := sharing(Settings{})
	l.EndedElsewhere("nobody's")
	l.Observe(check("untracked", wire.Success))
	l.EndedElsewhere("untracked")
	wantStats(t, l, 0, 0, 1)
}

// TestAdoptedAfterItsEnd: who started it becomes known when its end has been told of.
func TestAdoptedAfterItsEnd(t *testing.T) {
	l := sharing(Settings{})
	l.Observe(check("a", wire.Success))
	if events := l.Adopt(elsewhere, time.Minute, false); !reflect.DeepEqual(events, Events{}) {
		t.Errorf("told: %+v", events)
	}
	if by, ok := l.StartedBy("a"); by != "checkout" || !ok {
		t.Errorf("started by %q, %v", by, ok)
	}
	if events := l.Observe(finds("a", wire.Failed).costing("0.1", "", "EUR")); len(events.Bookings) != 1 || events.Bookings[0].Cost == nil {
		t.Errorf("told: %+v", events)
	}
	if v, _ := l.Verification("a"); v.Outcome != wire.OutcomeSuccess {
		t.Errorf("it ended as %q", v.Outcome)
	}
}

// TestNames: a hidden name finds what is open, whenever the ledger was told how to hide.
func TestNames(t *testing.T) {
	l := New(Settings{MaxEntries: 3})
	l.Observe(request("a"))
	expect := func(name, want string) {
		t.Helper()
		if id, ok := l.Named(name); id != want || ok != (want != "") {
			t.Errorf("%q is of %q, want %q", name, id, want)
		}
	}
	expect(hidden("a"), "")
	l.Share(hidden)
	expect(hidden("a"), "a")
	l.Share(strings.ToUpper)
	expect(hidden("a"), "")
	expect("A", "a")
	b := elsewhere
	b.RequestID = "b"
	l.Adopt(b, 10*time.Minute, false) // it is nearest to its end
	expect("B", "b")
	l.Observe(check("a", wire.Success))
	expect("A", "")
	observe(l, request("c"), request("d"), request("e")) // a and b make room
	expect("B", "")
	wantStats(t, l, 3, 0, 3)
	if lost := l.Stats().Lost; lost != 0 {
		t.Errorf("%d were lost", lost)
	}
	if len(l.names) != 3 {
		t.Errorf("%d names are kept", len(l.names))
	}
	l.Share(nil)
	expect("C", "")
}

// TestNoLongerShared: without others an own end is told as it was, and another's is not.
func TestNoLongerShared(t *testing.T) {
	l := sharing(Settings{})
	b := elsewhere
	b.RequestID = "b"
	l.Adopt(b, 0, false)
	l.Observe(request("a"))
	l.Share(nil)
	events := observe(l, check("a", wire.Success).costing("0.1", "", "EUR"), check("b", wire.Success).costing("0.1", "", "EUR"), check("c", wire.Success))
	if len(events.Finished) != 1 || len(events.Costs) != 1 || len(events.Untracked) != 1 {
		t.Errorf("told: %+v", events)
	}
	for _, b := range events.Bookings {
		if b.Own {
			t.Errorf("booked: %+v", b)
		}
	}
}
