package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// audit sees every call of the clients, and what they know.
type audit struct {
	gateway    string
	transports []http.RoundTripper // taken in turn
	calls      int

	made   atomic.Int64
	serial func() int

	mu         sync.Mutex
	marks      map[string]*marked
	known      map[string]map[string]bool // request_ids, by number
	latest     []*shared                  // a ring
	newest     int
	outcomes   map[string]map[string]int // by operation
	causes     map[string]int
	notes      map[string]int
	violations []string
}

// marked is what a client did with one mark, see markOf.
type marked struct {
	made    int // calls with it
	calls   int // those that may have reached the API
	keyed   bool
	example answer
}

// shared is a verification that any client may search for.
type shared struct {
	id    string
	known atomic.Value // string: the final state, once a client has been told
}

func (v *shared) is(state string) { v.known.Store(state) }

func (v *shared) state() string {
	state, _ := v.known.Load().(string)
	return state
}

// inView is how many verifications are searched for: so few that searches meet in
// memory and on their way.
const inView = 200

func newAudit(gateway string, transports []http.RoundTripper, calls int) *audit {
	var serial atomic.Int64
	return &audit{
		gateway: gateway, transports: transports, calls: calls,
		serial:   func() int { return int(serial.Add(1)) },
		marks:    map[string]*marked{},
		known:    map[string]map[string]bool{},
		outcomes: map[string]map[string]int{},
		causes:   map[string]int{},
		notes:    map[string]int{},
	}
}

// goOn tells whether there are calls left to make.
func (a *audit) goOn() bool { return a.made.Load() < int64(a.calls) }

// stuck is the time after which an answer will not come any more.
const stuck = 30 * time.Second

// make makes a call and books it. The client leaves after its patience, if that is
// not 0.
func (a *audit) make(ctx context.Context, call call, patience time.Duration) answer {
	limit := stuck
	if patience > 0 {
		limit = patience
	}
	calling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n := a.made.Add(1)
	got := call.send(calling, a.transports[int(n)%len(a.transports)], a.gateway)
	if ctx.Err() != nil {
		return got // the run is over
	}
	if mark := markOf(call.operation, call.params); mark != "" {
		a.book(mark, call.key != "", got)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outcomes[call.operation] == nil {
		a.outcomes[call.operation] = map[string]int{}
	}
	a.outcomes[call.operation][outcome(got)]++
	if got.own != "" {
		a.causes[got.own+map[bool]string{true: ", may have been sent", false: ", nothing was sent"}[got.sent]]++
	}
	switch {
	case got.left && patience == 0:
		a.violations = append(a.violations, fmt.Sprintf("a %s got no answer within %s", call.operation, stuck))
	case !got.left && got.err != nil:
		a.violations = append(a.violations, fmt.Sprintf("a %s got no answer: %v", call.operation, got.err))
	case !got.left && (got.code != http.StatusOK || got.Status == "" && len(got.found) == 0):
		a.violations = append(a.violations, fmt.Sprintf("a %s got %s", call.operation, got))
	}
	return got
}

// book counts what may have reached the API with a mark. An Idempotency-Key makes
// all calls with it one.
func (a *audit) book(mark string, keyed bool, got answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.marks[mark]
	if m == nil {
		m = new(marked)
		a.marks[mark] = m
	}
	m.made++
	m.keyed = m.keyed || keyed
	m.example = got
	if !got.nothing() && (!keyed || m.calls <= 0) {
		m.calls++
	}
}

// The outcomes of a call, in the order in which they are printed.
var outcomeNames = []string{"answered", "may have been sent", "nothing was sent", "left"}

func outcome(a answer) string {
	switch {
	case a.left:
		return "left"
	case a.nothing():
		return "nothing was sent"
	case a.perhaps():
		return "may have been sent"
	}
	return "answered"
}

// knows notes that a client knows a verification of a number.
func (a *audit) knows(number, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[number] == nil {
		a.known[number] = map[string]bool{}
	}
	a.known[number][id] = true
}

// publish makes a verification known to all clients.
func (a *audit) publish(id string) *shared {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := &shared{id: id}
	if len(a.latest) < inView {
		a.latest = append(a.latest, v)
	} else {
		a.latest[a.newest%inView] = v
	}
	a.newest++
	return v
}

// recent returns up to n of them.
func (a *audit) recent(r *rand.Rand, n int) []*shared {
	a.mu.Lock()
	defer a.mu.Unlock()
	var some []*shared
	for _, i := range r.Perm(len(a.latest))[:min(n, len(a.latest))] {
		some = append(some, a.latest[i])
	}
	return some
}

func (a *audit) note(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes[what]++
}

func (a *audit) violate(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.violations = append(a.violations, fmt.Sprintf(format, args...))
}

// doubles compares the work done with the calls that clients made, mark by mark.
func (a *audit) doubles(u *upstream) (most int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for mark, deliveries := range u.deliveries {
		m := a.marks[mark]
		if m == nil {
			m = new(marked)
		}
		if most = max(most, deliveries); deliveries > m.calls {
			a.violate("double: %q was delivered %d times, made %d times (with a key: %t), and told at last: %s", mark, deliveries, m.calls, m.keyed, m.example)
		}
	}
	return most
}

// unknown returns the verifications that were started and that no client knows, by
// number.
func (a *audit) unknown(u *upstream) map[string][]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	unknown := map[string][]string{}
	for number, ids := range u.started {
		for _, id := range ids {
			if !a.known[number][id] {
				unknown[number] = append(unknown[number], id)
			}
		}
	}
	return unknown
}

