//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What must not be seen in any telemetry, beside the numbers.
const (
	rightCode  = "CANARY7391"
	wrongCode  = "WRONG40276"
	pinCode    = "PINCANARY7"
	userIP     = "203.0.113.177"
	appSecret  = "canary-secret-of-an-app"
	realSecret = "canary-secret-of-the-account"
)

// fate is what is known ahead of a verification.
type fate int

const (
	right      fate = iota // the right code, perhaps after wrong ones
	threeWrong             // three wrong codes
	cancelled
	polled     // an application asks for it all the time, the right code comes late
	expired    // nobody enters a code
	lostCheck  // the answer to the right code is lost; a search tells
	lostStart  // the answer to the request is lost; its verification is another's, as far as the gateway knows
	neverBegun // the request is refused
)

// story is one verification of the script.
type story struct {
	fate
	how
	n                         int
	number, country, workflow string
	wrong                     int  // wrong codes before the right one
	watched                   bool // somebody polls while it is under way
	keyed                     bool // the right code is entered with an Idempotency-Key, twice
	again                     bool // what is over is asked for and entered once more
	refusal                   *refusal
}

// refusal is a request that starts nothing.
type refusal struct {
	params url.Values
	status string
}

// origins are where the numbers lie, and what a message there costs in hundred-thousandths of a EUR. The gateway lists
// all of these countries but the last two.
var origins = []struct {
	country, prefix string
	digits          int
	message         int64
}{
	{"GB", "447712", 6, 4675},
	{"DE", "4915123", 6, 8030},
	{"FR", "33612", 6, 6800},
	{"US", "1212555", 4, 790},
	{"other", "46701", 6, 4675},
	{"other", "61412", 6, 4675},
}

func messageCost(number string) int64 {
	for _, o := range origins {
		if len(number) == len(o.prefix)+o.digits && number[:len(o.prefix)] == o.prefix {
			return o.message
		}
	}
	return 0
}

// refusals of requests, by the gateway or by the sandbox's special numbers. None is about the account: that would end
// all other calls.
var refusals = []refusal{
	{url.Values{"number": {"447700900103"}}, "3"},
	{url.Values{"number": {"447700900105"}}, "5"},
	{url.Values{"number": {"447700900106"}}, "6"},
	{url.Values{"number": {"447700900107"}}, "7"},
	{url.Values{"number": {"447700900110"}}, "10"},
	{url.Values{"number": {"447700900115"}}, "15"},
	{url.Values{"number": {"447700900129"}}, "29"},
	{url.Values{"number": {"447712999998"}, "pin_code": {pinCode}}, "20"},
	{url.Values{"number": {"447712999999"}, "brand": {""}}, "2"},
	{url.Values{"number": {"447712999997"}, "code_length": {"5"}}, "3"},
}

// writer makes up stories from a seed.
type writer struct {
	random *rand.Rand
	n      int
}

func (w *writer) stories(count int, f fate) []*story {
	all := make([]*story, count)
	for i := range all {
		o := origins[w.random.IntN(len(origins))]
		s := &story{
			fate:     f,
			n:        w.n,
			number:   fmt.Sprintf("%s%0*d", o.prefix, o.digits, 1000+w.n),
			country:  o.country,
			workflow: []string{"default", "default", "1", "2", "3", "4", "5", "6", "7"}[w.random.IntN(9)],
			how: how{
				format: []string{"json", "json", "xml"}[w.random.IntN(3)],
				place:  []string{"query", "form", "json"}[w.random.IntN(3)],
			},
			watched: w.random.IntN(3) == 0,
			again:   w.random.IntN(3) == 0,
		}
		switch f {
		case right:
			s.wrong = max(0, w.random.IntN(5)-2)
		case cancelled, expired:
			s.workflow = []string{"6", "7"}[w.random.IntN(2)] // one message: it can be cancelled as long as it lives
		case neverBegun:
			s.refusal = &refusals[i%len(refusals)]
			s.number, s.country = s.refusal.params.Get("number"), "GB"
		default: // as it is
		}
		w.n++
		all[i] = s
	}
	return all
}

