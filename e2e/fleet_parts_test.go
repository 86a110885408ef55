//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	fleetStoreKey = "the-key-of-the-store-in-e2e-tests-0123456789"
	fleetCode     = "RIGHT4CODE" // no four digits, which would be found anywhere
	fleetSpeed    = 10           // a verification may be cancelled after 3 s, until 12 s are over
)

var fleetApps = []string{"application-shop", "application-login", "application-support"}

// fleetAPI is the provider of a fleet: a sandbox that keeps a record of its own, takes its time, and can hold a call.
type fleetAPI struct {
	*sandbox.Sandbox
	takes time.Duration

	mu      sync.Mutex
	record  []arrival
	holding map[string]*holding // by what is asked for
}

// arrival is a call that came to the provider.
type arrival struct {
	at   time.Time
	what string // see callName
}

// holding is a call that waits for its test before anything is done. The gateway that made it may be gone by then.
type holding struct {
	came, open   chan struct{}
	entered, let sync.Once
}

func (h *holding) release() { h.let.Do(func() { close(h.open) }) }

// callName says what a call is for: two calls of one name ask for the same.
func callName(operation string, params url.Values) string {
	switch operation {
	case "request":
		return "request " + params.Get("number")
	case "check":
		return "check " + params.Get("request_id") + " " + params.Get("code")
	case "control":
		return "control " + params.Get("request_id") + " " + params.Get("cmd")
	}
	return operation
}

