package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// TestFurtherRequestsTakeSlots: where a call takes several requests, these are no more in a second than the account's limit is,
// and all of them are counted.
func TestFurtherRequestsTakeSlots(t *testing.T) {
	asksBoth := func(r *http.Request, _ int) (int, string) {
		if strings.HasPrefix(r.URL.Path, "/verify/") {
			return http.StatusOK, `{"status":"6","error_text":"It was not found."}`
		}
		return http.StatusBadRequest, `{"title":"Invalid Code"}`
	}
	for _, tt := range []struct {
		name, path, form string
		rate             int
		answers          func(*http.Request, int) (int, string) // to the one of its id that is the nth
		want             string
		retries          int // of each
	}{
		{"a trigger that is too soon", "/verify/control/json", "cmd=trigger_next_event", 3, func(_ *http.Request, n int) (int, string) {
			if n < 3 {
				return http.StatusConflict, `{"title":"Conflict","detail":"The operation cannot be performed at this time. Please try again later."}`
			}
			return http.StatusOK, ""
		}, `"status":"0"`, 2},
		{"a check that both versions are asked for", "/verify/check/json", "code=1234", 3, asksBoth, `"status":"16"`, 0},
		{"such a check with one slot a second", "/verify/check/json", "code=1234", 1, asksBoth, `"status":"16"`, 0},
		{"one of what version 2 has not", "/verify/check/json", "code=12", 1, asksBoth, `"status":"6"`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var sent []time.Time
				seen := map[string]int{}
				transport := provider(func(r *http.Request) (int, string) {
					id := r.URL.Path
					if strings.HasPrefix(id, "/verify/") {
						id = formOf(r).Get("request_id")
					}
					mu.Lock()
					defer mu.Unlock()
					sent = append(sent, time.Now())
					seen[id]++
					return tt.answers(r, seen[id])
				})
				metrics := observe.NewMetrics()
				s := &Settings{Limit: limit.Settings{Rate: tt.rate}}
				a := NewAccount("provider.example", testKey, metrics, s)
				defer a.Close()
				defer a.Configure(s)()
				config := ofVersion1(transport)
				g, err := New(Config{
					Account: a, Upstream: config, V2: new(V2), Timeout: 10 * time.Second,
					Caller: func(*http.Request) (*caller.Caller, bool) { return new(caller.Caller), true },
					Logger: slog.New(slog.DiscardHandler), Running: new(Running),
				})
				if err != nil {
					t.Fatal(err)
				}
				defer g.Close()
				if tt.retries == 0 {
					g.V2.Drain = &config
					if err := g.Use(upstream.NewSecret(testSecret+"2"), upstream.Secret{}); err != nil {
						t.Fatal(err)
					}
				}
				var calls sync.WaitGroup
				answered := 0
				for n := range tt.rate {
					time.Sleep(time.Millisecond)
					calls.Go(func() {
						body := call(g, tt.path, fmt.Sprintf("%s&request_id=%032x", tt.form, n))
						mu.Lock()
						defer mu.Unlock()
						switch {
						case strings.Contains(body, tt.want):
							answered++
						case !strings.Contains(body, "limit_reached"):
							t.Errorf("answered %s", body)
						}
					})
				}
				calls.Wait()
				if answered == 0 || len(sent) <= tt.rate && tt.retries > 0 {
					t.Errorf("%d calls are answered, after %d requests", answered, len(sent))
				}
				for i := tt.rate; i < len(sent); i++ {
					if within := sent[i].Sub(sent[i-tt.rate]); within < time.Second {
						t.Errorf("%d requests are made within %v", tt.rate+1, within)
					}
				}
				if n := counted(t, metrics, "verify_upstream_requests_total"); n != len(sent) {
					t.Errorf("%d requests are counted, %d were made", n, len(sent))
				}
				if n := counted(t, metrics, "verify_upstream_retries_total"); n != answered*tt.retries {
					t.Errorf("%d repetitions are counted of %d calls", n, answered)
				}
			})
		})
	}
}

// counted is the sum of all series of a counter.
func counted(t *testing.T, metrics *observe.Metrics, name string) int {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := metrics.Register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return int(sum)
}
