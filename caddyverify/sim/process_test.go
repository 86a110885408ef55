package sim

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// process is one run of a gateway. What it knows ends with it.
type process struct {
	*world
	slot, number int
	born         time.Time
	metrics      *observe.Metrics
	accounts     []*gateway.Account
	shared       []*store.Shared // what each has in common with other processes; nil where there is no store
	lines        []*line         // to it
	running      gateway.Running
	log          lockedBuffer
	uplinks      []*uplink
	calls        sync.WaitGroup // of clients
	killed       chan struct{}
	died         time.Time // when it was; else zero
	untold       bool      // it has ended while the store was away
	ended        bool      // on SIGTERM
	tally        tally
	reloads      []time.Time
	verifiers    []*webhook.Verifier // of webhooks, for each account
	spans        *tracetest.InMemoryExporter
	tracer       trace.Tracer

	mu       sync.Mutex
	gateways []*gateway.Gateway // in force, that of each account
	takeBack []func()
}

// begin starts a process.
func (w *world) begin(t *testing.T, slot int) {
	t.Helper()
	p := &process{world: w, slot: slot, number: len(w.processes), born: time.Now(), metrics: observe.NewMetrics(), killed: make(chan struct{})}
	p.tally.init()
	p.spans = tracetest.NewInMemoryExporter()
	p.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(p.spans)).Tracer("a server")
	for i, host := range hosts {
		if i > 0 && !w.failover {
			break
		}
		time.Sleep(7 * time.Nanosecond) // what one begins and what another does are never at the same time
		p.shared = append(p.shared, w.stores.dial(p, i))
		time.Sleep(5 * time.Nanosecond)
		account := gateway.NewAccount(host, apiKey, p.metrics, p.settings(i))
		account.Subscribe(func(e gateway.Event) {
			if p.dead() {
				return
			}
			if c, ok := e.Detail.(gateway.CircuitChanged); ok {
				c.Fault = nil // a pointer is another in each run
				e.Detail = c
			}
			w.note("event of %d at %d: %T %+v", i, p.number, e.Detail, e.Detail)
			p.tally.event(w, e.Detail)
		})
		p.accounts = append(p.accounts, account)
		verifier, err := webhook.New(webhook.Settings{Key: apiKey, Secrets: []string{signatureSecret}})
		if err != nil {
			t.Fatal(err)
		}
		p.verifiers = append(p.verifiers, verifier)
		p.uplinks = append(p.uplinks, newUplink(p, i, rand.New(rand.NewPCG(w.seed, uint64(1000+10*p.number+i)))))
	}
	time.Sleep(13 * time.Nanosecond) // what a configuration begins and what the account has begun are never at the same time
	p.reload(t)
	w.mu.Lock()
	w.slots[slot] = p
	w.processes = append(w.processes, p)
	w.mu.Unlock()
}

// settings draws those of a configuration for an account.
func (p *process) settings(account int) *gateway.Settings {
	r := p.random
	s := &gateway.Settings{Countries: p.countries, Limit: limit.Settings{Rate: 20 + r.IntN(9)}, Callers: callers[1:]}
	s.Cache = search.Settings{InProgress: time.Duration(1+r.IntN(3)) * time.Second, Timeout: callTimeout}
	s.Cache.Scheduled = p.scheduled()
	s.CacheOff = r.IntN(10) == 0
	s.Guard = p.guard
	s.Breaker.Timeout = callTimeout
	s.Breaker.Off = r.IntN(10) == 0
	if p.stores != nil {
		s.Shared, s.Limit.Rate, s.DenyUnknown = p.shared[account], p.stores.rate, p.stores.deny
	}
	return s
}

// reload puts another configuration in force, as Caddy does: the next one comes before
// the last one goes.
func (p *process) reload(t *testing.T) {
	t.Helper()
	var (
		next     []*gateway.Gateway
		settings []*gateway.Settings
		takeBack []func()
	)
	for i, account := range p.accounts {
		g, err := gateway.New(p.config(i, account))
		if err != nil {
			t.Fatal(err)
		}
		next, settings = append(next, g), append(settings, p.settings(i))
	}
	next[0].FailOver(next[1:]...)
	for i, g := range next {
		takeBack = append(takeBack, p.accounts[i].Configure(settings[i]))
		time.Sleep(3 * time.Nanosecond)
		g.Start(p.random.IntN(2) == 0)
	}
	p.mu.Lock()
	last, lastTakeBack := p.gateways, p.takeBack
	p.gateways, p.takeBack = next, takeBack
	p.mu.Unlock()
	p.reloads = append(p.reloads, time.Now())
	for i, s := range settings {
		p.note("a configuration of %d at %d: limit %d, cache off %t, scheduled %t, breaker off %t, timeout %v, %s", i, p.number,
			s.Limit.Rate, s.CacheOff, s.Cache.Scheduled, s.Breaker.Off, next[i].Timeout, next[i].Upstream.Method)
	}
	end(last, lastTakeBack)
}

