package observe

import (
	"slices"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What the guard refuses has the status that its client reads.
func TestStatusesOfTheGuard(t *testing.T) {
	for _, o := range []wire.Operation{wire.Request, wire.PSD2} {
		for _, s := range []wire.Status{wire.Throttled, wire.NumberBlocked, wire.NoCredit, wire.Concurrent, wire.UnsupportedNetwork} {
			if !slices.Contains(statusesOf(o, FromGuard), string(s)) {
				t.Errorf("%s with status %s is counted as other", o, s)
			}
		}
	}
}
