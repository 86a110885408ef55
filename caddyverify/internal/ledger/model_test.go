package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// step is one thing that happens, some time after the step before.
type step struct {
	after  time.Duration
	kind   string
	ids    []int
	status wire.Status
	// late keeps the answer back for another step to deliver; which says what that
	// delivers or replays.
	late  bool
	which int
}

const verifications = 8

var modelSteps = rapid.Custom(func(t *rapid.T) step {
	id := rapid.IntRange(0, verifications-1)
	s := step{
		after: rapid.SampledFrom([]time.Duration{0, 0, time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 12 * time.Minute, 70 * time.Minute}).Draw(t, "after"),
		kind:  rapid.SampledFrom([]string{"request", "request", "check", "check", "cancel", "search", "list", "move", "move", "replay", "again", "late", "advance", "advance", "settle", "settle", "fail"}).Draw(t, "kind"),
		late:  rapid.IntRange(0, 3).Draw(t, "late") == 0,
		which: rapid.IntRange(0, math.MaxInt32).Draw(t, "which"),
	}
	s.ids = []int{id.Draw(t, "id")}
	if s.kind == "list" {
		s.ids = rapid.SliceOfNDistinct(id, 1, verifications, rapid.ID[int]).Draw(t, "ids")
	}
	s.status = rapid.SampledFrom([]wire.Status{wire.Success, wire.WrongCode, wire.WrongCode, wire.TooManyWrongCodes}).Draw(t, "status")
	return s
})

// truth is one verification as the provider knows it.
type truth struct {
	state     wire.Status // empty until it is requested
	messages  int         // in hundredths
	elsewhere bool        // the ledger does not see its start
}

// book is what an honest clerk notes about one verification.
type book struct {
	outcome  wire.Outcome // the first that an answer told
	messages int          // the highest seen since its start
	attempts int
}

// world is a provider, the clerk's books, and what the ledger said, by id: each
// verification has its id for a country.
type world struct {
	ledger    *Ledger
	provider  map[string]*truth
	books     map[string]*book
	started   map[string]int
	finished  map[string][]Finish
	paid      map[string]float64
	untracked int
	strange   map[string]bool // the untracked seen to end
	past      []Observation
	late      []Observation
	problems  []string
	course    []string // all that the ledger said
}

