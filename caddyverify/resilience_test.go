package caddyverify

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// direct is a gateway whose transport hands calls to a sandbox without a network,
// for fake time.
type direct struct {
	*Handler
	api  *sandbox.Sandbox
	mu   sync.Mutex
	down error         // what every call ends with
	slow time.Duration // how long a call is under way
	asks []time.Time   // when calls went upstream
	// network is what makes the calls: itself, unless a test puts something before it.
	network *network
}

type network struct{ http.RoundTripper }

func newDirect(t *testing.T, h *Handler, config sandbox.Config) *direct {
	t.Helper()
	api, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	d := &direct{Handler: h, api: api}
	h.Upstream = "https://sandbox.invalid"
	d.network = &network{d}
	h.roundTripper = d.network
	if err := inForce(t, h); err != nil {
		t.Fatal(err)
	}
	return d
}

// close must be called before the bubble ends.
func (d *direct) close(t *testing.T) {
	if err := d.Cleanup(); err != nil {
		t.Error(err)
	}
}

func (d *direct) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// circuit is the state of one of the account's circuits.
func (d *direct) circuit(class wire.Class) wire.CircuitState {
	for _, c := range d.gateway.Account.Snapshot().Circuits {
		if c.Class == class {
			return c.State
		}
	}
	return ""
}

// sent is how many calls went upstream.
func (d *direct) sent() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asks)
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.asks = append(d.asks, time.Now())
	down, slow := d.down, d.slow
	d.mu.Unlock()
	if down != nil {
		return nil, down
	}
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	d.api.ServeHTTP(w, r)
	return w.Result(), nil
}

func (d *direct) call(o wire.Operation, form string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, wire.Path(o, wire.JSON), strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	_ = d.ServeHTTP(w, r, nil) // always nil: see TestRefusals
	return w
}

func statusOf(w *httptest.ResponseRecorder) string {
	return reply{body: w.Body.String()}.field("status")
}

var sandboxConfig = sandbox.Config{APIKey: testKey, APISecret: testSecret, Code: testCode, Limit: -1}

func TestBreakerOpensAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		id := reply{body: d.call(wire.Request, forms[wire.Request]).Body.String()}.field("request_id")
		known := d.call(wire.Search, "request_id="+id)
		time.Sleep(3 * time.Second) // IN PROGRESS is over in memory

		d.set(func() { d.down = http.ErrServerClosed })
		for n := 0; d.circuit(wire.WriteClass) == wire.CircuitClosed || d.circuit(wire.ReadClass) == wire.CircuitClosed; n++ {
			if n > 40 {
				t.Fatal("the breaker does not open")
			}
			d.call(wire.Request, fmt.Sprintf("brand=Acme&number=4477009%05d", n))
			d.call(wire.Check, "request_id=unknown&code=1234")
		}
		d.set(func() { d.asks = nil })
		for o, form := range map[wire.Operation]string{
			wire.Request: forms[wire.Request], wire.Check: forms[wire.Check], wire.Control: forms[wire.Control], wire.Search: forms[wire.Search],
		} {
			begun := time.Now()
			w := d.call(o, form)
			if statusOf(w) != "5" || w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "nothing was sent (caddy-verify: breaker_open)") {
				t.Errorf("%v: the client reads %d %s", o, w.Code, w.Body)
			}
			if w.Header().Get("Retry-After") != "5" || w.Header().Get("Proxy-Status") != `caddy-verify; error=destination_unavailable; details="breaker_open"` {
				t.Errorf("%v: headers are %v", o, w.Header())
			}
			if d := time.Since(begun); d != 0 {
				t.Errorf("%v: it took %v", o, d)
			}
			if got := w.Header().Get("Cache-Status"); o == wire.Search && got != "caddy-verify; detail=breaker_open" {
				t.Errorf("Cache-Status is %q, but nothing was forwarded", got)
			}
		}
		if w := d.call(wire.Search, "request_id="+id); w.Body.String() != known.Body.String() || !strings.Contains(w.Header().Get("Cache-Status"), "stale-if-error") {
			t.Errorf("the search was answered with %s, %s", w.Body, w.Header().Get("Cache-Status"))
		}
		if d.sent() != 0 {
			t.Errorf("%d calls went upstream", d.sent())
		}

		// Probes go out after 5, 10, 20, 40, 60, 60 … seconds. All of them are searches.
		time.Sleep(5*time.Second + 10*time.Second + 20*time.Second + 40*time.Second + 60*time.Second + time.Second)
		synctest.Wait()
		if n := d.sent(); n != 2*5 { // both circuits
			t.Errorf("%d probes in two minutes", n)
		}
		d.set(func() { d.down = nil })
		d.api.Reset()
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, call := range d.api.Calls() {
			if call.Operation != "search" || call.Status != "101" {
				t.Errorf("a probe was a %s, answered with %s", call.Operation, call.Status)
			}
		}
		if n := d.api.Accepted(); n != 0 {
			t.Errorf("the probes sent %d messages", n)
		}
		if w := d.call(wire.Request, forms[wire.Request]); statusOf(w) != "0" {
			t.Errorf("after the recovery: %s", w.Body)
		}
	})
}

