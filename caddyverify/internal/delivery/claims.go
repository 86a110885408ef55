package delivery

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// spare is how much longer than a call can take its lease is.
	spare = 5 * time.Second
	// again is after how long a store that went away is asked again.
	again = 250 * time.Millisecond
)

// claims are a flight's in the store. One that the store did not confirm in time may have
// been made all the same, and is settled like the others.
type claims struct {
	ctx       context.Context // the call's, that does not end: what it may ask of the store in all
	store     *store.Shared
	left      *leftovers
	operation wire.Operation
	says      [sha256.Size]byte
	lease     time.Duration
	longest   time.Duration // a lease for which it takes a second call to find out what is to be sent
	life      time.Duration // of an answer that no client got

	key, repetition store.Name // without an ID: none
	keyMark, mark   store.Mark // by which they are claimed; "" where they are not

	keyOnly bool // see flight
	ours    bool // the repetition is claimed by this flight, or may be
	between bool // another claimed it when this one was about to
	alone   bool // the store was away

	// free is a lock on what follows, since several may acknowledge. It is held while the store
	// is asked, and so is a channel, which tests with a clock of their own can wait for.
	free     chan struct{}
	keyTold  bool
	passedOn bool
	owing    bool // the store does not know yet
}

func newClaims(ctx context.Context, s *store.Shared, left *leftovers, call *Call, timeout time.Duration) *claims {
	c := &claims{
		ctx: context.WithoutCancel(ctx), store: s, left: left, operation: call.Operation, says: sum(call, asFingerprint, said(call)),
		lease: timeout + spare, longest: 2*timeout + spare, life: KeepFor, free: make(chan struct{}, 1),
	}
	if call.IdempotencyKey != "" {
		c.key = keyName(call)
	}
	if call.Operation.Starts() {
		c.life = min(KeepFor, call.Lifetime())
	}
	if call.Operation.Starts() || call.Operation == wire.Check {
		id := sum(call, asRepetition, repeated(call))
		c.repetition = store.Name{Kind: store.Request, ID: string(id[:])}
	}
	return c
}

// keyName is the store's name for an Idempotency-Key.
func keyName(call *Call) store.Name {
	id := sum(call, asIdempotencyKey, []string{call.IdempotencyKey})
	return store.Name{Kind: store.Key, ID: string(id[:])}
}

// sum is a digest that all gateways make alike. The store hides it.
func sum(call *Call, kind string, texts []string) [sha256.Size]byte {
	return sha256.Sum256(spell(make([]byte, 0, 512), call, kind, texts))
}

// same is what is said of a repetition, which its name says already.
func (c *claims) same() [sha256.Size]byte { return [sha256.Size]byte([]byte(c.repetition.ID)) }

// ask returns the answer that the store has for a call, or nil if that is to be made. What
// no client got it leaves in f.last. It goes on when the client leaves: others may wait for
// the same flight. But it waits no longer than for one that has died, and for the one that
// took its place.
func (c *claims) ask(f *flight) (*wire.Answer, wire.DeliverySource) {
	ctx, cancel := context.WithTimeout(c.ctx, 2*c.lease)
	defer cancel()
	c.between = false
	if c.key.ID != "" && c.keyMark == "" {
		if known, source := c.askKey(ctx, f); known != nil {
			c.keyOnly = true
			return known, source
		}
	}
	if c.repetition.ID != "" {
		return c.askRepetition(ctx, f)
	}
	return nil, ""
}

// leaseOf is how long a repetition is claimed for. Of an unread answer it is found out first
// whether it is of use yet.
func (c *claims) leaseOf(f *flight) time.Duration {
	if f.last != nil {
		return c.longest
	}
	return c.lease
}

// askKey claims the Idempotency-Key.
func (c *claims) askKey(ctx context.Context, f *flight) (*wire.Answer, wire.DeliverySource) {
	c.keyMark = store.NewMark()
	got, waited, err := c.claim(ctx, c.key, c.keyMark, c.says, c.lease, KeepFor)
	c.alone = err != nil
	if err != nil || got.State == store.Yours {
		if waited && err != nil || f.lost {
			return gatewayLost()
		}
		return nil, ""
	}
	c.keyMark = ""
	if got.State == store.Conflict {
		refused := wire.Refuse(wire.IdempotencyKeyReused, "").Answer()
		return &refused, wire.Sent
	}
	answer, _, mark, ok := decode(got.Answer)
	if got.State != store.Answered || !ok {
		return gatewayLost()
	}
	if c.operation.Starts() {
		c.mark = mark
	}
	f.shared.Store(true)
	return &answer, wire.Replayed
}

