package record

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Replay has guards decide on all starts at their times, and learn what became of those that
// they let through. Rules that are in monitor or in enforce take part: each by itself, as in monitor, and
// all together, as in enforce. Settings are expected to be valid.
func (s *Starts) Replay(settings guard.Settings) *Report {
	p := player{Starts: s, begun: s.all[0].At, names: newNames()}
	alone, together := p.guard(settings, guard.Monitor), p.guard(settings, guard.Enforce)
	tell := newTelling(s, settings)
	for _, e := range p.events() {
		p.now = e.at.Sub(p.begun)
		if e.kind != begins {
			alone.ends(e)
			together.ends(e)
			continue
		}
		s := &p.all[e.index]
		if s.worst = (guard.Money{Micro: s.Worst, Currency: s.Currency}); s.Worst == 0 { // there were no prices then
			s.worst = together.guard.Worst(s.Country, max(s.Messages, 1))
		}
		one := p.startOf(e.index)
		alone.begins(e.index, one, func(d *guard.Decision) {
			for i := range d.Findings {
				tell.alone(e.index, &d.Findings[i])
			}
		})
		together.begins(e.index, one, func(d *guard.Decision) {
			if f, refused := d.Refusal(); refused {
				tell.together(e.index, &f)
			}
		})
	}
	return tell.report()
}

// player is a record that is replayed.
type player struct {
	*Starts
	begun time.Time
	now   time.Duration
	names names
}

// eventKind is what happens to a start.
type eventKind uint8

const (
	begins eventKind = iota
	spends
	ends
)

type event struct {
	moment
	index int
	nth   int // of what it has spent
	kind  eventKind
}

// events are all that happened, in its order.
func (p *player) events() []event {
	list := make([]event, 0, 3*len(p.all))
	for i := range p.all {
		s := &p.all[i]
		list = append(list, event{moment: moment{s.At, s.order}, index: i})
		for n := range s.spent {
			list = append(list, event{s.spent[n].moment, i, n, spends})
		}
		if s.outcome != "" {
			list = append(list, event{moment: s.ended, index: i, kind: ends})
		}
	}
	slices.SortStableFunc(list, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order), cmp.Compare(a.kind, b.kind))
	})
	return list
}

// startOf is what a guard is told, with names in the place of what is hidden.
func (p *player) startOf(i int) guard.Start {
	s := &p.all[i]
	one := guard.Start{
		Number: p.names.number(&s.Line), Country: s.Country, Type: s.Type, Caller: s.Caller,
		Worst: s.worst, Messages: s.Messages,
		Expiry: time.Duration(s.Expiry) * time.Second, Life: time.Duration(s.Life) * time.Second,
	}
	if s.Address != "" {
		one.Address = s.Run + s.Address
	}
	return one
}

// played is a guard and what it has let through.
type played struct {
	*player
	guard   *guard.Guard
	tickets []guard.Ticket
	moved   time.Duration
}

func (p *player) guard(s guard.Settings, m guard.Mode) *played {
	return &played{player: p, guard: guard.NewAt(s.All(m), func() time.Duration { return p.now }), tickets: make([]guard.Ticket, len(p.all))}
}

// advance lets the guard's time pass.
func (g *played) advance() {
	if g.now-g.moved >= time.Second {
		g.moved = g.now
		g.guard.Advance()
	}
}

func (g *played) begins(i int, one guard.Start, found func(*guard.Decision)) {
	s := &g.all[i]
	if s.Trusted {
		return
	}
	g.advance()
	d := g.guard.Decide(one)
	found(&d)
	g.tickets[i] = d.Ticket
	if s.begun() {
		g.guard.Started(d.Ticket, strconv.Itoa(i))
	}
}

func (g *played) ends(e event) {
	s := &g.all[e.index]
	t := g.tickets[e.index]
	if t == (guard.Ticket{}) {
		return
	}
	g.advance()
	id := strconv.Itoa(e.index)
	switch {
	case e.kind == spends && e.nth < len(s.spent)-1:
		g.guard.Spent(id, s.spent[e.nth].Money)
	case e.kind == spends:
		g.guard.Settle(id, s.spent[e.nth].Money)
	case s.outcome == Withdrawn:
		g.guard.Withdraw(t)
	case s.outcome == Running:
		other := ""
		if s.other >= 0 {
			other = strconv.Itoa(s.other)
		}
		g.guard.Concurrent(t, other)
	default:
		g.guard.Ended(id, wire.Outcome(s.outcome))
	}
}

// names are given to hidden numbers: their prefix and, for what is hidden, characters that
// are no digits, lest a longer prefix of some rule fit by chance. Those of a hundred are near
// each other, as in life; which hundreds are neighbours is not known.
type names struct {
	numbers map[[2]string]string
	ranges  map[string]*hundreds
}

// hundreds are those of a range.
type hundreds struct {
	places map[[2]string]int
	in     [100]int // how many numbers are named in each
}

func newNames() names {
	return names{map[[2]string]string{}, map[string]*hundreds{}}
}

func (n *names) number(l *Line) string {
	key := [2]string{l.Run, l.Number}
	name, known := n.numbers[key]
	if known {
		return name
	}
	if l.Prefix == "" { // fewer than eight digits have no range
		name = unlikeDigits(len(n.numbers), fewestDigits-1)
	} else {
		r := n.ranges[l.Prefix]
		if r == nil {
			r = &hundreds{places: map[[2]string]int{}}
			n.ranges[l.Prefix] = r
		}
		hundred := [2]string{l.Run, l.Hundred}
		place, known := r.places[hundred]
		if !known {
			place = len(r.places) * 37 % len(r.in) // not beside the last one
			r.places[hundred] = place
		}
		name = l.Prefix + unlikeDigits(place*100+r.in[place]%100, hiddenDigits)
		r.in[place]++
	}
	n.numbers[key] = name
	return name
}

// unlikeDigits writes a number in the ten characters that come after the digits, of which the guard
// reads the same value.
func unlikeDigits(n, width int) string {
	text := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		text[i] = '0' + 10 + byte(n%10) //nolint:gosec // a digit
		n /= 10
	}
	return string(text)
}
