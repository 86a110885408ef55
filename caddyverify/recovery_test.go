package caddyverify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// firewall answers calls with a certain text in them by itself.
type firewall struct {
	http.RoundTripper
	code int
}

const illReputed = "Acme0666"

func (f firewall) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(form)+r.URL.RawQuery, illReputed) {
		r.Body = io.NopCloser(bytes.NewReader(form))
		return f.RoundTripper.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: f.code,
		Header:     http.Header{"Content-Type": {"text/html"}},
		Body:       io.NopCloser(strings.NewReader("<html>The request was blocked.</html>")),
	}, nil
}

// TestOneCallersCode has something in between dislike one caller's calls. Nobody
// else notices.
func TestOneCallersCode(t *testing.T) {
	const id = "&request_id=cc121958d8fb4368aa3bb762bb9a0f74"
	disliked := map[wire.Operation]string{
		wire.Request: "number=447700900111&brand=" + illReputed,
		wire.Check:   "code=" + illReputed + id,
		wire.Search:  "request_id=" + illReputed,
		wire.Control: "cmd=cancel&request_id=" + illReputed,
	}
	for code, reads := range map[int]string{400: "5", 401: "4", 403: "4", 404: "5", 413: "5"} {
		for o, form := range disliked {
			t.Run(fmt.Sprint(code, " ", o), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDirect(t, &Handler{Account: Account{Limit: -1, Cache: &Cache{Off: true}}}, sandboxConfig)
					defer d.close(t)
					d.network.RoundTripper = firewall{d, code}
					for n := range 40 {
						if w := d.call(o, form); statusOf(w) != reads || !strings.Contains(w.Body.String(), "caddy-verify: upstream_") {
							t.Fatalf("the caller whose call it is reads %s", w.Body)
						}
						for o, form := range forms {
							form = strings.Replace(form, testNumber, fmt.Sprintf("4477009%05d", n), 1)
							if w := d.call(o, form); strings.Contains(w.Body.String(), "caddy-verify") {
								t.Fatalf("after %d of its calls another caller's %v got %s", n+1, o, w.Body)
							}
						}
						time.Sleep(450 * time.Millisecond)
					}
					own := 0
					for _, call := range d.api.Calls() {
						if call.Operation == "search" && !strings.Contains(forms[wire.Search], call.RequestID) {
							own++
						}
					}
					want := 0
					if reads == "4" {
						want = 4 // in 18 s, one each 5 s at most
					}
					if own != want {
						t.Errorf("the gateway made %d searches of its own, want %d", own, want)
					}
				})
			})
		}
	}
}

// TestProbeBeforeCustomers has a circuit open while calls of the other kind use up
// the limit. It closes when its probe is due, not when customers have had enough.
func TestProbeBeforeCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Cache: &Cache{Off: true}}}, sandboxConfig)
		defer d.close(t)
		if err := d.api.SetFaults(sandbox.Fault{Operation: "request", Kind: "http", Value: "502"}); err != nil {
			t.Fatal(err)
		}
		for n := 0; d.circuit(wire.WriteClass) == wire.CircuitClosed; n++ {
			d.call(wire.Request, fmt.Sprintf("brand=Acme&number=4477009%05d", n))
			time.Sleep(50 * time.Millisecond)
		}
		opened := time.Now()
		if err := d.api.SetFaults(); err != nil {
			t.Fatal(err)
		}
		var flood sync.WaitGroup
		for d.circuit(wire.WriteClass) != wire.CircuitClosed && time.Since(opened) < time.Minute {
			for _, o := range []wire.Operation{wire.Check, wire.Search, wire.Search, wire.Search} {
				flood.Go(func() { d.call(o, forms[o]) })
			}
			time.Sleep(20 * time.Millisecond)
		}
		took := time.Since(opened)
		flood.Wait()
		t.Logf("it closed after %v", took)
		if took > 5*time.Second+100*time.Millisecond {
			t.Errorf("it closed after %v, want 5s and the time of a call", took)
		}
	})
}

// TestTrialsOfOthers has one caller's invalid requests come while the account has no
// credit, and after. Another caller's go as soon as there is credit.
func TestTrialsOfOthers(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond} {
		t.Run("every "+every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
				defer d.close(t)
				if err := d.api.SetFaults(sandbox.Fault{Operation: "request", Kind: "status", Value: "9"}); err != nil {
					t.Fatal(err)
				}
				d.set(func() { d.slow = 100 * time.Millisecond })
				d.call(wire.Request, forms[wire.Request])
				if err := d.api.SetFaults(); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				var callers sync.WaitGroup
				var first time.Duration
				through := 0
				for n := 0; time.Since(begun) < 75*time.Second; n++ {
					callers.Go(func() { d.call(wire.Request, fmt.Sprintf("number=447700900103&brand=Acme%d", n)) })
					if n%int(time.Second/every) == 5 {
						if w := d.call(wire.Request, fmt.Sprintf("brand=Acme&number=44770091%04d", n)); statusOf(w) == "0" {
							if through++; through == 1 {
								first = time.Since(begun)
							}
						}
					}
					time.Sleep(every)
				}
				callers.Wait()
				t.Logf("%d honest requests got through, the first after %v", through, first)
				if through == 0 || first > 35*time.Second {
					t.Errorf("%d honest requests got through in 75 s, the first after %v, want 30s and a little", through, first)
				}
			})
		})
	}
}

