package suspend

import (
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
)

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
