package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// world is a fleet under random calls, with all that an observer of everything knows.
type world struct {
	*testing.T
	troubled bool // the store fails now and then: nobody can promise then
	deaths   bool // of gateways
	memory   store.Memory
	clients  sync.WaitGroup
	end      context.Context //nolint:containedctx // of the world
	gateways []*gateway

	mu      sync.Mutex
	log     []string
	sends   int
	keys    map[store.Name]time.Time // when a call with it may have been sent
	sending map[store.Name]time.Time // until when another may not send the same
	over    map[string]bool          // by request_id, as the rest
	replays map[string]int           // clients that got an answer again
	read    map[string]time.Time     // when a client got it first
	missed  map[string]bool          // a client did not
}

// gateway is one of a world; it may die, and another takes its place.
type gateway struct {
	*member
	dead context.Context //nolint:containedctx // its end
	die  context.CancelFunc
}

const mostSlow = 3 * time.Second

func (w *world) start(name int) *gateway {
	keys, err := store.NewKeys("account", "0123456789abcdef0123456789abcdef")
	if err != nil {
		w.Fatal(err)
	}
	g := &gateway{member: &member{New(), &trouble{Store: w.memory.Open("account", fmt.Sprint(name))}}}
	if w.troubled {
		r := rand.New(rand.NewPCG(uint64(name), 3))
		g.trouble.draw = func() bool { return r.IntN(8) == 0 }
	}
	g.dead, g.die = context.WithCancel(w.end)
	shared := store.NewShared(g.trouble, keys)
	w.clients.Go(func() { shared.Run(g.dead) })
	g.Share(shared)
	return g
}

// note is for who looks into a failure. The caller holds w.mu.
func (w *world) note(what ...any) {
	w.log = append(w.log, time.Now().Format("04:05.000 ")+fmt.Sprintln(what...))
}

// fail fails, unless the store was in trouble. The caller holds w.mu.
func (w *world) fail(what ...any) {
	if w.note(what...); !w.troubled {
		w.Errorf("%v%v", fmt.Sprintln(what...), w.log[max(0, len(w.log)-60):])
	}
}

// client is one that makes one call of a gateway.
type client struct {
	*world
	*gateway
	r     *rand.Rand
	n     int
	call  Call
	begun time.Time
}

func span(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

// send is the upstream.
func (c *client) send() wire.Answer {
	names := newClaims(context.Background(), nil, nil, &c.call, timeout)
	c.world.mu.Lock()
	if c.dead.Err() != nil {
		c.world.mu.Unlock()
		<-c.end.Done()
		return wire.Answer{}
	}
	c.sends++
	id := fmt.Sprint("id-", c.sends)
	c.note(c.n, "sends", id)
	now := time.Now()
	if c.call.IdempotencyKey != "" {
		if at, sent := c.keys[names.key]; sent && now.Sub(at) < KeepFor {
			c.fail(c.n, "sends a key again")
		}
		c.keys[names.key] = now
	}
	if until, sent := c.sending[names.repetition]; sent && now.Before(until) {
		c.fail(c.n, "sends beside another")
	}
	c.sending[names.repetition] = now.Add(lease - mostSlow) // it was claimed before the state was asked for
	c.world.mu.Unlock()

	select {
	case <-time.After(span(c.r, mostSlow)):
	case <-c.dead.Done():
		<-c.end.Done()
		return wire.Answer{}
	}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	delete(c.sending, names.repetition)
	answer := wire.Answer{Code: 200, Body: []byte(id)}
	switch c.r.IntN(8) {
	case 0:
		answer = (&wire.Fault{Cause: wire.UpstreamTimeout, MayHaveSent: true}).Answer()
	case 1:
		answer = (&wire.Fault{Cause: wire.BreakerOpen}).Answer()
		delete(c.keys, names.key)
	case 2:
		answer.Status = wire.WrongCode
	default:
		answer.RequestID, answer.Status = id, wire.Success
	}
	return answer
}

func (c *client) state(id string) State {
	c.world.mu.Lock()
	if _, read := c.read[id]; !read {
		c.missed[id] = true // taken before it was known whether its client has got it
	}
	c.world.mu.Unlock()
	time.Sleep(span(c.r, mostSlow/2))
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.over[id] {
		return Over
	}
	return State(c.r.IntN(2)) // Unknown or Running
}

func (c *client) run() {
	c.begun = time.Now()
	ctx, leave := context.WithCancel(c.end)
	defer leave()
	if c.r.IntN(4) == 0 {
		defer time.AfterFunc(span(c.r, 2*mostSlow), leave).Stop()
	}
	answer, source, ack := c.Deliver(ctx, c.call, Upstream{Send: c.send, State: c.state, Timeout: timeout})
	if ctx.Err() == nil {
		time.Sleep(span(c.r, time.Second/2))
	}
	gets := ctx.Err() == nil && c.r.IntN(4) > 0
	c.received(&answer, source, gets)
	ack(gets)
}

// received looks at what the client was given.
func (c *client) received(answer *wire.Answer, source wire.DeliverySource, gets bool) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	id, took := string(answer.Body), time.Since(c.begun)
	if fault := answer.Fault; fault != nil {
		id = string(fault.Cause)
	}
	gets = gets && c.dead.Err() == nil
	c.note(c.n, "has", id, source, gets)
	switch {
	case c.dead.Err() != nil:
	case took > 3*lease:
		c.fail(c.n, "waited for", took)
	case id == string(wire.GatewayLost) && c.call.IdempotencyKey == "" && took < 2*lease && !c.deaths:
		c.fail(c.n, "hears of a loss after", took)
	}
	if answer.Fault != nil {
		return
	}
	c.missed[id] = c.missed[id] || !gets
	again := source == wire.Replayed
	switch at, read := c.read[id]; {
	case again && c.call.IdempotencyKey != "": // perhaps the key's
	case again && read && c.begun.After(at) && !c.missed[id]:
		c.fail(c.n, "is given what others have got")
	case again && gets:
		if c.replays[id]++; c.replays[id] > 1 {
			c.fail(c.n, "is given what was given before")
		}
	case gets && !read:
		c.read[id] = time.Now()
	}
}

