package sim

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// callers are the applications. Each has several users. The first is known by no rule.
var callers = []string{"", "checkout", "support"}

// callerHeader is where an application says who it is.
const callerHeader = "X-Caller"

// user is one logical verification: somebody who wants to log in, and the application
// that does what it takes.
type user struct {
	*world
	name      string
	slot      int // where it calls
	random    *rand.Rand
	roads     *rand.Rand // elsewhere, where gateways share a store; else nil
	caller    string
	number    string
	format    string
	key       string
	start     *start
	patient   bool // never leaves
	timing    int  // of its requests
	startedBy *process
}

func (w *world) newUser(n int) *user {
	r := rand.New(rand.NewPCG(w.seed, uint64(100+n)))
	u := &user{
		world: w, name: fmt.Sprint("user", n), random: r, slot: n,
		caller: callers[r.IntN(len(callers))],
		number: fmt.Sprintf("447712%06d", 100_000+n*37),
		format: []string{"json", "json", "xml"}[r.IntN(3)],
	}
	if r.IntN(2) == 0 {
		u.key = fmt.Sprint("key-of-", n)
	}
	u.roads = w.roads(n)
	u.timed()
	u.start = w.book.begin(u)
	return u
}

// pause lets time pass: no two users go on in the same moment.
func (u *user) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(u.random.Int64N(int64(most-least))))
}

// live is what a user does.
func (u *user) live() {
	u.pause(0, 150*time.Second)
	id := u.request(8)
	if id == "" {
		return
	}
	u.again(id)
	if u.key != "" && u.random.IntN(4) == 0 {
		u.misuse()
	}
	if !u.failover && u.random.IntN(4) == 0 { // two applications may have an account each
		u.rival()
	}
	u.poll(id)
	u.watch(id)
	ended := false
	for range 3 + u.random.IntN(8) {
		u.pause(200*time.Millisecond, 8*time.Second)
		switch draw := u.random.IntN(100); {
		case draw < 55:
			u.search(id)
		case draw < 62:
			u.search(u.book.idsOf(u.caller, id, 2+u.random.IntN(9))...)
		case draw < 65:
			u.look()
			u.meddle()
		case ended:
			u.search(id)
		case draw < 75:
			u.check(id, wrongCode)
			u.again(id)
		case draw < 95:
			ended = u.check(id, rightCode) == "0"
		default:
			ended = u.control(id) == "0"
		}
	}
	// Some look on until it is over by itself.
	if ended || u.random.IntN(3) > 0 {
		return
	}
	u.pause(9*time.Minute, 10*time.Minute)
	for n := 0; n < 12 && !ended; n++ {
		u.pause(5*time.Second, 15*time.Second)
		ended = u.search(id).Status == "EXPIRED"
	}
}

// poll has, for some verifications, a part of the application search again and again.
func (u *user) poll(id string) {
	other := *u
	other.name, other.random = u.name+"'s page", rand.New(rand.NewPCG(sum(id), 1))
	if other.random.IntN(3) > 0 {
		return
	}
	other.apart()
	u.book.calls.Go(func() {
		for range 5 + other.random.IntN(15) {
			other.pause(300*time.Millisecond, 900*time.Millisecond)
			other.search(id)
		}
	})
}

// look has several applications search for one verification, whoever has started it, at
// one of the gateways and about now.
func (u *user) look() {
	id := u.book.anyID(u.random)
	slot := u.random.IntN(mostGateways)
	for range 2 + u.random.IntN(3) {
		u.another("onlooker", callers[u.random.IntN(len(callers))], slot, id)
	}
	if alien := u.second.anyAlien(u.random); alien != "" {
		u.another("onlooker", u.caller, slot, alien)
	}
}

