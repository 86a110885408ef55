// Package history keeps what happened to an account of late: the last hour by five
// seconds, the last day by minutes, in rings of a fixed size. It is for people who look
// without a monitoring system; who has one asks that.
package history

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What is kept. An account's takes about 1.2 MB, and what its countries and callers take
// besides: 500 bytes for each in each minute of the last hour and quarter of the last
// day in which it had verifications.
const (
	fine, fines         = 5 * time.Second, 720
	coarse, coarses     = time.Minute, 1440
	quarter, quarters   = 15 * time.Minute, 96
	minute, minutesKept = time.Minute, 60
	// maxGroups is how many callers, or countries, are told apart in one of these times.
	maxGroups = 64
	// OtherGroup stands for the rest.
	OtherGroup = "other"
)

// Source is where an answer to a client came from.
type Source int

// The sources.
const (
	Upstream Source = iota
	Memory
	Gateway
	sources
)

// History is safe for concurrent use; make one with New. It needs no clock of its own.
type History struct {
	epoch time.Time

	mu      sync.Mutex
	fine    ring[Point]
	coarse  ring[Point]
	minutes ring[groups] // for the hour
	day     ring[groups] // by quarters of an hour
	over    [len(Windows)]sum
}

// New returns a History of nothing.
func New() *History {
	return &History{
		epoch:   time.Now(),
		fine:    newRing[Point](fine, fines),
		coarse:  newRing[Point](coarse, coarses),
		minutes: newRing[groups](minute, minutesKept),
		day:     newRing[groups](quarter, quarters),
	}
}

// Point is what happened within some time.
type Point struct {
	// Calls are those of clients, by operation and source.
	Calls [len(wire.Operations)][sources]uint32
	// Trouble is how many of them were answered with what an operator should know of.
	Trouble uint32
	// Sent are the calls to the upstream, of which Failed got no answer of the API, and
	// Latency is how long they took.
	Sent, Failed uint32
	Latency      Histogram
	// Requested are the calls that would start a verification, Started those that did.
	// Entered are verifications that ended after a code was tried, Verified those that
	// succeeded, Ended all that ended.
	Requested, Started, Entered, Verified, Ended uint32
	Spent                                        Money
	Gauges
}

// Gauges are what is held at a moment, with the last one of a Point's time.
type Gauges struct {
	// Known tells that there was such a moment: the gateway ran.
	Known bool
	// Rate is how many calls a second may be made, 0 for no limit, and Waiting how many
	// wait.
	Rate, Waiting int
	// Entries are the cache's.
	Entries int64
	// Broken is how many of the circuits are not closed; Suspended, that the provider
	// refuses the account.
	Broken    int
	Suspended bool
}

// Money is amounts by currency.
type Money map[string]float64

func (m *Money) add(currency string, amount float64) {
	if *m == nil {
		*m = Money{}
	}
	(*m)[currency] += amount
}

// Group is what happened to the verifications of one country, or of one caller.
type Group struct {
	Started, Entered, Ended uint32
	Outcomes                [len(wire.Outcomes)]uint32
	// Unchecked ended without any code tried.
	Unchecked uint32
	// TimeToSuccess is that of those for which a check said success.
	TimeToSuccess Histogram
	Spent         Money
}

// Verified is how many succeeded.
func (g *Group) Verified() uint32 { return g.Outcomes[0] }

type groups struct{ countries, callers map[string]*Group }

// of returns a group, under the name of the others where there are too many.
func of(all *map[string]*Group, name string) *Group {
	if *all == nil {
		*all = map[string]*Group{}
	}
	g := (*all)[name]
	if g == nil && len(*all) >= maxGroups {
		name = OtherGroup
		g = (*all)[name]
	}
	if g == nil {
		g = new(Group)
		(*all)[name] = g
	}
	return g
}

// now is the time since the epoch. The clock's steps do not move it.
func (h *History) now() time.Duration { return time.Since(h.epoch) }

// points has what happens now noted.
func (h *History) points(note func(*Point)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	note(h.fine.at(now))
	note(h.coarse.at(now))
}

// verification is points, and has the groups of its country and its caller noted, too.
func (h *History) verification(country, caller string, note func(*Point), group func(*Group)) {
	h.points(note)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for _, r := range [...]*ring[groups]{&h.minutes, &h.day} {
		all := r.at(now)
		group(of(&all.countries, country))
		if caller != "" {
			group(of(&all.callers, caller))
		}
	}
}

// Answered notes the answer to a client's call. Searches that memory answers are told of
// by Hits, many at a time.
func (h *History) Answered(o wire.Operation, from Source, trouble bool) {
	h.points(func(p *Point) {
		p.Calls[o][from]++
		if trouble {
			p.Trouble++
		}
		if o.Starts() {
			p.Requested++
		}
	})
}

// Hits notes searches that memory has answered.
func (h *History) Hits(n uint64) {
	if n > 0 {
		h.points(func(p *Point) { p.Calls[wire.Search][Memory] += uint32(n) }) //nolint:gosec // of a second
	}
}

// Sent notes a call to the upstream.
func (h *History) Sent(answered bool, took time.Duration) {
	h.points(func(p *Point) {
		p.Sent++
		if answered {
			p.Latency.Add(took)
		} else {
			p.Failed++
		}
	})
}

// Started notes that a verification has begun.
func (h *History) Started(country, caller string) {
	h.verification(country, caller, func(p *Point) { p.Started++ }, func(g *Group) { g.Started++ })
}

// Finished notes how one has ended, after so many codes. took is the time to success, 0
// where it is not known.
func (h *History) Finished(outcome wire.Outcome, country, caller string, attempts int, took time.Duration) {
	entered := attempts > 0 || outcome == wire.OutcomeSuccess
	h.verification(country, caller, func(p *Point) {
		p.Ended++
		if entered {
			p.Entered++
		}
		if outcome == wire.OutcomeSuccess {
			p.Verified++
		}
	}, func(g *Group) {
		g.Ended++
		for i, known := range wire.Outcomes {
			if known == outcome {
				g.Outcomes[i]++
			}
		}
		if entered {
			g.Entered++
		} else {
			g.Unchecked++
		}
		if took > 0 {
			g.TimeToSuccess.Add(took)
		}
	})
}

// Spent notes money that a verification has cost.
func (h *History) Spent(currency, country, caller string, amount float64) {
	h.verification(country, caller,
		func(p *Point) { p.Spent.add(currency, amount) },
		func(g *Group) { g.Spent.add(currency, amount) })
}

// Gauge notes what is held now.
func (h *History) Gauge(g Gauges) {
	g.Known = true
	h.points(func(p *Point) { p.Gauges = g })
}
