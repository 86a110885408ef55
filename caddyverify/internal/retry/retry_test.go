package retry

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestWorth(t *testing.T) {
	fault := func(cause wire.Cause, mayHaveSent bool) wire.Answer {
		return (&wire.Fault{Cause: cause, MayHaveSent: mayHaveSent}).Answer()
	}
	status := func(s wire.Status) wire.Answer {
		return wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: s}}}
	}
	tests := []struct {
		name          string
		answer        wire.Answer
		search, other bool
	}{
		{"no connection", fault(wire.ConnectFailed, false), true, true},
		{"no connection, it is said, yet sent", fault(wire.ConnectFailed, true), false, false},
		{"lost", fault(wire.ConnectionLost, true), true, false},
		{"HTTP 502", fault(wire.UpstreamError, true), true, false},
		{"HTTP 404", (&wire.Fault{Cause: wire.UpstreamError, MayHaveSent: true, UpstreamCode: 404}).Answer(), false, false},
		{"garbage", fault(wire.AnswerUnreadable, true), true, false},
		{"timeout", fault(wire.UpstreamTimeout, true), false, false}, // its time is over
		{"timeout while connecting", fault(wire.UpstreamTimeout, false), false, false},
		{"untrusted", fault(wire.TLSFailed, false), false, false},
		{"HTTP 429", fault(wire.UpstreamThrottled, false), false, false},
		{"HTTP 401", fault(wire.UpstreamUnauthorized, false), false, false},
		{"the secret echoed", fault(wire.AnswerWithSecret, true), false, false},
		{"too large", fault(wire.AnswerTooLarge, true), false, false},
		{"breaker", fault(wire.BreakerOpen, false), false, false},
		{"limit", fault(wire.LimitReached, false), false, false},
		{"the client left", fault(wire.ClientLeft, true), false, false},
		{"success", status(wire.Success), false, false},
		{"throttled", status(wire.Throttled), false, false},
		{"internal error", status(wire.InternalError), true, false},
		{"not found", status(wire.NoResponse), false, false},
	}
	for _, test := range tests {
		for _, o := range wire.Operations {
			want := test.other
			if o == wire.Search {
				want = test.search
			}
			if got := worth(o, &test.answer); got != want {
				t.Errorf("%s, %v: got %v", test.name, o, got)
			}
		}
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget()
	spend := func(times int) (n int) {
		for range times {
			if _, ok := b.spend(); ok {
				n++
			}
		}
		return n
	}
	if n := spend(5); n != 1 {
		t.Errorf("%d retries before any call, want 1", n)
	}
	for range 9 {
		b.called()
	}
	if n := spend(1); n != 0 {
		t.Error("a retry after nine calls")
	}
	b.called()
	if n := spend(5); n != 1 {
		t.Errorf("%d retries after ten calls, want 1", n)
	}
	for range 10_000 {
		b.called()
	}
	if n := spend(100); n != saved {
		t.Errorf("%d retries were saved up, want %d", n, saved)
	}
}

func TestPause(t *testing.T) {
	b := NewBudget()
	seen := map[time.Duration]bool{}
	for range 1000 {
		b.tokens = 1
		d, ok := b.spend()
		if !ok || d < 50*time.Millisecond || d >= 250*time.Millisecond {
			t.Fatalf("%v", d)
		}
		seen[d] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 differ", len(seen))
	}
}

func TestStep(t *testing.T) {
	lost := (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer()
	fine := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.InProgress}}}
	tests := []struct {
		name     string
		o        wire.Operation
		answers  []wire.Answer
		deadline time.Duration
		attempts []int // their Resend
		retried  int
	}{
		{"a search that succeeds", wire.Search, []wire.Answer{fine}, time.Second, []int{0}, 0},
		{"a search that is lost", wire.Search, []wire.Answer{lost, fine}, time.Second, []int{0, 1}, 1},
		{"a search that is lost twice", wire.Search, []wire.Answer{lost, lost, fine}, time.Second, []int{0, 1}, 1},
		{"a search without time for more", wire.Search, []wire.Answer{lost, fine}, time.Millisecond, []int{0}, 0},
		{"a request that is lost", wire.Request, []wire.Answer{lost, fine}, time.Second, []int{0}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempts []int
				retried := 0
				send := NewBudget().Step(func(o wire.Operation) {
					if o != tt.o {
						t.Errorf("a retry of %v", o)
					}
					retried++
				})(func(ctx context.Context, _ *wire.Call) wire.Answer {
					attempts = append(attempts, wire.AttemptOf(ctx).Resend)
					return tt.answers[len(attempts)-1]
				})
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				answer := send(ctx, &wire.Call{Operation: tt.o})
				if !slices.Equal(attempts, tt.attempts) || retried != tt.retried {
					t.Errorf("attempts %v, %d retried; want %v and %d", attempts, retried, tt.attempts, tt.retried)
				}
				if want := tt.answers[len(attempts)-1]; answer.Fault != want.Fault || answer.Status != want.Status {
					t.Errorf("answered with %+v", answer)
				}
			})
		})
	}
}
