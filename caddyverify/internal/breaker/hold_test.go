package breaker

import (
	"context"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestHold(t *testing.T) {
	bubble(t, "what is kept open is closed by nobody else", func(t *testing.T) {
		b, d := New(wire.WriteClass, Settings{}), new(diary)
		b.OnChange(d.write)
		probes := 0
		defer b.ProbeWith(func(context.Context) wire.Answer { probes++; return unused })()
		under, _, _ := b.Allow()
		if first, again := b.Hold(), b.Hold(); !first || !again || b.Try() {
			t.Error("it is not kept open")
		}
		under.Done(fine)
		time.Sleep(time.Hour)
		if tell(b, fine) > 0 || probes > 0 {
			t.Errorf("a call went through, or it was probed %d times", probes)
		}
		if _, again, _ := b.Allow(); again != heldAgain {
			t.Errorf("calls are told to come again in %v", again)
		}
		if s := b.snapshot(); s.State != wire.CircuitOpen || !s.Held || s.Why != byOperator || !s.Until.IsZero() || time.Since(s.Since) != time.Hour {
			t.Errorf("it tells %+v", s)
		}
		b.Release()
		b.Release()
		if tell(b, fine) != 1 {
			t.Error("it is not closed")
		}
		d.expect(t, "closed>open (operator)", "open>closed (operator)")
	})
	bubble(t, "what has opened by itself", func(t *testing.T) {
		b, d := opened(t)
		probed := make(chan bool)
		defer b.ProbeWith(func(context.Context) wire.Answer { probed <- true; <-probed; return unused })()
		<-probed
		b.Hold() // while a probe is under way
		probed <- true
		time.Sleep(time.Minute)
		expectState(t, b, wire.CircuitOpen)
		b.Release()
		time.Sleep(time.Minute)
		d.expect(t, "open>half_open", "half_open>open (operator)", "open>closed (operator)")
	})
	bubble(t, "an open circuit is closed, and may open again", func(t *testing.T) {
		b, d := opened(t)
		b.Release()
		tell(b, times(5, refused)...)
		d.expect(t, "open>closed (operator)", "closed>open (connect_failed)")
	})
	bubble(t, "off", func(t *testing.T) {
		b := New(wire.WriteClass, Settings{Off: true})
		if b.Hold() || b.Release() || b.Try() || tell(b, fine) != 1 {
			t.Error("a breaker that is off does something")
		}
	})
}

func TestTry(t *testing.T) {
	for _, test := range []struct {
		name string
		wait time.Duration // before
		want wire.CircuitState
		says wire.Answer
	}{
		{"the upstream is back", 0, wire.CircuitClosed, unused},
		{"it is not", 0, wire.CircuitOpen, refused},
		{"it says nothing", 0, wire.CircuitHalfOpen, busy},
	} {
		bubble(t, test.name, func(t *testing.T) {
			b, _ := opened(t)
			defer b.ProbeWith(probeOf(test.says))()
			if first, again := b.Try(), b.Try(); !first || !again {
				t.Error("it is not tried")
			}
			time.Sleep(time.Millisecond)
			expectState(t, b, test.want)
		})
	}
	bubble(t, "closed", func(t *testing.T) {
		if New(wire.WriteClass, Settings{}).Try() {
			t.Error("there is nothing to find out")
		}
	})
}
