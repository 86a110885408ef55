package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxCalls keeps all verifications within what the sandbox remembers.
const maxCalls = 200_000

// A client that got no answer asks again, at most so many times.
const maxTries = 40

// client is one application. It takes users through their verifications, one after
// the other.
type client struct {
	*audit
	rand *rand.Rand
}

// user is someone with a phone, and what the client knows of the verification.
type user struct {
	number, brand string
	operation     string // by which the verification starts: request or psd2
	format, way   string
	id            string
	finished      []string // request_ids of the number that were over
}

func (c *client) live(ctx context.Context) {
	for ctx.Err() == nil && c.goOn() {
		u := c.newUser()
		if !c.start(ctx, u) {
			continue // nothing was sent, says the gateway
		}
		c.proceed(ctx, u)
		if c.rand.IntN(3) == 0 && slices.Contains(u.finished, u.id) {
			c.start(ctx, u) // the user comes again
		}
	}
}

func (c *client) newUser() *user {
	n := c.serial()
	u := &user{
		number:    fmt.Sprintf("4479%08d", n),
		brand:     "Acme",
		operation: pick(c.rand, "request", "request", "request", "psd2"),
		format:    pick(c.rand, "json", "xml"),
		way:       pick(c.rand, "get", "form", "json"),
	}
	if u.operation == "psd2" {
		u.format = "json" // the API has no other for it
	}
	return u
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// start asks for a verification until the client knows its request_id, or has been
// told often enough that nothing was sent.
func (c *client) start(ctx context.Context, u *user) bool {
	u.id = ""
	params := c.request(u)
	key := ""
	if c.rand.IntN(4) == 0 {
		key = "key-" + strconv.Itoa(c.serial())
	}
	left := false
	var before answer // the answer to the try before this one, with the same key
	for try := range maxTries {
		call := call{u.operation, u.format, u.way, params, key}
		if try == 0 && key == "" && c.rand.IntN(25) == 0 {
			c.twice(ctx, u, call)
			if u.id != "" {
				return true
			}
			continue
		}
		a := c.make(ctx, call, try < 3 && c.rand.IntN(7) == 0)
		if ctx.Err() != nil {
			return false
		}
		if key != "" && before.perhaps() && !before.left && a.raw != before.raw && !a.left {
			c.violate("the same Idempotency-Key got %s and then %s", before, a)
		}
		switch {
		case c.learns(u, a):
			if left {
				c.note("requests repeated after leaving, answered with status " + a.Status)
			}
			return true
		case a.left:
			c.note("repeated after leaving")
			left = true
		case a.nothing():
			c.pause(ctx)
		case a.perhaps() && key != "" && before.raw == "":
			before = a
			continue // with the same key, once, to see that it gets the same answer
		}
		// The same words, or others about the same user, as a real app may send. With a
		// key the words must be the same, and after an unknown outcome the key only
		// gets that told again.
		if before = a; key != "" && (a.left || a.nothing()) {
			continue
		}
		if key = ""; c.rand.IntN(2) == 0 || a.perhaps() && !a.left {
			params = c.request(u)
		}
	}
	c.note("gave up on a request")
	return false
}

// request is what starts the user's verification, with a mark of its own.
func (c *client) request(u *user) url.Values {
	if u.operation == "psd2" {
		return url.Values{"number": {spell(u.number, c.serial())}, "payee": {u.brand}, "amount": {"48.00"}}
	}
	return url.Values{"number": {u.number}, "brand": {u.brand}, "sender_id": {fmt.Sprintf("m%d", c.serial())}}
}

// spell writes a number in one of many ways, since nothing else of a psd2 could be a
// mark: all its other parameters mean something.
func spell(number string, way int) string {
	var b strings.Builder
	for i, digit := range number {
		if i > 0 {
			b.WriteString([...]string{"", "-", " "}[way%3])
			way /= 3
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// digits is the number that was spelt.
func digits(number string) string { return strings.NewReplacer("-", "", " ", "").Replace(number) }

// twice sends a request two times at once, as a double click does.
func (c *client) twice(ctx context.Context, u *user, call call) {
	var both [2]answer
	var running sync.WaitGroup
	for i := range both {
		running.Go(func() { both[i] = c.audit.make(ctx, call, 0) })
	}
	running.Wait()
	c.note("asked twice at once")
	if both[0].raw == both[1].raw && both[0].Status == "0" {
		c.note("asked twice at once, answered by one call")
	}
	for _, a := range both {
		if ctx.Err() == nil {
			c.learns(u, a)
		}
	}
}

// learns takes the request_id from the answer to a request.
func (c *client) learns(u *user, a answer) bool {
	if !a.final() {
		return false
	}
	if a.RequestID == "" || a.Status != "0" && a.Status != "10" {
		c.violate("a request for %s got %s", u.number, a)
		return false
	}
	if slices.Contains(u.finished, a.RequestID) {
		c.violate("dead: a request for %s got %s, though the client had finished that verification", u.number, a)
		return false
	}
	u.id = a.RequestID
	c.knows(u.number, a.RequestID)
	return true
}

// proceed does with a verification what apps and users do.
func (c *client) proceed(ctx context.Context, u *user) {
	v := c.publish(u.id)
	wrong, triggered, cancelled := 0, false, false
	for range c.rand.IntN(5) {
		switch x := c.rand.IntN(10); {
		case ctx.Err() != nil:
			return
		case x < 6:
			c.search(ctx)
		case x < 8 && wrong < 2:
			wrong++
			c.check(ctx, u, strconv.Itoa(10_000_000+c.rand.IntN(80_000_000)))
		case x == 8 && !triggered:
			triggered = true
			c.control(ctx, u, "trigger_next_event")
		case x == 9 && !cancelled:
			cancelled = true
			c.control(ctx, u, "cancel")
		}
	}
	if c.rand.IntN(4) == 0 {
		return // the user never types the code
	}
	for range maxTries {
		a := c.check(ctx, u, rightCode)
		if ctx.Err() != nil {
			return
		}
		if a.final() {
			// 6 comes when an earlier check, whose answer was lost, was right; 17
			// when the wrong codes were too many, so that the state is open.
			switch a.Status {
			case "0":
				v.is("SUCCESS")
				fallthrough
			case "6", "17":
				u.finished = append(u.finished, u.id)
			case "16":
				c.violate("the right code got %s", a)
			}
			break
		}
		if a.nothing() {
			c.pause(ctx)
		}
	}
	if c.rand.IntN(2) == 0 {
		c.searchFor(ctx, []*shared{v})
	}
}

// check tries a code. With an Idempotency-Key it asks again with the same one when
// it got no answer, and must use up one try at most.
func (c *client) check(ctx context.Context, u *user, code string) answer {
	n := c.serial()
	params := url.Values{"request_id": {u.id}, "code": {code}, "ip_address": {fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)}}
	call := call{"check", u.format, pick(c.rand, "get", "form", "json"), params, ""}
	if c.rand.IntN(4) == 0 {
		call.key = "key-" + strconv.Itoa(n)
	}
	a := c.make(ctx, call, c.rand.IntN(10) == 0)
	if a.left && call.key != "" {
		c.note("repeated after leaving")
		a = c.make(ctx, call, false)
	}
	if a.final() && !slices.Contains([]string{"0", "6", "16", "17"}, a.Status) {
		c.violate("a check got %s", a)
	}
	return a
}

func (c *client) control(ctx context.Context, u *user, cmd string) {
	params := url.Values{"request_id": {u.id}, "cmd": {cmd}}
	a := c.make(ctx, call{"control", u.format, pick(c.rand, "get", "form", "json"), params, ""}, c.rand.IntN(10) == 0)
	if a.final() && !slices.Contains([]string{"0", "6", "19"}, a.Status) {
		c.violate("a control got %s", a)
	}
}

// search asks for one to ten of the verifications that any client has lately seen.
func (c *client) search(ctx context.Context) {
	c.searchFor(ctx, c.recent(c.rand, 1+c.rand.IntN(10)))
}

func (c *client) searchFor(ctx context.Context, of []*shared) {
	states := map[string]string{} // what was known before the search began
	ids := []string{}
	for _, v := range of {
		states[v.id] = v.state()
		ids = append(ids, v.id)
	}
	params := url.Values{"request_ids": ids}
	if len(ids) == 1 && c.rand.IntN(2) == 0 {
		params = url.Values{"request_id": ids}
	}
	a := c.make(ctx, call{"search", pick(c.rand, "json", "xml"), pick(c.rand, "get", "form", "json"), params, ""}, c.rand.IntN(10) == 0)
	if !a.final() || ctx.Err() != nil {
		return
	}
	if len(a.found) != len(states) {
		c.violate("a search for %q got %s", ids, a)
	}
	for _, found := range a.found {
		if want, asked := states[found.RequestID]; !asked || want != "" && found.Status != want {
			c.violate("stale: a search got %s as %q, which was %q before", found.RequestID, found.Status, want)
		}
	}
}

// make makes a call, and leaves before the answer if told so, mostly.
func (c *client) make(ctx context.Context, call call, leave bool) answer {
	var patience time.Duration
	if leave {
		patience = time.Duration(c.rand.Int64N(int64(pick(c.rand, 2*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond))))
	}
	return c.audit.make(ctx, call, patience)
}

// pause waits for the upstream to come back, not as long as Retry-After says:
// circuits open for less here.
func (c *client) pause(ctx context.Context) {
	sleep(ctx, 50*time.Millisecond+time.Duration(c.rand.Int64N(int64(100*time.Millisecond))))
}