// While a circuit is half-open, no call of a customer is the canary.
func TestHalfOpenCostsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		d.set(func() { d.down = http.ErrServerClosed })
		for d.circuit(wire.WriteClass) == wire.CircuitClosed {
			d.call(wire.Request, forms[wire.Request])
		}
		d.set(func() { d.down, d.slow, d.asks = nil, 2*time.Second, nil })
		time.Sleep(6 * time.Second) // the probe is under way
		if state := d.circuit(wire.WriteClass); state != wire.CircuitHalfOpen {
			t.Fatalf("the state is %v", state)
		}
		for range 10 {
			if w := d.call(wire.Request, forms[wire.Request]); !strings.Contains(w.Body.String(), "breaker_open") {
				t.Errorf("the client reads %s", w.Body)
			}
		}
		if d.sent() != 1 {
			t.Errorf("%d calls went upstream, want the probe alone", d.sent())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		d.set(func() { d.slow = 0 })
		if w := d.call(wire.Request, forms[wire.Request]); statusOf(w) != "0" {
			t.Errorf("after the probe: %s", w.Body)
		}
	})
}

func TestBreakerOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1, Breaker: &Breaker{Off: true}}}, sandboxConfig)
		defer d.close(t)
		d.set(func() { d.down = http.ErrServerClosed })
		for range 100 {
			d.call(wire.Request, forms[wire.Request])
		}
		d.set(func() { d.down = nil })
		if w := d.call(wire.Request, forms[wire.Request]); statusOf(w) != "0" {
			t.Errorf("the client reads %s", w.Body)
		}
	})
}

// TestOverload asks ten times as much as the provider takes. The sandbox is as
// strict as the provider: one call more than 30 in any second and it says so.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := sandboxConfig
		config.Limit = 30
		d := newDirect(t, &Handler{Account: Account{Cache: &Cache{Off: true}}}, config)
		defer d.close(t)
		var running sync.WaitGroup
		var mu sync.Mutex
		answered, asked := map[wire.Operation]int{}, map[wire.Operation]int{}
		var waits []time.Duration
		for i := range 300 * 20 {
			o := []wire.Operation{wire.Request, wire.Search, wire.Control}[i%3]
			if i%60 == 0 {
				o = wire.Check // 5 a second
			}
			asked[o]++
			running.Go(func() {
				begun := time.Now()
				w := d.call(o, strings.Replace(forms[o], testNumber, fmt.Sprintf("4477009%05d", i), 1))
				mu.Lock()
				defer mu.Unlock()
				if statusOf(w) != "1" {
					answered[o]++
					if o == wire.Check {
						waits = append(waits, time.Since(begun))
					}
				} else if !strings.Contains(w.Body.String(), "limit_reached") || w.Header().Get("Retry-After") == "" {
					t.Errorf("the provider throttled: %s", w.Body)
				}
				if waited := time.Since(begun); waited > 250*time.Millisecond {
					t.Errorf("a call waited for %v", waited)
				}
			})
			time.Sleep(time.Second / 300)
		}
		running.Wait()
		if calls := d.sent(); calls < 20*27 {
			t.Errorf("only %d calls in 20 s went upstream", calls)
		}
		slices.Sort(waits)
		if answered[wire.Check] < asked[wire.Check]*95/100 {
			t.Errorf("%d of %d checks were answered", answered[wire.Check], asked[wire.Check])
		}
		t.Logf("%d of %d checks answered, waiting %v at most (median %v); upstream %d calls in 20 s; of others %d of %d",
			answered[wire.Check], asked[wire.Check], waits[len(waits)-1], waits[len(waits)/2], d.sent(),
			answered[wire.Request]+answered[wire.Search]+answered[wire.Control], asked[wire.Request]+asked[wire.Search]+asked[wire.Control])
	})
}