// recover has the clients repeat their requests for the numbers of which they do not
// know all verifications. What they still do not know then is lost. There are some:
// a call of which the client knows no outcome, or which it left, goes on. If its
// repetition in other words overtakes it, and the user has entered the code before
// it arrives, then it starts a verification of which nobody has heard.
func (a *audit) recover(ctx context.Context, u *upstream) (found, lost int) {
	c := client{a, rand.New(rand.NewPCG(1, 1))}
	for number, ids := range a.unknown(u) {
		for range len(ids) + 1 { // an answer may be about another of the number's
			for _, format := range []string{"json", "xml"} {
				c.start(ctx, &user{number: number, brand: "Acme", operation: "request", format: format, way: "form"})
			}
		}
		for _, id := range ids {
			if a.known[number][id] {
				found++
				continue
			}
			lost++
			v, _ := u.api.Verification(id)
			a.violate("lost: no client knows %s, which was started for %s and is %s", id, number, v.Status)
		}
	}
	return found, lost
}

// play is the whole run.
func play(ctx context.Context, o options, start func(upstream string) (*gateway, error)) (*report, error) {
	u, err := newUpstream()
	if err != nil {
		return nil, err
	}
	defer u.Close()
	dice := rand.New(rand.NewPCG(o.seed, 0))
	n, err := newNetwork(u.Listener.Addr().String(), func() fault { return draw(dice, o.resets, o.others) })
	if err != nil {
		return nil, err
	}
	defer n.close()
	g, err := start("http://" + n.address)
	if err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = g.stop()
		}
	}()
	// One keeps its connections, one closes each as soon as it has read its answer.
	kept, closed := &http.Transport{MaxIdleConnsPerHost: 2 * o.clients}, &http.Transport{DisableKeepAlives: true}
	shared := &http.Transport{Protocols: new(http.Protocols)} // has one connection for all calls
	shared.Protocols.SetUnencryptedHTTP2(true)
	leave := func() { kept.CloseIdleConnections(); shared.CloseIdleConnections() }
	defer leave()
	a := newAudit(g.url, []http.RoundTripper{kept, closed, shared}, o.calls)

	begun := time.Now()
	var running sync.WaitGroup
	for i := range o.clients {
		running.Go(func() { (&client{a, rand.New(rand.NewPCG(o.seed, uint64(i)+1))}).live(ctx) })
	}
	done := make(chan struct{})
	var outage error
	watching := sync.WaitGroup{}
	watching.Go(func() { outage = outages(ctx, o, n, a, g, done) })
	running.Wait()
	took := time.Since(begun)
	close(done)
	watching.Wait()
	if err := cmp.Or(context.Cause(ctx), outage); err != nil {
		return nil, err
	}

	n.mu.Lock()
	n.draw = func() fault { return none }
	n.mu.Unlock()
	r := &report{options: o, audit: a, network: n, upstream: u, took: took}
	r.recovered, r.lost = a.recover(ctx, u)
	// What is still under way may yet be delivered; the gateway finishes it.
	leave()
	if r.openings, r.panics, err = g.logged(); err != nil {
		return nil, err
	}
	stopped = true
	if err := g.stop(); err != nil {
		return nil, fmt.Errorf("stopping the gateway: %w", err)
	}
	r.most = a.doubles(u)
	if r.panics > 0 {
		a.violate("%d panics are in the log", r.panics)
	}
	return r, context.Cause(ctx)
}

// outages has the network go down at even distances in the run, each time until a
// circuit of the gateway's opens.
func outages(ctx context.Context, o options, n *network, a *audit, g *gateway, done <-chan struct{}) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for k := 1; k <= o.outages; {
		select {
		case <-tick.C:
		case <-done:
			return nil
		case <-ctx.Done():
			return nil
		}
		if a.made.Load() > int64(k)*int64(o.calls)/int64(o.outages+1) {
			k++
			before, _, err := g.logged()
			if err != nil {
				return err
			}
			noticed := func() bool {
				select {
				case <-done:
					return true // nobody calls any more
				default:
				}
				openings, _, err := g.logged()
				return err != nil || openings["read"]+openings["write"] > before["read"]+before["write"]
			}
			if err := n.outage(ctx, outageTime, noticed); err != nil {
				return err
			}
		}
	}
	return nil
}

const outageTime = 300 * time.Millisecond
