//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// longestCall is how long a call may take on a machine that is busy. A trouble in which a call could wait for the store lasts longer.
const longestCall = 4 * time.Second

// storeTrouble is what becomes of the store of a fleet, and how it ends.
type storeTrouble struct {
	name       string
	begin, end func(f *fleet, replica *redisServer)
	lasts      time.Duration
	replicated bool
}

var storeTroubles = []storeTrouble{
	{
		name: "killed and empty", lasts: 2 * time.Second,
		begin: func(f *fleet, _ *redisServer) { f.redis.kill() },
		end:   func(f *fleet, _ *redisServer) { f.redis.start() },
	},
	{
		name: "hung", lasts: 5 * time.Second,
		begin: func(f *fleet, _ *redisServer) { f.redis.hang() },
		end:   func(f *fleet, _ *redisServer) { f.redis.resume() },
	},
	{
		name: "slow", lasts: 5 * time.Second,
		begin: func(f *fleet, _ *redisServer) { f.link.slow(longestCall) },
		end:   func(f *fleet, _ *redisServer) { f.link.heal() },
	},
	{
		name: "failed over", lasts: time.Second, replicated: true,
		begin: func(f *fleet, _ *redisServer) { f.redis.kill() },
		end: func(f *fleet, replica *redisServer) {
			if said := replica.ask("REPLICAOF NO ONE"); !strings.Contains(said, "OK") {
				f.t.Errorf("the replica says %s", said)
			}
			f.link.lead(replica.address)
		},
	},
	{
		name: "half open", lasts: 5 * time.Second,
		begin: func(f *fleet, _ *redisServer) { f.link.swallow() },
		end:   func(f *fleet, _ *redisServer) { f.link.heal() },
	},
}

// TestFleetInTrouble has the store be lost and come back under 40 calls a second. No client is told anything of it: calls are
// answered as before, in time, or refused by the rate. Afterwards gateways share what they know again.
func TestFleetInTrouble(t *testing.T) {
	for _, trouble := range storeTroubles {
		t.Run(trouble.name, func(t *testing.T) {
			f := startFleet(t, "limit 200/s\ntimeout 5s", -1, 20*time.Millisecond) // a gateway's share is enough for it
			replica := f.replica(trouble)
			f.together()
			l := &fleetLoad{fleet: f, took: map[string][]time.Duration{}, phase: "before"}
			l.prepare()
			ctx, stop := context.WithCancel(t.Context())
			made := make(chan int)
			go func() { made <- steady(ctx, 40, l.call) }()
			time.Sleep(6 * time.Second)
			l.enter("during")
			trouble.begin(f, replica)
			time.Sleep(trouble.lasts)
			trouble.end(f, replica)
			l.enter("after")
			back := f.together()
			time.Sleep(3 * time.Second)
			stop()
			t.Logf("%d calls, %d refused by the rate, %d searches made alone; together again after %s\n%s",
				<-made, f.limited.Load(), f.alone.Load(), back.Round(time.Millisecond), l.table())
			l.audit()
		})
	}
}

