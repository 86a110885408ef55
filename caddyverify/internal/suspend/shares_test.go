package suspend

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestTrialsAreShared has one caller flood an account that is out of credit. Another one's calls are let through on
// trial as often.
func TestTrialsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Suspension
		refused := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.NoCredit}}}
		s.Observe(wire.Request, refused)
		time.Sleep(failFast)
		tried := map[string]int{}
		call := func(caller string) {
			refuses := s.Refuses(caller, wire.Request)
			_, _, _, ok := s.Allow(caller, wire.Request)
			if ok == refuses {
				t.Fatalf("Refuses says %t before Allow says %t", refuses, ok)
			}
			if ok { // its answer takes long
				tried[caller]++
			}
		}
		for range 2000 { // 20 seconds
			call("flood")
			call("flood")
			if len(tried) > 0 {
				call("quiet")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if all := tried["flood"] + tried["quiet"]; all < 19 || all > 21 || tried["quiet"] < 9 {
			t.Errorf("let through on trial: %v", tried)
		}
		// Nobody else wants any.
		time.Sleep(wantedFor)
		clear(tried)
		for range 1000 {
			call("flood")
			time.Sleep(10 * time.Millisecond)
		}
		if tried["flood"] < 9 {
			t.Errorf("let through on trial, alone: %v", tried)
		}
	})
}
