package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// guardBeat is how often others are told what the guard has done, and asked what they have. A
	// store that is lost is told again within store.BudgetClosed.
	guardBeat = 250 * time.Millisecond
	// quietAfter is when it is only each idleBeats beats since there was no news.
	quietAfter = 10 * time.Second
	idleBeats  = 4
	// offBeats is when to ask for operators' blocks where the guard is off.
	offBeats = 8
	// maxUntold is how many news wait for the store; then the oldest are never told.
	maxUntold = 4096
	// atOnce is how many news are told or read at once.
	atOnce = 256
	// maxEnds is of how many ends it is known how they were, twice: at least of all in the log, each of
	// which has a start.
	maxEnds = 1 << 15
	// maxTellers is of how many gateways it is known what was read of them.
	maxTellers = 1024
)

// newsLog is a log of what gateways tell each other of the guard: one that is flooded pushes
// nothing out of another.
type newsLog struct {
	name string
	most int
	life time.Duration
	at   store.Position // up to which it was read
	told []news         // that are to be told
}

// guardSharing is the guard's part in what gateways share, off the way of calls but for fund.
type guardSharing struct {
	once          sync.Once
	store         atomic.Pointer[store.Shared]
	turn          chan struct{} // who has it asks for money: answers to older questions are none
	wanted        atomic.Int64  // by starts that wait for it, in millionths
	stop, stopped chan struct{}
	by            store.Mark

	mu     sync.Mutex // of all below
	from   *store.Shared
	forgot uint64
	seq    uint64
	heard  map[store.Mark]uint64 // the last news of each
	// ends are the last ones that are known, and before those of before: a start may be heard of later.
	ends, before map[string]wire.Outcome
	// costs are the last ones that were told, kept in the same way.
	costs, costsBefore map[string]costTold
	starts             newsLog
	blocks             newsLog
	pins               newsLog
}

type costTold struct {
	micro int64
	final bool
}

// guardBy has the guard share by a store from now on; nil is for no others. The caller of apply
// calls it.
func (a *Account) guardBy(s *store.Shared) {
	g := &a.guardShared
	first := false
	if s != nil {
		g.once.Do(func() { // before anybody finds a store
			first = true
			g.turn, g.stop, g.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
			g.by, g.heard = store.NewMark(), map[store.Mark]uint64{}
			g.starts = newsLog{name: "guard/starts", most: 1 << 16, life: 24 * time.Hour}
			g.blocks = newsLog{name: "guard/blocks", most: 1 << 13, life: 24 * time.Hour}
			g.pins = newsLog{name: "guard/pins", most: 1 << 11, life: 366 * 24 * time.Hour}
		})
	}
	g.store.Store(s)
	a.guard.Share(s != nil)
	if first {
		go a.shareGuard()
	}
}

// close tells the last news, and leaves the budgets.
func (g *guardSharing) close() {
	g.once.Do(func() {}) // never opened
	if g.stop != nil {
		close(g.stop)
		<-g.stopped
	}
}

// shareGuard is all that goes on by itself.
func (a *Account) shareGuard() {
	g := &a.guardShared
	defer close(g.stopped)
	defer a.guard.OnNotice(g.noticed)()
	ticker := time.NewTicker(guardBeat)
	defer ticker.Stop()
	last := time.Now()
	for beat := 0; ; beat++ {
		if g.waiting() {
			last = time.Now()
		}
		shared := g.store.Load()
		switch {
		case shared == nil:
		case !a.guard.On() && !g.waiting(): // an operator's block is for all gateways, whatever the rules are
			if beat%offBeats == 0 {
				a.meet(shared)
				a.learnNews(g.read(shared, &g.pins))
			}
		case beat%idleBeats == 0 || time.Since(last) < quietAfter:
			g.turn <- struct{}{}
			a.hold(context.Background(), shared, a.guard.Books())
			<-g.turn
			if a.exchangeNews(shared) {
				last = time.Now()
			}
		}
		select {
		case <-g.stop:
			g.turn <- struct{}{} // for good
			if shared := g.store.Load(); shared != nil {
				a.exchangeNews(shared)
				a.hold(context.Background(), shared, a.guard.Leave())
			}
			return
		case <-ticker.C:
		}
	}
}

