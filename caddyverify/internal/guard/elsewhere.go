package guard

import (
	"container/heap"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What other gateways have done counts here as well, once it is told: their starts by Saw, their
// ends by Ended, their blocks by Adopt, what operators did by Pin and Lift. Until then each lets
// through what it would alone.

// Saw tells that another gateway has let a start through, and the provider has begun it. It
// counts for all rules but budgets, which Share is for.
func (g *Guard) Saw(s Start, requestID string) {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	g.advance(now, portion)
	l := g.lookAt(s, now)
	if requestID == "" || len(requestID) > maxID || g.records.find(requestID) != nil || g.trust.has(l.Number) {
		return
	}
	r := g.newRecord(&l)
	r.adopted = true
	g.count(&l, r)
	heap.Push(&g.records.waiting, r)
	g.name(r, requestID)
}

// Adopt has a block that a rule has begun at another gateway be one here.
func (g *Guard) Adopt(b Block) {
	rule := b.Finding.Rule
	if rule != RulePerPrefix && rule != RuleConversion || b.Everyone || !isDigits(b.Target) && !isCountry(b.Target) {
		return
	}
	g.mu.Lock()
	defer g.done()
	now := g.now()
	until := now + min(max(b.Finding.Left, 0), longestBlock)
	name := blockName{rule: rule, caller: strings.Clone(b.Caller), target: strings.Clone(b.Target)}
	known := g.blocks.all[name]
	if known == nil {
		g.blocks.makeRoom(now)
		known = &block{name: name}
		g.blocks.all[name] = known
	}
	known.times = max(known.times, b.Times)
	if until > known.until {
		known.why, known.begun, known.until = b.Finding, now-max(b.Age, 0), until
		known.why.Target = name.target
	}
}

// name notes a record's request_id.
func (g *Guard) name(r *record, requestID string) {
	r.id = strings.Clone(requestID)
	g.records.byID[wire.Spelling(r.id)] = r
	if s := g.numbers.find(r.number); s != nil {
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
