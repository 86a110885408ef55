package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func prefixOnly(m Mode) Settings { return only(func(r *RuleSet) { r.PerPrefix.Mode = m }) }

// in returns a number of a range that is no neighbour of the others.
func in(i int) string { return fmt.Sprintf("44740012%04d", i*500) }

func TestPerPrefix(t *testing.T) {
	bubble(t, "ten numbers in ten minutes", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		for i := range 10 {
			g.wants(to(in(i)), "")
			g.wants(to(in(i)), "") // the same number is one
			time.Sleep(30 * time.Second)
		}
		g.wants(to(in(9)), "") // as are those that were seen
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
		g.told(Blocked)
		time.Sleep(time.Hour - 1)
		g.wants(to(in(9)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1s")
		g.wants(to("447400130000"), "") // the next range
		other := to(in(0))
		other.Caller = "bank"
		g.wants(other, "") // another caller
		time.Sleep(time.Nanosecond)
		g.wants(to(in(11)), "")
	})
	bubble(t, "over more than ten minutes", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		for i := range 20 {
			g.wants(to(in(i)), "")
			time.Sleep(minute)
		}
	})
	bubble(t, "verified ones do not count, nor what was not sent", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		for i := range 20 {
			if !g.verify(to(in(i))) {
				t.Fatal("refused")
			}
			g.Withdraw(g.wants(to(in(i)), "").Ticket)
		}
		for i := range 10 {
			id := g.start(to(in(i)))
			g.Ended(id, wire.OutcomeFailed)
		}
		g.wants(to(in(10)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 1h")
	})
	bubble(t, "neighbours", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		for _, suffix := range []int{0, 202, 1, 201, 150, 90, 100} { // all but two are near the one below
			g.wants(to(fmt.Sprintf("44740012%04d", suffix)), "")
		}
		g.wants(to("447400125000"), "")
		g.wants(to("447400120101"), "7 per_prefix 44740012: 5 in 10m, at most 5; for another 1h")
	})
	bubble(t, "a block doubles up to a day, and is forgotten after one", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		blocked := func(hours int) {
			t.Helper()
			for i := range 10 {
				g.wants(to(in(i)), "")
			}
			g.wants(to(in(10)), fmt.Sprintf("7 per_prefix 44740012: 10 in 10m, at most 10; for another %dh", hours))
			time.Sleep(time.Duration(hours) * time.Hour)
		}
		for _, hours := range []int{1, 2, 4, 8, 16, 24, 24} {
			blocked(hours)
		}
		time.Sleep(remember)
		blocked(1)
	})
	bubble(t, "in Monitor it tells the same", func(t *testing.T) {
		g := newTest(t, prefixOnly(Monitor))
		would := 0
		for i := range 20 {
			if d := g.wants(to(in(i)), ""); len(d.Findings) > 0 {
				would++
			}
		}
		if s := g.Status().Tallies[RulePerPrefix]; would != 10 || s.Would != 10 || s.Refused != 0 || s.WouldSave != 10*eur(5).Micro {
			t.Errorf("would refuse %d, %+v", would, s)
		}
		g.told(Blocked)
		for i := range 60 { // nor does what it would refuse count for the time after it
			time.Sleep(minute)
			if d := g.wants(to(in(i%20)), ""); len(d.Findings) > 0 != (i < 59) {
				t.Errorf("%d minutes after it began: %+v", i+1, d.Findings)
			}
		}
		for i := range 9 {
			g.wants(to(in(i)), "")
		}
		g.told()
		g.wants(to(in(9)), "") // the eleventh, with the one of before
		g.told(Blocked)
		g.Configure(prefixOnly(Enforce)) // the block is a block from now on
		g.wants(to(in(0)), "7 per_prefix 44740012: 10 in 10m, at most 10; for another 2h")
		g.Configure(Settings{})
		g.wants(to(in(0)), "")
	})
	bubble(t, "a short number has no prefix", func(t *testing.T) {
		g := newTest(t, prefixOnly(Enforce))
		for i := range 50 {
			g.wants(to(fmt.Sprint(2900000+i)), "")
		}
	})
}

// TestDetection holds the recommended rules to their goal.
func TestDetection(t *testing.T) {
	for name, number := range map[string]func(i int) string{
		"in a row":     func(i int) string { return fmt.Sprintf("44740012%04d", 5000+i) },
		"all over":     func(i int) string { return fmt.Sprintf("44740012%04d", i*7919%10_000) },
		"in a hundred": func(i int) string { return fmt.Sprintf("44740012%04d", 5000+i*37%100) },
		"in thousand":  func(i int) string { return fmt.Sprintf("44740012%04d", 5000+i*373%1000) },
	} {
		bubble(t, name, func(t *testing.T) {
			g := newTest(t, Settings{Account: Recommended(Enforce)})
			begun := time.Now()
			sent := 0
			var refused time.Duration
			for i := range 3000 { // ten minutes
				if g.start(to(number(i))) != "" {
					sent++
				} else if refused == 0 {
					refused = time.Since(begun)
				}
				time.Sleep(200 * time.Millisecond)
			}
			if sent > 25 || refused == 0 || refused > 30*time.Second {
				t.Errorf("%d were sent, the first was refused after %v", sent, refused)
			}
			t.Logf("%d were sent, the first was refused after %v", sent, refused)
		})
	}
}

// TestDetectionWide has an attack go over so many ranges of a country that none stands out: it is
// slowed when what was sent first is a minute old, and then blocked.
func TestDetectionWide(t *testing.T) {
	bubble(t, "a country", func(t *testing.T) {
		g := newTest(t, Settings{Account: Recommended(Enforce)})
		g.usual(200)
		sent := 0
		for i := range 5 * 3600 {
			s := to(fmt.Sprintf("3706%07d", i*7_919_111%10_000_000))
			s.Country = "LT"
			if g.start(s) != "" {
				sent++
			}
			time.Sleep(200 * time.Millisecond)
		}
		t.Logf("%d of %d were sent", sent, 5*3600)
		if sent > 500 {
			t.Errorf("%d were sent", sent)
		}
	})
}
