package suspend

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
	panics bool
	calls  int
}

func (u *upstream) send(context.Context, *wire.Call) wire.Answer {
	u.calls++
	if u.panics {
		panic("upstream")
	}
	return u.answer
}

// TestStepRefuses shows what is refused, and in which words.
func TestStepRefuses(t *testing.T) {
	tests := []struct {
		status    wire.Status
		operation wire.Operation
		want      wire.Cause // empty for a call that is made
	}{
		{"4", wire.Request, wire.AccountBadCredentials},
		{"4", wire.Search, wire.AccountBadCredentials},
		{"4", wire.Check, ""},
		{"8", wire.Control, wire.AccountIsBarred},
		{"9", wire.PSD2, wire.AccountNoCredit},
		{"9", wire.Search, ""},
		{"0", wire.Request, ""},
	}
	for _, tt := range tests {
		bubble(t, string(tt.status)+", "+tt.operation.String(), func(t *testing.T) {
			var s Suspension
			u := &upstream{answer: says(tt.status)}
			send := s.Step(u.send)
			if answer := send(t.Context(), &wire.Call{Operation: wire.Request}); answer.Status != tt.status || u.calls != 1 {
				t.Fatalf("the first got %q", answer.Status)
			}
			u.answer = unused
			time.Sleep(10 * time.Second)
			answer := send(t.Context(), &wire.Call{Operation: tt.operation})
			if tt.want == "" {
				if u.calls != 2 || answer.Status != unused.Status {
					t.Errorf("got %q after %d calls, want the upstream's answer", answer.Status, u.calls)
				}
				return
			}
			fault := answer.Fault
			if u.calls != 1 || fault == nil || fault.Cause != tt.want || !fault.Refused || fault.RetryAfter != 20*time.Second || fault.MayHaveSent {
				t.Errorf("%d calls, got %+v; want a refusal for 20s: %s", u.calls, fault, tt.want)
			}
			if answer.Status != tt.status {
				t.Errorf("the refusal has status %q", answer.Status)
			}
		})
	}
}

// TestStepLearns shows that the answer is told to the Suspension, and refusals of
// the gateway's own are not.
func TestStepLearns(t *testing.T) {
	refusal := func(cause wire.Cause) wire.Answer {
		return (&wire.Fault{Cause: cause, Refused: true}).Answer()
	}
	tests := []struct {
		name           string
		trouble        wire.Status
		answer         wire.Answer
		want           wire.Status
		wantsToFindOut bool
	}{
		{"bad credentials", "0", says("4"), "4", true},
		{"success", "4", fine, "", false},
		{"HTTP 401", "0", fails(wire.UpstreamUnauthorized), "", true},
		{"the breaker refuses", "4", refusal(wire.BreakerOpen), "4", true},
		{"the limit refuses", "4", refusal(wire.LimitReached), "4", true},
		// Their statuses are those of the upstream.
		{"another refuses for credentials", "0", refusal(wire.AccountBadCredentials), "", false},
		{"another refuses for credit", "0", refusal(wire.AccountNoCredit), "", false},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			var s Suspension
			s.Observe(wire.Check, says(tt.trouble))
			s.Step((&upstream{answer: tt.answer}).send)(t.Context(), &wire.Call{Operation: wire.Check})
			status, _ := s.Status()
			if finds := !s.search.Due().IsZero(); status != tt.want || finds != tt.wantsToFindOut {
				t.Errorf("the trouble is %q, looked for %v; want %q, %v", status, finds, tt.want, tt.wantsToFindOut)
			}
		})
	}
}

// TestStepTrials shows that a call on trial is over when its answer is there, and also
// when what makes it panics.
func TestStepTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Suspension
		u := &upstream{answer: says("9")}
		send := s.Step(u.send)
		made := func() bool {
			before := u.calls
			defer func() { _ = recover() }()
			send(t.Context(), &wire.Call{Operation: wire.Request})
			return u.calls > before
		}
		made()
		time.Sleep(30 * time.Second)
		u.answer = timeout
		for range 3 { // of no use, and so the next may be made at once
			if !made() {
				t.Fatal("no call was let through on trial")
			}
		}
		u.panics = true
		for range 3 {
			before := u.calls
			if made(); u.calls != before+1 {
				t.Fatal("no call was let through on trial after one that has panicked")
			}
		}
		// None of them made room for more than one at a time.
		u.panics = false
		slow := s.Step(func(context.Context, *wire.Call) wire.Answer {
			if made() {
				t.Error("a second call on trial beside the first")
			}
			return fine
		})
		slow(t.Context(), &wire.Call{Operation: wire.Request})
		if status, inTrouble := s.Status(); inTrouble {
			t.Errorf("after a success the trouble is %q", status)
		}
	})
}

// The panic of what makes a call goes on.
func TestStepPanics(t *testing.T) {
	var s Suspension
	defer func() {
		if recover() == nil {
			t.Error("the panic did not go on")
		}
	}()
	s.Step((&upstream{panics: true}).send)(t.Context(), &wire.Call{})
}
