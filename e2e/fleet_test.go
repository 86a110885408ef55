//go:build e2e

package e2e

import (
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFleet has three gateways with one store take 20,000 calls at random: requests, checks, searches and cancels of three
// applications, many of them again elsewhere, at once or later, while each gateway in turn is started anew. Whatever is asked
// for once comes to the provider once, no search tells a state from before a check that is over, and together the gateways'
// metrics say what the applications know.
func TestFleet(t *testing.T) {
	const calls, perSecond, limit, atOnce = 20_000, 200, 200, 40
	f := startFleet(t, "limit 200/s\ntimeout 5s", -1, 30*time.Millisecond)
	t.Logf("together after %s", f.together())
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	s := newScript(f, 1, pace.C)
	begun := time.Now()
	var stories atomic.Int64
	var telling sync.WaitGroup
	for range atOnce {
		telling.Go(func() {
			for s.calls.Load() < calls {
				s.tell(int(stories.Add(1)))
			}
		})
	}
	for i, m := range f.members {
		for int(s.calls.Load()) < calls*(i+1)/4 {
			time.Sleep(20 * time.Millisecond)
		}
		f.restart(m)
		t.Logf("%s: gateway %d has been started anew", time.Since(begun).Round(time.Second), i)
	}
	telling.Wait()
	most := busiest(f.api.since(begun), time.Second)
	t.Logf("%d calls of %d verifications in %s, %d refused by the rate, %d moved to another gateway, %d searches made alone; %d came upstream, at most %d in a second",
		s.calls.Load(), len(s.all), time.Since(begun).Round(time.Second), f.limited.Load(), f.moved.Load(), f.alone.Load(), len(f.api.since(begun)), most)
	if most > limit+2 {
		t.Errorf("%d calls came upstream within a second", most)
	}
	s.expire()
	s.askForOthers()
	s.compareSent()
	s.settle()
	s.compareMetrics()
	t.Logf("calls to the store: %v", f.sums("verify_store_calls_total", "result"))
}

func newScript(f *fleet, seed uint64, pace <-chan time.Time) *fleetScript {
	return &fleetScript{
		fleet: f, doubts: startDoubts(f), seed: seed, pace: pace, sent: map[string]*sentCall{}, by: map[string]origin{}, recent: map[string][]*fleetVerification{},
	}
}

// expire waits until those that nobody has completed are over, and asks everywhere for each of which the provider says
// something else than its application knows.
func (s *fleetScript) expire() {
	time.Sleep(3*60*time.Second/fleetSpeed + kept)
	finals := map[string]string{}
	for _, v := range s.all {
		_, finals[v.id] = v.known()
	}
	for _, v := range s.api.Verifications() {
		o, ours := s.by[v.Number]
		if !ours || finals[v.RequestID] == v.Status {
			continue
		}
		begun := time.Now()
		for _, m := range s.members {
			a := s.call(m, fleetCall{app: o.app, operation: "search", format: "json", params: url.Values{"request_id": {v.RequestID}}})
			if a != nil && a.Status != v.Status {
				s.doubts.fault(begun.Add(-kept), "a verification is %s and told as %v", v.Status, a)
			}
		}
	}
}

// compareSent wants each call to have come to the provider as often as it was to be made.
func (s *fleetScript) compareSent() {
	came := s.api.counts()
	for name, want := range s.sent {
		if came[name] != want.times {
			s.doubts.fault(want.from, "%q came to the provider %d times, want %d", name, came[name], want.times)
		}
	}
}

var fleetOutcomes = map[string]string{"SUCCESS": "success", "FAILED": "failed", "CANCELLED": "cancelled", "EXPIRED": "expired"}

// compareMetrics wants the gateways to have counted each verification once, as the provider knows it.
func (s *fleetScript) compareMetrics() {
	want := map[string]map[string]float64{}
	add := func(name, key string) {
		if want[name] == nil {
			want[name] = map[string]float64{}
		}
		want[name][key]++
	}
	for _, v := range s.api.Verifications() {
		o, told := s.by[v.Number]
		if !told {
			o = origin{fleetApps[0], "GB"} // a probe
		}
		add("verify_verifications_started_total", o.country)
		add("verify_caller_verifications_started_total", o.app)
		if outcome := fleetOutcomes[v.Status]; told {
			add("verify_verifications_finished_total", outcome+" "+o.country)
			add("verify_caller_verifications_finished_total", o.app+" "+outcome)
		}
	}
	for _, m := range s.members {
		s.counted(m)
	}
	for name, labels := range map[string][]string{
		"verify_verifications_started_total":         {"country"},
		"verify_verifications_finished_total":        {"outcome", "country"},
		"verify_caller_verifications_started_total":  {"caller"},
		"verify_caller_verifications_finished_total": {"caller", "outcome"},
		"verify_verifications_untracked_total":       {"outcome"},
		"verify_invariant_broken_total":              {"invariant"},
	} {
		for _, difference := range differences(s.sums(name, labels...), want[name]) {
			s.fleet.fault("%s: %s", name, difference)
		}
	}
}

// askForOthers has applications ask for what others have started, which none knows of, unless the store is away.
func (s *fleetScript) askForOthers() {
	for n, v := range s.all[max(0, len(s.all)-60):] {
		other := fleetApps[0]
		if v.app == other {
			other = fleetApps[1]
		}
		begun := time.Now()
		a := s.call(s.members[n%len(s.members)], fleetCall{app: other, operation: "search", format: "json", params: url.Values{"request_id": {v.id}}})
		if a != nil && a.Status != "101" {
			s.doubts.fault(begun, "another application is told %v of a verification", a)
		}
	}
}
