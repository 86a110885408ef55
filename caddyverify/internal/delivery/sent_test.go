package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSent says which requests must not be made with another account, after one was made.
func TestSent(t *testing.T) {
	call := requestFor("447700900000")
	fault := func(cause wire.Cause, sent bool) wire.Answer {
		return (&wire.Fault{Cause: cause, MayHaveSent: sent}).Answer()
	}
	started := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success, RequestID: "id"}}}
	refused := func(s wire.Status) wire.Answer {
		return wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: s}}}
	}
	for _, test := range []struct {
		name   string
		first  Call
		answer wire.Answer
		later  time.Duration
		again  Call
		id     string
		sent   bool
	}{
		{"started", call, started, 0, call, "id", true},
		{"started, and another number", call, started, 0, requestFor("447700900001"), "", false},
		{"started, and another brand", call, started, 0, requestFor("447700900000", "brand", "Other"), "id", true},
		{"started, and another caller", call, started, 0, call.with(func(c *Call) { c.Caller = "app" }), "", false},
		{"started, but over by now", call, started, KeepFor + 1, call, "", false},
		{"may have been sent", call, fault(wire.UpstreamTimeout, true), 0, call, "", true},
		{"nothing was sent", call, fault(wire.ConnectFailed, false), 0, call, "", false},
		{"no credit", call, refused(wire.NoCredit), 0, call, "", false},
		{"barred", call, refused(wire.AccountBarred), 0, call, "", false},
		{"a wrong number", call, refused(wire.Invalid), 0, call, "", false},
		{"a key", call.with(keyed("k")), refused(wire.Invalid), 0, call.with(keyed("k")), "", true},
		{"a key of what was refused for the account", call.with(keyed("k")), refused(wire.NoCredit), 0, call.with(keyed("k")), "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := New()
				d.Track()
				_, _, ack := d.Deliver(t.Context(), test.first, Upstream{Send: func() wire.Answer { return test.answer }})
				ack(true)
				time.Sleep(test.later)
				if id, sent := d.Sent(test.again); id != test.id || sent != test.sent {
					t.Errorf("Sent is %q, %t; want %q, %t", id, sent, test.id, test.sent)
				}
			})
		})
	}
}

// TestSentUnderWay: a request for the same number that is under way is one, too, whatever else it says.
func TestSentUnderWay(t *testing.T) {
	d, call := New(), requestFor("447700900000")
	d.Track()
	_, _, ack := d.Deliver(t.Context(), call, Upstream{Send: func() wire.Answer {
		for _, again := range []Call{call, requestFor("447700900000", "lg", "de-de")} {
			if _, sent := d.Sent(again); !sent {
				t.Errorf("%v is under way, and not known", again.Params)
			}
		}
		return wire.Answer{}
	}})
	ack(true)
	if _, sent := d.Sent(call); sent {
		t.Error("what started nothing is kept")
	}
}

// TestReserve: what is about to be delivered is known of, too.
func TestReserve(t *testing.T) {
	d, call := New(), requestFor("447700900000").with(keyed("k"))
	expect := func(c Call, want bool) {
		t.Helper()
		if _, sent := d.Sent(c); sent != want {
			t.Errorf("Sent is %t, want %t", sent, want)
		}
	}
	first, second := d.Reserve(call), d.Reserve(call)
	expect(call, true)
	expect(requestFor("447700900000", "brand", "Other"), true)
	expect(requestFor("447700900001").with(keyed("k")), true)
	expect(requestFor("447700900001"), false)
	first()
	expect(call, true)
	second()
	expect(call, false)
	if len(d.coming) > 0 {
		t.Error("something is left")
	}
}
