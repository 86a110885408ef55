package guard

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
)

const (
	// maxNumbers, maxPrefixes and maxCells bound the tables; the first is for numbers, and
	// again for addresses. maxCallers are those of which it is known how many verify.
	maxNumbers  = 1 << 16
	maxPrefixes = 1 << 14
	maxCells    = 1 << 14
	maxCallers  = 1 << 10
	maxCools    = 1 << 14
	maxRefused  = 1 << 12
	// maxRecords is how many verifications are under way, or have no price yet.
	maxRecords = 1 << 16
	// portion is how many of them a call moves on at most.
	portion = 64
)

// Guard decides which verifications of an account may be started. It is safe for concurrent
// use; make one with New.
type Guard struct {
	changes event.Notifier[Change]
	notices event.Notifier[Notice]
	seed    maphash.Seed
	now     func() time.Duration // since it was made

	on atomic.Bool

	mu       sync.Mutex
	settings Settings
	trust    trust
	account  *inForce
	callers  map[string]*inForce
	budgets  map[budgetKey]*budget
	sharing  bool

	numbers, addresses table[starts]
	cools              table[cool]
	prefixes           table[sightings]
	cells              table[cell]
	known              table[conduct]
	refused            table[Rule]
	blocks             blocks
	lifts              lifts
	records            records
	record             func(Entry) // nil where none is kept
	serial             uint64      // of the last start
	unrecorded         uint64      // serial of the last start that was before the record
	tallies            [rules]Tally
	currency           string // of tallies
	learned            learned
	strange            map[string]bool // currencies that no budget is in
}

// New returns a Guard with settings in force, which are expected to be valid.
func New(s Settings) *Guard {
	epoch := time.Now()
	return NewAt(s, func() time.Duration { return time.Since(epoch) })
}

// NewAt is New for a time of the caller's own, from 0 on, which never goes back.
func NewAt(s Settings, now func() time.Duration) *Guard {
	g := &Guard{
		seed:      maphash.MakeSeed(),
		now:       now,
		budgets:   map[budgetKey]*budget{},
		numbers:   newTable[starts](maxNumbers),
		addresses: newTable[starts](maxNumbers),
		cools:     newTable[cool](maxCools),
		prefixes:  newTable[sightings](maxPrefixes),
		cells:     newTable[cell](maxCells),
		known:     newTable[conduct](maxCallers),
		refused:   newTable[Rule](maxRefused),
		blocks:    newBlocks(),
		lifts:     lifts{},
		records:   records{byID: map[string]*record{}},
		learned:   learned{},
		strange:   map[string]bool{},
	}
	g.Configure(s)
	return g
}

// inForce are the rules for a caller, in a form to look things up in.
type inForce struct {
	RuleSet
	countries, types map[string]struct{}
	denied           prefixes
	budgets          []*budget
}

// Configure puts settings in force at once, which are expected to be valid. What has been counted
// stays, as do blocks and what budgets have spent.
func (g *Guard) Configure(s Settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settings, g.trust = s, newTrust(s.Trusted)
	g.learned.keep(s.Prices)
	g.switchOn()
	account := s.Account.withDefaults()
	all := g.allot(account.Budgets, "", true)
	g.account = newInForce(account, all)
	g.callers = make(map[string]*inForce, len(s.Callers))
	for name, own := range s.Callers {
		budgets := slices.Concat(all, g.allot(own.Budgets, name, false))
		g.callers[name] = newInForce(own.over(account).withDefaults(), budgets)
	}
}

func newInForce(r RuleSet, budgets []*budget) *inForce {
	return &inForce{r, setOf(r.Countries.Allowed), setOf(r.NumberTypes.Denied), newPrefixes(r.DenyPrefix.Denied), budgets}
}

func setOf(list []string) map[string]struct{} {
	set := make(map[string]struct{}, len(list))
	for _, s := range list {
		set[s] = struct{}{}
	}
	return set
}

// inForce returns a caller's rules.
func (g *Guard) inForce(caller string) *inForce {
	if own := g.callers[caller]; own != nil {
		return own
	}
	return g.account
}

func (g *Guard) key(n names) uint64 { return maphash.Comparable(g.seed, n) }

// done is how a call ends that has the lock.
func (g *Guard) done() {
	g.mu.Unlock()
	g.changes.Deliver()
	g.notices.Deliver()
}

// OnChange has changes told to f from now on, one after the other and outside all locks. Of
// several, each is told.
func (g *Guard) OnChange(f func(Change)) (stop func()) { return g.changes.Subscribe(f) }

// switchOn has On tell what is so. The caller holds g.mu.
func (g *Guard) switchOn() {
	g.on.Store(g.settings.on() || g.blocks.pinned > 0 || g.record != nil)
}

// On tells that some rule does anything, a place is blocked or a record is kept, so that there is
// something to be asked.
func (g *Guard) On() bool { return g.on.Load() }

// WantsType tells whether a caller's Start is to have its Type.
func (g *Guard) WantsType(caller string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.record != nil || g.inForce(caller).NumberTypes.Mode.on()
}

// Decide tells whether a verification may be started. If so, it counts as started and what it may
// cost is reserved, until Withdraw or the end of its Life.
func (g *Guard) Decide(s Start) Decision {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	g.advance(now, portion)
	l := g.lookAt(s, now)
	g.serial++
	if g.trust.has(l.Number) {
		g.decided(&l, g.serial, true)
		return Decision{Trusted: true, Ticket: Ticket{g.track(&l, true)}}
	}
	g.checkPlaces(&l)
	g.checkPins(&l)
	g.checkCoolDown(&l)
	g.checkStarts(&l)
	g.checkPrefix(&l)
	g.checkConversion(&l)
	g.checkBudgets(&l)
	refusal, refused := l.d.Refusal()
	g.tally(&l, refusal.Rule, refused)
	g.decided(&l, g.serial, false)
	if !refused {
		l.d.Ticket = Ticket{g.track(&l, false)}
	}
	return l.d
}

// checkPlaces asks the rules that keep no count.
func (g *Guard) checkPlaces(l *look) {
	r := l.rules
	if _, allowed := r.countries[l.Country]; r.Countries.Mode.on() && !allowed {
		l.find(Finding{Rule: RuleCountries, Mode: r.Countries.Mode, Target: l.Country})
	}
	if r.DenyPrefix.Mode.on() {
		if prefix := r.denied.longest(l.Number); prefix != "" {
			f := Finding{Rule: RuleDenyPrefix, Mode: r.DenyPrefix.Mode}
			if len(prefix) <= len(l.Number)-suffixDigits { // else it is next to the whole number
				f.Target = prefix
			}
			l.find(f)
		}
	}
	if _, denied := r.types[l.Type]; r.NumberTypes.Mode.on() && denied {
		l.find(Finding{Rule: RuleNumberTypes, Mode: r.NumberTypes.Mode, Target: l.Type})
	}
}