// askRepetition claims what another would repeat.
func (c *claims) askRepetition(ctx context.Context, f *flight) (*wire.Answer, wire.DeliverySource) {
	for {
		c.mark = store.NewMark()
		lease := c.leaseOf(f)
		got, waited, err := c.claim(ctx, c.repetition, c.mark, c.same(), lease, lease)
		switch {
		case err != nil:
			c.ours = true
			c.goAlone(f)
			return nil, ""
		case got.State == store.Yours:
			c.ours = true
			if f.last != nil && f.last.shared.Load() && f.last.forgot.Load() == c.store.Stats().Forgot {
				f.last = nil // another gateway has given it
			}
			return nil, ""
		case got.State == store.Wait:
			c.mark = ""
			return gatewayLost()
		}
		answer, use, mark, ok := decode(got.Answer)
		switch {
		case got.State != store.Answered || !ok: // by a gateway of another version
			c.mark, c.alone = "", true
			return nil, ""
		case waited && use != unread:
			c.mark = mark
			f.shared.Store(true)
			return &answer, wire.Shared
		case c.take(ctx, f):
			return nil, ""
		}
	}
}

// take takes the answer that lies in the store, and claims its name anew. It reports false
// if another was faster.
func (c *claims) take(ctx context.Context, f *flight) bool {
	v, err := c.store.Take(ctx, c.repetition, c.same())
	if err != nil {
		c.mark = ""
		c.goAlone(f)
		return true
	}
	answer, use, _, ok := decode(v)
	if !ok {
		return false
	}
	f.last = nil
	if use != passed {
		f.last = &flight{answer: answer, until: time.Now().Add(c.life)}
	}
	c.mark = store.NewMark()
	lease := c.leaseOf(f)
	got, err := c.store.Claim(ctx, c.repetition, c.mark, c.same(), lease, lease)
	c.alone = c.alone || err != nil
	c.ours = err != nil || got.State == store.Yours
	c.between = !c.ours
	return true
}

// lock waits until nobody else tells the store of these claims.
func (c *claims) lock() (unlock func()) {
	c.free <- struct{}{}
	return func() { <-c.free }
}

// goAlone is for when the store is away. If the answer is given that both have, it is to be
// told later.
func (c *claims) goAlone(f *flight) {
	c.alone = true
	if f.last != nil && f.last.shared.Load() && f.lastClaims != nil {
		defer f.lastClaims.lock()()
		c.mark, c.ours = f.lastClaims.mark, true
	}
}

// claim asks for a name, and while another has it, waits for what becomes of that. waited
// tells that another had it. A store that goes away meanwhile is no reason to send what
// another sends: the error comes when that one's lease is over.
func (c *claims) claim(ctx context.Context, n store.Name, m store.Mark, says [sha256.Size]byte, lease, ttl time.Duration) (got store.Claim, waited bool, err error) {
	c.left.release(ctx, c.store, n)
	got, err = c.store.Claim(ctx, n, m, says, lease, ttl)
	if err != nil || got.State != store.Wait {
		return got, false, err
	}
	over := time.Now().Add(got.Left)
	for {
		got, err = c.store.Await(ctx, n, m, says, lease, ttl)
		left := time.Until(over)
		switch {
		case err == nil:
			return got, true, nil
		case ctx.Err() != nil:
			return store.Claim{State: store.Wait}, true, nil
		case left <= 0:
			return got, true, err
		}
		time.Sleep(min(left, again))
	}
}

// gatewayLost is about a call that another gateway has claimed, and not told of.
func gatewayLost() (*wire.Answer, wire.DeliverySource) {
	answer := (&wire.Fault{Cause: wire.GatewayLost, MayHaveSent: true}).Answer()
	return &answer, wire.Shared
}

// isLost tells a call of which only that is known.
func (f *flight) isLost() bool {
	return f.answer.Fault != nil && f.answer.Fault.Cause == wire.GatewayLost
}
