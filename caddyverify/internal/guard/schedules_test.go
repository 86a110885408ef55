package guard

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var (
	schedules = flag.Int("schedules", 1000, "how many schedules TestSchedules runs")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first one")
)

// TestSchedules has four gateways start up to 200 verifications at once, each in steps that others
// come between, while the store loses what it is told, and its answers, is cut off, and is emptied
// twice; and gateways restart, or die. What is settled and reserved is never more than the cap, nothing
// is reserved once all have ended, and what has been spent, in all, by caller and by country, is
// what the provider has taken.
//
// What it leaves out, since no store could know better, is a gateway that is gone, or is not heard for as
// long as a store that was emptied grants nothing, before anybody else has heard of what it was granted.
func TestSchedules(t *testing.T) {
	var next atomic.Uint64
	var sums tally
	var running sync.WaitGroup
	next.Store(*firstSeed)
	last := *firstSeed + uint64(*schedules)
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for !t.Failed() {
				from := next.Add(100) - 100
				if from >= last {
					return
				}
				synctest.Test(t, func(t *testing.T) { runSchedules(t, from, min(from+100, last), &sums) })
			}
		})
	}
	running.Wait()
	t.Logf("%d schedules, %d starts, %d of them let through, %d refused; the store was emptied %d times, %d gateways restarted, %d died; %.1f %% of the caps were spent",
		*schedules, sums.starts.Load(), sums.sent.Load(), sums.starts.Load()-sums.sent.Load(), sums.emptied.Load(), sums.restarted.Load(), sums.died.Load(),
		100*float64(sums.spent.Load())/float64(max(1, sums.caps.Load())))
	if *schedules >= 1000 && (sums.emptied.Load() < int64(*schedules) || sums.died.Load() == 0 || sums.restarted.Load() == 0 || sums.spent.Load() < sums.caps.Load()/8) {
		t.Error("too little is tried")
	}
}

// tally is what has happened, over all schedules.
type tally struct{ starts, sent, emptied, restarted, died, spent, caps atomic.Int64 }

func runSchedules(t *testing.T, from, to uint64, sums *tally) {
	for seed := from; seed < to; seed++ {
		s := newSchedule(seed, sums)
		if s.run(); s.problem != "" {
			t.Errorf("schedule %d: %s", seed, s.problem)
			return
		}
	}
}

// verif is a verification, as its application, its gateway and the provider see it.
type verif struct {
	at        *node
	start     Start
	books     []Book
	ticket    Ticket
	id        string
	tries     int
	sent      bool
	price     int64 // what the provider takes
	committed int64 // what it may have taken so far: the worst price until the real one is settled
}

// node is a gateway.
type node struct {
	*Guard
	by    store.Mark
	store store.Store
	cut   time.Time            // until when nothing reaches the store
	heard map[string]time.Time // of each budget
	beat  time.Time            // the next one
	busy  bool                 // it asks for money
	gone  bool
}

type schedule struct {
	*tally
	rnd      *rand.Rand
	settings Settings
	memory   *store.Memory
	nodes    []*node // those that run
	all      []*node
	verifs   []*verif
	ops      []func() // that may be done next, in any order
	late     []func() // calls of the store that are done later
	answers  []func() // of calls, that come later
	turns    bool     // one asks for money at a time
	clean    bool     // nobody dies, and all prices become known
	calm     bool     // nothing is lost any more
	caps     [1 + callers]int64
	taken    [1 + callers]int64 // as committed
	crashed  time.Time          // when somebody was gone last
	erased   time.Time          // when the store was emptied last
	problem  string
}

const (
	callers = 2 // that have a budget
	// beat is how often gateways tell how they are: two are within store.BudgetClosed.
	beat = 600 * time.Millisecond
)

var places = [...]string{"GB", "FR", "US", ""}

