package suspend

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestStep(t *testing.T) {
	tests := []struct {
		name     string
		told     wire.Status // by the upstream, to a request
		o        wire.Operation
		cause    wire.Cause // of the refusal of a call after it
		suspends bool
	}{
		{"fine", wire.Success, wire.Request, "", false},
		{"credentials", wire.BadCredentials, wire.Request, wire.AccountBadCredentials, true},
		{"credentials, a check", wire.BadCredentials, wire.Check, "", true},
		{"barred", wire.AccountBarred, wire.Control, wire.AccountIsBarred, true},
		{"no credit", wire.NoCredit, wire.PSD2, wire.AccountNoCredit, true},
		{"no credit, a search", wire.NoCredit, wire.Search, "", true},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			s := new(Suspension)
			made := 0
			send := s.Step(func(_ context.Context, call *wire.Call) wire.Answer {
				made++
				if call.Operation == wire.Request && made == 1 {
					return says(tt.told)
				}
				return busy // says nothing of the account
			})
			send(t.Context(), &wire.Call{Operation: wire.Request})
			if _, suspended := s.Status(); suspended != tt.suspends {
				t.Errorf("suspended: %v", suspended)
			}
			answer := send(t.Context(), &wire.Call{Operation: tt.o})
			if tt.cause == "" {
				if answer.Fault != nil || made != 2 {
					t.Errorf("refused with %+v", answer.Fault)
				}
				return
			}
			if f := answer.Fault; f == nil || f.Cause != tt.cause || !f.Refused || f.MayHaveSent || f.RetryAfter <= 0 || made != 1 {
				t.Errorf("answered with %+v after %d calls, want a refusal for %s", f, made, tt.cause)
			}
		})
	}
}

// What is refused further in, or by the gateway, says nothing of the account; and a call
// that panics gives its place on trial back.
func TestStepLearnsFromTheUpstreamOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Suspension)
		refusal := (&wire.Fault{Cause: wire.BreakerOpen, Refused: true}).Answer()
		refusal.Status = wire.BadCredentials
		s.Step(func(context.Context, *wire.Call) wire.Answer { return refusal })(t.Context(), &wire.Call{})
		if status, suspended := s.Status(); suspended {
			t.Errorf("a refusal of the gateway suspends the account with %s", status)
		}
		s.Observe(wire.Request, says(wire.AccountBarred))
		time.Sleep(failFast)
		func() {
			defer func() { _ = recover() }()
			s.Step(func(context.Context, *wire.Call) wire.Answer { panic("a step") })(t.Context(), &wire.Call{Operation: wire.Request})
		}()
		if s.trials.underWay != 0 {
			t.Errorf("%d calls on trial are under way for ever", s.trials.underWay)
		}
	})
}
