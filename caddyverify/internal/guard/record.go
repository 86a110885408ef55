package guard

import (
	"container/heap"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// record is a verification that was let through.
type record struct {
	id      string // once it is known
	serial  uint64 // 0 of an adopted one
	caller  string
	country string
	trusted bool
	odd     bool // a rule would have refused it
	adopted bool // another gateway let it through
	// begun, expires and until are when it was let through, when its code expires, and when
	// nobody tells any more of it; when is which of them comes next.
	begun, expires, until, when time.Duration
	// Keys of what it was counted for; 0 for what it was not.
	number, tried, address, phone, prefix, regret uint64
	suffix                                        uint16
	cells                                         [levels]uint64
	trial                                         *trial // what it counts as, in cells
	// Money, in millionths of currency.
	budgets                []*budget
	currency               string
	worst, reserved, spent int64
	messages               int64
	told, priced           bool // somebody has told what it cost, as far as known, and in all
	decided, verified      bool // it counts as verified or not
	ended                  bool // as somebody has told
	index                  int  // in the heap; -1 when it is over
}

// openAt tells whether its code can be checked.
func (r *record) openAt(now time.Duration) bool { return !r.ended && now < r.expires }

// records are found by their request_id, and wait for what comes next.
type records struct {
	byID    map[string]*record // by their spelling
	waiting waiting
}

// Ticket is a start that was let through. The zero Ticket is of none.
type Ticket struct{ r *record }

// maxID is the longest request_id that is kept, as in the ledger.
const maxID = 64

// track counts a start that is let through, by all rules that would not have refused it.
func (g *Guard) track(l *look, trusted bool) *record {
	r := g.newRecord(l)
	r.trusted, r.serial = trusted, g.serial
	if !trusted {
		g.count(l, r)
		g.known.get("", g.key(names{caller: r.caller})).begin(r.caller)
	}
	g.reserve(l, r)
	heap.Push(&g.records.waiting, r)
	return r
}

func (g *Guard) count(l *look, r *record) {
	s := &l.rules.RuleSet
	if s.PerNumber.Mode.on() && !l.found[RulePerNumber] {
		r.number = l.number
		g.numbers.get(r.caller, r.number).add(s.PerNumber.Windows, l.now)
	}
	if s.PerAddress.Mode.on() && !l.found[RulePerAddress] && l.address != 0 {
		r.address = l.address
		g.addresses.get(r.caller, r.address).add(s.PerAddress.Windows, l.now)
	}
	if s.PerPrefix.Mode.on() && !l.found[RulePerPrefix] && l.prefix != 0 {
		r.prefix, r.suffix = l.prefix, l.suffix
		seen := g.prefixes.get(r.caller, r.prefix)
		*seen = seen.add(r.suffix, l.now)
	}
	if s.Conversion.on() && !l.found[RuleConversion] {
		for i, target := range l.targets {
			if target != "" {
				r.cells[i] = l.cells[i]
			}
		}
		r.tried = l.number
		g.countStarted(r)
	}
}

// Withdraw takes back a start that was not sent after all, or that the provider has refused
// at no cost.
func (g *Guard) Withdraw(t Ticket) {
	g.mu.Lock()
	defer g.done()
	if g.withdraw(t.r) {
		g.tell(t.r, Entry{Kind: Withdrawn})
	}
}

func (g *Guard) withdraw(r *record) bool {
	if r == nil || r.index < 0 || r.id != "" {
		return false
	}
	if s := g.numbers.find(r.number); s != nil {
		s.remove(r.begun)
	}
	if s := g.addresses.find(r.address); s != nil {
		s.remove(r.begun)
	}
	if s := g.prefixes.find(r.prefix); s != nil {
		*s = s.removeAt(r.suffix, r.begun)
	}
	g.uncountStarted(r)
	if !r.trusted {
		if c := g.known.find(g.key(names{caller: r.caller})); c != nil {
			c.Started--
		}
	}
	r.spend(0, r.reserved, g.now())
	g.records.forget(r)
	return true
}

// Started tells that the provider has begun the verification.
func (g *Guard) Started(t Ticket, requestID string) {
	g.mu.Lock()
	defer g.done()
	r := t.r
	if r == nil || r.index < 0 || r.id != "" || requestID == "" || len(requestID) > maxID {
		return
	}
	if g.records.find(requestID) != nil {
		g.withdraw(r) // it was answered with the answer to another
		g.tell(r, Entry{Kind: Withdrawn})
		return
	}
	g.name(r, requestID)
}

// Concurrent tells that the provider has refused the start (status 10) since another
// verification of the number is under way, and which one.
func (g *Guard) Concurrent(t Ticket, requestID string) {
	g.mu.Lock()
	defer g.done()
	r := t.r
	if r == nil || r.index < 0 || r.id != "" {
		return
	}
	g.withdraw(r)
	now := g.now()
	c := cool{until: now + unknownCool}
	running := g.records.find(requestID)
	e := Entry{Kind: Ran}
	if running != nil {
		e.Other = running.serial
	}
	g.tell(r, e)
	if running != nil {
		if running.ended || running.phone != r.phone {
			return // it ends about now, or is of another number
		}
		c = cool{max(running.expires, now+leastCool), running.id, running.caller}
	}
	*g.cools.get(r.caller, r.phone) = c
}

// Ended tells how a verification ended. What is not known of here changes nothing.
func (g *Guard) Ended(requestID string, outcome wire.Outcome) {
	g.mu.Lock()
	defer g.done()
	r := g.records.find(requestID)
	if r == nil || r.ended {
		return
	}
	r.ended = true
	if !r.adopted {
		g.tell(r, Entry{Kind: Finished, Outcome: outcome})
	}
	g.decide(r, outcome == wire.OutcomeSuccess, true)
	if c := g.cools.find(r.phone); c != nil && c.id == r.id {
		g.cools.drop(r.phone)
	}
	now := g.now()
	if len(r.budgets) == 0 {
		g.records.forget(r)
		return
	}
	r.spend(0, r.spare(), now)
}

// spare is what of its reservation a verification needs no more: nothing while it may send, and all
// once it is known what it has cost. In between, the price of the last message may yet come.
func (r *record) spare() int64 {
	switch {
	case !r.ended || !r.told:
		return 0
	case r.priced:
		return r.reserved
	}
	return max(r.reserved-(r.worst+r.messages-1)/r.messages, 0)
}

// Settle tells what a verification is known to have cost so far, in all. What is reserved for the
// rest is given back when it has ended as well; so where the end tells the price, Settle comes
// before Ended. A verification that nobody tells the price of has cost its worst one.
func (g *Guard) Settle(requestID string, spent Money) { g.settle(requestID, spent, true) }

// Spent is Settle for what may yet grow, since the provider learns the price of the last message
// a little after the end: so much is given back with Settle alone, or else spent at the end of its
// life.
func (g *Guard) Spent(requestID string, spent Money) { g.settle(requestID, spent, false) }

// Owes tells that a verification's price is to be told yet.
func (g *Guard) Owes(requestID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records.find(requestID)
	return r != nil && len(r.budgets) > 0 && !r.priced
}

func (g *Guard) settle(requestID string, spent Money, all bool) {
	g.mu.Lock()
	defer g.done()
	r := g.records.find(requestID)
	if r == nil || spent.Micro < 0 {
		return
	}
	if !r.adopted {
		g.tell(r, Entry{Kind: Settled, Spent: spent})
	}
	if len(r.budgets) == 0 || spent.Currency != r.currency && spent.Micro != 0 {
		return // at the end of its life it counts with its worst price
	}
	r.told, r.priced = true, r.priced || all
	now := g.now()
	more := max(min(spent.Micro, maxPrice)-r.spent, 0)
	r.spend(more, min(more, r.reserved), now)
	r.spend(0, r.spare(), now)
}

// Advance does all that time has made due, and is to be called once a second, say.
func (g *Guard) Advance() {
	for more := true; more; {
		g.mu.Lock()
		more = g.advance(g.now(), portion) == portion
		g.done()
	}
}

// advance moves on up to most records, and tells how many.
func (g *Guard) advance(now time.Duration, most int) (moved int) {
	for moved < most && len(g.records.waiting) > 0 && g.records.waiting[0].when <= now {
		moved++
		r := g.records.waiting[0]
		g.decide(r, false, false)
		if now >= r.until {
			g.close(r, now)
			continue
		}
		r.when = r.until
		heap.Fix(&g.records.waiting, r.index)
	}
	return moved
}

// decide counts a verification as verified or not. told is for one that is known to have
// ended, rather than to have expired unseen; it may yet be told to have been verified.
func (g *Guard) decide(r *record, verified, told bool) {
	if r.decided && (r.verified || !verified) {
		return
	}
	if s := g.numbers.find(r.number); s != nil && s.running == r {
		s.running = nil
	}
	if !r.trusted {
		g.conclude(r, verified, told)
	}
	r.decided, r.verified = true, verified
}

func (g *Guard) conclude(r *record, verified, told bool) {
	c := g.known.get("", g.key(names{caller: r.caller}))
	c.Caller = r.caller
	before := trial{decided: r.decided}
	if r.trial != nil {
		before = *r.trial
	}
	allNormal := g.countDecided(r, verified)
	if !before.decided && (verified || allNormal) {
		c.end()
	}
	if !r.adopted { // who let it through counts it
		c.tell(verified, told, r.decided)
	}
	if !verified {
		return
	}
	c.checks = true
	if !before.verified {
		c.verified = min(c.verified+1, c.decided)
	}
	if s := g.prefixes.find(r.prefix); s != nil {
		*s = s.remove(r.suffix)
	}
	if rule := g.refused.find(r.regret); rule != nil {
		g.tallies[*rule].Regretted++
		g.refused.drop(r.regret)
	}
}

// close ends a record of which nobody has told all: what is still reserved has been spent.
func (g *Guard) close(r *record, now time.Duration) {
	g.decide(r, false, false)
	switch {
	case !r.trusted:
		r.spend(r.reserved, r.reserved, now)
	case !r.priced:
		r.spend(r.worst, 0, now)
	}
	g.records.forget(r)
}

func (s *records) find(requestID string) *record { return s.byID[wire.Spelling(requestID)] }

// forget drops a record.
func (s *records) forget(r *record) {
	heap.Remove(&s.waiting, r.index)
	if r.id != "" {
		delete(s.byID, wire.Spelling(r.id))
	}
}

// waiting is a min-heap by when.
type waiting []*record

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].when < w[j].when }

func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push is for package heap.
func (w *waiting) Push(r any) {
	r.(*record).index = len(*w)
	*w = append(*w, r.(*record))
}

// Pop is for package heap.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	r := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	r.index = -1
	return r
}
