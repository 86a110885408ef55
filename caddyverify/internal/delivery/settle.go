package delivery

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// passing is how long an answer stays in the store for those who have waited for it.
const passing = time.Second

// late is after what time a claim that was not confirmed has been made, if at all.
const late = 3 * time.Second

// joining is how long a call's client waits while the keys of others are told: those of dozens
// at least.
const joining = time.Second

// settle tells the store what became of a flight: of what was unread before, if anything,
// and of how that stands.
func (c *claims) settle(f, last *flight, state State) {
	defer c.lock()()
	c.tellKey(f)
	c.tellJoined(f)
	switch {
	case !c.ours:
	case last != nil && state == Unknown && f.answer.RequestID == "":
		last.shared.Store(c.tell(last, unread, c.life)) // for the next one that asks
	case f.unsent():
		c.release()
	case state == Running || c.operation == wire.Check:
		// It is known only once its client has got it, or not.
	case f.worthKeeping(c.operation) && !c.passedOn:
		f.shared.Store(c.tell(f, fresh, c.life)) // or it would die with this gateway
	case !c.passedOn:
		c.tell(f, passed, passing)
	}
}

// acked tells the store whether a client got the answer, once one did that started
// something, or none is left that may. What it could not be told before, it is told now.
func (c *claims) acked(f *flight, ok bool) {
	defer c.lock()()
	c.tellKey(f)
	keep, starts := f.worthKeeping(c.operation), c.operation.Starts()
	switch {
	case c.mark == "", starts && !keep && !c.owing:
	case f.unsent(), !starts && (ok || !keep):
		c.release()
	case starts && (ok || !keep):
		// Not released: others may have waited for it.
		if !c.passedOn {
			c.passedOn = c.tell(f, passed, passing)
		}
	case c.ours && !f.shared.Load():
		f.shared.Store(c.tell(f, unread, c.life))
	}
	if c.owing && c.ours {
		c.left.add(c.repetition, c.mark, c.longest)
	}
	if c.keyMark != "" && !c.keyTold && f.unsent() {
		c.left.add(c.key, c.keyMark, KeepFor)
	}
	if c.alone {
		time.AfterFunc(late, func() { c.tellAgain(f, ok) })
	}
}

// tellAgain says the last word once more, as the store may have made a claim that it did not
// confirm after all else was said: others would wait for an answer until its lease is over. It
// says nothing to a store that has made none.
func (c *claims) tellAgain(f *flight, ok bool) {
	defer c.lock()()
	c.ctx, c.keyTold = context.Background(), false
	c.tellKey(f)
	switch {
	case c.mark == "" || c.repetition.ID == "":
	case f.unsent():
		c.release()
	case f.worthKeeping(c.operation) && !ok:
		f.shared.Store(c.tell(f, unread, c.life))
	case c.operation.Starts():
		c.tell(f, passed, passing)
	default:
		c.release()
	}
}

// release gives the claim back.
func (c *claims) release() {
	if c.owing = c.store.Release(c.ctx, c.repetition, c.mark) != nil; !c.owing {
		c.mark, c.ours = "", false
	}
}

// tell has an answer lie in the store, and reports whether it does.
func (c *claims) tell(f *flight, u use, life time.Duration) bool {
	f.forgot.Store(c.store.Stats().Forgot)
	ok, err := c.store.Answer(c.ctx, c.repetition, c.mark, c.encode(f, u), life)
	c.owing = err != nil
	return ok && err == nil
}

// encode writes a flight's answer.
func (c *claims) encode(f *flight, u use) []byte {
	if !f.fits() {
		f = f.tooLarge()
	}
	return encode(&f.answer, u, c.mark)
}

// tellKey does the same for the Idempotency-Key, until the store has confirmed it.
func (c *claims) tellKey(f *flight) {
	if c.keyMark == "" || c.keyTold {
		return
	}
	var err error
	if f.unsent() {
		err = c.store.Release(c.ctx, c.key, c.keyMark)
	} else {
		_, err = c.store.Answer(c.ctx, c.key, c.keyMark, c.encode(f, passed), KeepFor)
	}
	c.keyTold = err == nil
}

// tellJoined does it for the Idempotency-Keys of calls that have waited for this one, as far as
// its own client may be kept waiting for them.
func (c *claims) tellJoined(f *flight) {
	if f.unsent() || c.keyOnly {
		return
	}
	for begun := time.Now(); len(f.names) > 0 && time.Since(begun) < joining; f.names = f.names[1:] {
		name := f.names[0]
		if name == c.key {
			continue
		}
		mark := store.NewMark()
		got, err := c.store.Claim(c.ctx, name, mark, c.says, c.lease, KeepFor)
		if err == nil && got.State == store.Yours {
			_, _ = c.store.Answer(c.ctx, name, mark, c.encode(f, passed), KeepFor)
		}
	}
	f.names = nil
}
