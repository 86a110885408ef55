package suspend

import (
	"context"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestTry(t *testing.T) {
	bubble(t, "credentials are searched with at once", func(t *testing.T) {
		var s Suspension
		defer s.ProbeWith(func(context.Context) wire.Answer { return unused })()
		if s.Try() {
			t.Error("there is no trouble")
		}
		s.Observe(wire.Request, says(wire.BadCredentials))
		begun := time.Now()
		time.Sleep(time.Second)
		trouble, in := s.Trouble()
		if want := (Trouble{wire.BadCredentials, begun, begun.Add(failFast)}); trouble != want || !in {
			t.Errorf("the trouble is %+v, want %+v", trouble, want)
		}
		if !s.Try() {
			t.Error("it is not tried")
		}
		time.Sleep(time.Millisecond)
		if _, still := s.Status(); still {
			t.Error("it is not known that the credentials are taken again")
		}
	})
	bubble(t, "the next call finds out about credit", func(t *testing.T) {
		var s Suspension
		s.Observe(wire.Request, says(wire.NoCredit))
		if _, _, _, ok := s.Allow("", wire.Request); ok {
			t.Error("a call went through at once")
		}
		s.Try()
		if _, _, _, ok := s.Allow("", wire.Request); !ok {
			t.Error("no call goes through")
		}
		if _, _, _, ok := s.Allow("", wire.Request); ok {
			t.Error("two calls went through in one moment")
		}
		s.Observe(wire.Request, says(wire.NoCredit))
		trouble, _ := s.Trouble()
		if trouble.Status != wire.NoCredit || !trouble.Since.Equal(time.Now()) {
			t.Errorf("the trouble is %+v", trouble)
		}
	})
}
