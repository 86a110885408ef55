package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// stores is what the gateways of a run share, and what goes wrong there. Everything of it
// is drawn apart, so that runs without are what they were.
type stores struct {
	world *world
	keys  []*store.Keys // of each account
	rate  int           // which all gateways have to say
	deny  bool
	awake bool // beats go on until the last application has gone
	calm  bool // nothing else goes wrong

	mu       sync.Mutex
	memory   *store.Memory // another one when it has forgotten
	opens    time.Time     // the rate
	weather  weather
	thaw     chan struct{} // closed when it hangs no more
	cut      *process      // whose way is cut
	lines    []*line
	troubles []trouble
	forgot   []time.Time
	over     chan struct{}
}

// weather says how likely, of 1000 calls each, something goes wrong for a while.
type weather struct {
	name             string
	late, lost, fail int
	hangs, dies      bool
}

var fair = weather{name: "fair"}

var weathers = []weather{
	{name: "slow", late: 250},
	{name: "hangs", hangs: true},
	{name: "fails", fail: 1000},
	{name: "all of it", late: 60, lost: 60, fail: 60},
	{name: "one is cut off"},
	{name: "has forgotten", fail: 1000, dies: true},
}

// trouble is a while in which not all is well between the store and a process, or all of
// them.
type trouble struct {
	from, to time.Time // to is zero while it lasts
	odd      bool      // it goes and comes all the time
	of       *process  // nil for all
}

// recovery is for how long what has gone wrong may be felt: circuits are open for a second,
// the rate is closed for one and a half.
const recovery = 3 * time.Second

func newStores(t *testing.T, w *world, r *rand.Rand) *stores {
	t.Helper()
	s := &stores{world: w, memory: new(store.Memory), weather: fair, thaw: make(chan struct{}), over: make(chan struct{})}
	close(s.thaw)
	for _, host := range hosts {
		k, err := store.NewKeys(host, "an encryption key of the simulated store")
		if err != nil {
			t.Fatal(err)
		}
		s.keys = append(s.keys, k)
	}
	s.rate, s.deny, s.awake, s.calm = 20+r.IntN(9), r.IntN(4) == 0, r.IntN(8) == 0, r.IntN(6) == 0
	return s
}

// direct has things happen to the store, until the rest is over.
func (s *stores) direct() {
	r := rand.New(rand.NewPCG(s.world.seed, 4))
	if r.IntN(4) == 0 {
		return // in some runs nothing does
	}
	for {
		next := time.Duration(5+r.IntN(40))*time.Second + time.Duration(r.IntN(1e9))
		w, of := weathers[r.IntN(len(weathers))], s.world.slots
		slot, lasts := r.IntN(len(of)), time.Duration(1+r.IntN(12_000))*time.Millisecond+time.Duration(r.IntN(1e6))
		if !s.pass(next) {
			return
		}
		s.begin(w, slot)
		more := s.pass(lasts)
		s.end()
		if !more {
			return
		}
	}
}

// pass tells whether there is still something to do when time has passed.
func (s *stores) pass(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.over:
		return false
	}
}

func (s *stores) begin(w weather, slot int) {
	s.world.mu.Lock()
	of := s.world.slots[slot]
	s.world.mu.Unlock()
	s.world.note("the store: %s", w.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weather = w
	last := trouble{from: time.Now(), odd: w.late+w.lost > 0}
	switch {
	case w.hangs:
		s.thaw = make(chan struct{})
	case w.name == "one is cut off":
		s.cut, last.of = of, of
	}
	s.troubles = append(s.troubles, last)
	for _, l := range s.lines {
		if w.dies || last.of != nil && l.process == of {
			// It is noticed when nothing comes any more.
			time.AfterFunc(l.draw("loss", store.Name{}, "").noticed(), func() { l.tell(store.Name{}) })
		}
	}
}

func (s *stores) end() {
	s.world.note("the store: %s", fair.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.weather.dies {
		s.memory, s.opens = new(store.Memory), time.Now().Add(store.Closed)
		s.forgot = append(s.forgot, time.Now())
		for _, host := range hosts { // it has a rate, in which all is in use
			nobody := s.memory.Open(host, "nobody")
			_, _ = nobody.Slot(context.Background(), store.Ask{Size: s.rate, Most: -time.Second})
			_ = nobody.Leave(context.Background())
		}
	}
	if s.weather.hangs {
		close(s.thaw)
	}
	s.weather, s.cut = fair, nil
	s.troubles[len(s.troubles)-1].to = time.Now()
}

// there tells that the store has been there for some processes since then, in what is felt
// of it.
func (s *stores) there(since time.Time, all ...*process) bool {
	return s.during(since, time.Now(), all...)
}

// during is there, until a time.
func (s *stores) during(since, until time.Time, all ...*process) bool {
	if s == nil || slices.Contains(all, nil) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.troubles, func(t trouble) bool {
		return t.from.Before(until) && (t.to.IsZero() || t.to.Add(recovery).After(since)) && (t.of == nil || slices.Contains(all, t.of))
	})
}

// quietSince tells that all has been well since then, for everybody.
func (s *stores) quietSince(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.troubles, func(t trouble) bool { return t.to.IsZero() || t.to.Add(recovery).After(since) })
}

// remembers tells that the store has not forgotten anything since then.
func (s *stores) remembers(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.forgot, since.Before)
}

// quiet ends the beats of all, which take their time, when little goes on any more; in some
// runs only when nothing does.
func (s *stores) quiet(very bool) {
	if s == nil || s.awake && !very {
		return
	}
	s.mu.Lock()
	lines := slices.Clone(s.lines)
	s.troubles = append(s.troubles, trouble{from: time.Now(), to: time.Now()}) // for a moment they do not know
	s.mu.Unlock()
	for _, l := range lines {
		l.stop()
	}
}
