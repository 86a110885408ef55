package breaker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A configuration changes what is counted from now on, not what is known of the
// upstream.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		tell(b, times(4, refused)...)
		b.Configure(Settings{OpenFor: 20 * time.Second, Timeout: 5 * time.Second})
		expectState(t, b, wire.CircuitClosed)
		tell(b, refused)
		expectState(t, b, wire.CircuitOpen) // the four before it count
		_, retryAfter, _ := b.Allow()
		if retryAfter != 20*time.Second {
			t.Errorf("it is open for %v, want what was configured", retryAfter)
		}
		b.Configure(Settings{OpenFor: time.Second, Window: time.Minute})
		expectState(t, b, wire.CircuitOpen)
		time.Sleep(20*time.Second - 1)
		expectState(t, b, wire.CircuitOpen)
		time.Sleep(time.Nanosecond)
		expectState(t, b, wire.CircuitHalfOpen)
	})
}

// With another window, outcomes are counted afresh.
func TestConfigureWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(wire.WriteClass, Settings{})
		late, _, _ := b.Allow()
		tell(b, times(4, refused)...)
		b.Configure(Settings{Window: time.Minute})
		late.Done(refused) // counted by the window that is gone
		tell(b, times(4, refused)...)
		expectState(t, b, wire.CircuitClosed)
		tell(b, refused)
		expectState(t, b, wire.CircuitOpen)
	})
}
