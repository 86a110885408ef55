package caddyverify

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestSearchModel lets calls of all kinds, the time and faults of the upstream
// play together at random, in fake time, and holds every search against what the
// sandbox has said: no search shows the state from before a check or control
// that was over when the search began, and none shows what is older than its
// lifetime.
func TestSearchModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(modelSteps, 20, 80).Draw(rt, "steps")
		var violations []string
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t)
			defer func() {
				m.gateway.close(t)
				time.Sleep(time.Minute) // a search of the breaker may be on its way
			}()
			for _, s := range steps {
				m.step(s)
			}
			m.running.Wait()
			violations = m.violations
		})
		for _, violation := range violations {
			rt.Error(violation)
		}
	})
}

// modelStep is one thing that happens. The numbers choose among what there is.
type modelStep struct {
	kind   string
	format wire.Format
	list   bool
	ids    []int
	choice int
}

var modelSteps = rapid.Custom(func(rt *rapid.T) modelStep {
	return modelStep{
		kind:   rapid.SampledFrom([]string{"request", "psd2", "search", "search", "search", "search", "search", "check", "check", "control", "sleep", "sleep", "fault", "distance"}).Draw(rt, "kind"),
		format: rapid.SampledFrom(wire.Formats[:]).Draw(rt, "format"),
		list:   rapid.Bool().Draw(rt, "list"),
		ids:    rapid.SliceOfNDistinct(rapid.IntRange(0, 11), 1, wire.MaxIDs, rapid.ID[int]).Draw(rt, "ids"),
		choice: rapid.IntRange(0, 9).Draw(rt, "choice"),
	}
})

type said struct {
	fragment string
	status   wire.Status
	at       time.Time
}

type model struct {
	gateway *direct
	api     *sandbox.Sandbox
	running sync.WaitGroup
	numbers int

	mu         sync.Mutex
	distance   time.Duration // how long a call is on its way to the sandbox
	ids        []string
	said       map[string][]said // by format and request_id, oldest first
	changed    map[string]int    // how much of said is from before a finished check or control
	violations []string
}

func newModel(t *testing.T) *model {
	d := newDirect(t, &Handler{}, sandboxConfig)
	m := &model{gateway: d, api: d.api, said: map[string][]said{}, changed: map[string]int{}}
	d.network.RoundTripper = m
	return m
}

// RoundTrip asks the sandbox and notes what it says of each verification.
func (m *model) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	distance := m.distance
	m.mu.Unlock()
	time.Sleep(distance)
	w := httptest.NewRecorder()
	var broken bool
	func() {
		defer func() { broken = recover() != nil }()
		m.api.ServeHTTP(w, r)
	}()
	if err := r.Context().Err(); err != nil || broken {
		return nil, fmt.Errorf("cut off: %w", http.ErrAbortHandler)
	}
	_, format, _ := wire.ParsePath(r.URL.Path)
	if reading, err := wire.Read(wire.Search, format, w.Body.Bytes()); err == nil {
		m.mu.Lock()
		for _, v := range reading.Found {
			key := format.String() + v.RequestID
			m.said[key] = append(m.said[key], said{string(v.Raw), v.Status, time.Now()})
		}
		m.mu.Unlock()
	}
	return w.Result(), nil
}

func (m *model) step(s modelStep) {
	id := m.id(s.ids[0])
	switch s.kind {
	case "request":
		if m.numbers++; m.numbers > 4 {
			return // few, so that calls meet
		}
		m.do(wire.Request, s.format, fmt.Sprintf("brand=Acme&number=4477009%05d", m.numbers))
	case "psd2":
		if m.numbers++; m.numbers > 4 {
			return
		}
		m.do(wire.PSD2, wire.JSON, fmt.Sprintf("payee=Acme&amount=48.00&number=4477009%05d", m.numbers))
	case "check":
		m.do(wire.Check, s.format, "request_id="+id+"&code="+pick(s, testCode, "9999", "8888"), id)
	case "control":
		m.do(wire.Control, s.format, "request_id="+id+"&cmd="+pick(s, "cancel", "trigger_next_event"), id)
	case "search":
		m.search(s)
	case "sleep":
		time.Sleep(pick[time.Duration](s, 1, 1, 200, 200, 500, 1500, 2500, 31_000, 70_000, 400_000) * time.Millisecond)
	case "distance":
		m.mu.Lock()
		m.distance = pick[time.Duration](s, 0, 0, 300, 1000) * time.Millisecond
		m.mu.Unlock()
	case "fault":
		m.fail(pick(s, "", "", "", "search status 5", "search status 1", "* garbage", "* http 503",
			"* delay 700ms", "* delay 3s 50%", "* delay 15s 30%", "search delay 1s, search status 5 50%"))
	}
}

