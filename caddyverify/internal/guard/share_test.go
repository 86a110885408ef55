package guard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// keeper is a store as Books and Grants ask for it, of one budget.
type keeper struct {
	gateways map[int]*told
	// closed tells that the store has forgotten everything, and not all gateways have told it
	// again: nobody is granted more than he holds.
	closed bool
	all    int
}

type told struct {
	seq, held uint64
	spent     map[int64]Spent
}

func (k *keeper) tell(who int, b Book) Grant {
	t := k.gateways[who]
	if t == nil {
		t = &told{spent: map[int64]Spent{}}
		k.gateways[who] = t
	}
	fresh := b.Seq > t.seq
	var grant Grant
	var mine int64
	for _, s := range b.Spent {
		if s.Micro > t.spent[s.Slice].Micro {
			t.spent[s.Slice] = s
		}
	}
	for _, s := range t.spent {
		mine += s.Micro
	}
	for other, o := range k.gateways {
		if other == who {
			continue
		}
		grant.OthersHeld += int64(o.held)
		for _, s := range o.spent {
			grant.OthersSettled += s.Micro
		}
	}
	if len(k.gateways) == k.all {
		k.closed = false
	}
	grant.Held = min(b.Held, b.Want)
	if !k.closed {
		grant.Held = max(grant.Held, min(b.Want, b.Cap.Micro-grant.OthersSettled-grant.OthersHeld-mine))
	}
	if fresh {
		t.seq, t.held = b.Seq, uint64(grant.Held)
	}
	return grant
}

// fleet is gateways that share a budget, and what is on its way between them and the store.
type fleet struct {
	gateways [4]*clerk
	keeper   *keeper
	late     []func()
}

func newFleet(cents int64) *fleet {
	f := &fleet{keeper: &keeper{gateways: map[int]*told{}, all: 4}}
	for i := range f.gateways {
		f.gateways[i] = &clerk{Guard: New(only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Month, eur(cents)}} }))}
		f.gateways[i].Share(true)
	}
	return f
}

func (f *fleet) exchange(who int, books []Book, fault string) {
	for _, b := range books {
		switch fault {
		case "lost":
		case "unanswered":
			f.keeper.tell(who, b)
		case "late": // the answer comes later, or all of it does
			grant := f.keeper.tell(who, b)
			f.late = append(f.late, func() { f.gateways[who].Granted(b, grant) }, func() { f.keeper.tell(who, b) })
		default:
			f.gateways[who].Granted(b, f.keeper.tell(who, b))
		}
	}
}

func (f *fleet) sum() (all int64) {
	for _, c := range f.gateways {
		settled, reserved := c.sums()
		all += settled + reserved
	}
	return all
}

// TestShare has four gateways spend one budget, with a store that loses what it is told, its
// answers, and everything: what is settled and reserved is never more than the cap.
func TestShare(t *testing.T) {
	var spent, caps int64
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(acts, 50, 250).Draw(rt, "acts")
		limit := rapid.Int64Range(10, 300).Draw(rt, "cap")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(limit)
			for i, a := range plan {
				if a.after <= time.Hour {
					time.Sleep(a.after)
				}
				c := f.gateways[a.who]
				for _, c := range f.gateways {
					c.age()
				}
				switch a.kind {
				case "start":
					s := Start{Number: spread(i), Worst: eur(int64(1 + a.part%9))}
					f.exchange(a.who, c.Wanting(s), a.fault)
					c.start("shop", i, 1+a.part%9)
				case "beat":
					f.exchange(a.who, c.Books(), a.fault)
				case "empty":
					f.keeper.gateways, f.keeper.closed = map[int]*told{}, true
					for who, c := range f.gateways { // each beats
						f.exchange(who, c.Books(), "")
					}
				case "advance":
					for _, tell := range f.late {
						tell()
					}
					f.late = nil
				case "settle": // before its end only: what is known later may be beyond the cap
					if n := len(c.papers); n > 0 && !c.papers[a.which%n].ended {
						c.do(a)
					}
				default:
					c.do(a)
				}
				if all := f.sum(); all > eur(limit).Micro {
					problem = fmt.Sprintf("after the %dth act %+v: %d of %d", i, a, all, eur(limit).Micro)
					return
				}
			}
			spent += f.sum()
			caps += eur(limit).Micro
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
	if spent < caps/10 {
		t.Errorf("no more than %d of %d were spent: nothing is tried", spent, caps)
	}
}

