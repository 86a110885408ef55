package sim

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
)

// book is what has happened, as applications and the provider saw it.
type book struct {
	calls sync.WaitGroup

	mu       sync.Mutex
	byNumber map[string]*start
	byID     map[string]*start
	ends     map[string]string // the state that an application was told a verification ended in
	byStatus map[string]int    // answers by operation and status
	whole    map[string]bool   // request_ids of accepted requests whose answers came back whole
	success  int               // checks that the provider accepted
	started  int               // events
	finished map[string]int    // events by outcome
}

// start is a logical verification and what became of it.
type start struct {
	number, caller, key string
	attempts            int
	unsent              int // attempts of which the gateway says that nothing was sent
	sent                int // requests that came to the provider
	accepted            []string
	told                []string
}

func (b *book) init() {
	b.byNumber, b.byID, b.ends = map[string]*start{}, map[string]*start{}, map[string]string{}
	b.byStatus, b.whole, b.finished = map[string]int{}, map[string]bool{}, map[string]int{}
}

func (b *book) begin(u *user) *start {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &start{number: u.number, caller: u.caller, key: u.key}
	b.byNumber[u.number] = s
	return s
}

// acted notes what the provider has done.
func (b *book) acted(w *world, operation, form, body string) {
	values, err := url.ParseQuery(form)
	if err != nil {
		w.violated(5, "the provider got %q", form)
		return
	}
	answer := readText(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch operation {
	case "request":
		s := b.byNumber[values.Get("number")]
		s.sent++
		for _, id := range s.accepted {
			if b.whole[id] && w.network.wellSoFar() {
				go w.violated(2, "%s is sent again, though %s came back and nobody was told", s.number, id)
			}
		}
		if answer.Status == "0" {
			s.accepted = append(s.accepted, answer.RequestID)
			b.byID[answer.RequestID] = s
		}
	case "check":
		if answer.Status == "0" {
			b.success++
		}
	}
}

// arrived notes that an answer to a request came back whole.
func (b *book) arrived(body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if answer := readText(body); answer.Status == "0" {
		b.whole[answer.RequestID] = true
	}
}

func readText(body string) reply {
	path := "/json"
	if strings.HasPrefix(body, "<") {
		path = "/xml"
	}
	c := &client{}
	c.body.WriteString(body)
	return read(c, path)
}

// answered counts an answer of the gateway, whether or not the client got it.
func (b *book) answered(u *user, path string, answer reply) {
	operation := operationOf(path)
	status := answer.Status
	if operation == "search" && status == "" {
		status = "list"
	}
	if strings.Contains(answer.body, apiSecret) {
		u.violated(6, "%s reads the secret in %s", u.name, answer.body)
	}
	if answer.Status == "unreadable" {
		u.violated(5, "%s reads %d %q", u.name, answer.code, answer.body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byStatus[operation+" "+status]++
	if operation == "request" && (strings.Contains(answer.Text, "nothing was sent") || answer.Status == "1") {
		u.start.unsent++
	}
}

// attempted takes in what a client was told of a request.
func (b *book) attempted(u *user, answer reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := u.start
	s.attempts++
	if answer.received && answer.RequestID != "" {
		s.told = append(s.told, answer.RequestID)
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
	if answer.Status == "0" && code != rightCode {
		u.violated(8, "%s entered a wrong code and is told that it was right", u.name)
	}
	if answer.Status == "0" {
		b.ended(id, "SUCCESS")
	}
}

// ended notes that an application was told how a verification ended.
func (b *book) ended(id, state string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[id] = state
}

// endings are the ends that applications know of, of some verifications.
func (b *book) endings(ids []string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := map[string]string{}
	for _, id := range ids {
		if state := b.ends[id]; state != "" {
			known[id] = state
		}
	}
	return known
}

// longestInProgress is for how long IN PROGRESS may be answered from memory, and some.
const longestInProgress = 4 * time.Second

// found takes in what a client was told of a search, for which it asked when it knew of
// some ends.
func (b *book) found(u *user, ids []string, before map[string]string, when time.Time, answer reply) {
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
		v, ok := u.api.Verification(state.RequestID)
		if ok && state.Status == "IN PROGRESS" && !answer.stale && !v.Finalized.IsZero() && when.Sub(v.Finalized) > longestInProgress {
			u.violated(3, "%s reads IN PROGRESS of %s, which had been %s for %v", u.name, state.RequestID, v.Status, when.Sub(v.Finalized))
		}
		if want := before[state.RequestID]; want != "" && state.Status != want {
			u.violated(3, "%s reads %q of %s, which had ended with %s before it asked", u.name, state.Status, state.RequestID, want)
		}
	}
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

// event takes in what the account tells.
func (b *book) event(w *world, detail gateway.Detail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch d := detail.(type) {
	case gateway.VerificationStarted:
		b.started++
	case gateway.VerificationFinished:
		b.finished[string(d.Outcome)]++
	case gateway.InvariantBroken:
		go w.violated(1, "the gateway itself says that %s is broken", d.Invariant)
	}
}
