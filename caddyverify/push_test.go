package caddyverify

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// TestPushedAreClassic: where Caddy pushes metrics, histograms have no native buckets, which
// would be sent in place of the others; a reload without it brings them back.
func TestPushedAreClassic(t *testing.T) {
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	u := newUpstream(t)
	site := "http://" + freeAddress(t) + " {\n verify {\n upstream " + u.URL + "\n credentials " + testKey + " " + testSecret + "\n }\n}\n"
	t.Cleanup(func() { _ = caddy.Stop() })
	for _, test := range []struct {
		name, options string
		native        bool
	}{
		{"scraped", "", true},
		{"Caddy's own, not pushed", "metrics", true},
		{"pushed", "metrics {\n otlp\n }", false},
		{"not any more", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, err := adaptCaddyfile("{\n admin off\n persist_config off\n " + test.options + "\n}\n" + site)
			if err != nil {
				t.Fatal(err)
			}
			if err := loadConfig(config); err != nil {
				t.Fatal(err)
			}
			registry := prometheus.NewPedanticRegistry()
			if err := registerMetrics(registry); err != nil {
				t.Fatal(err)
			}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			for _, family := range families {
				if family.GetName() != "verify_upstream_request_duration_seconds" {
					continue
				}
				for _, m := range family.GetMetric() {
					seen++
					if native := m.GetHistogram().GetZeroThreshold() > 0; native != test.native || len(m.GetHistogram().GetBucket()) == 0 {
						t.Errorf("native: %t, want %t; %d classic buckets", native, test.native, len(m.GetHistogram().GetBucket()))
					}
				}
			}
			if seen == 0 {
				t.Error("there are no histograms")
			}
		})
	}
}
