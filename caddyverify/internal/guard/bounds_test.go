package guard

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFlood has whatever is sent be held within the bounds, and a block and what others
// have counted outlast it.
func TestFlood(t *testing.T) {
	r := Recommended(Monitor) // refuses nothing of it
	r.PerAddress = Velocity{Monitor, []Window{per(3, time.Hour)}}
	g := newTest(t, Settings{Account: r, Callers: map[string]RuleSet{"shop": Recommended(Enforce)}})
	g.OnChange(func(Change) {})
	for i := range 11 {
		g.Decide(to(in(i)))
	}
	for range 3 {
		g.wants(to("447511111111"), "")
	}
	const flood = maxNumbers * 5 / 4
	for i := range flood {
		s := Start{Number: fmt.Sprint(440000000000 + int64(i)*15_485_863%9_999_999_999), Country: fmt.Sprint(i % 700), Caller: fmt.Sprint("caller ", i%5000), Address: fmt.Sprint(i)}
		d := g.Decide(s)
		id := fmt.Sprint(i)
		switch i % 4 {
		case 0:
			g.Concurrent(d.Ticket, id)
		case 1:
			g.Started(d.Ticket, id)
			g.Ended(id, wire.OutcomeSuccess)
		default:
			g.Started(d.Ticket, id)
		}
		g.changes = nil
	}
	s := g.Status()
	for name, n := range map[string][2]int{
		"verifications": {s.Verifications, maxRecords}, "numbers": {s.Numbers, maxNumbers}, "addresses": {s.Addresses, maxNumbers},
		"prefixes": {s.Prefixes, maxPrefixes}, "cells": {s.Cells, maxCells}, "cool-downs": {s.CoolDowns, maxCools},
		"callers": {len(s.Callers), maxCallers}, "blocks": {s.Blocks, maxBlocks},
	} {
		if n[0] > n[1] {
			t.Errorf("%d %s, at most %d", n[0], name, n[1])
		}
	}
	if s.Numbers < maxNumbers || s.Verifications < maxRecords/2 {
		t.Errorf("it was no flood: %+v", s)
	}
	if n := len(g.records.byID); n > maxRecords {
		t.Errorf("%d ids", n)
	}
	if n := len(g.numbers.lanes); n > maxLanes+1 {
		t.Errorf("%d lanes", n)
	}
	d := g.Decide(to(in(0)))
	if f, refused := d.Refusal(); !refused || f.Rule != RulePerPrefix {
		t.Errorf("the block is gone: %+v", d)
	}
	d = g.Decide(to("447511111111"))
	if f, refused := d.Refusal(); !refused || f.Rule != RulePerNumber {
		t.Errorf("another caller's starts are forgotten: %+v", d)
	}
}

// TestRefusedIsNotKept has what is refused change nothing that others are decided by.
func TestRefusedIsNotKept(t *testing.T) {
	g := newTest(t, Settings{Account: Recommended(Enforce)})
	for i := range 11 {
		g.Decide(to(in(i)))
	}
	before := g.Status()
	for i := range 10_000 {
		g.Decide(to(fmt.Sprintf("44740012%04d", i)))
	}
	after := g.Status()
	if before.Numbers != after.Numbers || before.Prefixes != after.Prefixes || before.Cells != after.Cells || before.Verifications != after.Verifications {
		t.Errorf("%+v before, %+v after", before, after)
	}
	if n := len(g.refused.entries); n > maxRefused {
		t.Errorf("%d refused are kept", n)
	}
}

func TestTable(t *testing.T) {
	tab := newTable[int](10)
	for i := range 4 {
		*tab.get("few", uint64(i)) = i
	}
	for i := range 100 {
		*tab.get("many", uint64(100+i)) = i
		tab.get("many", 100) // in use
	}
	for key, want := range map[uint64]bool{0: true, 3: true, 100: true, 199: true, 195: true, 194: false, 101: false} {
		if (tab.find(key) != nil) != want {
			t.Errorf("%d is there: %t", key, !want)
		}
	}
	for i := range 4 {
		tab.drop(uint64(i))
	}
	if len(tab.lanes) != 1 || len(tab.entries) != 6 {
		t.Errorf("%d lanes, %d entries", len(tab.lanes), len(tab.entries))
	}
}