func (w *world) complain(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// deliver lets the ledger and the clerk see an answer.
func (w *world) deliver(o Observation) {
	w.past = append(w.past, o)
	events := w.ledger.Observe(o)
	if !o.FromMemory && o.Answer.Fault == nil {
		w.note(o, &events)
	}
	w.take(events)
}

// take adds up what the ledger says.
func (w *world) take(events Events) {
	w.course = append(w.course, fmt.Sprintf("%+v", events))
	for _, s := range events.Started {
		w.started[s.Country]++
	}
	for _, f := range events.Finished {
		w.finished[f.Country] = append(w.finished[f.Country], f)
	}
	for _, c := range events.Costs {
		if c.Amount <= 0 || c.Currency != "EUR" || c.Kind != wire.Messages {
			w.complain("cost %+v", c)
		}
		w.paid[c.Country] += c.Amount
	}
	w.untracked += len(events.Untracked)
}

// note keeps the books, in the plainest way.
func (w *world) note(o Observation, events *Events) {
	ended := func(id string, outcome wire.Outcome) {
		if b := w.books[id]; b == nil {
			w.strange[id] = true
		} else if b.outcome == "" && len(w.finished[id]) == 0 {
			b.outcome = outcome // and not given up before
		}
	}
	v := &o.Answer.Verification
	switch id := o.Call.RequestID(); o.Call.Operation {
	case wire.Request, wire.PSD2:
		if w.books[v.RequestID] == nil {
			w.books[v.RequestID] = &book{}
		}
	case wire.Check:
		if b := w.books[id]; b != nil && b.outcome == "" && len(w.finished[id]) == 0 && v.Status != wire.NotFoundOrFinished {
			b.attempts++
		}
		switch v.Status {
		case wire.Success:
			ended(id, wire.OutcomeSuccess)
		case wire.TooManyWrongCodes:
			ended(id, wire.OutcomeFailed)
		}
	case wire.Control:
		ended(id, wire.OutcomeCancelled)
	case wire.Search:
		for _, found := range o.Answer.Found {
			if outcome, final := outcomeOf(found.Status); final {
				ended(found.RequestID, outcome)
			}
			if b := w.books[found.RequestID]; b != nil {
				var cents int
				_, _ = fmt.Sscanf(found.EstimatedPrice, "0.%02d", &cents) // it is the test's own
				b.messages = max(b.messages, cents)
			}
		}
	case wire.Templates: // is about no verification
	}
}

// found is what the provider says of a verification in a search.
func (w *world) found(id string) (wire.Verification, bool) {
	p := w.provider[id]
	if p == nil {
		return wire.Verification{}, false
	}
	return wire.Verification{RequestID: id, Status: p.state, EstimatedPrice: fmt.Sprintf("0.%02d", p.messages), Currency: "EUR"}, true
}

// ask is a search and what the provider answers to it.
func (w *world) ask(ids []string, list bool) Observation {
	var found []*wire.Verification
	for _, id := range ids {
		if v, known := w.found(id); known {
			found = append(found, &v)
		}
	}
	o := Observation{Call: wire.SearchFor(wire.JSON, ids, list), Answer: &wire.Answer{Code: 200, Reading: wire.Reading{Found: found, List: list}}}
	switch {
	case len(found) == 0:
		o.Answer.Reading = wire.Reading{Verification: wire.Verification{Status: wire.NoResponse}}
	case !list:
		o.Answer.Verification = *found[0]
	}
	return o
}

// act lets the provider answer one call; false where nothing is called.
func (w *world) act(s step) (o Observation, called bool) {
	id := fmt.Sprint("id", s.ids[0])
	p := w.provider[id]
	running := p != nil && p.state == wire.InProgress
	switch s.kind {
	case "request":
		if p != nil {
			return request(id), false // the provider gives no id twice
		}
		w.provider[id] = &truth{state: wire.InProgress, elsewhere: s.which%5 == 0}
		o = request(id)
		if s.which%2 == 1 {
			o.Call.Operation = wire.PSD2
		}
		o.Country = id
		return o, s.which%5 != 0
	case "check":
		switch {
		case !running:
			return check(id, wire.NotFoundOrFinished), true
		case s.status == wire.Success:
			p.state = wire.Succeeded
		case s.status == wire.TooManyWrongCodes:
			p.state = wire.Failed
		}
		return check(id, s.status), true
	case "cancel":
		if running {
			p.state = wire.Cancelled
		}
		return control(id, "cancel", wire.Success), running
	case "move": // an event of the provider's own
		if p != nil && p.messages < 90 {
			p.messages += 3
		}
		if running && s.which%4 == 0 {
			p.state = wire.Expired
		}
	case "search":
		return w.ask([]string{id}, false), true
	case "list":
		var ids []string
		for _, n := range s.ids {
			ids = append(ids, fmt.Sprint("id", n))
		}
		return w.ask(ids, true), true
	}
	return o, false
}

func (w *world) do(s step) {
	switch s.kind {
	case "replay":
		if len(w.past) > 0 {
			w.deliver(w.past[s.which%len(w.past)].remembered())
		}
	case "again": // the same answer comes from the upstream once more
		if len(w.past) > 0 {
			if o := w.past[s.which%len(w.past)]; o.Call.Operation != wire.Check || o.Answer.Status != wire.WrongCode {
				w.deliver(o)
			}
		}
	case "late":
		if n := len(w.late); n > 0 {
			i := s.which % n
			o := w.late[i]
			w.late = slices.Delete(w.late, i, i+1)
			w.deliver(o)
		}
	case "fail":
		w.deliver(check(fmt.Sprint("id", s.ids[0]), s.status).faulty())
	case "advance":
		w.take(w.ledger.Advance())
	case "settle":
		w.settle(s.which%3 == 0)
	default:
		o, called := w.act(s)
		switch {
		case !called:
		case s.late && !o.Call.Operation.Starts():
			w.late = append(w.late, o)
		default:
			w.deliver(o)
		}
	}
}

func (w *world) settle(broken bool) (asked int) {
	ids := w.ledger.Due(wire.MaxIDs)
	w.course = append(w.course, fmt.Sprint(ids))
	if len(ids) == 0 {
		return 0
	}
	o := w.ask(ids, true)
	if broken {
		o = o.faulty()
	}
	w.deliver(o)
	return len(ids)
}

// judge compares the ledger's words with the books.
func (w *world) judge() {
	s := w.ledger.Stats()
	finished := 0
	for id, b := range w.books {
		if w.started[id] != 1 {
			w.complain("%s: started %d times", id, w.started[id])
		}
		all := w.finished[id]
		finished += len(all)
		switch {
		case len(all) > 1, b.outcome != "" && len(all) == 0:
			w.complain("%s: finished %+v, the books say %q", id, all, b.outcome)
		case len(all) == 1 && (b.outcome != "" || all[0].Outcome != wire.OutcomeUnknown) && all[0].Outcome != b.outcome:
			w.complain("%s: %+v, the books say %q", id, all[0], b.outcome)
		case len(all) == 1 && all[0].Attempts != b.attempts:
			w.complain("%s: %+v, the books say %d attempts", id, all[0], b.attempts)
		}
		if got, want := math.Round(w.paid[id]*100), float64(b.messages); got != want {
			w.complain("%s: paid %v, the books say %v", id, got, want)
		}
	}
	if len(w.started) != len(w.books) || len(w.finished) > len(w.books) {
		w.complain("started %v, finished %v", w.started, slices.Collect(maps.Keys(w.finished)))
	}
	if len(w.books) != finished+s.UnderWay+s.Unsettled {
		w.complain("%d started, %d finished, %+v", len(w.books), finished, s)
	}
	if w.untracked != len(w.strange) {
		w.complain("%d untracked, the books have %v", w.untracked, w.strange)
	}
}

func newWorld() *world {
	return &world{
		provider: map[string]*truth{}, books: map[string]*book{}, started: map[string]int{},
		finished: map[string][]Finish{}, paid: map[string]float64{}, strange: map[string]bool{},
	}
}

// TestModel lets a provider, clients, replays, late answers and a settler meet in
// any order, and compares each verification's events with plain books.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(modelSteps, 50, 150).Draw(rt, "steps")
		w := newWorld()
		synctest.Test(t, func(t *testing.T) {
			// Nothing is forgotten, so that the books need not forget either.
			w.ledger = New(Settings{Keep: 10_000 * time.Hour})
			for i, s := range plan {
				time.Sleep(s.after)
				w.do(s)
				if w.judge(); len(w.problems) > 0 {
					w.complain("after step %d, %+v", i, s)
					return
				}
			}
			for range 100 { // in the end all are settled
				time.Sleep(time.Minute)
				w.take(w.ledger.Advance())
				for w.settle(false) > 0 {
				}
			}
			w.judge()
			if s := w.ledger.Stats(); s.UnderWay+s.Unsettled != 0 {
				w.complain("%+v in the end", s)
			}
			w.ledger.consistent(t)
		})
		if len(w.problems) > 0 {
			rt.Fatal(strings.Join(w.problems, "\n"))
		}
	})
}