// TestShareAll shows that all of the cap can be spent, by whoever needs it, and that all gateways
// know of all.
func TestShareAll(t *testing.T) {
	bubble(t, "one gateway spends nearly all", func(t *testing.T) {
		f := newFleet(1000)
		for who, c := range f.gateways {
			f.exchange(who, c.Books(), "")
		}
		sent := 0
		for i := range 1000 {
			c := f.gateways[0]
			f.exchange(0, c.Wanting(number5(i)), "")
			if c.start("shop", i, 5) {
				sent++
			}
		}
		if sent < 185 || sent > 200 { // the others hold a 64th each in advance
			t.Errorf("%d of 200 were sent", sent)
		}
		time.Sleep(againAfter)
		for who, c := range f.gateways {
			f.exchange(who, c.Books(), "")
		}
		for i, c := range f.gateways {
			if b := c.Budgets()[0]; b.Reserved.Micro < int64(sent)*eur(5).Micro || b.Reserved.Micro > b.Cap.Micro {
				t.Errorf("gateway %d: %+v", i, b)
			}
		}
		f.exchange(0, f.gateways[0].Wanting(number5(0)), "")
		if f.gateways[0].Wanting(number5(0)) != nil {
			t.Error("between two beats, the store is asked again for what there is not")
		}
	})
	bubble(t, "whatever is settled between beats", func(t *testing.T) {
		f := newFleet(1000)
		c := f.gateways[0]
		sent := 0
		for i := range 1000 {
			f.exchange(0, c.Wanting(number5(i)), "")
			if i%7 != 0 && c.start("shop", i, 5) {
				sent++
				c.Settle(fmt.Sprint("id-", len(c.papers)), eur(5))
			}
			f.exchange(0, c.Books(), "")
		}
		if sent != 200 { // there are no others
			t.Errorf("%d of 200 were sent", sent)
		}
	})
	bubble(t, "a gateway leaves", func(t *testing.T) {
		f := newFleet(1000)
		for i := range 100 {
			f.exchange(0, f.gateways[0].Wanting(number5(i)), "")
			f.gateways[0].start("shop", i, 5)
		}
		f.exchange(0, f.gateways[0].Leave(), "")
		f.exchange(1, f.gateways[1].Books(), "")
		f.gateways[1].wantsFigures(t, 500, 0)
		if f.gateways[0].start("shop", 1, 5) {
			t.Error("it goes on")
		}
	})
	bubble(t, "with the store away from the beginning nothing is spent", func(t *testing.T) {
		f := newFleet(1000)
		f.exchange(0, f.gateways[0].Wanting(number5(0)), "lost")
		if f.gateways[0].start("shop", 1, 5) {
			t.Error("it was let through")
		}
		f.gateways[0].Share(false)
		if !f.gateways[0].start("shop", 1, 5) {
			t.Error("it was refused")
		}
	})
	bubble(t, "with the store away a gateway goes on with what it holds", func(t *testing.T) {
		f := newFleet(1000)
		f.exchange(0, f.gateways[0].Books(), "")
		sent := 0
		for i := range 10 {
			f.exchange(0, f.gateways[0].Wanting(number5(i)), "lost")
			if f.gateways[0].start("shop", i, 5) {
				sent++
			}
		}
		if sent != 3 {
			t.Errorf("%d were sent", sent)
		}
	})
}

// TestShareUnheard: what others take to be spent when this gateway is not heard from for a period is not
// spent later.
func TestShareUnheard(t *testing.T) {
	bubble(t, "half an hour of a day's", func(t *testing.T) {
		f := newFleet(1000)
		c := f.gateways[0]
		c.Configure(only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Day, eur(1000)}} }))
		c.Share(false)
		c.Share(true)
		f.exchange(0, c.Books(), "")
		time.Sleep(30 * time.Minute)
		f.exchange(0, c.Books(), "lost")
		if c.Lacks(number5(0)) || !c.start("shop", 0, 5) {
			t.Error("it does not go on with what it has")
		}
		time.Sleep(time.Nanosecond)
		if !c.Lacks(number5(1)) || c.start("shop", 1, 5) {
			t.Error("it goes on for ever")
		}
		f.exchange(0, c.Wanting(number5(1)), "")
		if c.Lacks(number5(1)) || !c.start("shop", 1, 5) {
			t.Error("it does not go on when it is heard")
		}
	})
}

