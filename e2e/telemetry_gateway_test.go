//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gateway is the Caddy under test.
type gateway struct {
	process                             *process
	address, admin, upstream, key, logs string
}

func (g *gateway) caddyfile(limit int) string {
	return fmt.Sprintf(`{
		admin %[1]s
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		metrics {
			otlp
		}
		log default {
			output file %[6]s/gateway.log
			level DEBUG
			format filter {
				request>uri verify
				wrap json
			}
		}
	}
	http://%[2]s {
		log {
			output file %[6]s/access.log
			format filter {
				request>uri verify
				wrap json
			}
		}
		tracing /verify/*
		metrics /metrics
		verify {
			upstream %[3]s
			credentials %[4]s {env.E2E_VERIFY_SECRET}
			timeout 2s
			cache {
				in_progress 300ms
			}
			breaker {
				window %[7]s
				open_for 500ms
			}
			limit %[5]d/s
			countries GB DE FR US
			settle
		}
	}
	`, g.admin, g.address, g.upstream, g.key, limit, g.logs, window)
}

// log returns what the gateway has logged.
func (g *gateway) log(t *testing.T) string {
	t.Helper()
	all := g.process.output.String()
	for _, name := range []string{"gateway.log", "access.log"} {
		text, err := os.ReadFile(filepath.Join(g.logs, name))
		if err != nil {
			t.Error(err)
		}
		all += string(text)
	}
	return all
}

// complain shows the trouble that the gateway has logged, when a test has failed.
func (g *gateway) complain(t *testing.T) {
	if !t.Failed() || g.process == nil {
		return
	}
	shown := 0
	for line := range strings.Lines(g.log(t)) {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			if shown++; shown > 40 {
				break
			}
			t.Logf("gateway: %.600s", line)
		}
	}
}

// reload loads the configuration anew, as `caddy reload --force` does.
func (g *gateway) reload(t *testing.T, limit int) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+g.admin+"/load", strings.NewReader(g.caddyfile(limit)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/caddyfile")
	request.Header.Set("Cache-Control", "must-revalidate")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the reload was answered with HTTP %d", response.StatusCode)
	}
}

// scrape returns what Prometheus reads, with the exemplars.
func (g *gateway) scrape(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+g.address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `# {traceID="`) {
		t.Error("the scrape has no exemplars")
	}
	return string(text)
}
