package history

import (
	"maps"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Window is a time that ends now.
type Window int

// The windows, each with the part of the present step that is over.
const (
	QuarterHour Window = iota
	Hour
	Day
)

// Windows lists them.
var Windows = [...]Window{QuarterHour, Hour, Day}

// Duration is how long the window is.
func (w Window) Duration() time.Duration {
	return [...]time.Duration{15 * time.Minute, time.Hour, 24 * time.Hour}[w]
}

// Total is what happened within a window.
type Total struct {
	Point
	// Countries and Callers are by name.
	Countries, Callers map[string]*Group
}

// Total sums up a window, without a part of its oldest minute, or of a day its oldest
// quarter of an hour. It is the caller's to keep.
func (h *History) Total(w Window) Total {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	points, all := &h.fine, &h.minutes
	if w == Day {
		points, all = &h.coarse, &h.day
	}
	over := &h.over[w]
	if p, g := points.number(now), all.number(now); over.point != p || over.group != g {
		*over = sum{p, g, newTotal()}
		n := int(w.Duration() / all.step)
		// The points of the same time, so that the parts make the sum.
		since := now.Truncate(all.step) - time.Duration(n-1)*all.step
		points.before(now, int((now.Truncate(points.step)-since)/points.step), over.mergePoint)
		all.before(now, n-1, over.mergeGroups)
	}
	t := newTotal()
	t.merge(&over.Point)
	t.mergeGroups(&groups{over.Countries, over.Callers})
	points.last(now, 1, t.mergePoint)
	all.last(now, 1, t.mergeGroups)
	return t
}

// Lately sums up the last 15 seconds, or all of them but a part of the first five.
func (h *History) Lately() (p Point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fine.last(h.now(), 3, func(other *Point) {
		if other != nil {
			p.merge(other)
		}
	})
	return p
}

// sum is a Total of the steps before the present ones, which have these numbers. They are
// over and do not change: to sum them up each time that somebody looks would take
// milliseconds, in which calls wait.
type sum struct {
	point, group int64
	Total
}

func newTotal() Total { return Total{Countries: map[string]*Group{}, Callers: map[string]*Group{}} }

func (t *Total) mergePoint(p *Point) {
	if p != nil {
		t.merge(p)
	}
}

func (t *Total) mergeGroups(g *groups) {
	if g != nil {
		mergeGroups(t.Countries, g.countries)
		mergeGroups(t.Callers, g.callers)
	}
}

// HourBefore sums up the hour before the last one.
func (h *History) HourBefore() (p Point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	h.coarse.last(h.now(), 120, func(other *Point) {
		if n++; n <= 60 && other != nil {
			p.merge(other)
		}
	})
	return p
}

// GroupsBefore sums up the groups of the time before a window, which is as long as the
// window is: of an hour by quarters of an hour. Of the day before nothing is known.
func (h *History) GroupsBefore(w Window) (countries, callers map[string]*Group) {
	countries, callers = map[string]*Group{}, map[string]*Group{}
	if w == Day {
		return countries, callers
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all := &h.minutes
	if w == Hour {
		all = &h.day
	}
	steps, n := int(w.Duration()/all.step), 0
	all.last(h.now(), 2*steps, func(g *groups) {
		if n++; n <= steps && g != nil {
			mergeGroups(countries, g.countries)
			mergeGroups(callers, g.callers)
		}
	})
	return countries, callers
}

// Series returns the points of a window: of the day by minutes, else by five seconds, the
// oldest first. One in which nothing happened is zero. The last is the present one, which
// is not over before end.
func (h *History) Series(w Window) (step time.Duration, end time.Time, points []Point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, n := &h.fine, int(w.Duration()/fine)
	if w == Day {
		r, n = &h.coarse, coarses
	}
	now := h.now()
	r.last(now, n, func(p *Point) {
		var copied Point
		if p != nil {
			copied = *p
			copied.Spent = maps.Clone(p.Spent)
		}
		points = append(points, copied)
	})
	return r.step, time.Now().Add(now.Truncate(r.step) + r.step - now), points
}

func (p *Point) merge(other *Point) {
	for o := range wire.Operations {
		for from, n := range other.Calls[o] {
			p.Calls[o][from] += n
		}
	}
	p.Trouble += other.Trouble
	p.Sent += other.Sent
	p.Failed += other.Failed
	p.Latency.merge(&other.Latency)
	p.Requested += other.Requested
	p.Started += other.Started
	p.Entered += other.Entered
	p.Verified += other.Verified
	p.Ended += other.Ended
	for currency, amount := range other.Spent {
		p.Spent.add(currency, amount)
	}
	if other.Known {
		p.Gauges = other.Gauges
	}
}

func mergeGroups(into, from map[string]*Group) {
	for name, g := range from {
		sum := into[name]
		if sum == nil {
			sum = new(Group)
			into[name] = sum
		}
		sum.Started += g.Started
		sum.Entered += g.Entered
		sum.Ended += g.Ended
		sum.Unchecked += g.Unchecked
		for i, n := range g.Outcomes {
			sum.Outcomes[i] += n
		}
		sum.TimeToSuccess.merge(&g.TimeToSuccess)
		for currency, amount := range g.Spent {
			sum.Spent.add(currency, amount)
		}
	}
}
