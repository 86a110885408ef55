package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A call and what the upstream answered, in the least words.

func request(id string, params ...wire.Param) Observation {
	return numbered(wire.Request, wire.Success, id, append([]wire.Param{{Name: "number", Value: "447700900000"}}, params...)...)
}

func check(id string, status wire.Status) Observation {
	return numbered(wire.Check, status, id, wire.Param{Name: "request_id", Value: id}, wire.Param{Name: "code", Value: "1234"})
}

func control(id, cmd string, status wire.Status) Observation {
	return numbered(wire.Control, status, "", wire.Param{Name: "request_id", Value: id}, wire.Param{Name: "cmd", Value: cmd})
}

func numbered(o wire.Operation, status wire.Status, id string, params ...wire.Param) Observation {
	answer := &wire.Answer{Code: 200}
	answer.Status, answer.RequestID = status, id
	return Observation{Call: &wire.Call{Operation: o, Params: params}, Answer: answer, Country: "GB"}
}

// finds is a search for one that found it; lists is one by request_ids; refuses
// is one that was answered with a number.
func finds(id string, status wire.Status) Observation {
	v := wire.Verification{RequestID: id, Status: status}
	return Observation{
		Call:   wire.SearchFor(wire.JSON, []string{id}, false),
		Answer: &wire.Answer{Code: 200, Reading: wire.Reading{Verification: v, Found: []*wire.Verification{&v}}},
	}
}

func lists(ids []string, found ...wire.Verification) Observation {
	list := wire.Reading{List: true}
	for i := range found {
		list.Found = append(list.Found, &found[i])
	}
	return Observation{Call: wire.SearchFor(wire.JSON, ids, true), Answer: &wire.Answer{Code: 200, Reading: list}}
}

func refuses(status wire.Status, ids ...string) Observation {
	o := numbered(wire.Search, status, "")
	o.Call = wire.SearchFor(wire.JSON, ids, len(ids) > 1)
	return o
}

func (o Observation) costing(price, messages, currency string) Observation {
	set := func(v *wire.Verification) { v.Price, v.EstimatedPrice, v.Currency = price, messages, currency }
	set(&o.Answer.Verification)
	for _, v := range o.Answer.Found {
		set(v)
	}
	return o
}

func (o Observation) remembered() Observation {
	o.FromMemory = true
	return o
}

func (o Observation) faulty() Observation {
	o.Answer.Fault = &wire.Fault{Cause: wire.UpstreamTimeout}
	return o
}

// observe feeds observations and returns all that they brought about.
func observe(l *Ledger, all ...Observation) (total Events) {
	for _, o := range all {
		total.add(l.Observe(o))
	}
	return total
}

func (e *Events) add(more Events) {
	e.Started = append(e.Started, more.Started...)
	e.Finished = append(e.Finished, more.Finished...)
	e.Costs = append(e.Costs, more.Costs...)
	e.Untracked = append(e.Untracked, more.Untracked...)
	e.Beginnings = append(e.Beginnings, more.Beginnings...)
	e.Overdue = append(e.Overdue, more.Overdue...)
	e.Bookings = append(e.Bookings, more.Bookings...)
	e.Ends = append(e.Ends, more.Ends...)
}

func (e Events) outcomes() (outcomes []wire.Outcome) {
	for _, f := range e.Finished {
		outcomes = append(outcomes, f.Outcome)
	}
	return outcomes
}

func wantStats(t *testing.T, l *Ledger, underWay, unsettled, entries int) {
	t.Helper()
	got := l.Stats()
	if got.UnderWay != underWay || got.Unsettled != unsettled || got.Entries != entries {
		t.Errorf("Stats() = %+v, want %d under way, %d unsettled, %d entries", got, underWay, unsettled, entries)
	}
}

// pass lets time pass, and the ledger know.
func pass(l *Ledger, d time.Duration) Events {
	time.Sleep(d)
	return l.Advance()
}

// wantDue expects what is due by now, and returns what time has brought about.
func wantDue(t *testing.T, l *Ledger, most int, want ...string) Events {
	t.Helper()
	events := l.Advance()
	got := l.Due(most)
	if !slices.Equal(got, want) {
		t.Errorf("Due(%d) = %v, want %v", most, got, want)
	}
	return events
}

// overdueAfter is when a default verification is certainly known to be unsettled.
const overdueAfter = 605*time.Second + 90*time.Second + tick

// tick is how long tests look past the moment in question.
const tick = 5 * time.Second
