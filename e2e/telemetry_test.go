//go:build e2e

package e2e

import (
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// The sandbox's clock runs this much faster than that of the gateway, and minute is a minute of it.
const (
	speed  = 60
	minute = time.Minute / speed
)

// window is how long an outcome counts with the gateway's breaker: the least that there can be with a timeout of two
// seconds.
const window = 6 * time.Second

// seed is what the stories are made up from. Any other will do.
const seed = 20261123

// TestTelemetry plays 500 verifications with known fates through gateway and sandbox, over two reloads, throttling and
// outages, and wants what Prometheus and a Collector have learnt to equal the clients' own books, to the last one.
func TestTelemetry(t *testing.T) {
	const key = "e2e-key"
	api, err := sandbox.New(sandbox.Config{APIKey: key, APISecret: realSecret, Code: rightCode, Speed: speed, Limit: -1, Record: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	b := newBooks()
	upstream := httptest.NewServer(b.overhear(api))
	t.Cleanup(upstream.Close)
	otel := startCollector(t)
	g := &gateway{address: freeAddress(t), admin: freeAddress(t), upstream: upstream.URL, key: key, logs: t.TempDir()}
	t.Cleanup(func() { g.complain(t) })
	prom := startPrometheus(t, g.address)
	g.process = startCaddyfile(t, []string{
		"E2E_VERIFY_SECRET=" + realSecret,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + otel.endpoint,
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_METRIC_EXPORT_INTERVAL=2000",
		"OTEL_BSP_SCHEDULE_DELAY=200",
		"OTEL_SERVICE_NAME=caddy-verify-e2e",
	}, g.caddyfile(400), g.address)

	p := &script{
		teller:  &teller{client: newClient(b, g.address), t: t, ids: map[*story]string{}},
		gateway: g, sandbox: api, prometheus: prom,
		writer: &writer{random: rand.New(rand.NewPCG(seed, 0))},
	}
	p.run()
	if t.Failed() {
		return // the books are not those of the script
	}

	prom.scraped(t)
	t.Logf("%d calls, %d connections reset by the reloads", len(b.exchanges), p.resets.Load())
	compareMetrics(t, p, prom)
	checkExemplars(t, b, prom)
	scrape := g.scrape(t)
	g.process.interrupt(t)
	otel.stop(t)
	comparePushed(t, p, otel)
	checkSpans(t, p, otel.spans(t))
	checkLog(t, p)
	checkNothingLeaks(t, p, otel, scrape)
}