// A provider that throttles below its own limit slows the gateway down; one that throttles
// searches, these.
func TestSlowsDown(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		testSlowsDown(t, wire.Control, func(s limit.Stats) (now, full int) { return s.Rate, 28 })
	})
	t.Run("searches", func(t *testing.T) {
		testSlowsDown(t, wire.Search, func(s limit.Stats) (now, full int) { return s.SearchRate, 0 })
	})
}

func testSlowsDown(t *testing.T, o wire.Operation, rate func(limit.Stats) (now, full int)) {
	synctest.Test(t, func(t *testing.T) {
		config := sandboxConfig
		config.Limit = 10
		d := newDirect(t, &Handler{Account: Account{Cache: &Cache{Off: true}}}, config)
		defer d.close(t)
		throttled := 0
		for range 100 * 60 {
			if w := d.call(o, forms[o]); statusOf(w) == "1" && !strings.Contains(w.Body.String(), "caddy-verify") {
				throttled++
			}
			time.Sleep(10 * time.Millisecond)
		}
		asked := d.sent()
		if throttled*10 > asked {
			t.Errorf("%d of %d calls were throttled", throttled, asked)
		}
		stats := d.gateway.Account.Snapshot().Limit
		if now, _ := rate(stats); now == 0 || now >= 28 || o == wire.Search && stats.Rate != 28 {
			t.Errorf("the limit is %+v", stats)
		}
		time.Sleep(time.Minute)
		stats = d.gateway.Account.Snapshot().Limit
		if now, full := rate(stats); now != full {
			t.Errorf("after a quiet minute the limit is %+v", stats)
		}
	})
}

func TestAccountTrouble(t *testing.T) {
	tests := []struct {
		fault, status, cause string
		stopped              []wire.Operation
	}{
		{"* status 4", "4", "account_bad_credentials", []wire.Operation{wire.Request, wire.Search, wire.Control, wire.PSD2}},
		{"* status 8", "8", "account_barred", []wire.Operation{wire.Request, wire.Search, wire.Control, wire.PSD2}},
		{"* http 401", "4", "account_bad_credentials", []wire.Operation{wire.Request, wire.Search, wire.Control, wire.PSD2}},
		{"request status 9", "9", "account_no_credit", []wire.Operation{wire.Request, wire.PSD2}},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
				defer d.close(t)
				fault, err := sandbox.ParseFault(test.fault)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.api.SetFaults(fault); err != nil {
					t.Fatal(err)
				}
				d.call(wire.Request, forms[wire.Request])
				synctest.Wait() // for what the gateway finds out by itself
				for _, o := range wire.Operations {
					d.set(func() { d.asks = nil })
					w := d.call(o, forms[o])
					stopped := slices.Contains(test.stopped, o)
					if stopped != (d.sent() == 0) {
						t.Errorf("%v: %d calls went upstream", o, d.sent())
					}
					if stopped && (statusOf(w) != test.status || !strings.Contains(w.Body.String(), "nothing was sent (caddy-verify: "+test.cause+")") || w.Header().Get("Retry-After") != "30") {
						t.Errorf("%v: the client reads %s, Retry-After %s", o, w.Body, w.Header().Get("Retry-After"))
					}
				}
				if err := d.api.SetFaults(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(31 * time.Second)
				if w := d.call(wire.Request, forms[wire.Request]); statusOf(w) != "0" {
					t.Errorf("when it is over: %s", w.Body)
				}
			})
		})
	}
}

// A reload with a new secret must not wait for the trouble of the last one.
func TestNewSecretEndsTrouble(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Credentials: &Credentials{APIKey: testKey, APISecret: "not-the-secret"}}})
	for range 2 {
		if got := postForm(t, gateway.URL+"/verify/json", forms[wire.Request]); got.field("status") != "4" {
			t.Fatalf("got %s", got.body)
		}
	}
	if n := len(u.Calls()); n != 1 {
		t.Errorf("%d calls went upstream", n)
	}
	gateway = newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	if got := postForm(t, gateway.URL+"/verify/json", forms[wire.Request]); got.field("status") != "0" {
		t.Errorf("with the right secret: %s", got.body)
	}
}

