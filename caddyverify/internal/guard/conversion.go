package guard

import (
	"math"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// conversionWindow is how far back conversion is looked at, and longWindow how far where fewer
	// are started, each in spans of a thirtieth.
	conversionWindow = 15 * time.Minute
	longWindow       = 24 * time.Hour
	half             = conversionWindow / 30
	longSpan         = longWindow / 30
	cellSlices       = 30 + 1
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
	recent, long counts
	allowed      time.Duration // when the last start was let through
	step         step
}

// counts are those of a window, by spans.
type counts struct {
	slices [cellSlices]slice
	newest int64 // which one that is
}

// slice counts the starts of a span. Of an over-full one, the shares stay as they are.
type slice struct{ started, verified, decided uint16 }

// roll makes room for now.
func (c *counts) roll(now, span time.Duration) {
	newest := int64(now / span)
	for i := max(c.newest, newest-cellSlices) + 1; i <= newest; i++ {
		c.slices[i%cellSlices] = slice{}
	}
	c.newest = max(c.newest, newest)
}

// of returns the slice of a moment, or nil where that is too long ago.
func (c *counts) of(at, span time.Duration) *slice {
	i := int64(at / span)
	if at < 0 || i > c.newest || i <= c.newest-cellSlices {
		return nil
	}
	return &c.slices[i%cellSlices]
}

func (c *cell) roll(now time.Duration) {
	c.recent.roll(now, half)
	c.long.roll(now, longSpan)
}

// at returns the slices of a moment, nil for those that are too long ago.
func (c *cell) at(at time.Duration) [2]*slice {
	return [2]*slice{c.recent.of(at, half), c.long.of(at, longSpan)}
}

// share is how many of some starts are verified.
type share struct {
	of, verified int
	within       time.Duration
}

func (s *share) add(of, verified uint16) {
	s.of += int(of)
	s.verified += int(verified)
}

// below tells whether there are enough of them and fewer are verified than a part.
func (s share) below(part float64) bool {
	return s.of >= fewest && float64(s.verified) < part*float64(s.of)
}

// shares returns those of the starts that are known to have ended, or whose code has
// expired, of those that were made a minute ago or more, and of those that were made in spans of
// which all have ended: a code that is entered is known of sooner than one that is not.
func (c *counts) shares(now, span time.Duration) (decided, begun, over share) {
	for i := max(0, c.newest-cellSlices+1); i <= c.newest; i++ {
		s := c.slices[i%cellSlices]
		decided.add(s.decided, s.verified)
		if s.decided == s.started {
			over.add(s.decided, s.verified)
		}
		if time.Duration(i+1)*span <= now-early {
			begun.add(s.started, s.verified)
		}
	}
	decided.within, begun.within, over.within = span*30, span*30, span*30
	return decided, begun, over
}

// judge returns the step for a cell, and why.
func (c *cell) judge(normalShare float64, now time.Duration) (step, share) {
	decided, begun, over := c.recent.shares(now, half)
	long, _, _ := c.long.shares(now, longSpan)
	low := normalShare * third
	for _, s := range [...]share{decided, over, long} {
		if s.below(max(tenth, low)) {
			return blocking, s
		}
	}
	switch {
	case begun.below(tenth):
		return slowing, begun
	case begun.below(low):
		return watching, begun
	}
	return normal, begun
}

// trial is one or more starts of a number by a caller, of which the others follow the first within
// conversionWindow: who asks for another code is one who wants to be verified, and not two. It
// counts as verified if one of them is.
type trial struct {
	begun             time.Duration
	decided, verified bool
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
		f := Finding{Rule: RuleConversion, Mode: mode, Target: target, Count: s.of, Verified: s.verified, Window: s.within}
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

// countStarted counts a start in its cells, if it is the first of its trial.
func (g *Guard) countStarted(r *record) {
	number := g.numbers.get(r.caller, r.tried)
	first := number.trial == nil || number.trial.begun+conversionWindow < r.begun
	if first {
		number.trial = &trial{begun: r.begun}
	}
	r.trial = number.trial
	for _, key := range r.cells {
		if key == 0 {
			continue
		}
		c := g.cells.get(r.caller, key)
		c.roll(r.begun)
		c.allowed = max(c.allowed, r.begun)
		if !first {
			continue
		}
		for _, s := range c.at(r.begun) {
			if s != nil && s.started < math.MaxUint16 {
				s.started++
			}
		}
	}
}

// uncountStarted takes back countStarted.
func (g *Guard) uncountStarted(r *record) {
	if r.trial == nil || r.trial.begun != r.begun || r.trial.decided {
		return
	}
	if number := g.numbers.find(r.tried); number != nil && number.trial == r.trial {
		number.trial = nil
	}
	for _, key := range r.cells {
		if c := g.cells.find(key); c != nil {
			for _, s := range c.at(r.begun) {
				if s != nil && s.started > 0 {
					s.started--
				}
			}
		}
	}
}

// countDecided counts how a start ended, or that its code has expired. It tells whether all is
// normal where it was made.
func (g *Guard) countDecided(r *record, verified bool) (allNormal bool) {
	allNormal = !r.odd
	if r.trial == nil {
		return allNormal
	}
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
		for _, s := range c.at(r.trial.begun) {
			if s == nil {
				continue
			}
			if !r.trial.decided && s.decided < s.started {
				s.decided++
			}
			if verified && !r.trial.verified && s.verified < s.decided {
				s.verified++
			}
		}
	}
	r.trial.decided = true
	r.trial.verified = r.trial.verified || verified
	return allNormal
}
