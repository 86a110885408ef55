package guard

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	// firstBlock is how long a block lasts; each one that follows, twice as long as the last
	// one, up to longestBlock. After remember without one it begins anew.
	firstBlock   = time.Hour
	longestBlock = 24 * time.Hour
	remember     = 24 * time.Hour
	// maxBlocks and maxPins bound those of rules and of operators.
	maxBlocks = 1 << 13
	maxPins   = 1 << 10
)

// Place is what a block is about.
type Place struct {
	// Caller whose starts are refused; or, with Everyone, all callers.
	Caller   string
	Everyone bool
	// Target is how numbers begin, as digits, or a country, as its code.
	Target string
}

// ErrPins says that too many blocks are pinned, and ErrTarget that a place is none.
var (
	ErrPins   = errors.New("too many blocks are pinned")
	ErrTarget = errors.New("a block is of a prefix, as digits, or of a country, as its two-letter code in capitals")
)

// Block is a place of which all starts are refused for some time, or until an operator
// lifts it.
type Block struct {
	Place
	// Finding is why; its Rule is RuleBlock where an operator pinned it. Its Mode is the rule's
	// present one, and Left how long it lasts yet; 0 for one that is pinned.
	Finding Finding
	// Age is how long ago it began, and Times how many times in a row there was one.
	Age   time.Duration
	Times int
	// Refused is how many starts it has refused, or would have in Monitor.
	Refused uint64
}

// blockName is what a block is kept by.
type blockName struct {
	rule     Rule
	caller   string
	everyone bool
	target   string
}

type block struct {
	name         blockName
	why          Finding
	begun, until time.Duration
	times        int
	refused      uint64
}

// finding is what a start is refused for, and counts it.
func (b *block) finding(m Mode, now time.Duration) Finding {
	b.refused++
	return b.told(m, now)
}

func (b *block) told(m Mode, now time.Duration) Finding {
	f := b.why
	f.Mode, f.Status = m, statuses[f.Rule]
	if f.Rule != RuleBlock {
		f.Left = b.until - now
	}
	return f
}

// blocks are those of rules, also those that are over and not forgotten, and the pinned ones.
type blocks struct {
	all    map[blockName]*block
	pinned int
	// lengths counts the targets of pinned ones by their length in digits, and countries.
	lengths   [maxDigits + 1]int
	countries int
}

func newBlocks() blocks { return blocks{all: map[blockName]*block{}} }

// find returns a rule's block that is in force, or nil.
func (s *blocks) find(name blockName, now time.Duration) *block {
	if b := s.all[name]; b != nil && now < b.until {
		return b
	}
	return nil
}

// pin returns an operator's block for a start, the widest first, or nil.
func (s *blocks) pin(l *look) *block {
	if s.pinned == 0 {
		return nil
	}
	try := func(target string) *block {
		if b := s.all[blockName{rule: RuleBlock, everyone: true, target: target}]; b != nil {
			return b
		}
		return s.all[blockName{rule: RuleBlock, caller: l.Caller, target: target}]
	}
	if s.countries > 0 && l.Country != "" {
		if b := try(l.Country); b != nil {
			return b
		}
	}
	for n := 1; n <= len(l.Number); n++ {
		if s.lengths[n] > 0 {
			if b := try(l.Number[:n]); b != nil {
				return b
			}
		}
	}
	return nil
}

func (s *blocks) drop(b *block) {
	delete(s.all, b.name)
	if b.name.rule == RuleBlock {
		s.count(b.name.target, -1)
	}
}

// count keeps account of the pinned ones.
func (s *blocks) count(target string, by int) {
	s.pinned += by
	if isDigits(target) {
		s.lengths[len(target)] += by
	} else {
		s.countries += by
	}
}

// makeRoom forgets those that nobody asks for any more or, where there are none, the one that
// ends first of the caller with the most.
func (s *blocks) makeRoom(now time.Duration) {
	if len(s.all)-s.pinned < maxBlocks {
		return
	}
	of := map[string]int{}
	for _, b := range s.all {
		switch {
		case b.name.rule == RuleBlock:
		case now >= b.until:
			s.drop(b)
		default:
			of[b.name.caller]++
		}
	}
	if len(s.all)-s.pinned < maxBlocks {
		return
	}
	var victim *block
	for _, b := range s.all {
		if b.name.rule != RuleBlock && (victim == nil || order(b, victim, of) < 0) {
			victim = b
		}
	}
	s.drop(victim)
}

// order puts first what is missed least.
func order(a, b *block, of map[string]int) int {
	return cmp.Or(
		cmp.Compare(of[b.name.caller], of[a.name.caller]),
		cmp.Compare(a.until, b.until),
		strings.Compare(a.name.caller, b.name.caller),
		strings.Compare(a.name.target, b.name.target),
		cmp.Compare(a.name.rule, b.name.rule))
}

// block begins a rule's block.
func (g *Guard) block(name blockName, why Finding, now time.Duration) *block {
	b := g.blocks.all[name]
	if b == nil || now >= b.until+remember {
		if b == nil {
			g.blocks.makeRoom(now)
		}
		name.caller, name.target = strings.Clone(name.caller), strings.Clone(name.target) // not a part of a call
		b = &block{name: name}
		g.blocks.all[name] = b
	}
	length := firstBlock
	for range b.times {
		length = min(2*length, longestBlock)
	}
	why.Target = name.target
	b.why, b.begun, b.until, b.times = why, now, now+length, b.times+1
	f := b.told(g.mode(b), now)
	g.changes.Push(Change{Kind: Blocked, Caller: name.caller, Finding: f})
	g.notices.Push(Notice{Block: Block{Place: Place{Caller: name.caller, Target: name.target}, Finding: f, Times: b.times}})
	return b
}