// end takes a configuration back.
func end(gateways []*gateway.Gateway, takeBack []func()) {
	for i, g := range gateways {
		g.Close()
		takeBack[i]()
	}
}

func (p *process) config(i int, account *gateway.Account) gateway.Config {
	r := p.random
	c := gateway.Config{
		Account: account,
		Upstream: upstream.Config{
			URL: "https://" + hosts[i], Key: apiKey, Secret: upstream.NewSecret(secretOf(p.secret)), Next: upstream.NewSecret(secretOf(p.secret + 1)),
			Auth: upstream.Basic, Method: []upstream.Method{upstream.Auto, upstream.Post, upstream.Get}[r.IntN(3)], Transport: p.uplinks[i],
		},
		Timeout:    time.Duration(2+r.IntN(3)) * time.Second,
		HTTPErrors: r.IntN(4) == 0,
		Caller:     p.caller,
		Logger:     slog.New(slog.NewJSONHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Running:    &p.running,
	}
	p.second.config(&c)
	return c
}

// useSecrets has the gateways take new secrets without a reload.
func (p *process) useSecrets() {
	for _, g := range p.gateways {
		if err := g.Use(upstream.NewSecret(secretOf(p.secret)), upstream.NewSecret(secretOf(p.secret+1))); err != nil {
			p.violated(9, "%v", err)
		}
	}
}

// standsBy tells that the second account would take requests.
func (p *process) standsBy() bool {
	s := p.accounts[1].Snapshot()
	return len(s.Troubles) == 0 && !slices.ContainsFunc(s.Circuits, func(c breaker.Snapshot) bool { return c.State != wire.CircuitClosed })
}

// ServeHTTP answers by the configuration that is in force.
func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	g := p.gateways[0]
	p.mu.Unlock()
	ctx, span := p.tracer.Start(r.Context(), r.Method)
	defer span.End()
	g.ServeHTTP(w, r.WithContext(ctx))
}

// caller is who makes a call.
func (p *process) caller(r *http.Request) (*caller.Caller, bool) {
	return p.callers.Find(func(from string) (string, bool) { return r.Header.Get(from), true })
}

// dead tells that nothing which the process does is of any consequence.
func (p *process) dead() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

// diedBefore tells that the process was killed before a time.
func (p *process) diedBefore(t time.Time) bool { return p.dead() && p.died.Before(t) }

// kill ends a process in the midst of all that it does.
func (p *process) kill() {
	p.note("gateway %d is killed", p.number)
	p.leave()
	p.died = time.Now()
	p.world.mu.Lock()
	p.world.died = true
	p.world.mu.Unlock()
	close(p.killed)
	for _, l := range p.lines {
		l.stop()
	}
	for _, u := range p.uplinks {
		u.sever()
	}
	p.ends.Go(func() { p.close(func() {}) })
}

// stop ends a process as SIGTERM does: it sees all that is under way to its end. Another
// one may have begun by then.
func (p *process) stop() {
	p.note("gateway %d is told to stop", p.number)
	p.leave()
	begun := time.Now()
	p.ends.Go(func() {
		_ = p.running.Wait(p.network.ctx)
		for _, u := range p.uplinks {
			if n := u.starting(); n > 0 {
				p.violated(2, "gateway %d has stopped with %d requests under way", p.number, n)
			}
		}
		p.close(func() { p.check() })
		p.ended = true
		p.untold = p.stores != nil && !p.stores.there(begun, p)
		p.note("gateway %d has stopped", p.number)
	})
}

// leave takes the process out of service.
func (p *process) leave() {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.slots[p.slot] = nil
}

// close ends what goes on by itself once nothing is under way. last is called when
// nothing more happens.
func (p *process) close(last func()) {
	_ = p.running.Wait(p.network.ctx)
	p.calls.Wait()
	for _, u := range p.uplinks { // a list goes on when all who asked have left
		u.calls.Wait()
	}
	time.Sleep(time.Nanosecond) // until what has ended is counted
	end(p.gateways, p.takeBack)
	last()
	for i, account := range p.accounts {
		account.Close()
		p.uplinks[i].transport.CloseIdleConnections()
	}
	for _, l := range p.lines {
		l.stop()
	}
}

// scrape returns all series with their values, those of both accounts together.
func (p *process) scrape() map[string]float64 {
	registry := prometheus.NewPedanticRegistry()
	collector := gateway.Collector{Accounts: func(yield func(*gateway.Account) bool) {
		for _, account := range p.accounts {
			if !yield(account) {
				return
			}
		}
	}}
	for _, err := range []error{p.metrics.Register(registry), registry.Register(collector)} {
		if err != nil {
			p.violated(5, "%v", err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		p.violated(5, "%v", err)
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
				series[name] += metric.GetCounter().GetValue()
			case metric.GetGauge() != nil:
				series[name] += metric.GetGauge().GetValue()
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

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}