// teller tells stories through the gateway.
type teller struct {
	*client
	t *testing.T

	mu  sync.Mutex
	ids map[*story]string
}

// tellAll tells stories, some at a time, each from its beginning to its end.
func (p *teller) tellAll(atOnce int, stories []*story) {
	p.tellDuring(atOnce, stories, func(func(int)) {})
}

// tellDuring tells stories while something happens, which may wait until so many of them are over.
func (p *teller) tellDuring(atOnce int, stories []*story, happens func(until func(over int))) {
	p.t.Helper()
	queue := make(chan *story, len(stories))
	for _, s := range stories {
		queue <- s
	}
	close(queue)
	var over atomic.Int32
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for s := range queue {
				if err := p.tell(s); err != nil {
					p.t.Errorf("verification %d (fate %d, %s %s): %v", s.n, s.fate, s.place, s.format, err)
				}
				over.Add(1)
			}
		})
	}
	happens(func(n int) {
		deadline := time.Now().Add(2 * patience)
		for over.Load() < int32(n) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
	})
	workers.Wait()
}

// tell tells one story. What an application reads that does not belong there is an error.
func (p *teller) tell(s *story) error {
	if s.fate == neverBegun {
		_, err := p.want(s, "request", s.refusal.params, s.refusal.status)
		return err
	}
	if s.fate == lostStart {
		return p.loseStart(s)
	}
	x, err := p.want(s, "request", nil, "0")
	if err != nil {
		return err
	}
	id := x.answer.RequestID
	begun := time.Now()
	p.books.started(&verification{id: id, country: s.country, workflow: s.workflow, origin: x.trace})
	p.mu.Lock()
	p.ids[s] = id
	p.mu.Unlock()
	if s.watched || s.fate == polled {
		for range 2 {
			if _, err := p.call(s.how, "search", "", url.Values{"request_id": {id}}); err != nil {
				return err
			}
		}
	}
	switch s.fate {
	case right:
		return p.enterRight(s, id)
	case threeWrong:
		for _, status := range []string{"16", "16", "17"} {
			if _, err := p.want(s, "check", url.Values{"request_id": {id}, "code": {wrongCode}}, status); err != nil {
				return err
			}
		}
		p.books.ended(id, "failed", false)
		return p.over(s, id, "FAILED")
	case cancelled:
		cancel := url.Values{"request_id": {id}, "cmd": {"cancel"}}
		var done bool
		if s.watched { // most likely too early
			x, err := p.want(s, "control", cancel, "19", "0")
			if err != nil {
				return err
			}
			done = x.answer.Status == "0"
		}
		time.Sleep(time.Until(begun.Add(minute / 2)))
		if !done {
			if _, err := p.want(s, "control", cancel, "0"); err != nil {
				return err
			}
		}
		p.books.ended(id, "cancelled", false)
		return p.over(s, id, "CANCELLED")
	default:
		return nil // the others go on elsewhere, if at all
	}
}

func (p *teller) enterRight(s *story, id string) error {
	for range s.wrong {
		if _, err := p.want(s, "check", url.Values{"request_id": {id}, "code": {wrongCode}}, "16"); err != nil {
			return err
		}
	}
	if s.watched && s.wrong > 0 { // the user asks for another message
		if _, err := p.want(s, "control", url.Values{"request_id": {id}, "cmd": {"trigger_next_event"}}, "0", "19"); err != nil {
			return err
		}
	}
	check := url.Values{"request_id": {id}, "code": {rightCode}, "ip_address": {userIP}}
	if s.keyed {
		s.key = randomHex(8)
	}
	if _, err := p.want(s, "check", check, "0"); err != nil {
		return err
	}
	p.books.ended(id, "success", true)
	if s.keyed { // the same once more
		s.replay = true
		if _, err := p.want(s, "check", check, "0"); err != nil {
			return err
		}
		s.key, s.replay = "", false
	}
	return p.over(s, id, "SUCCESS")
}