func newCall(r *rand.Rand) Call {
	call := checkOf("a", "1234")
	switch r.IntN(4) {
	case 0, 1:
		call = requestFor("447700900000")
	case 2:
		call = requestFor("447700900001")
	}
	if r.IntN(3) == 0 {
		call.IdempotencyKey = fmt.Sprint(call.Operation, call.Get("number"), r.IntN(20))
	}
	return call
}

func (w *world) run(r *rand.Rand) {
	w.deaths = r.IntN(2) == 0
	for i := range 2 + r.IntN(3) {
		w.gateways = append(w.gateways, w.start(i))
	}
	for step := range 60 {
		n := r.IntN(len(w.gateways))
		switch {
		case w.deaths && r.IntN(20) == 0:
			w.mu.Lock()
			w.note("gateway", n, "dies")
			w.gateways[n].die()
			w.gateways[n].trouble.fail("*", false)
			w.mu.Unlock()
			w.gateways[n] = w.start(100 + step)
		case r.IntN(20) == 0:
			w.mu.Lock()
			w.over[fmt.Sprint("id-", w.sends)] = true
			w.mu.Unlock()
		default:
			call := newCall(r)
			for i := range 1 + max(0, r.IntN(6)-3) {
				c := &client{world: w, gateway: w.gateways[n], r: rand.New(rand.NewPCG(r.Uint64(), 0)), n: 10*step + i, call: call}
				w.mu.Lock()
				w.note(c.n, "asks gateway", n, call.Operation, call.Params, call.IdempotencyKey)
				w.mu.Unlock()
				w.clients.Go(c.run)
				n = r.IntN(len(w.gateways))
			}
		}
		if r.IntN(2) == 0 {
			time.Sleep(span(r, 2*mostSlow))
		}
	}
	time.Sleep(4 * lease)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, g := range w.gateways {
		if under := g.underWay.used + len(g.underWay.by) + len(g.flights) + len(g.turns); under != 0 {
			w.Errorf("gateway %d has %d things under way at the end", n, under)
		}
		g.die()
	}
	time.Sleep(KeepFor)
	for n, g := range w.gateways {
		g.keys.sweep()
		g.unread.sweep()
		if held := held(g.Deduper); held != 0 {
			w.Errorf("gateway %d keeps %d things at the end", n, held)
		}
	}
}

// TestFleetModel has gateways live and die under random calls. Whoever sees all of it finds no
// call of a key sent twice, none of the same number or code at a time, and no answer given again
// to two.
func TestFleetModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end, stop := context.WithCancel(t.Context())
				w := &world{
					T: t, troubled: seed%3 == 2, end: end,
					keys: map[store.Name]time.Time{}, sending: map[store.Name]time.Time{}, over: map[string]bool{},
					replays: map[string]int{}, read: map[string]time.Time{}, missed: map[string]bool{},
				}
				w.run(rand.New(rand.NewPCG(seed, 2)))
				stop()
				w.clients.Wait()
			})
		})
	}
}
