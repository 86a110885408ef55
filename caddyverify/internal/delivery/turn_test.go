package delivery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A flood of identical checks costs as much work as there are of them: each time one is
// settled, one of the others has its turn, in the order in which they came.
func TestIdenticalChecksHaveTheirTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), &script{says: wire.WrongCode, slow: time.Second}
		const checks = 50
		got := make(chan string, checks)
		for n := range checks {
			go func() {
				_, _ = ask(d, s, checkOf("a", "1234"), true)
				got <- fmt.Sprint(n)
			}()
			synctest.Wait()
		}
		for n := range checks {
			if waiting := waitingFor(d); waiting != checks-1-n {
				t.Fatalf("%d wait after %d are settled", waiting, n)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if who := <-got; who != fmt.Sprint(n) {
				t.Errorf("check %s is settled in the place of %d", who, n)
			}
		}
		if n := held(d); n != 0 || s.sent != checks {
			t.Errorf("%d things are kept; %d were sent", n, s.sent)
		}
	})
}

// Checks that wait are under way: a caller has no more of them than of others.
func TestChecksThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), &script{says: wire.WrongCode, slow: time.Second}
		leaving, leave := context.WithCancel(t.Context())
		flood := checkOf("a", "1234").with(from("flood"))
		for range maxUnderWay / 2 {
			go func() {
				_, _, ack := d.Deliver(leaving, flood, s.upstream())
				ack(true)
			}()
		}
		synctest.Wait()
		expect(t, d, s, flood, true, string(wire.TooManyUnderWay), wire.Sent)
		expect(t, d, newScript(), checkOf("a", "1234").with(from("app")), true, "id-1", wire.Sent)
		leave()
		time.Sleep(time.Second) // the one that is sent is not cancelled
		synctest.Wait()
		if n := waitingFor(d); n != 0 || d.underWay.used != 0 {
			t.Errorf("%d wait, %d are under way, when all have left", n, d.underWay.used)
		}
	})
}

// Whatever becomes of one that has its turn, it passes it on.
func TestTurnIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := New(), &script{says: wire.WrongCode, slow: time.Second}
		plain, keyed := checkOf("a", "1234"), checkOf("a", "1234").with(keyed("k"))
		got := make(chan string, 5)
		for _, call := range []Call{plain, keyed, keyed, plain} {
			go func() {
				_, source := ask(d, s, call, true)
				got <- string(source)
			}()
			synctest.Wait()
		}
		leaving, cancel := context.WithCancel(t.Context())
		go func() {
			_, _, ack := d.Deliver(leaving, plain, s.upstream())
			ack(true)
			got <- "left"
		}()
		synctest.Wait()
		cancel()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, want := range []string{"left", "sent", "sent", "replayed", "sent"} {
			if source := <-got; source != want {
				t.Errorf("got %s, want %s", source, want)
			}
		}
		if n := held(d); n != 4 || s.sent != 3 { // a key is counted four times
			t.Errorf("%d things are kept; %d were sent", n, s.sent)
		}
	})
}

func waitingFor(d *Deduper) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, waiting := range d.turns {
		n += len(waiting)
	}
	return n
}
