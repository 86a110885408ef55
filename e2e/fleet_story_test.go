//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fleetScript has verifications be made at random over all gateways, and keeps books.
type fleetScript struct {
	*fleet
	*doubts
	seed  uint64
	calls atomic.Int64
	pace  <-chan time.Time

	mu     sync.Mutex
	sent   map[string]*sentCall // what must have come to the provider, by its name
	by     map[string]origin    // by number
	recent map[string][]*fleetVerification
	all    []*fleetVerification
}

// fleetVerification is one that has been started, as its application knows it.
type fleetVerification struct {
	id, app, country string

	mu    sync.Mutex
	tries int    // codes whose check has been answered
	final string // what a search has to say from now on; empty while it is under way
}

// known is the state that whoever asks now must be told at least.
func (v *fleetVerification) known() (tries int, final string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tries, v.final
}

// sentCall is how often a call must have come to the provider, and when its story began.
type sentCall struct {
	times int
	from  time.Time
}

// origin is who verifies a number, and where that is.
type origin struct{ app, country string }

// fleetStory is one verification from its request to its end.
type fleetStory struct {
	*fleetScript
	*rand.Rand
	n       int
	begun   time.Time
	app     string
	request fleetCall
	way     string // in which the request is made
	v       *fleetVerification
}

// tell tells the n-th story.
func (s *fleetScript) tell(n int) {
	story := &fleetStory{fleetScript: s, Rand: rand.New(rand.NewPCG(s.seed, uint64(n))), n: n, begun: time.Now()}
	story.app = fleetApps[story.IntN(len(fleetApps))]
	from := origins[story.IntN(len(origins))]
	number := fmt.Sprintf("%s%0*d", from.prefix, from.digits, n)
	story.request = fleetCall{
		app: story.app, operation: "request", format: story.format(), params: url.Values{"brand": {"Acme"}, "number": {number}},
	}
	s.mu.Lock()
	s.by[number] = origin{story.app, from.country}
	s.mu.Unlock()
	fate := story.IntN(8)
	if fate == 0 { // nobody enters a code
		story.request.params.Set("next_event_wait", "60")
		story.request.params.Set("pin_expiry", "60")
	} else {
		story.request.params.Set("pin_expiry", "3600") // one code for all messages
	}
	id := story.begin()
	if id == "" {
		return
	}
	story.v = &fleetVerification{id: id, app: story.app, country: from.country}
	s.mu.Lock()
	s.recent[story.app] = append(s.recent[story.app], story.v)
	s.all = append(s.all, story.v)
	s.mu.Unlock()
	story.sends(story.request)
	story.searches(2)
	switch fate {
	case 0:
		return
	case 1, 2:
		story.enter("WRONG1", "16", "")
		story.enter("WRONG2", "16", "")
		story.enter("WRONG3", "17", "FAILED")
	case 3:
		story.cancel()
	case 4, 5:
		story.enter("WRONG1", "16", "")
		fallthrough
	default:
		story.enter(fleetCode, "0", "SUCCESS")
	}
	story.searches(3)
	if story.IntN(4) == 0 {
		story.want(story.anywhere(), story.check(fleetCode), "6")
		story.sends(story.check(fleetCode))
	}
}

func (s *fleetStory) format() string { return []string{"json", "xml"}[s.IntN(4)/3] }

// call makes a call at a gateway, or at another while that one takes none, until the rate lets it through.
func (s *fleetScript) call(m *member, c fleetCall) *fleetAnswer { return s.callReady(m, c, func() {}) }

// callReady calls ready right before each try.
func (s *fleetScript) callReady(m *member, c fleetCall, ready func()) *fleetAnswer {
	for try := range 50 {
		<-s.pace
		ready()
		s.calls.Add(1)
		for m.out.Load() {
			m = s.members[try%len(s.members)]
			try++
		}
		a, err := s.at(s.t.Context(), m, c)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET) && m.out.Load():
			s.moved.Add(1)
		case err != nil:
			s.fleet.fault("%s: %v", c.operation, err)
			return nil
		case a.limited():
			s.limited.Add(1)
			time.Sleep(300 * time.Millisecond)
		default:
			return a
		}
	}
	s.fleet.fault("a %s is not let through", c.operation)
	return nil
}

func (s *fleetStory) anywhere() *member { return s.members[s.IntN(len(s.members))] }