// waiting tells whether there is news that others do not know.
func (g *guardSharing) waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.starts.told)+len(g.blocks.told)+len(g.pins.told) > 0
}

// meet tells a store that is another, or has forgotten everything, of blocks, and reads it from the
// beginning.
func (a *Account) meet(shared *store.Shared) {
	g := &a.guardShared
	forgot := shared.Stats().Forgot
	g.mu.Lock()
	ignorant := g.from != shared || forgot != g.forgot
	g.from, g.forgot = shared, forgot
	if ignorant {
		g.costs, g.costsBefore = nil, nil
	}
	g.mu.Unlock()
	if ignorant {
		g.starts.at, g.blocks.at, g.pins.at = "", "", ""
		a.tellBlocks()
	}
}

// exchangeNews tells what others do not know, and reads what they have told. It reports whether that
// was anything.
func (a *Account) exchangeNews(shared *store.Shared) bool {
	g := &a.guardShared
	a.meet(shared)
	all := make([]heardNews, 0, atOnce)
	for _, l := range []*newsLog{&g.starts, &g.blocks, &g.pins} {
		g.tell(shared, l)
		all = append(all, g.read(shared, l)...)
	}
	slices.SortStableFunc(all, func(x, y heardNews) int { return cmp.Compare(y.ago, x.ago) })
	a.learnNews(all)
	return len(all) > 0
}

// tellBlocks is for a store that does not know them, or has forgotten them.
func (a *Account) tellBlocks() {
	for _, lifted := range a.guard.Lifts() {
		a.guardShared.noticed(lifted)
	}
	for _, b := range a.guard.Blocks() {
		a.guardShared.noticed(guard.Notice{Block: b})
	}
}

// tell tells what waits, until the store does not take it.
func (g *guardSharing) tell(shared *store.Shared, l *newsLog) {
	for {
		g.mu.Lock()
		some := slices.Clone(l.told[:min(len(l.told), atOnce)])
		g.mu.Unlock()
		if len(some) == 0 {
			return
		}
		entries := make([][]byte, len(some))
		for i := range some {
			entries[i] = some[i].encode()
		}
		if shared.Tell(context.Background(), store.Name{Kind: store.Log, ID: l.name}, entries, l.most, l.life) != nil {
			return
		}
		last := some[len(some)-1].Seq
		g.mu.Lock()
		l.told = slices.DeleteFunc(l.told, func(n news) bool { return n.Seq <= last })
		g.mu.Unlock()
	}
}

// add has news wait to be told.
func (g *guardSharing) add(l *newsLog, n news) {
	if g.store.Load() == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	n.By, n.Seq, n.at = g.by, g.seq, time.Now()
	if len(l.told) >= maxUntold {
		l.told = slices.Delete(l.told, 0, 1)
	}
	l.told = append(l.told, n)
}

// started tells of a start that was let through, and has begun.
func (g *guardSharing) started(s guard.Start, requestID string, found ...guard.Finding) {
	g.add(&g.starts, news{
		Found: namesOf(found),
		Kind:  newsStart, ID: requestID, Number: s.Number, Country: s.Country, Caller: s.Caller,
		Address: s.Address, Expiry: s.Expiry, Life: s.Life,
	})
}

func (g *guardSharing) ended(requestID string, o wire.Outcome) {
	if g.store.Load() == nil {
		return
	}
	g.noteEnd(requestID, o)
	g.add(&g.starts, news{Kind: newsEnd, ID: requestID, Outcome: o})
}

func (g *guardSharing) noteEnd(requestID string, o wire.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ends) >= maxEnds || g.ends == nil {
		g.before, g.ends = g.ends, map[string]wire.Outcome{}
	}
	g.ends[wire.Spelling(requestID)] = o
}

