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
		free := l.off.Load() || !l.freeAt(check, 0).After(time.Now())
		l.mu.Unlock()
		if !free {
			return n
		}
		if _, ok := l.Wait(t.Context(), wire.Check); !ok {
			return n
		}
		n++
	}
	return n
}

func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		first := l.Configure(Settings{})
		if n := burst(t, l); n != 28 {
			t.Errorf("%d calls at once, want 28", n)
		}
		// A reload must not begin a second full measure within the same second.
		second := l.Configure(Settings{Rate: 20})
		first()
		if n := burst(t, l); n != 0 {
			t.Errorf("%d calls more after the reload", n)
		}
		time.Sleep(3 * time.Second)
		if n := burst(t, l); n != 20 {
			t.Errorf("%d calls at once, want 20", n)
		}
		third := l.Configure(Settings{Rate: 25})
		time.Sleep(time.Second)
		if rate := l.Stats().Rate; rate != 21 {
			t.Errorf("a second after it was raised the rate is %d", rate)
		}
		time.Sleep(10 * time.Second)
		if rate := l.Stats().Rate; rate != 25 {
			t.Errorf("ten seconds later it is %d", rate)
		}
		third() // its configuration failed to load
		if rate := l.Stats().Rate; rate != 20 {
			t.Errorf("with the one before in force it is %d", rate)
		}
		off := l.Configure(Settings{Rate: -1})
		second()
		if n := burst(t, l); n != 1000 {
			t.Errorf("%d calls at once without a limit", n)
		}
		fourth := l.Configure(Settings{Rate: 10})
		off()
		if n := burst(t, l); n != 0 {
			t.Errorf("%d calls within the second after there was no limit", n)
		}
		time.Sleep(3 * time.Second)
		if n := burst(t, l); n != 10 {
			t.Errorf("%d calls at once, want 10", n)
		}
		fourth()
	})
}

func TestConfigureFreesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{Rate: 10})
		burst(t, l)
		went := make(chan bool)
		time.Sleep(800 * time.Millisecond)
		go func() {
			_, ok := l.Wait(t.Context(), wire.Check)
			went <- ok
		}()
		synctest.Wait()
		l.Configure(Settings{Rate: -1})
		if !<-went {
			t.Error("a call that waited was refused when the limit was lifted")
		}
	})
}
