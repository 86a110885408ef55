package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// book is what has happened, as applications and the provider saw it.
type book struct {
	calls sync.WaitGroup

	mu       sync.Mutex
	byNumber map[string]*start
	byID     map[string]*start
	modest   int                 // calls of applications that make few, in floods of others'
	refused  int                 // of these, for the limit
	known    []string            // request_ids that somebody was told
	ends     map[string]ending   // that an application was told of
	whole    map[string]*process // where the answers to accepted requests came back whole
	sender   map[string]*process // that sent accepted requests
	taken    map[string]string   // what version 1 last said to a check or control
	enders   map[string]*process // whose check or control has ended one of version 2
	doubted  map[string]bool     // of version 2, where a check or control had no answer that says what was done
}

// ending is the state that a verification ended in, and by whom an application was told.
type ending struct {
	state     string
	by        *process
	begun, at time.Time // the call that ended it
}

// start is a logical verification and what became of it.
type start struct {
	number, caller, key string
	timing              int
	attempts            int
	unsent              int            // attempts of which the gateway says that nothing was sent
	accounts            map[string]int // that accepted each
	sentTo              map[int]bool   // accounts
	rivals              int            // attempts of another application
	doubled             bool           // two of them at once
	sent                int            // requests that came to the provider
	accepted            []string
	told                []string
	by                  map[*process]bool // that were asked
	startedBy           *process          // the one that knows
	startedAt           time.Time
	startedID           string           // then
	began, last         time.Time        // the first attempt, and the end of the last one
	sentBy, unsentBy    map[*process]int // as sent and unsent, by each
	handed, named       []handing        // answers without a key; checks and controls
	underWay            map[*uplink]int  // requests
}

// tally is what happened at one process.
type tally struct {
	mu                   sync.Mutex
	byStatus             map[string]int         // answers by operation and status
	whole                int                    // accepted requests whose answers came back whole
	success              int                    // checks that the provider accepted
	started              int                    // events
	finished             map[string]int         // events by outcome
	cost                 float64                // events, without estimates
	estimates, untracked int                    // events
	prices               map[string]prices      // by request_id, as the provider has told them
	calls                map[string][]time.Time // within a second, by caller
	tokens               map[string]bool        // of version 2
}

// prices are the highest of each kind.
type prices [2]float64

func (b *tally) init() {
	b.byStatus, b.finished, b.prices = map[string]int{}, map[string]int{}, map[string]prices{}
	b.calls, b.tokens = map[string][]time.Time{}, map[string]bool{}
}

// priced notes what an answer of the provider says of prices.
func (b *tally) priced(id string, answer *reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range append(answer.List, *answer) {
		id := cmp.Or(v.RequestID, id)
		known := b.prices[id]
		for i, text := range [...]string{v.Price, v.Estimated} {
			price, _ := strconv.ParseFloat(text, 64) // none is 0
			known[i] = max(known[i], price)
		}
		b.prices[id] = known
	}
}

func (b *book) init() {
	b.byNumber, b.byID, b.ends = map[string]*start{}, map[string]*start{}, map[string]ending{}
	b.taken, b.enders, b.doubted = map[string]string{}, map[string]*process{}, map[string]bool{}
	b.whole, b.sender = map[string]*process{}, map[string]*process{}
}

func (b *book) begin(u *user) *start {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &start{number: u.number, caller: u.caller, key: u.key, timing: u.timing, by: map[*process]bool{}, began: time.Now(), accounts: map[string]int{}, sentTo: map[int]bool{}, sentBy: map[*process]int{}, unsentBy: map[*process]int{}}
	b.byNumber[u.number] = s
	return s
}

// acted notes what the provider has done.
func (b *book) acted(p *process, account int, c *asked, answer reply) {
	operation, values := c.operation, c.values
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range append(values["request_id"], values["request_ids"]...) {
		if s := b.byID[id]; s != nil && s.accounts[id] != account && (s.startedID == id && s.startedBy == p || s.knowsStart(id, p, time.Now().Add(-longestCall), time.Now())) {
			go p.violated(1, "a %s of %s is made with another account", operation, id)
		}
	}
	b.ofBoth(p, c, &answer)
	switch operation {
	case "request":
		s := b.byNumber[values.Get("number")]
		s.sent++
		s.sentBy[p]++
		s.sentTo[account] = true
		for _, id := range s.accepted {
			if !slices.Contains(s.told, id) && p.network.wellSoFar() && (b.remembers(s, id, p) || p.stores.there(s.began, b.ofLocked(s, p)...)) && s.rivals == 0 {
				go p.violated(2, "%s is sent again, though %s came back and nobody was told", s.number, id)
			}
		}
		if answer.Status == "0" {
			s.accepted = append(s.accepted, answer.RequestID)
			b.sender[answer.RequestID] = p
			b.byID[answer.RequestID] = s
			s.accounts[answer.RequestID] = account
		}
	case "search":
		p.tally.priced(values.Get("request_id"), &answer)
	case "check":
		p.tally.priced(values.Get("request_id"), &answer)
		if answer.Status == "0" {
			p.tally.mu.Lock()
			p.tally.success++
			p.tally.mu.Unlock()
		}
	}
}