func newSchedule(seed uint64, sums *tally) *schedule {
	r := rand.New(rand.NewPCG(seed, 22))
	s := &schedule{tally: sums, rnd: r, memory: new(store.Memory), turns: r.IntN(4) > 0, clean: r.IntN(2) == 0}
	starts := 4 + r.IntN(28)
	if r.IntN(16) == 0 {
		starts = 200
	}
	s.caps[0] = eur(int64(starts) + r.Int64N(int64(starts)*4)).Micro
	s.settings = Settings{
		Account: RuleSet{Budgets: []Budget{{Enforce, Month, Money{s.caps[0], "EUR"}}}},
		Callers: map[string]RuleSet{},
	}
	for i := range callers {
		s.caps[1+i] = s.caps[0]/2 + 1 + r.Int64N(s.caps[0])
		s.settings.Callers[fmt.Sprint("caller", 1+i)] = RuleSet{Budgets: []Budget{{Enforce, Day, Money{s.caps[1+i], "EUR"}}}}
	}
	for range 4 {
		s.join()
	}
	for i := range starts {
		v := &verif{at: s.nodes[r.IntN(len(s.nodes))], start: Start{
			Number: spread(i), Country: places[r.IntN(len(places))], Caller: fmt.Sprint("caller", r.IntN(1+callers)), Worst: eur(1 + r.Int64N(9)),
		}}
		s.verifs = append(s.verifs, v)
		s.ops = append(s.ops, func() { s.ask(v) })
	}
	s.starts.Add(int64(starts))
	s.tally.caps.Add(s.caps[0])
	return s
}

func (s *schedule) join() {
	n := &node{Guard: New(s.settings), by: store.NewMark(), beat: time.Now(), heard: map[string]time.Time{}}
	n.Share(true)
	n.store = s.memory.Open("account", string(n.by))
	s.nodes, s.all = append(s.nodes, n), append(s.all, n)
}

// run does what there is to do, in any order, with time and trouble between.
func (s *schedule) run() {
	emptied := 0
	if s.rnd.IntN(8) > 0 { // else it begins with a store that grants nothing
		s.beats(1, store.BudgetClosed+time.Millisecond)
	}
	trouble := 2 + len(s.ops)/4
	for len(s.ops) > 0 && s.problem == "" {
		if dice := s.rnd.IntN(5 * trouble); dice < 9 {
			s.trouble(dice, &emptied)
		} else if dice%8 == 0 {
			s.pass(time.Duration(s.rnd.IntN(200)) * time.Millisecond)
		}
		i := s.rnd.IntN(len(s.ops))
		op := s.ops[i]
		s.ops[i] = s.ops[len(s.ops)-1]
		s.ops = s.ops[:len(s.ops)-1]
		op()
	}
	for emptied < 2 && s.problem == "" {
		s.pass(beat + 100*time.Millisecond)
		s.empty(&emptied)
	}
	s.end()
}

func (s *schedule) trouble(dice int, emptied *int) {
	n := s.nodes[s.rnd.IntN(len(s.nodes))]
	switch dice {
	case 0, 1:
		s.empty(emptied)
	case 2, 3:
		n.cut = time.Now().Add(time.Duration(s.rnd.IntN(5000)) * time.Millisecond)
	case 4:
		if !s.known(n) {
			return
		}
		s.restarted.Add(1)
		s.tell(n, n.Leave(), func() {})
		s.replace(n)
	case 5:
		if !s.clean && s.known(n) {
			s.died.Add(1)
			s.replace(n)
		}
	case 6:
		s.doLate()
	case 7:
		s.pass(store.BudgetClosed)
	default: // long enough to be taken for dead
		s.pass(store.BudgetClosed) // all are heard
		n.cut = time.Now().Add(store.Gone + 10*time.Second)
		s.beats(2, store.Gone/2+time.Second)
	}
}

// known tells whether the store has heard of all that a gateway was granted.
func (s *schedule) known(n *node) bool {
	for _, b := range n.budgetsInForce() {
		if !n.heard[b.name].After(s.erased) {
			return false
		}
	}
	return true
}

