package sim

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	apiKey    = "abcdef01"
	apiSecret = "S3cret-of-the-simulated-gateway"
	rightCode = "rightcode"
	wrongCode = "wrongcode"
	provider  = "provider.example"
	// callTimeout is the longest timeout of a configuration.
	callTimeout = 4 * time.Second
)

// world is one run.
type world struct {
	seed    uint64
	random  *rand.Rand // of the schedule; each actor has its own
	begun   time.Time
	api     *sandbox.Sandbox
	network *network
	account *gateway.Account
	metrics *observe.Metrics
	running gateway.Running
	log     lockedBuffer
	book    book

	mu        sync.Mutex
	gateway   *gateway.Gateway
	takeBack  func()
	countries country.List
	trace     []string
	broken    []string // what the checkers have found
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{seed: seed, random: rand.New(rand.NewPCG(seed, 0)), begun: time.Now(), metrics: observe.NewMetrics()}
	var err error
	if w.api, err = sandbox.New(sandbox.Config{APIKey: apiKey, APISecret: apiSecret, Code: rightCode, Limit: -1, Record: -1}); err != nil {
		t.Fatal(err)
	}
	if w.countries, err = country.NewList([]string{"GB"}); err != nil {
		t.Fatal(err)
	}
	w.network = &network{world: w, random: rand.New(rand.NewPCG(seed, 1))}
	w.account = gateway.NewAccount(provider, apiKey, w.metrics, w.settings())
	w.account.Subscribe(func(e gateway.Event) {
		if c, ok := e.Detail.(gateway.CircuitChanged); ok {
			c.Fault = nil // a pointer is another in each run
			e.Detail = c
		}
		w.note("event %T %+v", e.Detail, e.Detail)
		w.book.event(w, e.Detail)
	})
	w.book.init()
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	return w
}

// settings draws those of a configuration.
func (w *world) settings() *gateway.Settings {
	s := &gateway.Settings{Countries: w.countries, Limit: limit.Settings{Rate: 20 + w.random.IntN(9)}}
	s.Cache = search.Settings{InProgress: time.Duration(1+w.random.IntN(3)) * time.Second, Timeout: callTimeout}
	s.CacheOff = w.random.IntN(10) == 0
	s.Breaker.Timeout = callTimeout
	s.Breaker.Off = w.random.IntN(10) == 0
	return s
}

// reload puts another configuration in force, as Caddy does: the next one comes before
// the last one goes.
func (w *world) reload() error {
	settings := w.settings()
	next, err := gateway.New(gateway.Config{
		Account: w.account,
		Upstream: upstream.Config{
			URL: "https://" + provider, Key: apiKey, Secret: upstream.NewSecret(apiSecret),
			Auth: upstream.Basic, Method: upstream.Auto, Transport: w.network,
		},
		Timeout:    time.Duration(2+w.random.IntN(3)) * time.Second,
		HTTPErrors: w.random.IntN(4) == 0,
		Caller:     func(r *http.Request) string { return r.Header.Get("X-Caller") },
		Logger:     slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Running:    &w.running,
	})
	if err != nil {
		return err
	}
	takeBack := w.account.Configure(settings)
	next.Start(w.random.IntN(2) == 0)
	w.mu.Lock()
	last, lastTakeBack := w.gateway, w.takeBack
	w.gateway, w.takeBack = next, takeBack
	w.mu.Unlock()
	w.note("a configuration: limit %d, cache off %t, breaker off %t, timeout %v", settings.Limit.Rate, settings.CacheOff, settings.Breaker.Off, next.Timeout)
	if last != nil {
		last.Close()
		lastTakeBack()
	}
	return nil
}

// serving is the gateway that new calls reach.
func (w *world) serving() *gateway.Gateway {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gateway
}

// note writes down what happens, for who looks into a run.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%12v ", time.Since(w.begun))+fmt.Sprintf(format, args...))
	if len(w.trace) > 4000 {
		w.trace = w.trace[2000:]
	}
}

// violated notes that something which must hold does not.
func (w *world) violated(checker int, format string, args ...any) {
	text := fmt.Sprintf("checker %d: ", checker) + fmt.Sprintf(format, args...)
	w.note("VIOLATED %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, text)
}

// end stops the gateway when all calls are over.
func (w *world) end(t *testing.T) {
	t.Helper()
	if err := w.running.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.gateway.Close()
	w.takeBack()
}

// scrape returns all series with their values.
func (w *world) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := w.metrics.Register(registry); err != nil {
		t.Fatal(err)
	}
	collector := gateway.Collector{Accounts: func(yield func(*gateway.Account) bool) { yield(w.account) }}
	if err := registry.Register(collector); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				if label.GetName() != "account" {
					name += " " + label.GetName() + "=" + label.GetValue()
				}
			}
			switch {
			case metric.GetCounter() != nil:
				series[name] = metric.GetCounter().GetValue()
			case metric.GetGauge() != nil:
				series[name] = metric.GetGauge().GetValue()
			}
		}
	}
	return series
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}
