package limit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestStep(t *testing.T) {
	answered := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success}}}
	throttled := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Throttled}}}
	left, leave := context.WithCancel(t.Context())
	leave()
	tests := []struct {
		name    string
		before  []wire.Answer // to calls that were made in the same moment
		ctx     context.Context
		first   bool // a call of the gateway's own
		timeout time.Duration
		cause   wire.Cause
		refused bool
	}{
		{"a turn at once", nil, t.Context(), false, time.Second, "", false},
		{"no turn", []wire.Answer{answered, answered}, t.Context(), false, time.Second, wire.LimitReached, true},
		{"no turn since the provider throttles", []wire.Answer{answered, throttled}, t.Context(), false, time.Second, wire.AccountThrottled, true},
		{"the client has left", nil, left, false, time.Second, wire.ClientLeft, false},
		{"no time to wait", []wire.Answer{answered, answered}, t.Context(), true, time.Millisecond, wire.UpstreamTimeout, false},
		{"the gateway's own waits", []wire.Answer{answered, answered}, t.Context(), true, 2 * time.Second, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Settings{Rate: 2})
				answer, made := answered, 0
				next := func(context.Context, *wire.Call) wire.Answer {
					made++
					return answer
				}
				for _, answer = range tt.before {
					l.Step(next)(t.Context(), &wire.Call{})
				}
				answer, made = answered, 0
				step := l.Step
				if tt.first {
					step = l.StepFirst
				}
				ctx, cancel := context.WithTimeout(context.WithoutCancel(tt.ctx), tt.timeout)
				defer cancel()
				if tt.ctx.Err() != nil {
					cancel()
				}
				got := step(next)(ctx, &wire.Call{})
				switch f := got.Fault; {
				case tt.cause == "":
					if f != nil || made != 1 {
						t.Errorf("answered with %+v, made %d times", f, made)
					}
				case f == nil || f.Cause != tt.cause || f.Refused != tt.refused || f.MayHaveSent || f.Refused != (f.RetryAfter > 0) || made != 0:
					t.Errorf("answered with %+v, made %d times", f, made)
				}
				l.Configure(Settings{Rate: -1}) // ends the timers
			})
		})
	}
}

// TestStatsChangeNothing takes the numbers of one of two limiters with the same calls.
func TestStatsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watched, other := New(Settings{}), New(Settings{})
		throttled := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Throttled}}}
		for n := range 3000 {
			time.Sleep(time.Duration(n*7919%41) * time.Millisecond)
			watched.Stats()
			_, a := watched.Wait(t.Context(), wire.Request)
			_, b := other.Wait(t.Context(), wire.Request)
			if a != b {
				t.Fatalf("call %d: %v where it is watched, %v where not", n, a, b)
			}
			if n%200 == 0 {
				watched.Observe(throttled)
				other.Observe(throttled)
			}
		}
		if a, b := watched.Stats(), other.Stats(); a != b {
			t.Errorf("%+v and %+v", a, b)
		}
		for _, l := range []*Limiter{watched, other} {
			l.Configure(Settings{Rate: -1})
		}
	})
}