// meddle has another application enter a code for a verification of somebody's.
func (u *user) meddle() {
	id := u.book.anyID(u.random)
	s := u.book.startOf(id)
	other := *u
	other.name, other.caller = u.name+"'s meddler", callers[u.random.IntN(len(callers))]
	if !u.isolated || s == nil || s.caller == other.caller {
		return
	}
	answer := other.checkOnce(id, wrongCode)
	switch {
	case !answer.received || !s.knowsStart(id, answer.by, answer.begun, time.Now()):
	case strings.Contains(" 0 16 17 ", " "+answer.Status+" "):
		u.violated(8, "%s has entered a code for %s, which another caller has started", other.name, id)
	case answer.Status == "6" && !strings.Contains(answer.Text, id):
		u.violated(8, "%s entered a code for %s and reads %q", other.name, id, answer.Text)
	}
}

// misuse sends the key of one verification with another's request.
func (u *user) misuse() {
	other := *u
	other.number = fmt.Sprintf("4477129%05d", u.random.IntN(100_000))
	other.start = u.book.begin(&other)
	if answer := other.ask(); answer.received && answer.RequestID != "" &&
		(answer.by == u.startedBy || !u.failover && u.stores.there(u.start.began, u.book.of(u.start, answer.by)...)) {
		u.violated(1, "%s is told %s of another's request with the same Idempotency-Key", u.name, answer.RequestID)
	}
}

// rival is another application that wants to verify the same number meanwhile.
func (u *user) rival() {
	other := *u
	other.name, other.key, other.patient = u.name+"'s rival", "", true
	for other.caller == u.caller {
		other.caller = callers[u.random.IntN(len(callers))]
	}
	u.book.rivalled(u.start)
	if answer := other.ask(); u.isolated && answer.RequestID != "" {
		u.violated(8, "%s is told %s, which %s has started", other.name, answer.RequestID, u.name)
	}
}

// request starts a verification. It asks again until it is told one, as an application
// does whose user is waiting.
func (u *user) request(most int) (id string) {
	for range most {
		u.double()
		answer := u.ask()
		if answer.received && (answer.Status == "0" || answer.Status == "10") {
			u.startedBy = answer.by
			return answer.RequestID
		}
		if u.random.IntN(3) == 0 {
			u.pause(20*time.Millisecond, time.Second) // an impatient one
		} else {
			u.pause(time.Second, 25*time.Second)
		}
	}
	return ""
}

// ask makes one attempt at it.
func (u *user) ask() reply {
	answer := u.call("/verify/"+u.format, u.form(), u.key)
	u.book.attempted(u, answer)
	return answer
}

// checkOnce makes one attempt at a check.
func (u *user) checkOnce(id, code string) reply {
	answer := u.call("/verify/check/"+u.format, url.Values{"request_id": {id}, "code": {code}}, "")
	u.book.named(u, id, &answer)
	if answer.received {
		u.book.checked(u, id, code, answer)
	}
	return answer
}

func (u *user) check(id, code string) (status string) {
	for range 3 {
		if u.random.IntN(2) == 0 {
			u.another("poller", u.caller, u.slot, id)
		}
		if answer := u.checkOnce(id, code); answer.received {
			u.follow(id)
			if u.random.IntN(2) == 0 {
				u.pause(time.Millisecond, 500*time.Millisecond)
				u.search(id)
			}
			return answer.Status
		}
		if u.wonder(id) {
			return ""
		}
		u.pause(100*time.Millisecond, 3*time.Second)
	}
	return ""
}

// another has some other part of an application search for a verification, about now.
func (u *user) another(name, caller string, slot int, id string) {
	other := *u
	other.name, other.caller, other.slot = u.name+"'s "+name, caller, slot
	other.random = rand.New(rand.NewPCG(u.random.Uint64(), 0))
	other.apart()
	u.book.calls.Go(func() {
		other.pause(0, 80*time.Millisecond)
		other.search(id)
	})
}

func (u *user) control(id string) (status string) {
	answer := u.call("/verify/control/"+u.format, url.Values{"request_id": {id}, "cmd": {"cancel"}}, "")
	u.book.named(u, id, &answer)
	if answer.received && answer.Status == "0" {
		u.book.ended(id, "CANCELLED", &answer)
	}
	return answer.Status
}