// TestFleetRate offers more than the account's limit, by all gateways and by one, while the store is lost and comes back. No
// second sees more than 30 calls at the provider, but for that of a change, as which a gateway sees it, too, that the store is late
// on a busy machine.
func TestFleetRate(t *testing.T) {
	const calm = 8 * time.Second
	for _, trouble := range storeTroubles {
		t.Run(trouble.name, func(t *testing.T) {
			f := startFleet(t, "timeout 5s", -1, 20*time.Millisecond)
			replica := f.replica(trouble)
			f.together()
			ctx, stop := context.WithCancel(t.Context())
			d, late := startDoubts(f), lateness(ctx)
			made := make(chan int)
			go func() {
				made <- steady(ctx, 90, func(n int) {
					m := f.members[n%3]
					if n/90%2 == 1 { // in every other second one gateway has most
						m = f.members[max(0, n%9-6)]
					}
					f.flood(m, n)
				})
			}()
			time.Sleep(2 * time.Second)
			begun := time.Now()
			time.Sleep(calm)
			lost := time.Now()
			trouble.begin(f, replica)
			time.Sleep(trouble.lasts)
			back := time.Now()
			trouble.end(f, replica)
			time.Sleep(calm)
			stop()
			<-made
			d.end()
			// What is late by a tenth of a second comes with what is in time; on a busy machine, what is late at the gateway and here.
			window := time.Second - min(max(100*time.Millisecond, 2*<-late), 500*time.Millisecond)
			all := f.api.since(begun)
			between := func(from, to time.Time) []time.Time {
				return slices.DeleteFunc(slices.Clone(all), func(at time.Time) bool { return at.Before(from) || at.After(to) })
			}
			before := between(begun, lost)
			again := back.Add(3500 * time.Millisecond)
			away, after := between(lost.Add(time.Second), back), between(again, time.Now())
			shared, sharedAgain := d.answered(begun, lost), d.answered(again, time.Now())
			t.Logf("most in a second: %d, in %s: %d before (%.1f a second), %d while it is away, %d afterwards, %d of all; the store answered before: %t, afterwards: %t",
				busiest(all, time.Second), window.Round(time.Millisecond), busiest(before, window), float64(len(before))/calm.Seconds(),
				busiest(away, window), busiest(after, window), busiest(all, window), shared, sharedAgain)
			if shared && busiest(before, window) > 30 || busiest(away, window) > 30 || sharedAgain && busiest(after, window) > 30 || busiest(all, window) > 46 {
				t.Error("the provider saw too many")
			}
			if shared && float64(len(before))/calm.Seconds() < 20 || sharedAgain && len(after) < 60 || trouble.lasts > 2*time.Second && len(away) < 8 {
				t.Error("the provider saw too few")
			}
		})
	}
}

// lateness tells, once the context is done, by how much the machine was late to wake this test, at most.
func lateness(ctx context.Context) <-chan time.Duration {
	most := make(chan time.Duration, 1)
	go func() {
		var late time.Duration
		for ctx.Err() == nil {
			due := time.Now().Add(10 * time.Millisecond)
			time.Sleep(time.Until(due))
			late = max(late, time.Since(due))
		}
		most <- late
	}()
	return most
}

// flood makes a call that goes upstream if the rate lets it.
func (f *fleet) flood(m *member, n int) {
	id := fmt.Sprintf("%032x", n)
	c := fleetCall{app: fleetApps[n%3], operation: "search", format: "json", params: url.Values{"request_id": {id}}}
	if n%3 == 0 {
		c.operation, c.params = "check", url.Values{"request_id": {id}, "code": {"WRONG1"}}
	}
	a, err := f.at(f.t.Context(), m, c)
	if err != nil || a.Status != "101" && a.Status != "6" && !a.limited() {
		f.fault("%v (%v)", a, err)
	}
}

