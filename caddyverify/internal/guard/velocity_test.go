package guard

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const minute = time.Minute

func TestPerNumber(t *testing.T) {
	const number = "447400123456"
	settings := func(m Mode) Settings {
		return only(func(r *RuleSet) {
			r.PerNumber = Velocity{m, []Window{per(3, 10*minute), per(6, 24*time.Hour)}}
		})
	}
	bubble(t, "at its edges", func(t *testing.T) {
		g := newTest(t, settings(Enforce))
		for range 3 { // at 0, 1, 2 minutes
			g.wants(to(number), "")
			time.Sleep(minute)
		}
		g.wants(to(number), "1 per_number: 3 in 10m, at most 3; for another 7m")
		g.wants(to("447400123457"), "") // another number
		other := to(number)
		other.Caller = "bank"
		g.wants(other, "") // another caller
		time.Sleep(7*minute - 1)
		g.wants(to(number), "1 per_number: 3 in 10m, at most 3; for another 1s")
		time.Sleep(time.Nanosecond)
		g.wants(to(number), "") // the first is 10 minutes ago
		time.Sleep(minute)
		g.wants(to(number), "")
		time.Sleep(minute)
		g.wants(to(number), "")
		time.Sleep(time.Hour)
		g.wants(to(number), "1 per_number: 6 in 24h, at most 6; for another 22h48m")
		time.Sleep(22*time.Hour + 48*minute)
		g.wants(to(number), "")
		if s := g.Status().Tallies[RulePerNumber]; s.Refused != 3 || s.Saved != 3*eur(5).Micro || s.Would != 0 {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "as Enforce would, in Monitor", func(t *testing.T) {
		g := newTest(t, settings(Monitor))
		var would []int
		for i := range 15 {
			if d := g.wants(to(number), ""); len(d.Findings) > 0 {
				would = append(would, i)
			}
			time.Sleep(minute)
		}
		if len(would) != 9 || would[0] != 3 || g.Status().Tallies[RulePerNumber].Would != 9 { // not 3 to 9, and 13, 14
			t.Errorf("would refuse %v", would)
		}
	})
	bubble(t, "what was not sent does not count", func(t *testing.T) {
		g := newTest(t, settings(Enforce))
		for range 10 {
			g.Withdraw(g.Decide(to(number)).Ticket)
			time.Sleep(time.Second)
		}
		for range 3 {
			g.wants(to(number), "")
		}
		g.wants(to(number), "1 per_number: 3 in 10m, at most 3; for another 10m")
	})
	bubble(t, "with the verification under way", func(t *testing.T) {
		g := newTest(t, settings(Enforce))
		g.start(to(number))
		g.start(to(number))
		id := g.start(to(number))
		if d := g.wants(to(number), "10 per_number: 3 in 10m, at most 3; for another 10m"); d.RequestID != id {
			t.Errorf("request_id %q, want %q", d.RequestID, id)
		}
		time.Sleep(5*minute - 1)
		g.wants(to(number), "10 per_number: 3 in 10m, at most 3; for another 5m")
		time.Sleep(time.Nanosecond) // its code has expired
		if d := g.wants(to(number), "1 per_number: 3 in 10m, at most 3; for another 5m"); d.RequestID != "" {
			t.Errorf("request_id %q", d.RequestID)
		}
	})
	bubble(t, "with one that has ended", func(t *testing.T) {
		g := newTest(t, settings(Enforce))
		for range 3 {
			g.verify(to(number))
		}
		g.wants(to(number), "1 per_number: 3 in 10m, at most 3; for another 10m")
	})
}

func TestPerAddress(t *testing.T) {
	bubble(t, "at its edges", func(t *testing.T) {
		g := newTest(t, only(func(r *RuleSet) { r.PerAddress = Velocity{Enforce, []Window{per(2, time.Hour)}} }))
		s := to("447400123456")
		for range 5 {
			g.wants(s, "") // without one
		}
		s.Address = "192.0.2.7"
		g.wants(s, "")
		time.Sleep(minute)
		s.Number = "447400123457"
		g.wants(s, "")
		g.wants(s, "1 per_address: 2 in 1h, at most 2; for another 59m")
		time.Sleep(59 * minute)
		g.wants(s, "")
		s.Address = "192.0.2.8"
		g.wants(s, "")
	})
}

func TestCoolDown(t *testing.T) {
	const number = "447400123456"
	settings := only(func(r *RuleSet) { r.CoolDown = Enforce })
	refused := func(g *guardTest, s Start, running string) {
		g.Concurrent(g.Decide(s).Ticket, running)
	}
	bubble(t, "the caller's own", func(t *testing.T) {
		g := newTest(t, settings)
		id := g.start(to(number))
		time.Sleep(minute)
		refused(g, to(number), id)
		if d := g.wants(to(number), "10 cool_down; for another 4m"); d.RequestID != id {
			t.Errorf("request_id %q, want %q", d.RequestID, id)
		}
		other := to(number)
		other.Caller = "bank"
		if d := g.wants(other, "10 cool_down; for another 4m"); d.RequestID != "" {
			t.Errorf("another caller is told %q", d.RequestID)
		}
		g.wants(to("447400123457"), "")
		time.Sleep(4*minute - 1)
		g.wants(to(number), "10 cool_down; for another 1s")
		time.Sleep(time.Nanosecond)
		g.wants(to(number), "")
	})
	bubble(t, "until it has ended", func(t *testing.T) {
		g := newTest(t, settings)
		id := g.start(to(number))
		refused(g, to(number), id)
		g.Ended(id, wire.OutcomeCancelled)
		g.wants(to(number), "")
	})
	bubble(t, "unknown", func(t *testing.T) {
		g := newTest(t, settings)
		refused(g, to(number), "elsewhere")
		if d := g.wants(to(number), "10 cool_down; for another 5m"); d.RequestID != "" {
			t.Errorf("request_id %q", d.RequestID)
		}
	})
	bubble(t, "one that should be over", func(t *testing.T) {
		g := newTest(t, settings)
		id := g.start(to(number))
		time.Sleep(6 * minute)
		refused(g, to(number), id)
		g.wants(to(number), "10 cool_down; for another 1m")
	})
	bubble(t, "one that has just ended, or of another number", func(t *testing.T) {
		g := newTest(t, settings)
		refused(g, to(number), g.start(to("447400123457")))
		g.wants(to(number), "")
	})
	bubble(t, "trusted", func(t *testing.T) {
		trusting := settings
		trusting.Trusted.Prefixes = []string{number}
		g := newTest(t, trusting)
		refused(g, to(number), "elsewhere")
		g.wants(to(number), "")
	})
}
