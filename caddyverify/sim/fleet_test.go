package sim

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// roads are those of a user, if gateways share a store.
func (w *world) roads(n int) *rand.Rand {
	if w.stores == nil {
		return nil
	}
	return rand.New(rand.NewPCG(w.seed, uint64(5000+n)))
}

// next is where a user's next call goes: anywhere, where gateways share a store.
func (u *user) next() int {
	if u.roads == nil || u.roads.IntN(2) == 0 {
		return u.slot
	}
	return u.roads.IntN(len(u.slots))
}

// apart has what a copy of a user does be drawn apart.
func (u *user) apart() {
	if u.roads != nil {
		u.roads = rand.New(rand.NewPCG(u.roads.Uint64(), 0))
	}
}

// double is an impatient user: the same request is made twice at once, anywhere.
func (u *user) double() {
	if u.roads == nil || u.roads.IntN(6) > 0 {
		return
	}
	u.book.mu.Lock()
	u.start.doubled = true
	u.book.mu.Unlock()
	other := *u
	other.apart()
	other.name, other.random = u.name+"'s double", rand.New(rand.NewPCG(other.roads.Uint64(), 0))
	u.book.calls.Go(func() {
		other.pause(0, 30*time.Millisecond)
		other.ask()
	})
}

// doom has somebody's request, with a key, be under way at a gateway that is about to be
// killed, if gateways share a store.
func (w *world) doom(slot int) {
	if w.stores == nil {
		return
	}
	u := w.newUser(2000 + len(w.processes))
	u.slot, u.key = slot, "key-of-"+u.number
	u.start = w.book.begin(u)
	ahead := time.Duration(1+u.roads.IntN(60)) * time.Millisecond // the roads are the request's then
	w.book.calls.Go(func() { u.request(8) })
	time.Sleep(ahead)
}

// again is a user who asks for what he has got, without a key.
func (u *user) again(id string) {
	if u.roads == nil || u.roads.IntN(3) > 0 {
		return
	}
	// If it is over, or nearly so, this is another logical start.
	if v, ok := u.verification(id); !ok || !v.Finalized.IsZero() || time.Since(v.Submitted) > 4*time.Minute {
		return
	}
	other := *u
	other.name, other.key, other.patient = u.name+" again", "", true
	u.book.rivalled(u.start)
	other.ask()
}

// of are the processes that may know of a logical start.
func (b *book) of(s *start, more ...*process) []*process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ofLocked(s, more...)
}

func (b *book) ofLocked(s *start, more ...*process) []*process {
	for p := range s.by {
		more = append(more, p)
	}
	for _, id := range s.accepted {
		if p := b.whole[id]; p != nil {
			more = append(more, p)
		}
	}
	return more
}

// settled is for how long what has been told to the store may take until it is there.
const settled = 100 * time.Millisecond

// knowsStart tells that a process must know who has started a verification, and how, when
// it is asked at a time and answers until another.
func (s *start) knowsStart(id string, p *process, asked, answers time.Time) bool {
	by := s.startedBy
	switch {
	case by == nil || p == nil || id != s.startedID:
		return false
	case by == p:
		return true
	}
	arrived := s.startedAt.Add(settled)
	return arrived.Before(asked) && !by.diedBefore(arrived) && p.stores.during(s.startedAt.Add(-settled), answers, by, p)
}

// remembers tells that a process has got the answer that started a verification, and the
// store was not away then: what it could not tell the store is in its own way until a lease is
// over. The caller holds b.mu.
func (b *book) remembers(s *start, id string, p *process) bool {
	return b.whole[id] == p && (p.stores == nil || id == s.startedID && p.stores.during(s.began, s.startedAt.Add(settled), p))
}

// handing is an answer that somebody got, or a call about a verification.
type handing struct {
	id        string
	begun, at time.Time
	by        *process
}

// handed: an answer that nobody got is handed out once, and not when somebody knows of
// what it says. The caller holds b.mu.
func (b *book) handed(u *user, answer *reply) {
	s := u.start
	if u.key != "" || answer.Status != "0" {
		return
	}
	for i, h := range slices.Concat(s.handed, s.named) {
		sure := u.stores == nil && h.by == answer.by || u.stores.there(s.began, b.ofLocked(s, h.by, answer.by)...)
		switch {
		case h.id != answer.RequestID || !h.at.Before(answer.begun) || !sure:
		case i < len(s.handed):
			go u.violated(1, "%s is told %s, which somebody was told before", u.name, h.id)
		default:
			go u.violated(1, "%s is told %s, of which somebody had made a check before", u.name, h.id)
		}
	}
	s.handed = append(s.handed, handing{answer.RequestID, answer.begun, time.Now(), answer.by})
}