// replica starts a replica of the store if the trouble needs one.
func (f *fleet) replica(trouble storeTrouble) *redisServer {
	f.t.Helper()
	if !trouble.replicated {
		return nil
	}
	replica := startRedis(f.t, "--replicaof", "127.0.0.1", portOf(f.redis.address))
	eventually(f.t, "the replica follows", func() error {
		if said := replica.ask("INFO replication"); !strings.Contains(said, "master_link_status:up") {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	})
	return replica
}

// fleetLoad is what applications do while the store is in trouble.
type fleetLoad struct {
	*fleet
	finals []string // request_ids of verifications that are over

	loadMu  sync.Mutex
	phase   string
	took    map[string][]time.Duration
	started []string // those whose code is to be entered
	checked []string
	sent    []string // numbers
	longest time.Duration
}

// prepare makes verifications whose state every gateway has in memory.
func (l *fleetLoad) prepare() {
	l.t.Helper()
	must := func(m *member, operation, status string, params url.Values) string {
		l.t.Helper()
		a, err := l.patient(m, fleetCall{app: fleetApps[0], operation: operation, format: "json", params: params})
		if err != nil || a.Status != status {
			l.t.Fatalf("a %s: %v (%v)", operation, a, err)
		}
		return a.RequestID
	}
	for n := range 5 {
		id := must(l.members[0], "request", "0", url.Values{"brand": {"Acme"}, "number": {fmt.Sprintf("447715%06d", n)}})
		must(l.members[0], "check", "0", url.Values{"request_id": {id}, "code": {fleetCode}})
		for _, m := range l.members {
			must(m, "search", "SUCCESS", url.Values{"request_id": {id}})
		}
		l.finals = append(l.finals, id)
	}
}

func (l *fleetLoad) enter(phase string) {
	l.loadMu.Lock()
	defer l.loadMu.Unlock()
	l.phase = phase
}

// call makes the n-th call: of ten, five are searches from memory, two requests, two checks of what those have begun, and one
// a search for what has been checked.
func (l *fleetLoad) call(n int) {
	c := fleetCall{app: fleetApps[0], operation: "search", format: "json", params: url.Values{}}
	want := []string{"0"}
	l.loadMu.Lock()
	phase, kind := l.phase, "search upstream"
	switch {
	case n%10 < 2:
		c.operation, c.key, kind = "request", fmt.Sprintf("key-%d", n), "request"
		c.params = url.Values{"brand": {"Acme"}, "number": {fmt.Sprintf("447716%06d", n)}}
	case n%10 < 4 && len(l.started) > 0:
		c.operation, kind = "check", "check"
		c.params = url.Values{"request_id": {l.started[0]}, "code": {fleetCode}}
		l.started = l.started[1:]
	case n%10 == 4 && len(l.checked) > 0:
		c.params.Set("request_id", l.checked[0])
		l.checked = l.checked[1:]
		want = []string{"SUCCESS"}
	default:
		kind = "search in memory"
		c.params.Set("request_id", l.finals[n%len(l.finals)])
		want = []string{"SUCCESS"}
	}
	l.loadMu.Unlock()
	m := l.members[(n/10+n)%len(l.members)]
	begun := time.Now()
	a, err := l.at(l.t.Context(), m, c)
	took := time.Since(begun)
	switch {
	case err != nil:
		l.fault("a %s "+phase+": %v", c.operation, err)
		return
	case a.limited():
		l.limited.Add(1)
		if c.operation == "search" && kind == "search in memory" && phase == "before" {
			l.fault("a search that is in memory: %v", a)
		}
		return
	case !slices.Contains(want, a.Status):
		l.fault("a %s "+phase+": %v, want %v", c.operation, a, want)
		return
	}
	l.loadMu.Lock()
	defer l.loadMu.Unlock()
	for _, of := range []string{kind, "any"} {
		l.took[of+" | "+phase] = append(l.took[of+" | "+phase], took)
	}
	l.longest = max(l.longest, took)
	switch c.operation {
	case "request":
		l.started = append(l.started, a.RequestID)
		l.sent = append(l.sent, c.params.Get("number"))
	case "check":
		l.checked = append(l.checked, c.params.Get("request_id"))
	}
}

// table tells how long calls took that the rate let through.
func (l *fleetLoad) table() string {
	var text strings.Builder
	text.WriteString("| call | when | calls | p50, ms | p99, ms | longest, ms |\n")
	l.loadMu.Lock()
	defer l.loadMu.Unlock()
	for _, kind := range []string{"any", "search in memory", "search upstream", "request", "check"} {
		for _, phase := range []string{"before", "during", "after"} {
			took := slices.Sorted(slices.Values(l.took[kind+" | "+phase]))
			if n := len(took); n > 0 {
				fmt.Fprintf(&text, "| %s | %s | %d | %.1f | %.1f | %.1f |\n", kind, phase, n,
					took[n/2].Seconds()*1000, took[n*99/100].Seconds()*1000, took[n-1].Seconds()*1000)
			}
		}
	}
	return text.String()
}

// audit wants each request to have been sent once, and no call to have taken long.
func (l *fleetLoad) audit() {
	l.t.Helper()
	came := l.api.counts()
	for _, number := range l.sent {
		if n := came["request "+number]; n != 1 {
			l.fault("a request came to the provider %d times", n)
		}
	}
	if l.longest > longestCall {
		l.t.Errorf("a call took %s", l.longest)
	}
	if len(l.sent) < 20 {
		l.t.Errorf("only %d requests were let through", len(l.sent))
	}
}
