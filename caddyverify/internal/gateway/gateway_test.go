package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	testKey    = "abcdef01"
	testSecret = "S3cret-of-the-gateway"
	testCode   = "1234"
)

// newAccount returns an account without a limit.
func newAccount(t *testing.T) *Account {
	t.Helper()
	countries, err := country.NewList([]string{"GB"})
	if err != nil {
		t.Fatal(err)
	}
	s := &Settings{Countries: countries, Limit: limit.Settings{Rate: -1}}
	a := NewAccount("provider.example", testKey, observe.NewMetrics(), s)
	t.Cleanup(a.Close)
	t.Cleanup(a.Configure(s))
	return a
}

// newGateway returns a gateway of an account in force.
func newGateway(t *testing.T, a *Account, transport http.RoundTripper, url string) *Gateway {
	t.Helper()
	g, err := New(Config{
		Account: a,
		Upstream: upstream.Config{
			URL: url, Key: testKey, Secret: upstream.NewSecret(testSecret),
			Auth: upstream.Basic, Method: upstream.Auto, Transport: transport,
		},
		Timeout: time.Second,
		Caller:  func(*http.Request) (*caller.Caller, bool) { return new(caller.Caller), true },
		Logger:  slog.New(slog.DiscardHandler),
		Running: new(Running),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	g.Start(false)
	return g
}

// provider makes answers without a network.
type provider func(*http.Request) (code int, body string)

func (p provider) RoundTrip(r *http.Request) (*http.Response, error) {
	code, body := p(r)
	return &http.Response{
		StatusCode: code, ContentLength: int64(len(body)), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func newSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{APIKey: testKey, APISecret: testSecret, Code: testCode, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// direct has the sandbox answer without a network.
func direct(api http.Handler) provider {
	return func(r *http.Request) (int, string) {
		w := httptest.NewRecorder()
		sent := httptest.NewRequest(r.Method, r.URL.String(), r.Body).WithContext(r.Context())
		sent.Header = r.Header
		api.ServeHTTP(w, sent)
		return w.Code, w.Body.String()
	}
}

func call(g *Gateway, path, form string) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	g.ServeHTTP(w, r)
	return w.Body.String()
}

// TestPlainServer takes a verification from its request to its end in a server of
// net/http alone.
func TestPlainServer(t *testing.T) {
	upstream := httptest.NewServer(newSandbox(t))
	t.Cleanup(upstream.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewServer(newGateway(t, newAccount(t), transport, upstream.URL))
	t.Cleanup(server.Close)
	post := func(o wire.Operation, form url.Values) (fields struct{ RequestID, Status string }) {
		t.Helper()
		response, err := http.PostForm(server.URL+wire.Path(o, wire.JSON), form)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		reading, err := wire.Read(o, wire.JSON, body)
		if err != nil {
			t.Fatalf("%s: %v in %s", o, err, body)
		}
		fields.RequestID, fields.Status = reading.RequestID, string(reading.Status)
		return fields
	}
	started := post(wire.Request, url.Values{"number": {"447700900000"}, "brand": {"Acme"}})
	if started.Status != "0" || started.RequestID == "" {
		t.Fatalf("a request is answered with %+v", started)
	}
	id := url.Values{"request_id": {started.RequestID}}
	for _, step := range []struct {
		operation           wire.Operation
		name, value, status string
	}{
		{wire.Search, "", "", "IN PROGRESS"},
		{wire.Check, "code", "0000", "16"},
		{wire.Check, "code", testCode, "0"},
		{wire.Search, "", "", "SUCCESS"},
		{wire.Control, "cmd", "cancel", "6"},
	} {
		form := url.Values{"request_id": id["request_id"]}
		if step.name != "" {
			form.Set(step.name, step.value)
		}
		if got := post(step.operation, form); got.Status != step.status {
			t.Errorf("%s %s is answered with %+v, want status %s", step.operation, step.value, got, step.status)
		}
	}
}

// TestEventsReachEverySubscriber: whoever subscribes is told of what any of an account's
// gateways brings about.
func TestEventsReachEverySubscriber(t *testing.T) {
	a := newAccount(t)
	newGateway(t, a, direct(newSandbox(t)), "https://provider.example")
	second := newGateway(t, a, direct(newSandbox(t)), "https://provider.example")
	var mu sync.Mutex
	told := map[string][]Detail{}
	for _, name := range []string{"one", "two", "three"} {
		stop := a.Subscribe(func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Account != "ef01@provider.example" {
				t.Errorf("an event of account %q", e.Account)
			}
			told[name] = append(told[name], e.Detail)
		})
		if name == "three" {
			stop()
		}
	}
	answer := call(second, "/verify/json", "number=447700900000&brand=Acme")
	_, id, _ := strings.Cut(answer, `"request_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	call(second, "/verify/check/json", "code="+testCode+"&request_id="+id)
	for _, name := range []string{"one", "two"} {
		var words []string
		for _, d := range told[name] {
			switch d := d.(type) {
			case VerificationStarted:
				words = append(words, "started in "+d.Country)
			case VerificationFinished:
				words = append(words, "finished with "+string(d.Outcome))
			case CostLearned:
				words = append(words, "cost")
			}
		}
		if got := strings.Join(words, ", "); got != "started in GB, finished with success, cost" &&
			got != "started in GB, finished with success, cost, cost" {
			t.Errorf("%s was told %q", name, got)
		}
	}
	if len(told["three"]) != 0 {
		t.Errorf("one that has stopped was told %v", told["three"])
	}
}

// TestReadingChangesNothing: what time brings about is counted when it is time, whether
// or not anyone looks.
func TestReadingChangesNothing(t *testing.T) {
	for _, scraped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			g := newGateway(t, a, direct(newSandbox(t)), "https://provider.example")
			var finished atomic.Int32
			a.Subscribe(func(e Event) {
				if _, ok := e.Detail.(VerificationFinished); ok {
					finished.Add(1)
				}
			})
			call(g, "/verify/json", "number=447700900000&brand=Acme")
			for hours := range 48 {
				time.Sleep(time.Hour)
				synctest.Wait()
				if !scraped {
					continue
				}
				before := finished.Load()
				a.Snapshot()
				collect(a)
				if synctest.Wait(); finished.Load() != before {
					t.Errorf("hour %d: looking finished %d verifications", hours, finished.Load()-before)
				}
			}
			if finished.Load() != 1 {
				t.Errorf("%d verifications have finished, scraped: %v; want 1", finished.Load(), scraped)
			}
			if s := a.Snapshot(); s.Verifications.UnderWay != 0 || s.Verifications.Unsettled != 0 {
				t.Errorf("the snapshot still has %+v", s.Verifications)
			}
			g.Close()
			a.Close()
		})
	}
}

func collect(a *Account) {
	to := make(chan prometheus.Metric, 1000)
	Collector{Accounts: func(yield func(*Account) bool) { yield(a) }}.Collect(to)
}

// TestUnknownMethodIsNoFailure: the answer that told of the method is no failure, not to
// the breaker, and not in the metrics.
func TestUnknownMethodIsNoFailure(t *testing.T) {
	a := newAccount(t)
	g := newGateway(t, a, provider(func(r *http.Request) (int, string) {
		if r.Method == http.MethodPost {
			return http.StatusMethodNotAllowed, ""
		}
		return http.StatusOK, `{"request_id":"cc121958d8fb4368","status":"0"}`
	}), "https://provider.example")
	for n := range 40 { // more than it takes to open a circuit
		a.methods = upstream.Methods{}
		if answer := call(g, "/verify/json", "brand=Acme&number="+strconv.Itoa(447700900200+n)); !strings.Contains(answer, `"status":"0"`) {
			t.Fatalf("got %s", answer)
		}
	}
	for _, circuit := range a.Snapshot().Circuits {
		if circuit.State != wire.CircuitClosed {
			t.Errorf("the circuit %s is %s", circuit.Class, circuit.State)
		}
	}
}

// TestConfigureTellsOfChanges: whoever is told of what a configuration brings about may
// look at the account.
func TestConfigureTellsOfChanges(t *testing.T) {
	a := newAccount(t)
	countries := a.inForce.Load().Countries
	defer a.Configure(&Settings{Countries: countries, Limit: limit.Settings{Rate: 20}})()
	a.limiter.Observe(wire.Request, wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Throttled}}})
	var rates []int
	a.Subscribe(func(e Event) {
		if _, ok := e.Detail.(LimitChanged); ok {
			rates = append(rates, a.Snapshot().Limit.Rate)
		}
	})
	defer a.Configure(&Settings{Countries: countries, Limit: limit.Settings{Rate: 5}})()
	if len(rates) != 1 || rates[0] != 5 {
		t.Errorf("the rates told of are %v, want 5", rates)
	}
}