// arrived notes that an answer to a request came back whole.
func (b *book) arrived(p *process, id string) {
	b.mu.Lock()
	b.whole[id] = p
	s := b.byID[id]
	s.startedID, s.startedBy, s.startedAt = id, p, time.Now()
	b.mu.Unlock()
	p.tally.mu.Lock()
	p.tally.whole++
	p.tally.mu.Unlock()
}

// answered counts an answer of the gateway, whether or not the client got it.
func (b *book) answered(p *process, u *user, path string, answer reply) {
	operation := operationOf(path)
	status := answer.Status
	if operation == "search" && status == "" {
		status = "list"
	}
	if strings.Contains(answer.body, apiSecret) || strings.Contains(answer.body, tokenCanary) {
		u.violated(6, "%s reads the secret in %s", u.name, answer.body)
	}
	if answer.Status == "4" && p.network.wellSoFar() {
		u.violated(9, "%s is refused for a secret while there is another: %s", u.name, answer.Text)
	}
	p.unharmed(u, operation, &answer)
	u.guarded(operation, &answer)
	if answer.took > longestCall {
		u.violated(7, "%s waited for %v", u.name, answer.took)
	}
	if answer.Status == "unreadable" {
		u.violated(5, "%s reads %d %q", u.name, answer.code, answer.body)
	}
	p.tally.mu.Lock()
	p.tally.byStatus[operation+" "+status]++
	own, others := len(p.tally.calls[u.caller]), 0
	for _, calls := range p.tally.calls {
		others += len(calls)
	}
	p.tally.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if max(own, answer.recent) <= 3 && others > 30 {
		b.modest++
		if answer.limited {
			b.refused++
		}
	}
	// Two at once go to one account, be it the refused one that the first is tried with.
	if operation == "request" && u.failover && u.start.attempts == 0 && !u.start.doubled && refusedForAccount.MatchString(answer.Text) && p.standsBy() {
		go u.violated(9, "%s is refused for one account while the other would take it: %s", u.name, answer.Text)
	}
	if operation == "request" && (strings.Contains(answer.Text, "nothing was sent") || strings.Contains(" 1 4 8 9 ", " "+answer.Status+" ")) {
		u.start.unsent++
		u.start.unsentBy[p]++
	}
}

// refusedForAccount is the gateway's word that it makes no requests for now.
var refusedForAccount = regexp.MustCompile(`caddy-verify: account_(bad_credentials|barred|no_credit)`)

// longestCall is longer than the timeouts of all that is done for a call.
const longestCall = 5 * callTimeout

// rivalled notes that another application is about to want the same.
func (b *book) rivalled(s *start) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.rivals++
}

// attempts is how often a client has been told of a request.
func (b *book) attempts(s *start) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.attempts
}

// attempted takes in what a client was told of a request.
func (b *book) attempted(u *user, answer reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := u.start
	s.attempts++
	s.last = time.Now()
	if answer.by != nil {
		s.by[answer.by] = true
	}
	if answer.received && answer.RequestID != "" {
		b.known = append(b.known, answer.RequestID)
		s.told = append(s.told, answer.RequestID)
		// A key stands for its answer, whatever has become of that since.
		all := b.ofLocked(s)
		alone := u.stores == nil || u.stores.there(s.began, all...)
		if v, ok := u.verification(answer.RequestID); ok && alone && s.key == "" && !v.Finalized.IsZero() && time.Since(v.Finalized) > answer.took {
			go u.violated(2, "%s is told %s, which is over", u.name, answer.RequestID)
		}
		b.handed(u, &answer)
		if owner := b.byID[answer.RequestID]; owner != s {
			go u.violated(8, "%s is told %s, which is another's", u.name, answer.RequestID)
		}
	}
}

// checked takes in what a client was told of a check.
func (b *book) checked(u *user, id, code string, answer reply) {
	if answer.RequestID != "" && answer.RequestID != id {
		u.violated(8, "%s checks %s and is told of %s", u.name, id, answer.RequestID)
	}
	if answer.Status == "16" && code == rightCode {
		u.violated(8, "%s entered the right code and is told that it was wrong", u.name)
	}
	if answer.Status == "0" && code != rightCode {
		u.violated(8, "%s entered a wrong code and is told that it was right", u.name)
	}
	if answer.Status == "0" {
		b.ended(id, "SUCCESS", &answer)
	}
}

