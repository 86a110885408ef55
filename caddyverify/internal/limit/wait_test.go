package limit

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// each is a number of calls by operation.
type each [len(wire.Operations)]int

func TestBursts(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	tests := []struct {
		name     string
		settings Settings
		arrivals []arrival
		atOnce   each // let through without a wait
		later    each // let through after one
	}{
		{name: "a rested account answers 22 at once and keeps 6 for checks", arrivals: atOnce(0, wire.Request, 40), atOnce: each{22}},
		{name: "the 6 are there", arrivals: append(atOnce(0, wire.Request, 40), atOnce(ms(1), wire.Check, 10)...), atOnce: each{22, 6}},
		{name: "checks take all", arrivals: atOnce(0, wire.Check, 40), atOnce: each{0, 28}},
		{name: "searches and controls are as requests", arrivals: append(atOnce(0, wire.Search, 20), atOnce(0, wire.Control, 20)...), atOnce: each{0, 0, 20, 2}},
		{name: "what comes shortly before the second is over waits", arrivals: append(atOnce(0, wire.Check, 28), atOnce(ms(900), wire.Check, 10)...), atOnce: each{0, 28}, later: each{0, 5}},
		{name: "a slow limit", settings: Settings{Rate: 2}, arrivals: append(atOnce(0, wire.Request, 9), atOnce(ms(800), wire.Request, 9)...), atOnce: each{2}, later: each{1}},
		{name: "no limit", settings: Settings{Rate: -1}, arrivals: atOnce(0, wire.Request, 1000), atOnce: each{1000}},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			var now, then each
			for _, o := range run(New(tt.settings), tt.arrivals) {
				switch {
				case o.ok && o.waited == 0:
					now[o.operation]++
				case o.ok:
					then[o.operation]++
				}
			}
			if now != tt.atOnce || then != tt.later {
				t.Errorf("let through at once %v, later %v; want %v and %v", now, then, tt.atOnce, tt.later)
			}
		})
	}
}

// TestOrder has calls wait and shows in which order they go.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 100})
		run(l, atOnce(0, wire.Check, 100)) // comes back from now + 1 s, one each 10 ms
		time.Sleep(900 * time.Millisecond)

		var (
			mu    sync.Mutex
			order []string // one each 10 ms, so one at a time
		)
		type call struct {
			name      string
			operation wire.Operation
		}
		for _, c := range []call{{"r1", wire.Request}, {"s2", wire.Search}, {"c1", wire.Check}, {"c2", wire.Check}, {"c3", wire.Check}, {"c4", wire.Check}, {"r3", wire.Request}} {
			go func() {
				if _, ok := l.Wait(t.Context(), "", c.operation); ok {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, c.name)
				}
			}()
			synctest.Wait()
		}
		if waiting := l.Stats().Waiting; waiting != 7 {
			t.Fatalf("%d wait, want 7", waiting)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		// Checks first, then requests, but every fourth is another; each kind in order
		// of arrival.
		if got, want := strings.Join(order, " "), "c1 c2 c3 r1 c4 r3 s2"; got != want {
			t.Errorf("the order was %s, want %s", got, want)
		}
	})
}

// TestLeaving has a call leave the queue: the next one gets its turn.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 1})
		if _, ok := l.Wait(t.Context(), "", wire.Check); !ok {
			t.Fatal("the first was refused")
		}
		time.Sleep(800 * time.Millisecond)

		ctx, leave := context.WithCancel(t.Context())
		type result struct {
			retryAfter time.Duration
			ok         bool
		}
		left, stayed := make(chan result, 1), make(chan result, 1)
		wait := func(ctx context.Context, results chan<- result) {
			refusal, ok := l.Wait(ctx, "", wire.Check)
			results <- result{refusal.RetryAfter, ok}
		}
		go wait(ctx, left)
		synctest.Wait()
		if _, ok := l.Wait(t.Context(), "", wire.Check); ok {
			t.Error("the third was let through though two seconds' calls are given away")
		}
		leave()
		synctest.Wait()
		if r := <-left; r.ok || r.retryAfter != 0 {
			t.Errorf("the one that left got %+v", r)
		}
		go wait(t.Context(), stayed)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		select {
		case r := <-stayed:
			if !r.ok {
				t.Error("the one that stayed was refused")
			}
		default:
			t.Error("the one that stayed did not get the turn of the one that left")
		}
		if waiting := l.Stats().Waiting; waiting != 0 {
			t.Errorf("%d wait still", waiting)
		}
		if refusal, ok := l.Wait(ctx, "", wire.Check); ok || refusal.RetryAfter != 0 {
			t.Error("a call whose client has left was let through, or told to come again")
		}
	})
}

// TestLastMoment has the turn come in the moment in which the wait ends.
func TestLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 1})
		for range 50 {
			if _, ok := l.Wait(t.Context(), "", wire.Check); !ok {
				t.Fatal("refused though its turn came in time")
			}
			time.Sleep(750 * time.Millisecond)
		}
	})
}

// TestNoJumping has a call come when a turn is there whose timer is late: the
// turn is for the call that waits.
func TestNoJumping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 8}) // comes back from 1 s on, one each 125 ms
		run(l, atOnce(0, wire.Check, 8))
		time.Sleep(900 * time.Millisecond)
		waited := make(chan bool, 1)
		go func() {
			_, ok := l.Wait(t.Context(), "", wire.Check)
			waited <- ok
		}()
		synctest.Wait()
		l.timer.Stop()
		time.Sleep(100 * time.Millisecond)
		came := time.Now()
		if _, ok := l.Wait(t.Context(), "", wire.Check); !ok || time.Since(came) != 125*time.Millisecond {
			t.Errorf("the call that came last got %v after %v, want its turn after 125ms", ok, time.Since(came))
		}
		if !<-waited {
			t.Error("the call that waited was refused")
		}
	})
}

// TestRefusalIsQuick shows that nobody waits in vain where that can be foreseen.
func TestRefusalIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 1})
		outcomes := run(l, atOnce(0, wire.Request, 2))
		if o := outcomes[1]; o.ok || o.waited != 0 || o.retryAfter != time.Second {
			t.Errorf("the second got %+v, want an immediate refusal for a second", o)
		}
	})
}