// named notes that an application has made a check or control.
func (b *book) named(u *user, id string, answer *reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.byID[id]; s != nil && answer.received && s.caller == u.caller {
		s.named = append(s.named, handing{id, answer.begun, time.Now(), answer.by})
	}
}

var faultOf = regexp.MustCompile(`caddy-verify: (\w+)`)

// longestCalm is for how long a call may take that nothing but the store is in the way of:
// 65 ms at the provider, perhaps twice, the pace of a few others, and 25 ms for whatever the
// store is asked for.
const longestCalm = 600 * time.Millisecond

// unharmed: no client notices that the store is away, but by the rate.
func (p *process) unharmed(u *user, operation string, answer *reply) {
	if p.stores == nil || !p.network.wellSoFar() {
		return
	}
	p.world.mu.Lock()
	busy := p.world.died || time.Since(p.flooded) < 3*time.Second // a claim of the dead is lost
	p.world.mu.Unlock()
	if busy {
		return
	}
	// A claim that is made late is in the way until its lease is over, or that of a key for as
	// long as that is known; nothing was told of it.
	claimed := operation != "search" && u.start != nil && p.book.attempts(u.start) > 0 &&
		(!p.stores.quietSince(answer.begun.Add(-longestCall)) || u.key != "" && !p.stores.quietSince(u.start.began))
	if answer.took > longestCalm && !claimed {
		u.violated(7, "%s waited for %v while nothing but the store could be in the way", u.name, answer.took)
	}
	told := []string{"limit_reached", "idempotency_key_reused", "guard_refused"}
	if operation == "search" && u.second != nil && !p.stores.quietSince(answer.begun.Add(-longestCall)) {
		told = append(told, "store_away") // version 2 has no search that could tell instead
	}
	if fault := faultOf.FindStringSubmatch(answer.Text); fault != nil && !slices.Contains(told, fault[1]) && !answer.left && !claimed {
		u.violated(9, "%s is told %q while nothing but the store could be in the way", u.name, answer.Text)
	}
}

// sending notes that a request leaves a process. Identical ones share one, in all processes
// that share a store, but for those which go to different accounts: each has its own.
func (b *book) sending(u *uplink, number, text string) (over func()) {
	p := u.process
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.byNumber[number]
	if s.underWay == nil {
		s.underWay = map[*uplink]int{}
	}
	for other := range s.underWay {
		// Where doubles may be under way, a rival is no copy of them.
		together := p.stores.there(time.Now().Add(-longestCall), p, other.process) && other.account == u.account
		if other == u && (p.stores == nil || s.rivals == 0) || other != u && together && s.rivals == 0 {
			go p.violated(1, "two identical requests are under way at %d and %d: %s", other.process.number, p.number, text)
		}
	}
	s.underWay[u]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s.underWay[u]--; s.underWay[u] == 0 {
			delete(s.underWay, u)
		}
	}
}

// checkKey: a key is sent again only if nothing was sent: by one gateway in any case, by all
// where they share a store. The caller holds the book.
func (w *world) checkKey(s *start) {
	if s.key == "" {
		return
	}
	for p, n := range s.sentBy {
		if n > 1+s.unsentBy[p]+s.rivals {
			w.violated(1, "%s has an Idempotency-Key and was sent %d times by gateway %d, of which %d may be", s.number, n, p.number, 1+s.unsentBy[p]+s.rivals)
		}
	}
	if s.sent > 1+s.unsent+s.rivals && len(s.sentTo) == 1 && w.stores.during(s.began, s.last, w.book.ofLocked(s)...) {
		w.violated(1, "%s has an Idempotency-Key and was sent %d times by gateways that share a store, of which %d may be", s.number, s.sent, 1+s.unsent+s.rivals)
	}
}

// atATime is how many of a logical start's verifications were under way at a time, at most.
// With a store users ask again, perhaps when somebody has ended the first.
func (w *world) atATime(s *start) int {
	if w.stores == nil {
		return len(s.accepted)
	}
	most := min(1, len(s.accepted))
	for i, id := range s.accepted {
		v, _ := w.verification(id)
		n := 1
		for _, other := range s.accepted[i+1:] {
			if next, _ := w.verification(other); v.Finalized.IsZero() || next.Submitted.Before(v.Finalized) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}