// over does once more what nothing can come of.
func (p *teller) over(s *story, id, state string) error {
	if !s.again {
		return nil
	}
	for range 2 { // the second one from memory
		if _, err := p.want(s, "search", url.Values{"request_id": {id}}, state); err != nil {
			return err
		}
	}
	if _, err := p.want(s, "check", url.Values{"request_id": {id}, "code": {rightCode}}, "6"); err != nil {
		return err
	}
	if _, err := p.want(s, "control", url.Values{"request_id": {id}, "cmd": {"cancel"}}, "6"); err != nil {
		return err
	}
	_, err := p.want(s, "search", url.Values{"request_id": {id}}, state)
	return err
}

// loseCheck enters the right code of a verification while answers to checks are lost.
func (p *teller) loseCheck(s *story) error {
	for range 100 {
		x, err := p.call(s.how, "check", "", url.Values{"request_id": {p.ids[s]}, "code": {rightCode}})
		if err != nil {
			return err
		}
		if x.cause == "connection_lost" {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("no check reached the upstream")
}

// loseStart requests a verification while answers to requests are lost.
func (p *teller) loseStart(s *story) error {
	for range 100 {
		x, err := p.call(s.how, "request", s.country, s.request(nil))
		if err != nil {
			return err
		}
		if x.cause == "connection_lost" {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("no request reached the upstream")
}

// findStart goes on with what loseStart began: the application asks again, and learns the request_id.
func (p *teller) findStart(s *story) error {
	x, err := p.want(s, "request", nil, "10")
	if err != nil {
		return err
	}
	if _, err := p.want(s, "check", url.Values{"request_id": {x.answer.RequestID}, "code": {rightCode}}, "0"); err != nil {
		return err
	}
	p.books.untrackedEnd("success")
	_, err = p.want(s, "check", url.Values{"request_id": {x.answer.RequestID}, "code": {rightCode}}, "6")
	return err
}

// pause is how long an application waits before it tries again.
const pause = 150 * time.Millisecond

// want makes a call until it is answered with one of the statuses. Throttling and trouble, statuses 1 and 5, are no
// answers: the script makes them where nothing is done upstream.
func (p *teller) want(s *story, operation string, params url.Values, statuses ...string) (*exchange, error) {
	country := ""
	if operation == "request" {
		country = s.country
		params = s.request(params)
	}
	// Two outages that run into one another keep a breaker open for half a minute.
	deadline := time.Now().Add(2 * patience)
	for {
		x, err := p.call(s.how, operation, country, params)
		if err != nil {
			return nil, err
		}
		if slices.Contains(statuses, x.answer.Status) {
			return x, nil
		}
		if x.answer.Status != "1" && x.answer.Status != "5" {
			return nil, fmt.Errorf("%s was answered with status %q (%s), want %q", operation, x.answer.Status, x.cause, statuses)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s was answered with status %q (%s) to the end, want %q", operation, x.answer.Status, x.cause, statuses)
		}
		time.Sleep(pause)
	}
}

// request returns the parameters of a story's request, with others in the place of its own.
func (s *story) request(others url.Values) url.Values {
	params := url.Values{"number": {s.number}, "brand": {"Acme"}, "api_key": {"app"}, "api_secret": {appSecret}}
	if s.workflow != "default" {
		params.Set("workflow_id", s.workflow)
	}
	// An hour by the sandbox's clock is time enough for all that an application does.
	params.Set("next_event_wait", "900")
	params.Set("pin_expiry", "3600")
	if s.fate == expired {
		// The gateway takes a verification for overdue 90 s after the end of its life, by its own clock.
		params.Set("next_event_wait", "60")
		params.Set("pin_expiry", "60")
	}
	for name, values := range others {
		params[name] = values
		if values[0] == "" {
			params.Del(name)
		}
	}
	return params
}
