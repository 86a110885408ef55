package gateway

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// fleetStep is one of what a fleet's run is made of.
type fleetStep struct {
	kind    string
	gateway int
	id      int // which verification, of those that there are
	seconds int
	deaf    bool
}

const gateways = 3

var fleetSteps = rapid.Custom(func(t *rapid.T) fleetStep {
	return fleetStep{
		kind: rapid.SampledFrom([]string{
			"start", "start", "check", "check", "wrong", "wrong", "search", "search", "list", "cancel", "all", "unseen", "cut", "cut", "restart", "wait", "wait",
		}).Draw(t, "kind"),
		gateway: rapid.IntRange(0, gateways-1).Draw(t, "gateway"),
		id:      rapid.IntRange(0, 99).Draw(t, "id"),
		seconds: rapid.IntRange(1, 45).Draw(t, "seconds"),
		deaf:    rapid.Bool().Draw(t, "deaf"),
	}
})

// TestFleetModel has gateways do what their applications want, in any order, while their ways to
// the store are cut for less than a minute, or lose its answers. Each verification is counted as
// ended once, and as having cost what the provider has told at most.
func TestFleetModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(fleetSteps, 1, 40).Draw(r, "steps")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			m := newFleetModel(t)
			for n, s := range steps {
				m.step(n, s)
				if problem = m.twice(); problem != "" {
					return
				}
			}
			problem = m.end()
		})
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

// fleetModel is a fleet and what its provider has said.
type fleetModel struct {
	*fleet
	plain    *Gateway // shares nothing
	ids      []string
	starter  map[string]int // which gateway
	callerOf map[string]string
	free     [gateways]time.Time // until when a way is not to be cut again

	mu   sync.Mutex
	most map[string][2]float64 // fee and messages that the provider has told, by id
}

func newFleetModel(t *testing.T) *fleetModel {
	m := &fleetModel{starter: map[string]int{}, callerOf: map[string]string{}, most: map[string][2]float64{}}
	api := direct(newSandbox(t))
	m.fleet = newFleet(t, gateways, provider(func(r *http.Request) (int, string) {
		id := formOf(r).Get("request_id")
		o, _, _ := wire.ParsePath(r.URL.Path)
		code, body := api(r)
		m.told(o, id, body)
		return code, body
	}))
	m.plain = newGateway(t, newAccount(t), api, "https://provider.example")
	return m
}

// told notes what the provider has said of costs.
func (m *fleetModel) told(o wire.Operation, id, body string) {
	reading, err := wire.Read(o, wire.JSON, []byte(body))
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	note := func(id string, v *wire.Verification) {
		var amounts [2]float64
		for i, text := range [...]string{v.Price, v.EstimatedPrice} {
			_, _ = fmt.Sscan(text, &amounts[i]) // where there is one
			amounts[i] = max(amounts[i], m.most[id][i])
		}
		m.most[id] = amounts
	}
	note(id, &reading.Verification)
	for _, v := range reading.Found {
		note(v.RequestID, v)
	}
}

func (m *fleetModel) step(n int, s fleetStep) {
	g := m.all[s.gateway]
	switch s.kind {
	case "start":
		caller := fmt.Sprint("app ", n)
		id := g.start(caller, fmt.Sprintf("4477129%05d", n))
		m.ids, m.starter[id], m.callerOf[id] = append(m.ids, id), s.gateway, caller
		return
	case "wait":
		time.Sleep(time.Duration(s.seconds) * 5 * time.Second)
		return
	case "cut":
		m.cut(s)
		return
	case "restart":
		if time.Now().After(m.free[s.gateway]) {
			m.restartOne(s.gateway)
		}
		return
	}
	if len(m.ids) == 0 {
		return
	}
	id := m.ids[s.id%len(m.ids)]
	switch s.kind {
	case "check":
		g.check("app", id, testCode)
	case "wrong":
		g.check("app", id, "0000")
	case "search":
		g.lookFor("app", id)
	case "cancel":
		g.call("app", "control/json", "cmd=cancel&request_id="+id)
	case "list":
		g.call("app", "search/json", url.Values{"request_ids": m.ids[:min(len(m.ids), 10)]}.Encode())
	case "unseen":
		call(m.plain, "/verify/check/json", "code="+testCode+"&request_id="+id)
	case "all":
		var wg sync.WaitGroup
		for _, g := range m.all {
			wg.Go(func() { g.lookFor("app", id) })
		}
		wg.Wait()
	}
}

// cut cuts a gateway's way to the store, for less than it takes to count alone.
func (m *fleetModel) cut(s fleetStep) {
	if time.Now().Before(m.free[s.gateway]) {
		return
	}
	link := m.all[s.gateway].link
	cut := &link.away
	if s.deaf {
		cut = &link.deaf
	}
	cut.Store(true)
	lasts := time.Duration(s.seconds) * time.Second
	m.free[s.gateway] = time.Now().Add(lasts + 5*time.Second) // until all is told that could not be
	time.AfterFunc(lasts, func() { cut.Store(false) })
}

func (m *fleetModel) restartOne(n int) {
	m.all[n].Close()
	m.all[n].Account.Close()
	m.join()
	m.all[n], m.all = m.all[gateways], m.all[:gateways]
}

// twice tells of what was counted more than once.
func (m *fleetModel) twice() string {
	for _, id := range m.ids {
		if all := m.finished(m.callerOf[id]); len(all) > 1 {
			return fmt.Sprintf("%s is counted as ended as %+v", id, all)
		}
	}
	if n := m.untracked(); n != 0 {
		return fmt.Sprintf("%d ends are counted without a start", n)
	}
	return ""
}

// end has all verifications end, and their starters see it, and tells what is wrong then.
func (m *fleetModel) end() string {
	time.Sleep(15 * time.Minute)
	for _, id := range m.ids {
		m.all[m.starter[id]].lookFor("app", id)
	}
	settled()
	if problem := m.twice(); problem != "" {
		return problem
	}
	for _, id := range m.ids {
		caller := m.callerOf[id]
		if all := m.finished(caller); len(all) != 1 || all[0].Country != "GB" || all[0].Workflow != "default" {
			return fmt.Sprintf("%s is counted as ended as %+v", id, all)
		}
		paid := m.paid(caller)
		for i, kind := range []wire.CostKind{wire.Fee, wire.Messages} {
			if got, want := paid[string(kind)], m.most[id][i]; math.Abs(got-want) > 1e-9 {
				return fmt.Sprintf("%s has cost %v of %s as counted, and %v as told", id, got, kind, want)
			}
		}
	}
	for i, g := range m.all {
		if s := g.Account.Snapshot().Verifications; s.UnderWay != 0 || s.Unsettled != 0 {
			return fmt.Sprintf("gateway %d has %+v", i, s)
		}
	}
	return ""
}
