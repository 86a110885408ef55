package retry

import (
	"testing"
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
			if got := Worth(o, &test.answer); got != want {
				t.Errorf("%s, %v: got %v", test.name, o, got)
			}
		}
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget()
	spend := func(times int) (n int) {
		for range times {
			if b.Spend() {
				n++
			}
		}
		return n
	}
	if n := spend(5); n != 1 {
		t.Errorf("%d retries before any call, want 1", n)
	}
	for range 9 {
		b.Called()
	}
	if n := spend(1); n != 0 {
		t.Error("a retry after nine calls")
	}
	b.Called()
	if n := spend(5); n != 1 {
		t.Errorf("%d retries after ten calls, want 1", n)
	}
	for range 10_000 {
		b.Called()
	}
	if n := spend(100); n != saved {
		t.Errorf("%d retries were saved up, want %d", n, saved)
	}
}

func TestDelay(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := Delay()
		if d < 50*time.Millisecond || d >= 250*time.Millisecond {
			t.Fatalf("%v", d)
		}
		seen[d] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 differ", len(seen))
	}
}
