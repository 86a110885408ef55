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
		running.Attempts, running.Costs, running.Currency = 1, [2]float64{0.1, 0.05}, "EUR"
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