func pick[T any](s modelStep, from ...T) T { return from[s.choice%len(from)] }

// id is a verification that was started, or an unknown one.
func (m *model) id(n int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < 10 && len(m.ids) > 0 {
		return m.ids[n%len(m.ids)]
	}
	return fmt.Sprintf("unknown-%d", n)
}

func (m *model) fail(lines string) {
	var faults []sandbox.Fault
	for line := range strings.SplitSeq(lines, ", ") {
		if fault, err := sandbox.ParseFault(line); err == nil {
			faults = append(faults, fault)
		}
	}
	if err := m.api.SetFaults(faults...); err != nil {
		m.violate("faults: %v", err)
	}
}

// do makes a call in the background and lets it get as far as it can by itself.
func (m *model) do(o wire.Operation, format wire.Format, form string, changes ...string) {
	m.running.Go(func() {
		answer := m.call(o, format, form)
		m.mu.Lock()
		defer m.mu.Unlock()
		if o.Starts() {
			if reading, err := wire.Read(o, format, answer.Body.Bytes()); err == nil && reading.RequestID != "" {
				m.ids = append(m.ids, reading.RequestID)
			}
		}
		for _, id := range changes {
			for _, f := range wire.Formats {
				m.changed[f.String()+id] = len(m.said[f.String()+id])
			}
		}
	})
	synctest.Wait()
}

func (m *model) call(o wire.Operation, f wire.Format, form string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, wire.Path(o, f), strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if err := m.gateway.ServeHTTP(w, r, nil); err != nil {
		m.violate("an error was returned to Caddy: %v", err)
	}
	return w
}

func (m *model) search(s modelStep) {
	format, form := s.format, "request_id="+m.id(s.ids[0])
	if s.list {
		var ids []string
		for _, n := range s.ids {
			ids = append(ids, m.id(n))
		}
		form = "request_ids=" + strings.Join(ids, "&request_ids=")
	}
	m.mu.Lock()
	changed := map[string]int{}
	maps.Copy(changed, m.changed)
	m.mu.Unlock()
	m.running.Go(func() {
		answer := m.call(wire.Search, format, form)
		reading, err := wire.Read(wire.Search, format, answer.Body.Bytes())
		if err != nil {
			m.violate("a search was answered with %s: %v", answer.Body, err)
			return
		}
		for _, v := range reading.Found {
			m.judge(format.String()+v.RequestID, string(v.Raw), changed, answer.Header().Get("Cache-Status"))
		}
	})
	synctest.Wait()
}

// judge looks for the latest time that the sandbox said what a search shows.
func (m *model) judge(key, fragment string, changed map[string]int, cacheStatus string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.said[key]
	for i := len(all) - 1; i >= changed[key]; i-- {
		if all[i].fragment != fragment {
			continue
		}
		lifetime := 10 * time.Second // of the flight that it may have come by
		switch s := all[i].status; {
		case s == wire.InProgress:
			lifetime += 2 * time.Second
		case s.Final() && i > 0 && all[i-1].fragment == fragment:
			lifetime += 24 * time.Hour
		case s.Final():
			lifetime += time.Minute
		}
		if strings.Contains(cacheStatus, "stale-if-error") {
			lifetime += 5 * time.Minute
		}
		if age := time.Since(all[i].at); age > lifetime {
			m.violations = append(m.violations, fmt.Sprintf("%s is %v old (%s)", all[i].status, age, cacheStatus))
		}
		return
	}
	m.violations = append(m.violations, "a search shows the state from before a check or control: "+cacheStatus)
}

func (m *model) violate(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.violations = append(m.violations, fmt.Sprintf(format, args...))
}
