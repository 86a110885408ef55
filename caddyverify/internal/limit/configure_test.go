package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// burst is how many calls may be made at once.
func burst(t *testing.T, l *Limiter) (n int) {
	t.Helper()
	for n < 1000 {
		l.mu.Lock()
		free := l.off.Load() || !l.freeAt(l.get(""), check).After(time.Now())
		l.mu.Unlock()
		if !free {
			return n
		}
		if _, ok := l.Wait(t.Context(), "", wire.Check); !ok {
			return n
		}
		n++
	}
	return n
}

func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		l.Configure(Settings{})
		if n := burst(t, l); n != 28 {
			t.Errorf("%d calls at once, want 28", n)
		}
		// A reload must not begin a second full measure within the same second.
		l.Configure(Settings{Rate: 20})
		if n := burst(t, l); n != 0 {
			t.Errorf("%d calls more after the reload", n)
		}
		time.Sleep(3 * time.Second)
		if n := burst(t, l); n != 20 {
			t.Errorf("%d calls at once, want 20", n)
		}
		l.Configure(Settings{Rate: 25})
		if rate := l.Stats().Rate; rate != 25 {
			t.Errorf("once it is raised the rate is %d", rate)
		}
		if n := burst(t, l); n != 5 {
			t.Errorf("%d calls at once besides the 20, want 5", n)
		}
		l.Configure(Settings{Rate: 20})
		if rate := l.Stats().Rate; rate != 20 {
			t.Errorf("with the one before in force again it is %d", rate)
		}
		l.Configure(Settings{Rate: -1})
		if n := burst(t, l); n != 1000 {
			t.Errorf("%d calls at once without a limit", n)
		}
		l.Configure(Settings{Rate: 10})
		if n := burst(t, l); n != 0 {
			t.Errorf("%d calls within the second after there was no limit", n)
		}
		time.Sleep(3 * time.Second)
		if n := burst(t, l); n != 10 {
			t.Errorf("%d calls at once, want 10", n)
		}
	})
}

// TestConfigureKeepsTheSecond takes a rate back and puts it in force again within
// the second in which it was used up.
func TestConfigureKeepsTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		burst(t, l)
		time.Sleep(100 * time.Millisecond)
		l.Configure(Settings{Rate: 2})
		l.Configure(Settings{})
		time.Sleep(100 * time.Millisecond)
		if n := burst(t, l); n != 0 || l.Stats().Rate != 28 {
			t.Errorf("%d calls more than 28 within a second, at a rate of %d", n, l.Stats().Rate)
		}
	})
}

// TestConfigureThrottled changes the rate while the provider's throttling keeps it
// down.
func TestConfigureThrottled(t *testing.T) {
	tests := []struct {
		name           string
		rate           int // configured, 28 before
		atOnce, second int // the rate then, and a second later
	}{
		{"raised", 40, 26, 27}, // what is new is there, what was taken is not
		{"lowered", 20, 14, 15},
		{"below what is left", 10, 10, 10},
		{"as before", 28, 14, 15},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(Settings{})
			l.Observe(wire.Request, throttled)
			l.Configure(Settings{Rate: tt.rate})
			atOnce := l.Stats().Rate
			time.Sleep(time.Second)
			if second := l.Stats().Rate; atOnce != tt.atOnce || second != tt.second {
				t.Errorf("the rate is %d and then %d, want %d and %d", atOnce, second, tt.atOnce, tt.second)
			}
		})
	}
}

func TestConfigureFreesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 10})
		burst(t, l)
		went := make(chan bool)
		time.Sleep(800 * time.Millisecond)
		go func() {
			_, ok := l.Wait(t.Context(), "", wire.Check)
			went <- ok
		}()
		synctest.Wait()
		l.Configure(Settings{Rate: -1})
		if !<-went {
			t.Error("a call that waited was refused when the limit was lifted")
		}
	})
}
