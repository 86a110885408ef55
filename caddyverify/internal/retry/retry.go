// Package retry makes calls a second time where that may help and cannot harm.
package retry

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// worth tells whether a second try of a call may help and cannot harm. A search
// changes nothing; anything else only if no connection was made, so that nothing
// can have been sent.
func worth(o wire.Operation, answer *wire.Answer) bool {
	if answer.Fault == nil {
		return o.Repeatable() && answer.Status == wire.InternalError
	}
	switch answer.Fault.Cause {
	case wire.ConnectFailed:
		return !answer.Fault.MayHaveSent
	case wire.ConnectionLost, wire.AnswerUnreadable:
		return o.Repeatable()
	case wire.UpstreamError: // by 4xx something thinks ill of the call, and will again
		return o.Repeatable() && answer.Fault.UpstreamCode/100 != 4
	}
	return false
}

// share of the calls is how many retries there may be: more would only add to the
// load of an upstream in trouble (Google, Site Reliability Engineering, chapter 21).
const (
	share  = 0.1
	saved  = 10 // the most that quiet times save up
	atOnce = 1  // what there is to begin with
)

// Budget bounds the retries to a tenth of all calls (a retry budget). Make it with
// NewBudget.
type Budget struct {
	mu     sync.Mutex
	tokens float64
	random *rand.Rand
}

// NewBudget returns a Budget that allows one retry at once.
func NewBudget() *Budget {
	var seed [32]byte
	_, _ = crand.Read(seed[:])                                              // never fails
	return &Budget{tokens: atOnce, random: rand.New(rand.NewChaCha8(seed))} //nolint:gosec // a pause is no secret
}

// Step makes a call a second time if that is worth it and the budget allows it, after a
// pause. retried is told before.
func (b *Budget) Step(retried func(wire.Operation)) wire.Step {
	return func(next wire.Sender) wire.Sender {
		return func(ctx context.Context, call *wire.Call) wire.Answer {
			b.called()
			answer := next(ctx, call)
			if !worth(call.Operation, &answer) {
				return answer
			}
			pause, ok := b.spend()
			if !ok {
				return answer
			}
			select {
			case <-time.After(pause):
				retried(call.Operation)
				return next(wire.WithAttempt(ctx, wire.Attempt{Resend: 1}), call)
			case <-ctx.Done():
				return answer
			}
		}
	}
}

// called notes a call, retries aside.
func (b *Budget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+share, saved)
}

// spend takes one retry, if there is one, and says how long to wait before it: at random,
// so that calls which failed together do not come again together.
func (b *Budget) spend() (pause time.Duration, ok bool) {
	const least, most = 50 * time.Millisecond, 250 * time.Millisecond
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1-1e-9 { // ten times a tenth is a little less than one
		return 0, false
	}
	b.tokens--
	return least + time.Duration(b.random.Int64N(int64(most-least))), true
}