// The user of a client that lost the answer asks again, and must get neither a
// second message nor a status 10.
func TestRepetitionAfterLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		defer d.close(t)
		d.set(func() { d.slow = 50 * time.Millisecond })
		var left sync.WaitGroup
		ctx, leave := context.WithCancel(t.Context())
		left.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/verify/json", strings.NewReader(forms[wire.Request]))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_ = d.ServeHTTP(httptest.NewRecorder(), r, nil)
		})
		synctest.Wait() // it is on its way
		leave()
		got := d.call(wire.Request, forms[wire.Request]) // shares the call under way
		left.Wait()
		if statusOf(got) != "0" || d.api.Accepted() != 1 || d.sent() != 1 {
			t.Fatalf("got %s; %d messages, %d calls", got.Body, d.api.Accepted(), d.sent())
		}
		// It was handed over. Another repetition is the provider's to answer.
		if got := d.call(wire.Request, forms[wire.Request]); statusOf(got) != "10" {
			t.Errorf("the third time: %s", got.Body)
		}
		// A user who asks again after a finished verification gets a new one.
		_, id := outcomeOf(t, wire.Request, got)
		d.call(wire.Check, "code="+testCode+"&request_id="+id)
		if status, another := outcomeOf(t, wire.Request, d.call(wire.Request, forms[wire.Request])); status != "0" || another == id {
			t.Errorf("after the check: %s %s", status, another)
		}
	})
}

func TestIdempotencyKeyOfClient(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL}})
	ask := func(o wire.Operation, form, key string) reply {
		r := request(t, http.MethodPost, gateway.URL+wire.Path(o, wire.JSON), "application/x-www-form-urlencoded", form)
		r.Header.Set("Idempotency-Key", key)
		return do(t, r)
	}
	first := ask(wire.Request, forms[wire.Request], "a")
	if again := ask(wire.Request, forms[wire.Request], "a"); again.body != first.body || u.Accepted() != 1 {
		t.Errorf("got %s and %s", first.body, again.body)
	}
	check := "code=9999&request_id=" + first.field("request_id")
	for range 5 { // one try, not five
		if got := ask(wire.Check, check, "a"); got.field("status") != "16" {
			t.Errorf("the check got %s", got.body)
		}
	}
	if got := ask(wire.Check, "code="+testCode+"&request_id="+first.field("request_id"), "a"); !strings.Contains(got.body, "idempotency_key_reused") {
		t.Errorf("another check with the same key got %s", got.body)
	}
	if got := ask(wire.Check, check, strings.Repeat("k", 256)); !strings.Contains(got.body, "Idempotency-Key") || got.field("status") != "3" {
		t.Errorf("a long key got %s", got.body)
	}
	if again := ask(wire.Request, forms[wire.Request], "a"); again.body != first.body {
		t.Errorf("after the checks: %s", again.body)
	}
}

// Several handlers, and those of a reload, are one account to the provider.
func TestOneAccount(t *testing.T) {
	u := newUpstream(t)
	patient := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{InProgress: Lifetime(time.Hour)}}})
	other := newGateway(t, &Handler{Account: Account{Upstream: strings.ToUpper(u.URL[:4]) + u.URL[4:] + "/", Timeout: caddy.Duration(5 * time.Second)}})
	id := u.begin(t, testNumber)
	search := "/verify/search/json?request_id=" + id
	if got := get(t, patient.URL+search); !strings.Contains(got.body, "IN PROGRESS") {
		t.Fatalf("got %s", got.body)
	}
	postForm(t, other.URL+"/verify/check/json", "code="+testCode+"&request_id="+id)
	if got := get(t, patient.URL+search); !strings.Contains(got.body, "SUCCESS") {
		t.Errorf("after a check by the other handler: %s", got.body)
	}

	first := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL, Limit: 20}})
	if rate := first.gateway.Account.Snapshot().Limit.Rate; rate > 20 {
		t.Errorf("the rate is %d", rate)
	}
	second := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL, Limit: 10}})
	if first.gateway.Account != second.gateway.Account {
		t.Error("there are two limiters")
	}
	if rate := first.gateway.Account.Snapshot().Limit.Rate; rate > 10 {
		t.Errorf("with the second handler the rate is %d", rate)
	}
	if err := second.Cleanup(); err != nil { // it failed to load, say
		t.Error(err)
	}
	if limits := first.gateway.Account.Snapshot().Limit; limits.Rate > 20 || limits.Rate == 0 {
		t.Errorf("without the second handler the rate is %d", limits.Rate)
	}
}

// Caddy's transport reads placeholders when it makes a connection, and takes for
// granted that there is a request to read them of.
func TestProbeWithPlaceholders(t *testing.T) {
	t.Setenv("VERIFY_TEST_SNI", "example.com")
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	h := &Handler{Account: Account{TransportRaw: []byte(`{"protocol":"http","tls":{"server_name":"{env.VERIFY_TEST_SNI}","insecure_skip_verify":true}}`)}}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	transport, err := h.transport(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil { // and no panic
		t.Fatal(err)
	}
	response.Body.Close()
}