// shuffled returns the gateways in another order each time.
func (s *fleetStory) shuffled() []*member {
	all := slices.Clone(s.members)
	s.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// want makes a call and wants it to be answered with this status.
func (s *fleetStory) want(m *member, c fleetCall, status string) string {
	return s.wants(m, c, status, func() {})
}

func (s *fleetStory) wants(m *member, c fleetCall, status string, ready func()) string {
	a := s.callReady(m, c, ready)
	if a == nil {
		return ""
	}
	if a.Status != status {
		s.doubts.fault(s.begun, "a %s (key %q; %s) is answered %v, want status %s", c.operation, c.key, s.way, a, status)
	}
	return a.RequestID
}

// sends notes that a call must have come to the provider once more.
func (s *fleetStory) sends(c fleetCall) {
	s.fleetScript.mu.Lock()
	defer s.fleetScript.mu.Unlock()
	name := callName(c.operation, c.params)
	if s.sent[name] == nil {
		s.sent[name] = &sentCall{from: s.begun}
	}
	s.sent[name].times++
}

// begin makes the request in one of the ways that start one verification.
func (s *fleetStory) begin() (id string) {
	all := s.shuffled()
	key := fmt.Sprintf("key-of-request-%d", s.n)
	switch s.IntN(6) {
	case 0:
		s.way = "with a key, and again later"
		s.request.key = key
		id = s.want(all[0], s.request, "0")
		s.same(id, s.want(all[1], s.request, "0"))
		s.same(id, s.want(all[2], s.request, "0"))
	case 1:
		s.way = "with a key, several at once, and again later"
		s.request.key = key
		id = s.atOnce(all, func() {})
		s.same(id, s.want(all[1], s.request, "0"))
	case 2:
		s.way = "several at once"
		held := s.api.hold(callName("request", s.request.params))
		id = s.atOnce(all, func() { time.AfterFunc(200*time.Millisecond, held.release) })
	case 3:
		s.way = "its client leaves, and asks again elsewhere"
		if s.IntN(2) == 0 {
			s.request.key = key
		}
		s.leave(all[0])
		if s.IntN(2) == 0 {
			s.way += ", later"
			time.Sleep(400 * time.Millisecond)
		}
		id = s.want(all[1], s.request, "0")
	default:
		id = s.want(all[0], s.request, "0")
	}
	return id
}

func (s *fleetStory) same(id, again string) {
	if id != again {
		s.doubts.fault(s.begun, "the same request (key %q) has started %s, and then %s", s.request.key, id, again)
	}
}

// atOnce makes the request at several gateways, and calls made when it has been made at all of them.
func (s *fleetStory) atOnce(at []*member, made func()) string {
	ids := make(chan string, len(at))
	var once sync.WaitGroup
	once.Add(len(at))
	for _, m := range at {
		go func() {
			ready := sync.OnceFunc(once.Done)
			ids <- s.wants(m, s.request, "0", ready)
		}()
	}
	once.Wait()
	made()
	id := <-ids
	for range len(at) - 1 {
		s.same(id, <-ids)
	}
	return id
}

// leave makes the request and does not wait for the answer, which the provider has not given yet.
func (s *fleetStory) leave(m *member) {
	for ; m.out.Load(); m = s.anywhere() {
	}
	m.underWay.Add(1) // until nobody works on it any more
	time.AfterFunc(time.Second, func() { m.underWay.Add(-1) })
	held := s.api.hold(callName("request", s.request.params))
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	answered := make(chan bool, 1)
	go func() {
		_, err := s.at(ctx, m, s.request)
		answered <- err == nil
	}()
	select {
	case <-held.came:
		leave()
		if <-answered {
			s.fleet.fault("the answer came before the client could leave")
		}
		time.AfterFunc(100*time.Millisecond, held.release)
	case <-answered: // the rate did not let it through, or the gateway is gone
		held.release()
	}
}

func (s *fleetStory) check(code string) fleetCall {
	return fleetCall{app: s.app, operation: "check", format: s.format(), params: url.Values{"request_id": {s.v.id}, "code": {code}}}
}

// enter enters a code while others search, and then has everybody see what came of it.
func (s *fleetStory) enter(code, status, final string) {
	c, all := s.check(code), s.shuffled()
	if s.IntN(3) == 0 {
		c.key = fmt.Sprintf("key-of-check-%d-%s", s.n, code)
	}
	s.sends(c)
	var racing sync.WaitGroup
	for i, m := range all {
		racing.Go(func() {
			time.Sleep(time.Duration(i) * 15 * time.Millisecond)
			s.search(m, []*fleetVerification{s.v}, "json")
		})
	}
	if c.key != "" {
		racing.Go(func() { s.want(all[1], c, status) })
	}
	s.want(all[0], c, status)
	s.v.mu.Lock()
	if status != "6" {
		s.v.tries++
	}
	s.v.final = final
	s.v.mu.Unlock()
	s.searches(2)
	racing.Wait()
	if c.key != "" {
		s.want(all[2], c, status)
	}
}

func (s *fleetStory) cancel() {
	time.Sleep(3200 * time.Millisecond) // it may be cancelled after 30 s of the provider's time
	c := fleetCall{app: s.app, operation: "control", format: s.format(), params: url.Values{"request_id": {s.v.id}, "cmd": {"cancel"}}}
	all := s.shuffled()
	if s.IntN(2) == 0 {
		c.key = fmt.Sprintf("key-of-control-%d", s.n)
	}
	s.sends(c)
	a := s.call(all[0], c)
	if a == nil {
		return
	}
	if a.Status == "19" { // too late, on a slow machine
		s.enter(fleetCode, "0", "SUCCESS")
		return
	}
	if a.Status != "0" {
		s.doubts.fault(s.begun, "a cancel is answered %v", a)
		return
	}
	s.v.mu.Lock()
	s.v.final = "CANCELLED"
	s.v.mu.Unlock()
	if c.key != "" {
		s.want(all[1], c, "0")
	}
}