// TestShareCapLowered: a cap that is lowered holds at once, whatever was granted.
func TestShareCapLowered(t *testing.T) {
	bubble(t, "a hundredth of it", func(t *testing.T) {
		f := newFleet(1000)
		c := f.gateways[0]
		f.exchange(0, c.Books(), "")
		c.start("shop", 0, 5)
		c.Configure(only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Month, eur(8)}} }))
		if c.start("shop", 1, 5) {
			t.Error("it goes on with what it was granted")
		}
		f.exchange(0, c.Wanting(number5(1)), "")
		if c.Lacks(number5(1)) {
			t.Error("the store is asked again for what there is not")
		}
		c.Configure(only(func(r *RuleSet) { r.Budgets = []Budget{{Enforce, Month, eur(100)}} }))
		f.exchange(0, c.Books(), "")
		f.exchange(0, c.Wanting(number5(1)), "")
		if !c.start("shop", 1, 5) {
			t.Error("there is room again")
		}
	})
}

// TestShareBack: who was not heard of for so long that others take his part for spent has none.
func TestShareBack(t *testing.T) {
	bubble(t, "a month later", func(t *testing.T) {
		f := newFleet(1000)
		c := f.gateways[0]
		f.exchange(0, c.Books(), "")
		if b := f.heldBy(c.Books()); b != 0 {
			t.Errorf("%d are told again at once", b)
		}
		time.Sleep(13 * time.Hour)
		if b := f.heldBy(c.Books()); b != 0 {
			t.Errorf("it holds %d yet", b)
		}
	})
}

func (f *fleet) heldBy(books []Book) (held int64) {
	for _, b := range books {
		held += b.Held
	}
	return held
}

// TestShareExhausted tells of a budget that is exhausted, and not of a part that is.
func TestShareExhausted(t *testing.T) {
	bubble(t, "a gateway", func(t *testing.T) {
		f := newFleet(1000)
		c, told := f.gateways[0], 0
		c.OnChange(func(change Change) {
			if change.Kind == Exhausted {
				told++
			}
		})
		f.exchange(0, c.Books(), "")
		if c.start("shop", 1, 100) || told != 0 {
			t.Errorf("told %d times, and there is money elsewhere", told)
		}
		f.exchange(1, f.gateways[1].Wanting(Start{Number: spread(1), Worst: eur(950)}), "")
		f.exchange(0, c.Wanting(Start{Number: spread(1), Worst: eur(100)}), "")
		if c.start("shop", 1, 100) || told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// TestShareExhaustedOnce: a flood of starts while the store grants nothing is no flood of what
// operators are told.
func TestShareExhaustedOnce(t *testing.T) {
	bubble(t, "a gateway", func(t *testing.T) {
		c, told := newFleet(1000).gateways[0], 0
		c.OnChange(func(change Change) {
			if change.Kind == Exhausted {
				told++
			}
		})
		for i := range 50 { // the store has not answered yet
			if c.start("shop", i, 100) {
				t.Fatal("it was let through")
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// TestShareTold: what is known is not told again at once.
func TestShareTold(t *testing.T) {
	bubble(t, "a gateway", func(t *testing.T) {
		f := newFleet(1000)
		c := f.gateways[0]
		wants := func(what string, want int) {
			t.Helper()
			if n := len(c.Books()); n != want {
				t.Errorf("%s: %d books, want %d", what, n, want)
			}
		}
		wants("nothing was told", 1)
		wants("it was not answered", 1)
		f.exchange(0, c.Books(), "")
		wants("nothing is new", 0)
		c.start("shop", 1, 5)
		wants("something is reserved", 1)
		f.exchange(0, c.Books(), "")
		c.Settle(c.papers[0].id, eur(2))
		wants("something is spent", 1)
		f.exchange(0, c.Books(), "")
		time.Sleep(againAfter)
		wants("after a while", 1)
		f.exchange(1, f.gateways[1].Wanting(Start{Number: spread(1), Worst: eur(990)}), "")
		f.exchange(0, c.Books(), "")
		f.exchange(0, c.Wanting(Start{Number: spread(1), Worst: eur(900)}), "")
		wants("it was granted less than it wants", 1)
	})
}

// wantsFigures compares those of the only budget, in cents.
func (c *clerk) wantsFigures(t *testing.T, settled, reserved int64) {
	t.Helper()
	if b := c.Budgets()[0]; b.Settled != eur(settled) || b.Reserved != eur(reserved) {
		t.Errorf("%+v", b)
	}
}

func number5(i int) Start { return Start{Number: spread(i), Worst: eur(5)} }
