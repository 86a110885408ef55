package guard

import (
	"math"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// half is the span that a slice of a cell counts.
	half = 30 * time.Second
	// conversionWindow is how far back conversion is looked at.
	conversionWindow = 15 * time.Minute
	cellSlices       = int64(conversionWindow/half) + 1
	// early is how long most people take to type a code, at most.
	early = time.Minute
	// fewest are so many starts that a share of them says something.
	fewest = 20
	// slowed is the time between two starts where conversion is low.
	slowed = 30 * time.Second
	// fewestNormal are so many ends that they say what is normal for a caller, and
	// manyNormal so many that older ones count for half.
	fewestNormal = 100
	manyNormal   = 2000
)

// Conversion is low below tenth, or below a third of the caller's normal.
const (
	tenth = 0.1
	third = 1.0 / 3
)

// step is how far it has come with a cell.
type step uint8

const (
	normal step = iota
	// watching is told, and refuses nothing: what was started a minute ago or more is
	// verified far less often than is normal for the caller.
	watching
	// slowing: of these, next to nothing is verified.
	slowing
	// blocking: nor was it later, up to the end of what was started.
	blocking
)

// cell counts the starts of a caller for a country and a prefix, by when they were made.
type cell struct {
	slices  [cellSlices]slice
	newest  int64         // which one that is
	allowed time.Duration // when the last start was let through
	step    step
}

// slice counts the starts of half a minute. Of an over-full one, the shares stay as they are.
type slice struct{ started, verified, decided uint16 }

// roll makes room for now.
func (c *cell) roll(now time.Duration) {
	newest := int64(now / half)
	for i := max(c.newest, newest-cellSlices) + 1; i <= newest; i++ {
		c.slices[i%cellSlices] = slice{}
	}
	c.newest = max(c.newest, newest)
}

// of returns the slice of a moment, or nil where that is too long ago.
func (c *cell) of(at time.Duration) *slice {
	i := int64(at / half)
	if at < 0 || i > c.newest || i <= c.newest-cellSlices {
		return nil
	}
	return &c.slices[i%cellSlices]
}

// share is how many of some starts are verified.
type share struct{ of, verified int }

// below tells whether there are enough of them and fewer are verified than a part.
func (s share) below(part float64) bool {
	return s.of >= fewest && float64(s.verified) < part*float64(s.of)
}

// shares returns those of the starts that are known to have ended, or whose code has
// expired, and of those that were made a minute ago or more.
func (c *cell) shares(now time.Duration) (decided, begun share) {
	for i := max(0, c.newest-cellSlices+1); i <= c.newest; i++ {
		s := c.slices[i%cellSlices]
		decided.of += int(s.decided)
		decided.verified += int(s.verified)
		if time.Duration(i+1)*half <= now-early {
			begun.of += int(s.started)
			begun.verified += int(s.verified)
		}
	}
	return decided, begun
}

// judge returns the step for a cell, and why.
func (c *cell) judge(normalShare float64, now time.Duration) (step, share) {
	decided, begun := c.shares(now)
	low := normalShare * third
	switch {
	case decided.below(max(tenth, low)):
		return blocking, decided
	case begun.below(tenth):
		return slowing, begun
	case begun.below(low):
		return watching, begun
	}
	return normal, begun
}

// conduct is what is known of how a caller's verifications end.
type conduct struct {
	CallerStats
	checks bool // one of its verifications was verified
	// verified of decided, of late, where nothing was wrong.
	verified, decided float64
}

// normal is the share that is verified; 0 where it is not known.
func (c *conduct) normal() float64 {
	if c.decided < fewestNormal {
		return 0
	}
	return c.verified / c.decided
}

// begin counts a start.
func (c *conduct) begin(caller string) {
	c.Caller = caller
	c.Started++
}

// tell counts how a verification ended, or that it has expired, or has not after all.
func (c *conduct) tell(verified, told, expired bool) {
	switch {
	case verified:
		c.Verified++
		if expired && c.Unseen > 0 {
			c.Unseen--
		}
	case told:
		c.Failed++
	default:
		c.Unseen++
	}
}

// end counts an end, where all is normal.
func (c *conduct) end() {
	if c.decided >= manyNormal {
		c.verified, c.decided = c.verified/2, c.decided/2
	}
	c.decided++
}

// checkConversion asks whether a place is blocked or slowed, and blocks or slows it where it is
// to be. Of a caller of which no verification was ever verified, nobody knows whether it
// checks any: it is left alone, and shown.
func (g *Guard) checkConversion(l *look) {
	mode := l.rules.Conversion
	known := g.known.find(g.key(names{caller: l.Caller}))
	if !mode.on() || known == nil || !known.checks {
		return
	}
	for i, target := range l.targets {
		if target == "" {
			continue
		}
		name := blockName{rule: RuleConversion, caller: l.Caller, target: target}
		if b := g.blocks.find(name, l.now); b != nil {
			l.find(b.finding(mode, l.now))
			return
		}
		c := g.cells.find(l.cells[i])
		if c == nil {
			continue
		}
		c.roll(l.now)
		was := c.step
		var s share
		c.step, s = c.judge(known.normal(), l.now)
		f := Finding{Rule: RuleConversion, Mode: mode, Target: target, Count: s.of, Verified: s.verified, Window: conversionWindow}
		switch {
		case c.step == blocking:
			g.cells.drop(l.cells[i]) // after the block, it is counted anew
			l.find(g.block(name, f, l.now).finding(mode, l.now))
			return
		case c.step > was:
			g.changes.Push(Change{Kind: [...]ChangeKind{watching: Watched, slowing: Slowed}[c.step], Caller: l.Caller, Finding: f})
		}
		if next := c.allowed + slowed; c.step == slowing && l.now < next {
			f.Status, f.Left = wire.Throttled, next-l.now
			l.find(f)
			return
		}
	}
}

// countStarted counts a start in its cells.
func (g *Guard) countStarted(r *record) {
	for _, key := range r.cells {
		if key == 0 {
			continue
		}
		c := g.cells.get(r.caller, key)
		c.roll(r.begun)
		c.allowed = max(c.allowed, r.begun)
		if s := c.of(r.begun); s != nil && s.started < math.MaxUint16 {
			s.started++
		}
	}
}

// uncountStarted takes back countStarted.
func (g *Guard) uncountStarted(r *record) {
	for _, key := range r.cells {
		if c := g.cells.find(key); c != nil {
			if s := c.of(r.begun); s != nil && s.started > 0 {
				s.started--
			}
		}
	}
}

// countDecided counts how a start ended, or that its code has expired. It tells whether all is
// normal where it was made.
func (g *Guard) countDecided(r *record, verified bool) (allNormal bool) {
	allNormal = !r.odd
	for _, key := range r.cells {
		if key == 0 {
			continue
		}
		c := g.cells.find(key)
		if c == nil { // it was blocked
			allNormal = false
			continue
		}
		allNormal = allNormal && c.step == normal
		s := c.of(r.begun)
		if s == nil {
			continue
		}
		if !r.decided && s.decided < s.started {
			s.decided++
		}
		if verified && s.verified < s.decided {
			s.verified++
		}
	}
	return allNormal
}
