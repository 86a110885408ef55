package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begun := New(Settings{}), time.Now()
		expect := func(id string, want Verification) {
			t.Helper()
			if got, ok := l.Verification(id); got != want || !ok {
				t.Errorf("%s is\n\t%+v, %v, want\n\t%+v", id, got, ok, want)
			}
		}
		if _, ok := l.Verification("a"); ok {
			t.Error("one that nobody has is known")
		}
		start := request("a")
		start.Call.Caller = "checkout"
		l.Observe(start)
		running := Verification{
			Begun: begun, Expires: begun.Add(start.Call.Lifetime() + 90*time.Second),
			Country: "GB", Caller: "checkout", Workflow: "default",
		}
		expect("a", running)
		time.Sleep(time.Minute)
		l.Observe(check("a", wire.WrongCode))
		l.Observe(finds("a", wire.InProgress).costing("0.10000000", "0.05000000", "EUR"))
		running.Attempts, running.Cost, running.Currency = 1, 0.15, "EUR"
		expect("a", running)
		time.Sleep(time.Until(running.Expires) + time.Second)
		l.Advance()
		running.Overdue = true
		expect("a", running)
		l.Observe(finds("a", wire.Expired))
		ended := running
		ended.Overdue, ended.Outcome, ended.Ended = false, wire.OutcomeExpired, time.Now()
		expect("a", ended)
		l.Observe(check("b", wire.Success))
		expect("b", Verification{Untracked: true, Outcome: wire.OutcomeSuccess, Ended: time.Now()})
		time.Sleep(time.Hour)
		l.Advance()
		if _, ok := l.Verification("a"); ok {
			t.Error("one that ended an hour ago is known")
		}
	})
}

// TestTiming: what is known of the times of a verification goes before what its request says by version 1, here and at
// other gateways.
func TestTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := New(Settings{}), New(Settings{})
		one.Share(func(id string) string { return id })
		for id, timing := range map[string]wire.Timing{"by version 1": {}, "by version 2": {Wait: 150 * time.Second}} {
			start := request(id, wire.Param{Name: "workflow_id", Value: "4"}, wire.Param{Name: "pin_expiry", Value: "600"})
			start.Timing = timing
			life := 720 * time.Second
			if timing.Wait > 0 {
				life = 300 * time.Second
			}
			begun := one.Observe(start).Beginnings
			if v, _ := one.Verification(id); v.Expires.Sub(v.Begun) != life+90*time.Second {
				t.Errorf("%s it can be verified for %v", id, v.Expires.Sub(v.Begun))
			}
			decoded, _ := DecodeBeginning(id, begun[0].Encode())
			two.Adopt(decoded, 0, false)
			if v, _ := two.Verification(id); v.Expires.Sub(v.Begun) != life+90*time.Second+patience {
				t.Errorf("%s, at another gateway, it can be verified for %v", id, v.Expires.Sub(v.Begun))
			}
		}
	})
}
