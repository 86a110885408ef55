package caddyverify

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// heldUpstream answers a call when the test says so.
type heldUpstream struct {
	*httptest.Server
	came    chan struct{}
	release func()
}

func newHeldUpstream(t *testing.T) *heldUpstream {
	u := newUpstream(t)
	released := make(chan struct{})
	held := &heldUpstream{came: make(chan struct{}, 1), release: sync.OnceFunc(func() { close(released) })}
	held.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held.came <- struct{}{}
		<-released
		u.Sandbox.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { held.release(); held.Close() })
	return held
}

// TestStopFinishesCalls has clients leave, and Caddy stop before the provider has
// answered: the calls get to their end all the same, and a reload does not wait.
func TestStopFinishesCalls(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, test := range []struct {
		name           string
		http2, reload  bool
		grace          string
		cutOff, closed bool
	}{
		{name: "HTTP/1.1"},
		{name: "HTTP/2", http2: true},
		{name: "HTTP/2, its connection gone too", http2: true, closed: true},
		{name: "HTTP/2, after a reload", http2: true, reload: true},
		{name: "HTTP/2, within a long grace_period", http2: true, grace: "grace_period 1h"},
		{name: "HTTP/2, a short grace_period", http2: true, grace: "grace_period 1ms", cutOff: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newHeldUpstream(t)
			site := freeAddress(t)
			config := func(change string) []byte {
				text := strings.NewReplacer("{site}", site, "{upstream}", u.URL, "{grace}", test.grace, "{change}", change).Replace(`{
	admin off
	auto_https off
	persist_config off
	{grace}
	servers {
		protocols h1 h2c
	}
}
http://{site} {
	bind 127.0.0.1
	verify {
		upstream {upstream}
		credentials abcdef01 S3cret-of-the-gateway
		timeout {change}
		limit off
	}
}`)
				adapted, err := adaptCaddyfile(text)
				if err != nil {
					t.Fatal(err)
				}
				return adapted
			}
			if err := loadConfig(config("1m")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = caddy.Stop() })
			// Its counts are still there when the handler is gone.
			held := metrics.Account(observe.AccountLabel(strings.TrimPrefix(u.URL, "http://"), testKey))
			t.Cleanup(func() { metrics.Drop(held) })
			before := counted(t)
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(!test.http2)
			transport.Protocols.SetUnencryptedHTTP2(test.http2)
			t.Cleanup(transport.CloseIdleConnections)
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-u.came
				leave()
			}()
			r := request(t, http.MethodPost, "http://"+site+"/verify/json", "application/x-www-form-urlencoded", "number="+testNumber+"&brand=Acme")
			if response, err := transport.RoundTrip(r.WithContext(ctx)); err == nil {
				response.Body.Close()
				t.Fatal("the answer came before the client could leave")
			}
			if test.closed {
				transport.CloseIdleConnections()
			}
			if test.reload {
				if err := loadConfig(config("50s")); err != nil { // returns, though nothing is released
					t.Fatal(err)
				}
			}
			stopped := make(chan error)
			go func() { stopped <- caddy.Stop() }()
			if !test.cutOff {
				for !waitedFor() {
					select {
					case err := <-stopped:
						t.Fatalf("Caddy has stopped while a call was under way: %v", err)
					default:
						runtime.Gosched()
					}
				}
				u.release()
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			if test.cutOff {
				u.release()
				if err := running.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if got := counted(t) - before; got != 1 {
				t.Errorf("%v calls were counted", got)
			}
		})
	}
}

// waitedFor tells whether somebody waits for the calls under way.
func waitedFor() bool {
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	return strings.Contains(stacks.String(), "gateway.(*Running).Wait(")
}

// counted is how many requests the metrics count as accepted by the provider.
func counted(t *testing.T) (n float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "verify_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["operation"] == wire.Request.String() && labels["status"] == "0" && labels["source"] == "upstream" {
				n += metric.GetCounter().GetValue()
			}
		}
	}
	return n
}