func (g *guardSharing) endOf(requestID string) (o wire.Outcome, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := wire.Spelling(requestID)
	if o, known = g.ends[id]; !known {
		o, known = g.before[id]
	}
	return o, known
}

// cost tells what a verification that another gateway has let through has cost in all, unless it was
// told so already: each answer about it has its price.
func (g *guardSharing) cost(total ledger.Total, spent guard.Money) {
	if g.store.Load() == nil || !g.noteCost(total) {
		return
	}
	g.add(&g.starts, news{Kind: newsCost, ID: total.RequestID, Cost: &spent, Messages: total.Messages, Final: total.Final})
}

// noteCost tells whether there is something new to be told.
func (g *guardSharing) noteCost(total ledger.Total) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := wire.Spelling(total.RequestID)
	last, known := g.costs[id]
	if !known {
		last, known = g.costsBefore[id]
	}
	if known && (last.final || last == costTold{total.Micro, total.Final}) {
		return false
	}
	if len(g.costs) >= maxEnds || g.costs == nil {
		g.costsBefore, g.costs = g.costs, map[string]costTold{}
	}
	g.costs[id] = costTold{total.Micro, total.Final}
	return true
}

func (g *guardSharing) noticed(n guard.Notice) {
	b := blockOf(n.Block)
	switch {
	case n.Lifted:
		g.add(&g.pins, news{Kind: newsLift, Block: b})
	case n.Block.Finding.Rule == guard.RuleBlock:
		g.add(&g.pins, news{Kind: newsBlock, Block: b})
	default:
		g.add(&g.blocks, news{Kind: newsBlock, Block: b})
	}
}

// heardNews are news of another gateway.
type heardNews struct {
	news
	ago time.Duration
}

// read returns what others have told since it was read last.
func (g *guardSharing) read(shared *store.Shared, l *newsLog) (all []heardNews) {
	for {
		entries, err := shared.Read(context.Background(), store.Name{Kind: store.Log, ID: l.name}, l.at, atOnce)
		if err != nil {
			return all
		}
		for _, e := range entries {
			l.at = e.Position
			n, ok := decodeNews(e.Value)
			if ok && n.By != g.by && g.isNew(l, &n) {
				all = append(all, heardNews{n, e.Age + max(0, n.Waited)})
			}
		}
		if len(entries) < atOnce {
			return all
		}
	}
}

// isNew tells whether news were not read before: whoever tells counts them, and tells again what may
// not have been taken.
func (g *guardSharing) isNew(l *newsLog, n *news) bool {
	of := n.By + store.Mark(l.name)
	if n.Seq <= g.heard[of] {
		return false
	}
	if len(g.heard) >= maxTellers {
		clear(g.heard)
	}
	g.heard[of] = n.Seq
	return true
}

// learnNews has the guard know.
func (a *Account) learnNews(all []heardNews) {
	for i := range all {
		if n := &all[i]; n.Kind == newsEnd {
			a.guardShared.noteEnd(n.ID, n.Outcome)
		}
	}
	for i := range all {
		n, ago := &all[i].news, all[i].ago
		switch n.Kind {
		case newsStart:
			a.guard.Saw(guard.Start{
				Number: n.Number, Country: n.Country, Caller: n.Caller, Address: n.Address,
				Expiry: n.Expiry, Life: n.Life,
			}, n.ID, ago, rulesOf(n.Found)...)
			if outcome, known := a.guardShared.endOf(n.ID); known {
				a.guardEnded(n.ID, outcome)
			}
		case newsEnd:
			a.guardEnded(n.ID, n.Outcome)
		case newsCost:
			if n.Cost != nil {
				a.guard.Learn(n.ID, *n.Cost, n.Messages)
				if n.Final {
					a.guard.Settle(n.ID, *n.Cost)
				} else {
					a.guard.Spent(n.ID, *n.Cost)
				}
			}
		case newsBlock, newsLift:
			if b, ok := n.Block.block(ago); ok && n.Kind == newsLift {
				a.guard.Lifted(b.Place, b.Age)
			} else if ok {
				a.guard.Adopt(b)
			}
		}
	}
}