func (u *user) search(ids ...string) reply {
	form := url.Values{"request_id": ids}
	if len(ids) > 1 {
		form = url.Values{"request_ids": ids}
	}
	before, asked := u.book.endings(ids), time.Now()
	answer := u.call("/verify/search/"+u.format, form, "")
	if answer.received && len(ids) == 1 {
		u.lost(ids[0], &answer)
	}
	if answer.received {
		u.book.found(u, ids, before, asked, answer)
	}
	return answer
}

// reply is what a client got of an answer.
type reply struct {
	received  bool // whole, and while it was there
	by        *process
	stale     bool // past its lifetime, and marked so
	left      bool // the gateway says that the client has left
	recent    int  // calls of the application within a second, this one included
	limited   bool // and that there are too many calls
	begun     time.Time
	took      time.Duration
	code      int
	body      string
	Status    string     `json:"status" xml:"status"`
	RequestID string     `json:"request_id" xml:"request_id"`
	Text      string     `json:"error_text" xml:"error_text"`
	Price     string     `json:"price" xml:"price"`
	Estimated string     `json:"estimated_price_messages_sent" xml:"estimated_price_messages_sent"`
	Events    []struct{} `json:"events" xml:"events>event"`
	List      []reply    `json:"verification_requests" xml:"verify_request"`
}

// client takes an answer, or goes away at some byte of it.
type client struct {
	header http.Header
	code   int
	body   strings.Builder
	breaks bool
}

func (c *client) Header() http.Header { return c.header }
func (c *client) WriteHeader(code int) {
	c.code = code
}

func (c *client) Write(p []byte) (int, error) {
	c.body.Write(p) // for the books
	if c.breaks {
		return len(p) / 2, errors.New("the client is gone")
	}
	return len(p), nil
}

// call makes one call. The client may leave before there is an answer.
func (u *user) call(path string, form url.Values, key string) reply {
	p := u.serving(u.next())
	if p == nil {
		return reply{} // the connection is refused
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(callerHeader, u.caller)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	c := &client{header: http.Header{}, breaks: u.random.IntN(20) == 0}
	patience := time.Hour
	if !u.patient && u.random.IntN(4) == 0 {
		longest := []time.Duration{80 * time.Millisecond, 3 * time.Second}[u.random.IntN(2)]
		patience = time.Duration(1 + u.random.Int64N(int64(longest)))
	}
	u.note("%s at %d: %s %s key %q, patience %v", u.name, p.number, path, form.Encode(), key, patience)
	var once sync.Once
	called := time.Now()
	over := make(chan reply, 1)
	u.book.calls.Go(func() {
		defer p.calls.Done()
		begun, recent := time.Now(), p.tally.arrive(u.caller)
		p.ServeHTTP(c, r)
		if p.dead() {
			return
		}
		answer := read(c, path)
		answer.by, answer.begun, answer.took, answer.recent = p, begun, time.Since(begun), recent
		if answer.left && ctx.Err() == nil {
			u.violated(8, "%s is told that it has left", u.name)
		}
		u.book.answered(p, u, path, answer)
		once.Do(func() {
			answer.received = !c.breaks && ctx.Err() == nil
			over <- answer
		})
	})
	select {
	case answer := <-over:
		u.note("%s is told %q %q", u.name, answer.Status, answer.RequestID)
		return answer
	case <-time.After(patience):
		u.note("%s has left", u.name)
	case <-p.killed:
		u.note("%s has lost its gateway", u.name)
	}
	leave()
	once.Do(func() { over <- reply{} })
	answer := <-over
	answer.received, answer.by, answer.begun = false, p, called
	return answer
}

// read takes an answer apart as a client does.
func read(c *client, path string) reply {
	answer := reply{code: c.code, body: c.body.String()}
	answer.left = strings.Contains(c.header.Get("Proxy-Status"), "client_left")
	answer.limited = strings.Contains(c.header.Get("Proxy-Status"), `"limit_reached"`)
	answer.stale = strings.Contains(c.header.Get("Cache-Status"), "stale")
	var err error
	if strings.HasSuffix(path, "/xml") {
		err = xml.Unmarshal([]byte(answer.body), &answer)
	} else {
		err = json.Unmarshal([]byte(answer.body), &answer)
	}
	if err != nil {
		answer.Status = "unreadable"
	}
	return answer
}
