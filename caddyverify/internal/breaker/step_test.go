package breaker

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPair(Settings{})
		answer := fine
		made := 0
		send := p.Step(func(context.Context, *wire.Call) wire.Answer {
			made++
			if answer.Fault != nil && answer.Fault.Cause == "panic" {
				panic("a step")
			}
			return answer
		})
		call := func(o wire.Operation) (refused *wire.Fault) {
			defer func() { _ = recover() }()
			return send(t.Context(), &wire.Call{Operation: o}).Fault
		}
		call(wire.Request)
		answer = fails("panic")
		for range 20 {
			call(wire.Request)
		}
		if got := p.Write.State(); got != wire.CircuitOpen {
			t.Fatalf("after twenty calls that panicked the circuit is %s", got)
		}
		made = 0
		if f := call(wire.Control); f == nil || f.Cause != wire.BreakerOpen || !f.Refused || f.MayHaveSent || f.RetryAfter != p.Write.settings.OpenFor || made != 0 {
			t.Errorf("a call is answered with %+v", f)
		}
		snapshot := p.Snapshot()
		if s := snapshot[1]; s.Class != wire.WriteClass || s.State != wire.CircuitOpen || s.Why != string(wire.ConnectionLost) || s.Until.IsZero() {
			t.Errorf("the snapshot is %+v", s)
		}
		if s := snapshot[0]; s != (Snapshot{Class: wire.ReadClass, State: wire.CircuitClosed}) {
			t.Errorf("the snapshot of the other is %+v", s)
		}
		answer = fine
		if f := call(wire.Check); f != nil || made != 1 {
			t.Errorf("a check is answered with %+v", f)
		}
		p.Configure(Settings{Off: true})
		if f := call(wire.Control); f != nil || !p.Off() {
			t.Errorf("without breakers a call is answered with %+v", f)
		}
	})
}