// TestTogether has many goroutines at it, and the cap hold at each moment that is looked at.
func TestTogether(t *testing.T) {
	r := Recommended(Monitor)
	r.Budgets = []Budget{{Enforce, Day, eur(500)}}
	g := New(Settings{Account: r})
	var sent atomic.Int64
	var all sync.WaitGroup
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if b := g.Budgets()[0]; b.Settled.Micro+b.Reserved.Micro > b.Cap.Micro {
				t.Errorf("%+v", b)
				return
			}
			g.Advance()
			g.Blocks()
			g.Status()
		}
	})
	for who := range 200 {
		all.Go(func() {
			for i := range 20 {
				d := g.Decide(to(spread(who*20 + i)))
				if _, refused := d.Refusal(); refused {
					continue
				}
				if i%5 == 0 {
					g.Withdraw(d.Ticket)
					continue
				}
				id := fmt.Sprint(who, "x", i)
				g.Started(d.Ticket, id)
				g.Settle(id, eur(int64(i%6)))
				g.Ended(id, wire.OutcomeSuccess)
				sent.Add(int64(i % 6))
			}
		})
	}
	all.Wait()
	close(stop)
	watching.Wait()
	if b := g.Budgets()[0]; b.Settled != eur(sent.Load()) || b.Reserved.Micro != 0 {
		t.Errorf("%+v, sent %d", b, sent.Load())
	}
}

// TestRegretted counts what was refused and verified later on.
func TestRegretted(t *testing.T) {
	bubble(t, "by each rule", func(t *testing.T) {
		g := newTest(t, only(func(r *RuleSet) { r.PerNumber = Velocity{Enforce, []Window{per(1, minute)}} }))
		g.start(to(spread(1)))
		g.wants(to(spread(1)), "10 per_number: 1 in 1m, at most 1; for another 1m")
		g.wants(to(spread(1)), "10 per_number: 1 in 1m, at most 1; for another 1m")
		time.Sleep(minute)
		g.verify(to(spread(1)))
		if s := g.Status().Tallies[RulePerNumber]; s.Regretted != 1 || s.Refused != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	r := Recommended(Enforce)
	r.Countries = Countries{Enforce, []string{"GB", "DE", "FR"}}
	r.DenyPrefix = DenyPrefix{Enforce, []string{"4470", "447012", "79"}}
	r.PerAddress = Velocity{Enforce, []Window{per(10, time.Hour)}}
	r.Budgets = []Budget{{Enforce, Day, Money{maxCap, "EUR"}}, {Enforce, Month, Money{maxCap, "EUR"}}}
	settings := Settings{Account: r, Trusted: Trusted{Prefixes: []string{"49", "491511", "33"}}}
	number := func(i int) Start {
		s := to(fmt.Sprint(440000000000 + int64(i)*15_485_863%9_999_999_999))
		s.Address = s.Number
		return s
	}
	const busy = 28 * 60 * 20 // starts in the life of one, at the provider's limit
	full := func(n int) *Guard {
		g := New(settings)
		if err := g.Pin(Place{Everyone: true, Target: "4499"}); err != nil {
			b.Fatal(err)
		}
		for i := range n {
			s := number(i)
			g.Started(g.Decide(s).Ticket, s.Number)
		}
		return g
	}
	b.Run("let through", func(b *testing.B) {
		g := full(busy)
		starts := make([]Start, 1000)
		for i := range starts {
			starts[i] = number(busy + i)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ { // and taken back, so that there are no more
			g.Withdraw(g.Decide(starts[i%len(starts)]).Ticket)
		}
	})
	b.Run("let through, with all tables full", func(b *testing.B) {
		g := full(2 * maxNumbers)
		b.ReportAllocs()
		for i := 2 * maxNumbers; b.Loop(); i++ {
			s := number(i)
			g.Started(g.Decide(s).Ticket, s.Number)
		}
	})
	b.Run("blocked", func(b *testing.B) {
		g := New(settings)
		for i := range 11 {
			g.Decide(to(in(i)))
		}
		b.ReportAllocs()
		for b.Loop() {
			g.Decide(to("447400129999"))
		}
	})
	hidden := settings
	hidden.Trusted.Key, hidden.Trusted.Hidden = []byte("key"), [][32]byte{HideNumber([]byte("key"), in(0))}
	b.Run("blocked, with hidden numbers trusted", func(b *testing.B) {
		g := New(hidden)
		for i := range 12 {
			g.Decide(to(in(i)))
		}
		b.ReportAllocs()
		for b.Loop() {
			g.Decide(to("447400129999"))
		}
	})
}