// mode returns that of a block's rule.
func (g *Guard) mode(b *block) Mode {
	switch r := g.inForce(b.name.caller); b.name.rule {
	case RulePerPrefix:
		return r.PerPrefix.Mode
	case RuleConversion:
		return r.Conversion
	default:
		return Enforce
	}
}

func (g *Guard) checkPins(l *look) {
	if b := g.blocks.pin(l); b != nil {
		l.find(b.finding(Enforce, l.now))
	}
}

// Pin refuses all starts of a place until it is lifted, whatever the rules' modes are; but
// not what is trusted.
func (g *Guard) Pin(p Place) error {
	if !isDigits(p.Target) && !isCountry(p.Target) {
		return ErrTarget
	}
	g.mu.Lock()
	defer g.done()
	b, err := g.pin(p, g.now())
	if b != nil {
		f := b.told(Enforce, g.now())
		g.changes.Push(Change{Kind: Blocked, Caller: b.name.caller, Finding: f})
		g.notices.Push(Notice{Block: Block{Place: Place{b.name.caller, p.Everyone, p.Target}, Finding: f, Times: 1}})
	}
	return err
}

// pin returns nil where the place is pinned already.
func (g *Guard) pin(p Place, begun time.Duration) (*block, error) {
	if p.Everyone {
		p.Caller = ""
	}
	name := blockName{RuleBlock, p.Caller, p.Everyone, p.Target}
	switch {
	case g.blocks.all[name] != nil:
		return nil, nil
	case g.blocks.pinned >= maxPins:
		return nil, ErrPins
	}
	b := &block{name: name, why: Finding{Rule: RuleBlock, Target: p.Target}, begun: begun, times: 1}
	g.blocks.all[name] = b
	g.blocks.count(p.Target, 1)
	g.switchOn()
	return b, nil
}

// Lift ends the blocks of a place, whoever began them, and forgets what had led to them. It
// tells how many there were.
func (g *Guard) Lift(p Place) (lifted int) {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	g.lifts.note(p, now)
	for _, b := range g.lift(p, now) {
		lifted++
		g.changes.Push(Change{Kind: Lifted, Caller: b.name.caller, Finding: b.told(g.mode(b), now)})
	}
	g.notices.Push(Notice{Block: Block{Place: p}, Lifted: true}) // others may have some
	return lifted
}

// lift drops the blocks of a place that had begun at a time, and returns those that were in force.
func (g *Guard) lift(p Place, at time.Duration) (lifted []*block) {
	if p.Everyone {
		p.Caller = ""
	}
	for _, rule := range [...]Rule{RuleBlock, RulePerPrefix, RuleConversion} {
		b := g.blocks.all[blockName{rule, p.Caller, p.Everyone, p.Target}]
		if b == nil || b.begun > at {
			continue
		}
		if rule == RuleBlock || g.now() < b.until {
			lifted = append(lifted, b)
		}
		g.blocks.drop(b)
	}
	g.switchOn()
	return lifted
}

// lifts are when operators lifted places last, for who tells of a block later that had begun by then.
type lifts map[Place]time.Duration

func (l lifts) note(p Place, at time.Duration) {
	if p.Everyone {
		p.Caller = ""
	}
	if last, known := l[p]; known && last >= at || !isDigits(p.Target) && !isCountry(p.Target) {
		return
	}
	p.Caller, p.Target = strings.Clone(p.Caller), strings.Clone(p.Target)
	l[p] = at
	if len(l) <= maxPins {
		return
	}
	oldest := p
	for p, at := range l {
		if at < l[oldest] {
			oldest = p
		}
	}
	delete(l, oldest)
}

// after tells whether a place was lifted since a block of it began.
func (l lifts) after(p Place, begun time.Duration) bool {
	if p.Everyone {
		p.Caller = ""
	}
	at, known := l[p]
	return known && begun < at
}

// Lifts lists the last ones, for a store that does not know them; Age is how long ago.
func (g *Guard) Lifts() []Notice {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	list := make([]Notice, 0, len(g.lifts))
	for p, at := range g.lifts {
		list = append(list, Notice{Block: Block{Place: p, Age: now - at}, Lifted: true})
	}
	return list
}

// Blocks lists those in force, the latest first.
func (g *Guard) Blocks() []Block {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	list := make([]Block, 0, len(g.blocks.all))
	for _, b := range g.blocks.all {
		if m := g.mode(b); m.on() && (b.name.rule == RuleBlock || now < b.until) {
			list = append(list, Block{
				Place{b.name.caller, b.name.everyone, b.name.target},
				b.told(m, now), now - b.begun, b.times, b.refused,
			})
		}
	}
	slices.SortFunc(list, func(a, b Block) int {
		return cmp.Or(
			cmp.Compare(a.Age, b.Age),
			strings.Compare(a.Target, b.Target),
			strings.Compare(a.Caller, b.Caller),
			cmp.Compare(a.Finding.Rule, b.Finding.Rule))
	})
	return list
}

// isCountry tells whether s can be an ISO 3166-1 alpha-2 code.
func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