// TestThrottledByWhom shows that a call which the gateway refuses since the provider
// has throttled the account does not blame the gateway's limit.
func TestThrottledByWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: 2}}, sandboxConfig)
		defer d.close(t)
		logged := logTo(d)
		refuse := func(cause, text, where string) {
			t.Helper()
			before := gather(t)
			w := d.call(wire.Request, forms[wire.Request])
			if want := text + "; nothing was sent (caddy-verify: " + cause + ")"; statusOf(w) != "1" || !strings.Contains(w.Body.String(), want) {
				t.Errorf("the client reads %s, want %q", w.Body, want)
			}
			if w.Header().Get("Retry-After") != "1" || !strings.HasSuffix(w.Header().Get("Proxy-Status"), `details="`+cause+`"`) {
				t.Errorf("headers are %v", w.Header())
			}
			series := "verify_throttled_total{where=" + where + "}"
			if grown := gather(t)[series] - before[series]; grown != 1 {
				t.Errorf("%s grew by %v", series, grown)
			}
		}
		d.call(wire.Search, forms[wire.Search])
		d.call(wire.Control, forms[wire.Control])
		refuse("limit_reached", "The account's limit of calls a second is reached", "local")
		time.Sleep(3 * time.Second)
		if err := d.api.SetFaults(sandbox.Fault{Operation: "check", Kind: "http", Value: "429"}); err != nil {
			t.Fatal(err)
		}
		d.call(wire.Check, forms[wire.Check])
		refuse("account_throttled", "The Verify API has throttled the account, and the gateway makes fewer calls for now", "upstream")
		time.Sleep(time.Minute)
		synctest.Wait()
		d.call(wire.Search, "request_id=a")
		d.call(wire.Control, forms[wire.Control])
		refuse("limit_reached", "The account's limit of calls a second is reached", "local")
		expectLines(t, logged, "WARN",
			map[string]any{"msg": "limit lowered", "from": 2.0, "to": 1.0, "why": "upstream_throttled"},
			map[string]any{"msg": "limit restored", "from": 1.0, "to": 2.0, "why": nil})
	})
}

// TestSearchesThrottled shows that searches alone go slower where it is searches that the
// provider finds too many, and that this is told.
func TestSearchesThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: 8, SearchLimit: 4, Cache: &Cache{Off: true}}}, sandboxConfig)
		defer d.close(t)
		logged := logTo(d)
		if err := d.api.SetFaults(sandbox.Fault{Operation: "search", Kind: "status", Value: "1"}); err != nil {
			t.Fatal(err)
		}
		search := func() string { return d.call(wire.Search, "request_id=a").Body.String() }
		if got := search(); !strings.Contains(got, `"status":"1"`) || strings.Contains(got, "caddy-verify") {
			t.Errorf("the first search got %s", got)
		}
		if err := d.api.SetFaults(); err != nil {
			t.Fatal(err)
		}
		search()
		if got := search(); !strings.Contains(got, "(caddy-verify: account_throttled)") {
			t.Errorf("the third search got %s", got)
		}
		for range 6 { // as many calls as there are
			begun := time.Now()
			if w := d.call(wire.Check, forms[wire.Check]); strings.Contains(w.Body.String(), "caddy-verify") || time.Since(begun) > 0 {
				t.Errorf("a check got %s after %v", w.Body, time.Since(begun))
			}
		}
		if s := d.gateway.Account.Snapshot().Limit; s.Rate != 8 || s.SearchRate != 2 || s.SearchFull != 4 {
			t.Errorf("the limits are %+v", s)
		}
		time.Sleep(time.Minute)
		for range 4 {
			search()
		}
		if got := search(); !strings.Contains(got, "(caddy-verify: limit_reached)") {
			t.Errorf("the fifth search of a second got %s", got)
		}
		expectLines(t, logged, "WARN",
			map[string]any{"msg": "limit lowered", "from": 4.0, "to": 2.0, "why": "status 1", "operation": "search"},
			map[string]any{"msg": "limit restored", "from": 2.0, "to": 4.0, "why": nil, "operation": "search"})
	})
}

// logTo has a gateway log all that it has to say.
func logTo(d *direct) *lines {
	logged := new(lines)
	d.gateway.Logger = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return logged
}

// expectLines compares the lines of a level. A value of nil stands for none.
func expectLines(t *testing.T, logged *lines, level string, want ...map[string]any) {
	t.Helper()
	logged.mu.Lock()
	defer logged.mu.Unlock()
	var got []map[string]any
	for text := range strings.Lines(logged.text) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if line["level"] == level {
			got = append(got, line)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines at %s, want %d: %v", len(got), level, len(want), got)
	}
	for i := range want {
		for name, value := range want[i] {
			if !reflect.DeepEqual(got[i][name], value) {
				t.Errorf("line %d: %s is %v, want %v: %v", i, name, got[i][name], value, got[i])
			}
		}
	}
}