// hold has the next call of a name wait at the provider.
func (a *fleetAPI) hold(name string) *holding {
	h := &holding{came: make(chan struct{}), open: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holding[name] = h
	return h
}

func (a *fleetAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	params, _ := url.ParseQuery(string(body))
	for name, values := range r.URL.Query() {
		params[name] = append(params[name], values...)
	}
	operation, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/verify/"), "/")
	if operation == "json" || operation == "xml" {
		operation = "request"
	}
	name := callName(operation, params)
	a.mu.Lock()
	a.record = append(a.record, arrival{at, name})
	held := a.holding[name]
	delete(a.holding, name)
	a.mu.Unlock()
	if held != nil {
		held.entered.Do(func() { close(held.came) })
		select {
		case <-held.open:
		case <-r.Context().Done():
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	work := httptest.NewRecorder()
	a.Sandbox.ServeHTTP(work, r)
	time.Sleep(a.takes)
	maps.Copy(w.Header(), work.Header())
	w.WriteHeader(work.Code)
	w.Write(work.Body.Bytes())
}

// counts are how often each call came.
func (a *fleetAPI) counts() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := map[string]int{}
	for _, one := range a.record {
		counts[one.what]++
	}
	return counts
}

// since returns when calls came, from a time on.
func (a *fleetAPI) since(from time.Time) (all []time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.record {
		if !one.at.Before(from) {
			all = append(all, one.at)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// busiest is the most that came within a window.
func busiest(sorted []time.Time, window time.Duration) (most int) {
	first := 0
	for i, at := range sorted {
		for at.Sub(sorted[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// fleet is three gateways of one account, with one store.
type fleet struct {
	t       *testing.T
	api     *fleetAPI
	redis   *redisServer
	link    *link
	members []*member
	client  *http.Client

	limited, alone, moved atomic.Int64 // answers of the rate; searches without the store; calls that a closed gateway did not take
	doubtful              atomic.Bool  // the store was away for more than a twentieth of the time
	mu                    sync.Mutex
	faults                map[string]int
	probes                int
}

// member is one of the gateways.
type member struct {
	address, admin, config string
	env                    []string
	process                *process
	out                    atomic.Bool  // the balancer sends it nothing
	underWay               atomic.Int64 // calls at it
	before                 metricValues // what it had counted before it was started anew
}

// startFleet starts it with these settings of the handlers, before a provider that lets so many calls through, and takes so long
// for each.
func startFleet(t *testing.T, settings string, limit float64, takes time.Duration) *fleet {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{
		APIKey: gatewayKey, APISecret: gatewaySecret, Code: fleetCode, Speed: fleetSpeed, Limit: limit, Record: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, faults: map[string]int{}, redis: startRedis(t), api: &fleetAPI{Sandbox: api, takes: takes, holding: map[string]*holding{}}}
	f.link = startLink(t, f.redis.address)
	upstream := httptest.NewServer(f.api)
	t.Cleanup(upstream.CloseClientConnections)
	f.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		m := &member{address: freeAddress(t), admin: freeAddress(t), before: metricValues{}}
		m.env = []string{"E2E_STORE_KEY=" + fleetStoreKey, "E2E_VERIFY_SECRET=" + gatewaySecret}
		m.config = strings.NewReplacer("{admin}", m.admin, "{store}", f.link.address, "{address}", m.address, "{upstream}", upstream.URL,
			"{key}", gatewayKey, "{settings}", settings,
			"{apps}", strings.Join(fleetCallers(), "\n\t\t\t")).Replace(fleetCaddyfile)
		f.members = append(f.members, m)
		f.start(m)
	}
	for _, m := range f.members {
		m.process.listening(t, m.address)
		m.process.listening(t, m.admin)
	}
	return f
}

const fleetCaddyfile = `{
	admin {admin}
	persist_config off
	auto_https off
	log default {
		level WARN
	}
	verify {
		store redis {
			address        {store}
			encryption_key {env.E2E_STORE_KEY}
		}
		callers {
			{apps}
		}
	}
}
http://{address} {
	bind 127.0.0.1
	verify {
		upstream    {upstream}
		credentials {key} {env.E2E_VERIFY_SECRET}
		countries   GB DE FR US
		{settings}
	}
}
`

func fleetCallers() (lines []string) {
	for _, app := range fleetApps {
		lines = append(lines, fmt.Sprintf("caller %s {http.request.header.X-App} %s", app, app))
	}
	return lines
}

func (f *fleet) start(m *member) { m.process = startCaddyfile(f.t, m.env, m.config) }

// restart takes a gateway out of the balancer, has it end and starts it anew.
func (f *fleet) restart(m *member) {
	f.t.Helper()
	m.out.Store(true)
	for until := time.Now().Add(patience); m.underWay.Load() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			f.t.Fatalf("%d calls do not end", m.underWay.Load())
		}
	}
	for series, value := range f.counted(m) {
		m.before[series] += value
	}
	m.process.interrupt(f.t)
	f.start(m)
	m.process.listening(f.t, m.address)
	m.process.listening(f.t, m.admin)
	m.out.Store(false)
}

// counted are a gateway's metrics once all ends are in them that it has seen: they are counted when the store has said whose they
// are, which is asked again after a moment where the store does not answer in time.
func (f *fleet) counted(m *member) metricValues {
	f.t.Helper()
	const moment = 2 * time.Second
	values, begun := f.metrics(m), time.Now()
	for since := begun; time.Since(since) < moment; time.Sleep(moment / 20) {
		if time.Since(begun) > patience {
			f.t.Errorf("a gateway that is not called does not come to rest")
			break
		}
		now := f.metrics(m)
		for _, series := range []string{
			"verify_verifications_finished_total", "verify_verifications_untracked_total",
			`verify_store_calls_total{result="failed"}`, `verify_store_calls_total{result="skipped"}`,
		} {
			if now.sum(series) != values.sum(series) {
				since = time.Now()
			}
		}
		values = now
	}
	return values
}

// metrics are what a gateway tells of itself.
func (f *fleet) metrics(m *member) metricValues {
	f.t.Helper()
	values, ok := f.tryMetrics(m)
	if !ok {
		f.t.Errorf("a gateway does not tell its metrics")
	}
	return values
}

func (f *fleet) tryMetrics(m *member) (values metricValues, ok bool) {
	response, err := f.client.Get("http://" + m.admin + "/metrics")
	if err != nil {
		return nil, false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, false
	}
	values = metricValues{}
	for line := range strings.Lines(string(text)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if ok && strings.HasPrefix(series, "verify_") {
			values[series+"}"] = number(value)
		}
	}
	return values, true
}

// sums adds up a counter over the fleet, restarts included, by labels.
func (f *fleet) sums(name string, labels ...string) map[string]float64 {
	f.t.Helper()
	sums := map[string]float64{}
	for _, m := range f.members {
		for _, values := range []metricValues{m.before, f.metrics(m)} {
			for series, value := range values {
				of, rest, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
				if of != name || value == 0 {
					continue
				}
				var key []string
				for _, label := range labels {
					_, after, _ := strings.Cut(","+rest, ","+label+`="`)
					is, _, _ := strings.Cut(after, `"`)
					key = append(key, is)
				}
				sums[strings.Join(key, " ")] += value
			}
		}
	}
	return sums
}
