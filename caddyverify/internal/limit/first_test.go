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

// TestFirst shows the gateway's own calls go before all others, for as long as they
// have, and be counted.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		stop := time.Now().Add(10 * time.Second)
		var flood sync.WaitGroup
		for _, o := range []wire.Operation{wire.Check, wire.Request} {
			flood.Go(func() {
				for time.Now().Before(stop) {
					flood.Go(func() { l.Wait(t.Context(), "", o) })
					time.Sleep(time.Millisecond)
				}
			})
		}
		var went []time.Duration
		for range 9 {
			time.Sleep(time.Second)
			begun := time.Now()
			if !l.WaitFirst(t.Context()) {
				t.Error("an own call was refused")
			}
			went = append(went, time.Since(begun))
		}
		flood.Wait()
		for _, waited := range went {
			if waited > time.Second/28+time.Millisecond {
				t.Errorf("own calls waited for %v, longer than for the next slot", went)
				break
			}
		}
	})
	bubble(t, "no place to wait is needed", func(t *testing.T) {
		l := New(Settings{Rate: 1})
		burst(t, l)
		begun := time.Now()
		var own sync.WaitGroup
		times := make(chan string, 3)
		for range 3 {
			own.Go(func() {
				if l.WaitFirst(t.Context()) {
					times <- time.Since(begun).String()
				}
			})
		}
		own.Wait()
		close(times)
		order := []string{<-times, <-times, <-times}
		if got := strings.Join(order, " "); got != "1s 2s 3s" {
			t.Errorf("they went at %s", got)
		}
		if n := burst(t, l); n != 0 {
			t.Errorf("%d calls more within the second", n)
		}
	})
	bubble(t, "it ends with its context", func(t *testing.T) {
		l := New(Settings{Rate: 1})
		burst(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if l.WaitFirst(ctx) || l.Stats().Waiting != 0 {
			t.Error("it went, or waits still")
		}
		if l.WaitFirst(ctx) {
			t.Error("it went after its context's end")
		}
	})
	bubble(t, "without a limit", func(t *testing.T) {
		if l := New(Settings{Rate: -1}); !l.WaitFirst(t.Context()) {
			t.Error("it was refused")
		}
	})
}
