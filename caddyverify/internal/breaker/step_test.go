package breaker

import (
	"context"
	"sync/atomic"
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

// made makes n calls of an operation, returns how many were made, and how many panics
// went on.
func (u *upstream) made(send wire.Sender, o wire.Operation, n int) (made, panics int) {
	before := u.calls
	for range n {
		func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			send(context.Background(), &wire.Call{Operation: o})
		}()
	}
	return u.calls - before, panics
}

// TestStep shows what opens the circuit, and that only the calls of its class are
// refused.
func TestStep(t *testing.T) {
	tests := []struct {
		name   string
		answer wire.Answer
		panics bool
		made   int // of 40 calls
	}{
		{"success", fine, false, 40},
		{"no connection", refused, false, 5},
		{"timeouts", timeout, false, 20},
		{"wrong codes", wrongCode, false, 40},
		{"the limit refuses", (&wire.Fault{Cause: wire.LimitReached, Refused: true}).Answer(), false, 40},
		{"the client leaves", fails(wire.ClientLeft), false, 40},
		{"panics", fine, true, 20}, // as if the connection were lost
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			p := NewPair(Settings{})
			u := &upstream{answer: tt.answer, panics: tt.panics}
			send := p.Step(u.send)
			made, panics := u.made(send, wire.Request, 40)
			if made != tt.made {
				t.Errorf("%d of 40 calls were made, want %d", made, tt.made)
			}
			if tt.panics != (panics > 0) || tt.panics && panics != made {
				t.Errorf("%d panics of %d went on", panics, made)
			}
			u.panics = false
			if made, _ := u.made(send, wire.Check, 1); made != 1 {
				t.Error("a check was refused")
			}
		})
	}
}

// TestStepRefuses shows the words of a refusal, and that an answer comes back as it is.
func TestStepRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{})
		u := &upstream{answer: refused}
		send := p.Step(u.send)
		for range 5 {
			if answer := send(t.Context(), &wire.Call{}); answer.Fault != refused.Fault {
				t.Fatalf("got %+v, want the answer", answer)
			}
		}
		time.Sleep(2 * time.Second)
		answer := send(t.Context(), &wire.Call{})
		fault := answer.Fault
		if u.calls != 5 || fault == nil || fault.Cause != wire.BreakerOpen || !fault.Refused || fault.RetryAfter != 3*time.Second || fault.MayHaveSent {
			t.Errorf("%d calls, got %+v; want a refusal for 3s", u.calls, fault)
		}
		if answer.Status != wire.InternalError {
			t.Errorf("the refusal has status %q", answer.Status)
		}
	})
}

// TestOff switches a pair off and on.
func TestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{Off: true})
		var d diary
		p.OnChange(d.write)
		var probes atomic.Int64
		defer p.ProbeWith(func(ctx context.Context) wire.Answer {
			probes.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			return unused
		})()
		u := &upstream{answer: refused}
		send := p.Step(u.send)
		expect := func(when string, off bool, n, made int, probed int64, state wire.CircuitState) {
			t.Helper()
			synctest.Wait()
			if got := p.Off(); got != off {
				t.Errorf("%s: off is %v", when, got)
			}
			if got, _ := u.made(send, wire.Request, n); got != made {
				t.Errorf("%s: %d of %d calls were made, want %d", when, got, n, made)
			}
			if got := p.Write.State(); got != state || probes.Load() != probed {
				t.Errorf("%s: it is %v after %d probes, want %v after %d", when, got, probes.Load(), state, probed)
			}
		}
		expect("off from the beginning", true, 100, 100, 0, wire.CircuitClosed)
		late, _, _ := p.Write.Allow()
		p.Configure(Settings{})
		late.Done(refused)
		expect("on", false, 4, 4, 0, wire.CircuitClosed) // nothing was counted before
		counted, _, _ := p.Write.Allow()
		p.Configure(Settings{Off: true})
		counted.Done(refused)
		expect("off after four failures", true, 100, 100, 0, wire.CircuitClosed)
		p.Configure(Settings{})
		expect("on again", false, 2, 1, 0, wire.CircuitOpen) // the four count still

		time.Sleep(time.Second)
		p.Configure(Settings{Off: true})
		expect("off while it is open", true, 100, 100, 0, wire.CircuitOpen)
		time.Sleep(time.Minute)
		expect("nothing is probed", true, 100, 100, 0, wire.CircuitHalfOpen)
		p.Configure(Settings{})
		expect("what came due is probed", false, 100, 0, 1, wire.CircuitHalfOpen)
		p.Configure(Settings{Off: true}) // its answer does not count
		time.Sleep(time.Minute)
		expect("off during a probe", true, 100, 100, 1, wire.CircuitHalfOpen)
		p.Configure(Settings{})
		time.Sleep(time.Second)
		expect("on, and probed", false, 4, 4, 2, wire.CircuitClosed)
		d.expect(t, "closed>open (connect_failed)", "open>half_open", "half_open>closed (status 101)")
	})
}

// Who reads templates does not make up for starts that fail.
func TestStepOfTemplates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := new(upstream)
		send := NewPair(Settings{}).Step(u.send)
		made := 0
		for range 40 {
			u.answer = fine
			for range 10 {
				send(t.Context(), &wire.Call{Operation: wire.Templates})
			}
			u.answer = timeout
			m, _ := u.made(send, wire.Request, 1)
			made += m
		}
		if made != 20 {
			t.Errorf("%d of 40 requests were made, want 20", made)
		}
	})
}
