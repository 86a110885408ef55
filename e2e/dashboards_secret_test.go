//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestDashboardsSecret has the provider take the second of two secrets alone: the metrics and panels of secrets show it,
// and no alert is raised, since no call fails.
func TestDashboardsSecret(t *testing.T) {
	t.Parallel()
	const next = "next-secret-of-the-account"
	api, err := sandbox.New(sandbox.Config{APIKey: loadKey, APISecret: next, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	address := startLoaded(t, provider.URL, loadKey, "next_credentials "+loadKey+" {env.E2E_NEXT_SECRET}", "E2E_NEXT_SECRET="+next)
	p := startPrometheusWithRules(t, map[string]string{"gateway": address}, 250*time.Millisecond, ruleSpeed)
	p.scraped(t)
	panel := func(dashboard, title string) (expr string) {
		for _, q := range panelQueries(t) {
			if q.Dashboard == dashboard && q.Panel == title {
				return chosen(q.Expr, "1m")
			}
		}
		t.Fatalf("there is no panel %q", title)
		return ""
	}
	const inUse, switches = `sum by (secret) (verify_secret_in_use)`, `sum by (reason) (verify_secret_switches_total)`
	want := func(when, promQL, label string, want map[string]float64) {
		t.Helper()
		got, err := p.vector(promQL, label)
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range differences(got, want) {
			t.Errorf("%s, %s%s", when, promQL, difference)
		}
	}
	want("before", inUse, "secret", map[string]float64{"first": 1})
	want("before", switches, "reason", nil)
	want("before", panel("upstream", "Secret in use"), "", nil)

	for n := range 10 {
		response, err := http.PostForm("http://"+address+"/verify/json", url.Values{"number": {fmt.Sprintf("44770090%04d", n)}, "brand": {"Acme"}})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(body), `"status":"0"`) {
			t.Errorf("request %d: %s", n, body)
		}
	}
	p.scraped(t)
	want("after", inUse, "secret", map[string]float64{"next": 1})
	want("after", switches, "reason", map[string]float64{"status_4": 1})
	want("after", panel("upstream", "Secret in use"), "", map[string]float64{"": 1})
	if changes, err := p.vector(strings.ReplaceAll(panel("callers", "Changes of the secret"), "[4s]", "[1m]"), "reason"); err != nil || changes["status_4"] == 0 {
		t.Errorf("the panel of changes says %v (%v)", changes, err)
	}
	eventually(t, "no alert is raised", func() error { // Prometheus may begin with rules, before there is anything to look at
		alerts, err := p.vector(`ALERTS`, "alertname")
		if err == nil && len(alerts) > 0 {
			err = fmt.Errorf("alerts: %v", alerts)
		}
		return err
	})
}
