//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// script is the whole of it.
type script struct {
	*teller
	*writer
	gateway    *gateway
	sandbox    *sandbox.Sandbox
	prometheus *prometheus
	all        []*story
	expired    []*story
	strays     []string // traces of requests that are no calls
	// From the one to the other nobody makes a call but the settler.
	waiting, settled time.Time

	// What Prometheus has of searches: those that the open breaker stopped, and second tries.
	stopped, retries float64
}

// run tells it, the expiring ones first: all else happens while they run out.
func (p *script) run() {
	t := p.t
	begun := time.Now()
	say := func(what string, args ...any) {
		t.Helper()
		t.Logf("%3.0f s: "+what, append([]any{time.Since(begun).Seconds()}, args...)...)
	}
	// Rates see zero, not absence.
	p.wantValue(`count(verify_verifications_started_total == 0)`, 5)
	p.wantValue(`count(verify_verifications_finished_total == 0)`, 5*5)
	say("those that will expire")
	p.expired = p.write(60, expired)
	p.tellAll(8, p.expired)

	say("quiet, with a reload")
	quiet := p.write(160, right)
	for _, s := range quiet[:20] {
		s.keyed = true
	}
	quiet = p.shuffle(quiet, p.write(30, threeWrong), p.write(30, cancelled), p.write(10, neverBegun))
	p.tellDuring(12, quiet, func(until func(int)) {
		until(len(quiet) / 3)
		p.gateway.reload(t, 400)
	})

	say("outages, with a reload")
	outage := p.shuffle(p.write(84, right), p.write(20, threeWrong), p.write(20, cancelled))
	watched := p.write(6, polled)
	p.tellDuring(16, outage, func(until func(int)) {
		until(5)
		p.gateway.reload(t, 300)
		until(len(outage) / 5)
		p.tellAll(2, watched)
		p.breakDown(watched, "* close")
		until(len(outage) / 2)
		p.breakDown(watched, "* http 502")
	})
	for _, s := range watched {
		if err := p.enterRight(s, p.idOf(s)); err != nil {
			t.Error(err)
		}
	}

	say("lost answers")
	p.lose(p.write(10, lostCheck), p.write(10, lostStart))
	p.share()
	p.stray()

	say("throttled") // last, for the limit recovers by one call a second
	throttled := p.shuffle(p.write(40, right), p.write(10, threeWrong), p.write(10, cancelled))
	for _, s := range throttled {
		s.watched = false // a state that is known already would hide that the upstream throttles
	}
	p.tellDuring(16, throttled, func(func(int)) {
		p.faults("request status 1 20%", "check status 1 15%", "search status 1 20%", "control status 1 20%")
		time.Sleep(2500 * time.Millisecond)
		p.faults()
	})
	p.wantValue("verify_limit_rate < bool 300", 1) // it has made room, and recovers

	if len(p.all) != 500 {
		t.Errorf("the script has %d verifications", len(p.all))
	}
	if t.Failed() {
		return // there is nothing to wait for
	}

	p.waiting = time.Now()
	say("waiting for the settler, with %d verifications under way", len(p.expired))
	p.wantValue("verify_verifications_under_way + verify_verifications_unsettled", len(p.expired))
	p.settle()
	say("settled")
}

// write adds stories to the script.
func (p *script) write(count int, f fate) []*story {
	stories := p.stories(count, f)
	p.all = append(p.all, stories...)
	return stories
}