// replace has another gateway be in the place of one that is no more.
func (s *schedule) replace(n *node) {
	n.gone = true
	s.crashed = time.Now()
	for i := range s.nodes {
		if s.nodes[i] == n {
			s.nodes = append(s.nodes[:i], s.nodes[i+1:]...)
			break
		}
	}
	s.join()
}

// empty has the store forget all, if there is somebody who has heard of what the dead were granted.
func (s *schedule) empty(emptied *int) {
	heard := map[string]bool{}
	for _, n := range s.nodes {
		for name, at := range n.heard {
			heard[name] = heard[name] || at.After(s.crashed)
		}
	}
	for _, b := range s.nodes[0].budgetsInForce() {
		if *emptied == 2 || !heard[b.name] {
			return
		}
	}
	*emptied++
	s.erased = time.Now()
	s.emptied.Add(1)
	s.memory, s.answers = new(store.Memory), nil // nobody waits for one as long as it grants nothing
	for _, n := range s.nodes {
		n.store = s.memory.Open("account", string(n.by))
	}
}

// pass lets time pass, and gateways beat.
func (s *schedule) pass(d time.Duration) {
	for until := time.Now().Add(d); ; {
		for _, n := range s.nodes {
			if now := time.Now(); !n.beat.After(now) {
				n.beat = now.Add(beat)
				s.tell(n, n.Books(), func() {})
			}
		}
		left := time.Until(until)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 100*time.Millisecond))
	}
}

// beats has all gateways beat, several times.
func (s *schedule) beats(times int, apart time.Duration) {
	for range times {
		for _, n := range s.nodes {
			n.Advance()
			s.tell(n, n.Books(), func() {})
		}
		time.Sleep(apart)
	}
}

func (s *schedule) doLate() {
	late := append(s.late, s.answers...)
	s.late, s.answers = nil, nil
	for _, call := range late {
		call()
	}
}

var errLost = errors.New("lost")

// tell tells books, and then does what is next.
func (s *schedule) tell(n *node, books []Book, then func()) {
	for _, b := range books {
		if granted, err := s.hold(n, b); err == nil {
			n.Granted(b, granted)
			if n.took(b) {
				n.heard[b.Name] = time.Now()
			}
		}
	}
	then()
}

// took tells whether the answer to a Book was one to the last.
func (n *node) took(told Book) bool {
	for _, b := range n.budgetsInForce() {
		if b.name == told.Name && b.seq == told.Seq {
			return true
		}
	}
	return false
}

// hold is a call of the store, with what may become of it.
func (s *schedule) hold(n *node, told Book) (g Grant, err error) {
	call := func() Grant { return hold(n.store, n.by, told) }
	switch {
	case s.calm, !n.heard[told.Name].After(s.erased) && time.Since(s.erased) >= beat:
		return call(), nil // who is there is heard by a store that was emptied
	case n.cut.After(time.Now()):
		return g, errLost
	}
	switch s.rnd.IntN(12) {
	case 0:
		return g, errLost
	case 1:
		call()
		return g, errLost
	case 2:
		s.late = append(s.late, func() { call() })
		return g, errLost
	case 3:
		s.then(func() { call() }) // soon, after what others do meanwhile
		return call(), nil
	case 4:
		s.late = append(s.late, func() { call() })
		call()
		return call(), nil
	case 5:
		granted := call()
		s.answers = append(s.answers, func() { n.Granted(told, granted) })
		return g, errLost
	default:
		return call(), nil
	}
}

func hold(to store.Store, by store.Mark, told Book) Grant {
	b := store.Book{By: by, Seq: told.Seq, Answered: told.Answered, Cap: told.Cap.Micro, Keep: told.Keep, Held: told.Held, Want: told.Want, Others: told.Others}
	for _, one := range told.Spent {
		b.Spent = append(b.Spent, store.Spent{Slice: one.Slice, Age: one.Age, Amount: one.Micro})
	}
	g, err := to.Hold(context.Background(), store.Name{Kind: store.Cap, ID: told.Name}, b)
	if err != nil {
		panic(err)
	}
	return Grant{g.Held, g.OthersSpent, g.OthersHeld}
}
