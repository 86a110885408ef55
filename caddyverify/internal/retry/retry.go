// Package retry decides which calls are tried a second time.
package retry

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Worth tells whether a second try of a call may help and cannot harm. A search
// changes nothing; anything else only if no connection was made, so that nothing
// can have been sent.
func Worth(o wire.Operation, answer *wire.Answer) bool {
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

// Budget bounds the retries to a tenth of all calls. Make it with NewBudget.
type Budget struct {
	mu     sync.Mutex
	tokens float64
}

// NewBudget returns a Budget that allows one retry at once.
func NewBudget() *Budget { return &Budget{tokens: atOnce} }

// Called notes a call, retries aside.
func (b *Budget) Called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+share, saved)
}

// Spend takes one retry, if there is one.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1-1e-9 { // ten times a tenth is a little less than one
		return false
	}
	b.tokens--
	return true
}

// Delay is how long to wait before a retry: at random, so that calls which failed
// together do not come again together.
func Delay() time.Duration {
	const least, most = 50 * time.Millisecond, 250 * time.Millisecond
	return least + rand.N(most-least)
}
