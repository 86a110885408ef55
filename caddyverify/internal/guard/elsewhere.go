package guard

import (
	"container/heap"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What other gateways have done counts here as well, once it is told: their starts by Saw, their
// ends by Ended, their blocks by Adopt, what their operators did by Adopt and Lifted. Until then
// each lets through what it would alone.

// Saw tells that another gateway has let a start through some time ago, and the provider has begun
// it. It counts for all rules but budgets, which Share is for, and but those that would have refused
// it there.
func (g *Guard) Saw(s Start, requestID string, ago time.Duration, found ...Rule) {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	g.advance(now, portion)
	l := g.lookAt(s, now-max(ago, 0))
	if requestID == "" || len(requestID) > maxID || g.records.find(requestID) != nil || g.trust.has(l.Number) {
		return
	}
	for _, rule := range found {
		l.found[rule] = true
	}
	r := g.newRecord(&l)
	r.adopted, r.odd = true, len(found) > 0
	g.count(&l, r)
	heap.Push(&g.records.waiting, r)
	g.name(r, requestID)
}

// Owns tells whether a verification was let through here, and it is not known yet all that it costs.
func (g *Guard) Owns(requestID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records.find(requestID)
	return r != nil && !r.adopted
}

// Notice is what other gateways are to know.
type Notice struct {
	// Block has begun here or, with Lifted, an operator has lifted all of its Place.
	Block  Block
	Lifted bool
}

// OnNotice has notices told to f from now on, one after the other and outside all locks.
func (g *Guard) OnNotice(f func(Notice)) (stop func()) { return g.notices.Subscribe(f) }

// Lifted ends the blocks of a place that had begun when an operator lifted them at another gateway.
func (g *Guard) Lifted(p Place, ago time.Duration) {
	g.mu.Lock()
	defer g.done()
	at := g.now() - max(ago, 0)
	g.lift(p, at)
	g.lifts.note(p, at)
}

// Adopt has a block that a rule or an operator has begun at another gateway be one here.
func (g *Guard) Adopt(b Block) {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	begun := now - max(b.Age, 0)
	place := Place{strings.Clone(b.Caller), b.Everyone, strings.Clone(b.Target)}
	rule := b.Finding.Rule
	switch {
	case !isDigits(b.Target) && !isCountry(b.Target):
		return
	case g.lifts.after(place, begun):
		return // whoever tells of it had not heard
	case rule == RuleBlock:
		_, _ = g.pin(place, begun) // where there is no room, others refuse
		return
	case rule != RulePerPrefix && rule != RuleConversion || b.Everyone || b.Finding.Left <= 0:
		return
	}
	until := now + min(b.Finding.Left, longestBlock)
	name := blockName{rule: rule, caller: place.Caller, target: place.Target}
	known := g.blocks.all[name]
	if known == nil {
		g.blocks.makeRoom(now)
		known = &block{name: name}
		g.blocks.all[name] = known
	}
	known.times = max(known.times, b.Times)
	if until > known.until {
		known.why, known.begun, known.until = b.Finding, begun, until
		known.why.Target = name.target
	}
}

// name notes a record's request_id.
func (g *Guard) name(r *record, requestID string) {
	r.id = strings.Clone(requestID)
	g.records.byID[wire.Spelling(r.id)] = r
	if s := g.numbers.find(r.number); s != nil && (s.running == nil || s.running.begun <= r.begun) {
		s.running = r
	}
}

// newRecord makes the record of a start, and room for it.
func (g *Guard) newRecord(l *look) *record {
	for len(g.records.waiting) >= maxRecords {
		g.close(g.records.waiting[0], l.now)
	}
	expires := l.now + l.Expiry
	return &record{
		caller: l.Caller, country: strings.Clone(l.Country), odd: len(l.d.Findings) > 0, begun: l.now, expires: expires, when: expires,
		until: l.now + l.Life, messages: int64(l.Messages), phone: l.phone, regret: l.number,
	}
}
