package limit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// upstream is a Sender that says what it is told to.
type upstream struct {
	answer wire.Answer
	calls  int
}

func (u *upstream) send(context.Context, *wire.Call) wire.Answer {
	u.calls++
	return u.answer
}

// TestStep shows what becomes of a call when all of a second's calls were made.
func TestStep(t *testing.T) {
	tests := []struct {
		name    string
		before  time.Duration // since the others were made
		patient time.Duration // how long its context lasts, 0 for longer
		leaves  time.Duration // when its client does, 0 for never
		slow    bool          // the provider has throttled the account
		first   bool          // it is the gateway's own
		small   bool          // its caller has a limit of its own

		want       wire.Cause // empty for a call that is made
		reason     wire.Reason
		waits      time.Duration
		retryAfter time.Duration
	}{
		{name: "a second later", before: time.Second},
		{name: "its turn comes", before: 900 * time.Millisecond, waits: 100 * time.Millisecond},
		{name: "too early", want: wire.LimitReached, retryAfter: time.Second},
		{name: "too early for its caller", before: 3 * time.Second, small: true, want: wire.CallerLimitReached, retryAfter: time.Second},
		{name: "too early, throttled", slow: true, want: wire.AccountThrottled, retryAfter: 1500 * time.Millisecond},
		{
			name: "its time is over", before: 900 * time.Millisecond, patient: 50 * time.Millisecond,
			want: wire.UpstreamTimeout, reason: wire.ReasonQueue, waits: 50 * time.Millisecond,
		},
		{
			name: "its client leaves", before: 900 * time.Millisecond, leaves: 50 * time.Millisecond,
			want: wire.ClientLeft, waits: 50 * time.Millisecond,
		},

		{name: "the gateway's own", first: true, waits: time.Second},
		{name: "the gateway's own, throttled", first: true, slow: true, waits: 1500 * time.Millisecond},
		{
			name: "the gateway's own, its time is over", first: true, patient: 300 * time.Millisecond,
			want: wire.UpstreamTimeout, reason: wire.ReasonQueue, waits: 300 * time.Millisecond,
		},
		{
			name: "the gateway's own, its client leaves", first: true, leaves: 300 * time.Millisecond,
			want: wire.ClientLeft, waits: 300 * time.Millisecond,
		},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(Settings{Rate: 4, Callers: map[string]Share{"small": {Rate: 1}}})
			u := &upstream{answer: wire.Answer{Code: 200}}
			send := l.Step(u.send)
			if tt.first {
				send = l.StepFirst(u.send)
			}
			burst(t, l)
			if tt.slow {
				l.Observe(wire.Request, throttled)
			}
			time.Sleep(tt.before)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if tt.patient > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.patient)
				defer cancel()
			}
			if tt.leaves > 0 {
				time.AfterFunc(tt.leaves, leave)
			}
			call := &wire.Call{Operation: wire.Check}
			if tt.small {
				call.Caller = "small"
				l.Wait(ctx, call.Caller, wire.Check)
			}
			begun := time.Now()
			answer := send(ctx, call)
			if waited := time.Since(begun); waited != tt.waits {
				t.Errorf("it waited for %v, want %v", waited, tt.waits)
			}
			if tt.want == "" {
				if u.calls != 1 || answer.Code != 200 {
					t.Errorf("%d calls, got %+v; want the upstream's answer", u.calls, answer)
				}
				return
			}
			fault := answer.Fault
			if u.calls != 0 || fault == nil || fault.Cause != tt.want || fault.Reason != tt.reason || fault.MayHaveSent {
				t.Fatalf("%d calls, got %+v; want %s", u.calls, fault, tt.want)
			}
			if fault.RetryAfter != tt.retryAfter || fault.Refused != (tt.retryAfter > 0) {
				t.Errorf("got %+v, want a refusal for %v", fault, tt.retryAfter)
			}
			if status := answer.Status; status != fault.Status() {
				t.Errorf("it has status %q", status)
			}
		})
	}
}

// TestStepLearns shows that both learn from the provider's answers.
func TestStepLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []bool{false, true} {
			l := New(Settings{})
			u := &upstream{answer: wire.Answer{Code: 200}}
			send := l.Step(u.send)
			if first {
				send = l.StepFirst(u.send)
			}
			expect := func(o wire.Operation, answer wire.Answer, rate, searches int) {
				t.Helper()
				u.answer = answer
				send(t.Context(), &wire.Call{Operation: o})
				if got := l.Stats(); got.Rate != rate || got.SearchRate != searches {
					t.Errorf("first %v: got %+v, want %d and for searches %d", first, got, rate, searches)
				}
			}
			expect(wire.Request, wire.Answer{Code: 200}, 28, 0)
			expect(wire.Request, refuse(wire.LimitReached, Refusal{}), 28, 0) // of the gateway's own
			expect(wire.Search, throttled, 28, 14)
			expect(wire.Request, throttled, 14, 14)
		}
	})
}
