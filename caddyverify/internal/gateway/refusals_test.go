package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestCallersOfFlood shows that a line stays short.
func TestCallersOfFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told *flood
		r := newRefusals(func(_ wire.Cause, f *flood) { told = f })
		fault := &wire.Fault{Cause: wire.LimitReached, Refused: true}
		for n := range 1001 {
			if left := r.count(fault, fmt.Sprint("caller", n)); left != (n > 0) {
				t.Fatalf("call %d: left out: %t", n, left)
			}
		}
		if r.count(&wire.Fault{Cause: wire.UpstreamTimeout}, "") || r.count(nil, "") {
			t.Error("a call that was not refused was counted")
		}
		r.stop()
		if told.calls != 1000 || len(told.callers) != mostCallers+1 || told.callers["others"] != 1000-mostCallers {
			t.Errorf("told %d calls, callers %v", told.calls, told.callers)
		}
		if r.count(fault, "") {
			t.Error("a call was counted that nobody will tell of")
		}
	})
}
