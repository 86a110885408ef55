package sim

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// timing is what a request says of when its verification changes by itself, and when it does.
type timing struct {
	form     url.Values
	messages []time.Duration // are sent
	ends     time.Duration   // later than anybody makes the request again
}

var timings = []timing{
	{nil, seconds(0, 125, 305), 605 * time.Second},
	{url.Values{"next_event_wait": {"60"}, "pin_expiry": {"600"}}, seconds(0, 60, 120), 600 * time.Second},
	{url.Values{"next_event_wait": {"200"}}, seconds(0, 200, 400), 600 * time.Second},
	{url.Values{"workflow_id": {"4"}, "pin_expiry": {"700"}}, seconds(0, 120), 700 * time.Second},
	{url.Values{"workflow_id": {"6"}, "pin_expiry": {"600"}}, seconds(0), 600 * time.Second},
}

func seconds(all ...int) []time.Duration {
	moments := make([]time.Duration, len(all))
	for i, n := range all {
		moments[i] = time.Duration(n) * time.Second
	}
	return moments
}

// schedule has, in a part of the runs, IN PROGRESS be kept until the next change: where nobody
// uses the accounts but through gateways that know of each other's checks. All of it is drawn
// apart, so that other runs are what they were.
func (w *world) schedule() {
	if r := rand.New(rand.NewPCG(w.seed, 6)); r.IntN(2) == 0 && (w.stores != nil || len(w.slots) == 1) {
		w.scheduling = r
		if w.stores != nil {
			w.stores.awake = w.stores.awake || r.IntN(2) == 0
		}
	}
}

// scheduled draws it for one configuration.
func (w *world) scheduled() bool { return w.scheduling != nil && w.scheduling.IntN(4) > 0 }

// timed gives a user's requests their times.
func (u *user) timed() {
	if u.scheduling != nil {
		u.timing = int(sum(u.number) % uint64(len(timings)))
	}
}

// form is what the user's requests say.
func (u *user) form() url.Values {
	form := url.Values{"number": {u.number}, "brand": {"Acme"}}
	maps.Copy(form, u.world.timing(u.timing, nil).form)
	return form
}

func sum(text string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text))
	return hash.Sum64()
}

// watch has, for some verifications, a part of the application search around the time at which
// the next message is sent, or at which it ends, as it says.
func (u *user) watch(id string) {
	other := *u
	other.name, other.random = u.name+"'s watch", rand.New(rand.NewPCG(sum(id), 2))
	v, ok := u.verification(id)
	if u.scheduling == nil || !ok || other.random.IntN(2) > 0 {
		return
	}
	other.apart()
	t := u.world.timing(u.timing, &v)
	moment := t.ends
	if n := other.random.IntN(len(t.messages)); n > 0 {
		moment = t.messages[n]
	}
	changes := v.Submitted.Add(moment)
	u.book.calls.Go(func() {
		time.Sleep(time.Until(changes.Add(-time.Duration(5+other.random.IntN(40)) * time.Second)))
		for time.Since(changes) < 9*time.Second {
			other.pause(200*time.Millisecond, 4*time.Second)
			other.search(id)
		}
	})
}

// follow has, after some checks, another part of the application search for a while.
func (u *user) follow(id string) {
	r := rand.New(rand.NewPCG(sum(id), uint64(time.Since(u.begun))))
	if u.scheduling == nil || r.IntN(2) == 0 {
		return
	}
	other := *u
	other.name, other.random = u.name+"'s follower", r
	other.apart()
	u.book.calls.Go(func() {
		for range 5 {
			other.pause(500*time.Millisecond, 3*time.Second)
			other.search(id)
		}
	})
}

// wonder has an application that was not answered a check search for what has become of it, in
// place of another try.
func (u *user) wonder(id string) bool {
	r := rand.New(rand.NewPCG(sum(id), uint64(time.Since(u.begun))))
	if u.scheduling == nil || r.IntN(2) == 0 {
		return false
	}
	other := *u
	other.random = r
	other.apart()
	for range 12 {
		other.pause(50*time.Millisecond, 300*time.Millisecond)
		other.search(id)
	}
	for range 3 {
		other.pause(4*time.Second, 9*time.Second)
		other.search(id)
	}
	return true
}

// late: a search tells of no fewer messages than had been sent some time before it began.
func (u *user) late(state *reply, when time.Time) {
	s := u.book.startOf(state.RequestID)
	v, ok := u.verification(state.RequestID)
	if s == nil || !ok || state.Status != "IN PROGRESS" {
		return
	}
	sent := 0
	longest := longestInProgress + u.network.onTheWay()
	if v.API == sandbox.V2 {
		longest += callTimeout // since the gateway counts from the answer to the request on
	}
	for _, at := range u.world.timing(s.timing, &v).messages {
		if when.Sub(v.Submitted) > at+longest {
			sent++
		}
	}
	if len(state.Events) < sent {
		u.violated(3, "%s reads of %d messages of %s, when %d had been sent for more than %v", u.name, len(state.Events), state.RequestID, sent, longestInProgress)
	}
}

// onTheWay is how long an answer may have been under way to a gateway since the provider gave it.
func (n *network) onTheWay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase.name != "calm" || time.Since(n.since) < 2*callTimeout {
		return callTimeout
	}
	return 0
}
