package state

import (
	"context"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A check or a cancel whose answer did not come may have ended its verification. What the provider
// says later does not tell: to a check of a verification that is over it answers 404, whether a right code
// has ended it, a cancel, or, of which nothing but a webhook tells, the provider itself. So that the code in doubt was
// right is never concluded: an application may let somebody in by it. How such a verification has ended is
// not known, until a webhook tells.

// Doubted notes that a check or a cancel, which took so long, may have ended a verification. Of those that
// nobody here has begun, as far as the store says, nothing is noted.
func (b *Book) Doubted(ctx context.Context, requestID string, took time.Duration) {
	f := fact{Kind: doubted, Took: took}
	// The call's time may be over, and this is of no use to it.
	r, known, sure := b.recall(context.WithoutCancel(ctx), wire.Spelling(requestID))
	if known || !sure {
		b.learnOf(ctx, r, f)
	}
}

// Gone notes that the provider has said, to a call that took so long, that the verification is not under
// way. That is kept of those in doubt: others go by what ends them, or by the clock.
func (b *Book) Gone(ctx context.Context, requestID string, took time.Duration) {
	_, v, known, _ := b.read(ctx, wire.Spelling(requestID))
	if !known {
		return
	}
	if l := v.look(time.Now()); l.doubt && l.status == wire.InProgress {
		b.learn(ctx, requestID, fact{Kind: gone, Took: took})
	}
}

// InDoubt tells that a call may have ended the verification, and that it is not known whether one has.
func (v *Verification) InDoubt() bool { return v.look(time.Now()).doubt }

// since tells that something became known by a call that was made before a time, and is not older than the
// last sign that the verification was under way.
func (v *Verification) since(k kind, before time.Time) bool {
	var alive time.Time
	for _, f := range v.facts {
		// It was when the provider got the call.
		if f.runs() && f.sent().After(alive) {
			alive = f.sent()
		}
	}
	for _, f := range v.facts {
		if f.Kind == k && !f.at.Before(alive) && f.sent().Before(before) {
			return true
		}
	}
	return false
}

// runs tells that the verification was under way when the call was made that the fact is known by.
func (f *fact) runs() bool { return f.Kind == checked && !f.Valid || f.Kind == triggered }

// sent is when that call was made.
func (f *fact) sent() time.Time { return f.at.Add(-f.Took) }