func (p *script) shuffle(groups ...[]*story) []*story {
	var all []*story
	for _, group := range groups {
		all = append(all, group...)
	}
	p.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// faults are what goes wrong from now on; with none, nothing does.
func (p *script) faults(lines ...string) {
	p.t.Helper()
	faults := make([]sandbox.Fault, len(lines))
	for i, line := range lines {
		var err error
		if faults[i], err = sandbox.ParseFault(line); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.sandbox.SetFaults(faults...); err != nil {
		p.t.Fatal(err)
	}
}

// breakDown has all calls fail for longer than an outcome counts, so that both breakers open. Meanwhile applications ask
// for what memory had until just now.
func (p *script) breakDown(watched []*story, fault string) {
	const asks = 10
	p.faults(fault)
	for range asks {
		time.Sleep(window * 5 / 4 / asks)
		for _, s := range watched {
			if _, err := p.call(s.how, "search", "", url.Values{"request_id": {p.idOf(s)}}); err != nil {
				p.t.Error(err)
			}
		}
	}
	p.faults()
}

// lose has the work done and its answers lost.
func (p *script) lose(checks, starts []*story) {
	p.tellAll(4, checks)
	p.faults("request reset_after", "check reset_after")
	for _, s := range checks {
		if err := p.loseCheck(s); err != nil {
			p.t.Error(err)
		}
	}
	for _, s := range starts {
		if err := p.loseStart(s); err != nil {
			p.t.Error(err)
		}
	}
	p.faults()
	for _, s := range checks {
		id := p.ids[s]
		if _, err := p.want(s, "search", url.Values{"request_id": {id}}, "SUCCESS"); err != nil {
			p.t.Error(err)
			continue
		}
		p.books.ended(id, "success", false)
	}
	for _, s := range starts {
		if err := p.findStart(s); err != nil {
			p.t.Error(err)
		}
	}
}

// share has several clients search for the same at the same time, and for some that memory has and some that it has not.
func (p *script) share() {
	p.faults("search delay 400ms")
	s := p.all[slices.IndexFunc(p.all, func(s *story) bool { return s.fate == right })]
	id := p.idOf(s)
	if _, err := p.want(s, "check", url.Values{"request_id": {id}, "code": {rightCode}}, "6"); err != nil { // memory forgets
		p.t.Error(err)
	}
	done := make(chan error)
	for range 6 {
		go func() {
			_, err := p.call(how{format: "json", place: "form"}, "search", "", url.Values{"request_id": {id}})
			done <- err
		}()
	}
	for range 6 {
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
	p.faults()
	var ids []string
	for _, s := range p.all {
		if s.fate == right && len(ids) < 20 && s.format == "json" {
			ids = append(ids, p.idOf(s))
		}
	}
	for _, from := range []int{0, 5, 10} { // new or half known, and each once more
		for range 2 {
			if _, err := p.call(how{format: "json", place: "form"}, "search", "", url.Values{"request_ids": ids[from : from+10]}); err != nil {
				p.t.Error(err)
			}
		}
	}
	unknown := url.Values{"request_id": {randomHex(16)}}
	if x, err := p.call(how{format: "xml", place: "query"}, "search", "", unknown); err != nil || x.answer.Status != "101" {
		p.t.Errorf("a search for nothing: %v, %v", x, err)
	}
}

// stray sends what is no call of the API, with a number in its path.
func (p *script) stray() {
	for _, path := range []string{"/verify/%s", "/verify/check/%s", "/verify/%s/json?code=" + rightCode, "/verify/json/%%2B%s"} {
		request, err := http.NewRequest(http.MethodGet, p.base+fmt.Sprintf(path, p.all[0].number), nil)
		if err != nil {
			p.t.Fatal(err)
		}
		trace := randomHex(16)
		request.Header.Set("Traceparent", "00-"+trace+"-"+randomHex(8)+"-01")
		response, err := p.http.Do(request)
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			p.t.Errorf("%s was answered with HTTP %d", path, response.StatusCode)
		}
		p.strays = append(p.strays, trace)
	}
}

// idOf is the request_id of a verification that has begun.
func (p *script) idOf(s *story) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[s]
}

// settle waits until the gateway has found out by itself how the others ended. Then applications ask, too late.
func (p *script) settle() {
	for _, s := range p.expired {
		id := p.idOf(s)
		p.books.ended(id, "expired", false)
		p.books.costsMessages(id, messageCost(s.number))
	}
	deadline := time.Now().Add(10 * time.Minute)
	for {
		settled, err := p.prometheus.vector(`sum by (outcome) (verify_verifications_finished_total{outcome="expired"})`, "outcome")
		if err == nil && settled["expired"] == float64(len(p.expired)) {
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the settler has settled %v of %d: %v", settled, len(p.expired), err)
		}
		time.Sleep(time.Second)
	}
	p.wantValue("verify_verifications_under_way + verify_verifications_unsettled", 0)
	p.settled = time.Now()
	for _, s := range p.expired {
		id := p.idOf(s)
		if _, err := p.want(s, "search", url.Values{"request_id": {id}}, "EXPIRED"); err != nil {
			p.t.Error(err)
		}
		if _, err := p.want(s, "check", url.Values{"request_id": {id}, "code": {rightCode}}, "6"); err != nil {
			p.t.Error(err)
		}
	}
}

// wantValue wants a value of the latest scrape.
func (p *script) wantValue(promQL string, want int) {
	p.t.Helper()
	p.prometheus.scraped(p.t)
	got, err := p.prometheus.vector(promQL)
	if err != nil || got[""] != float64(want) {
		p.t.Errorf("%s is %v (%v), want %d", promQL, got, err, want)
	}
}
