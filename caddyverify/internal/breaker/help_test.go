package breaker

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// says is an answer of the upstream; fails is one of the gateway.
func says(status wire.Status) wire.Answer {
	return wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: status}}}
}

func fails(cause wire.Cause) wire.Answer {
	return wire.Say(&wire.Fault{Cause: cause}, wire.Request, wire.JSON, false)
}

// refusedBy is an answer with an HTTP code and no body of the API.
func refusedBy(code int) wire.Answer {
	return (&wire.Fault{Cause: wire.UpstreamError, MayHaveSent: true, UpstreamCode: code}).Answer()
}

var (
	fine      = says(wire.Success)
	wrongCode = says(wire.WrongCode)
	unused    = says(wire.NoResponse)
	busy      = says(wire.Throttled)
	broken    = says(wire.InternalError)
	timeout   = fails(wire.UpstreamTimeout)
	refused   = fails(wire.ConnectFailed)
)

// tell makes one call for each answer, one after the other, and returns how many
// were let through.
func tell(b *Breaker, answers ...wire.Answer) (through int) {
	for _, answer := range answers {
		if call, _, ok := b.Allow(); ok {
			call.Done(answer)
			through++
		}
	}
	return through
}

func times(n int, answer wire.Answer) []wire.Answer {
	return slices.Repeat([]wire.Answer{answer}, n)
}

// diary is a listener that writes changes down.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) write(c Change) {
	entry := string(c.From) + ">" + string(c.To)
	if c.Why != "" {
		entry += " (" + c.Why + ")"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.entries, want) {
		t.Errorf("changes:\n\t%s\nwant:\n\t%s", strings.Join(d.entries, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func expectState(t *testing.T, b *Breaker, want wire.CircuitState) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("the state is %v, want %v", got, want)
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