// ended notes that an application was told how a verification ended.
func (b *book) ended(id, state string, answer *reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[id] = ending{state, answer.by, answer.begun, time.Now()}
}

// endings are the ends that applications know of, of some verifications.
func (b *book) endings(ids []string) map[string]ending {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := map[string]ending{}
	for _, id := range ids {
		if end, ok := b.ends[id]; ok {
			known[id] = end
		}
	}
	return known
}

// longestInProgress is for how long IN PROGRESS may be answered from memory, and some.
const longestInProgress = 4 * time.Second

// found takes in what a client was told of a search, for which it asked when it knew of
// some ends.
func (b *book) found(u *user, ids []string, before map[string]ending, when time.Time, answer reply) {
	states := answer.List
	if len(ids) == 1 {
		states = []reply{answer}
	}
	for _, state := range states {
		if state.RequestID == "" {
			continue
		}
		asked := false
		for _, id := range ids {
			asked = asked || id == state.RequestID
		}
		if !asked {
			u.violated(8, "%s asks for %v and is told of %s", u.name, ids, state.RequestID)
		}
		if s := u.book.startOf(state.RequestID); u.isolated && s != nil && s.caller != u.caller && s.knowsStart(state.RequestID, answer.by, answer.begun, time.Now()) && state.Status != "101" {
			u.violated(8, "%s reads %q of %s, which another caller has started", u.name, state.Status, state.RequestID)
		}
		v, ok := u.verification(state.RequestID)
		end, ended := before[state.RequestID]
		longest := longestInProgress
		if !ended { // a check that was not answered has ended it while a search was under way, perhaps
			longest += u.network.onTheWay()
		}
		u.nobodys(&state)
		if ok {
			u.notExpired(&state, &v, &answer)
		}
		if ok && v.API == sandbox.V2 {
			since, must := u.mustKnow(state.RequestID, &v, answer.by, time.Now())
			if state.Status == "IN PROGRESS" && must && when.Sub(since) > longest {
				u.violated(3, "%s reads IN PROGRESS of %s at gateway %d, which has known for %v that it is %s", u.name, state.RequestID, answer.by.number, when.Sub(since), v.Status)
			}
		} else if ok && state.Status == "IN PROGRESS" && !answer.stale && !v.Finalized.IsZero() && when.Sub(v.Finalized) > longest {
			u.violated(3, "%s reads IN PROGRESS of %s, which had been %s for %v", u.name, state.RequestID, v.Status, when.Sub(v.Finalized))
		}
		if !answer.stale {
			u.late(&state, when)
		}
		// Another process may have it in memory, for as long as is checked above.
		told := ended && (u.book.endedBy(state.RequestID) == answer.by || u.stores.there(end.begun.Add(-settled), end.by, answer.by))
		knows := ended && (end.by == answer.by || answer.by.born.After(end.at) || u.stores.there(end.begun.Add(-settled), end.by, answer.by))
		if ok && v.API == sandbox.V2 {
			ended = told // what a gateway has not heard of it does not know
		}
		if ended && state.Status != end.state && (knows || state.Status != "IN PROGRESS") {
			u.violated(3, "%s reads %q of %s, which had ended with %s before it asked", u.name, state.Status, state.RequestID, end.state)
		}
	}
}

func (b *book) startOf(id string) *start {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id]
}

// idsOf are some verifications of a caller, one of which is known.
func (b *book) idsOf(caller, one string, most int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := []string{one}
	for n := 100_000; n < 100_000+37*users && len(ids) < min(most, 10); n += 37 {
		s := b.byNumber[fmt.Sprintf("447712%06d", n)]
		if s != nil && s.caller == caller && len(s.told) > 0 && s.told[0] != one {
			ids = append(ids, s.told[0])
		}
	}
	return ids
}

// anyID is one of the verifications that somebody was told; "" where there is none.
func (b *book) anyID(r *rand.Rand) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) == 0 {
		return ""
	}
	return b.known[r.IntN(len(b.known))]
}

// arrive notes a call, and tells how many the caller has made within a second.
func (b *tally) arrive(caller string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	recent := slices.DeleteFunc(b.calls[caller], func(t time.Time) bool { return time.Since(t) > time.Second })
	b.calls[caller] = append(recent, time.Now())
	return len(recent) + 1
}

// event takes in what an account tells.
func (b *tally) event(w *world, detail gateway.Detail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch d := detail.(type) {
	case gateway.VerificationStarted:
		b.started++
	case gateway.VerificationFinished:
		b.finished[string(d.Outcome)]++
	case gateway.UntrackedFinished:
		b.untracked++
	case gateway.CostLearned:
		if d.Kind == wire.Estimated {
			b.estimates++
		} else {
			b.cost += d.Amount
		}
	case gateway.InvariantBroken:
		go w.violated(1, "the gateway itself says that %s is broken", d.Invariant)
	}
}
