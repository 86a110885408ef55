//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheus is a Prometheus that scrapes the gateway.
type prometheus struct {
	*part
	url string
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("there is no Prometheus; on Debian: apt-get install prometheus (%v)", err)
	}
	folder := t.TempDir()
	config := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
scrape_configs:
  - job_name: gateway
    static_configs:
      - targets: [%q]
`, target), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	p := &prometheus{url: "http://" + address}
	p.part = startPart(t, exec.Command(path,
		"--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address,
		"--enable-feature=exemplar-storage",
		"--log.level=warn",
	))
	p.ready(t, p.url+"/-/ready")
	return p
}

// get calls the HTTP API.
func (p *prometheus) get(path string, query url.Values, data any) error {
	response, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var said struct {
		Status string
		Error  string
		Data   json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		return err
	}
	if said.Status != "success" {
		return fmt.Errorf("%s: %s", query, said.Error)
	}
	return json.Unmarshal(said.Data, data)
}

// vector evaluates PromQL. The keys of the result are the values of the labels, joined by spaces; zeros are left out.
func (p *prometheus) vector(promQL string, labels ...string) (map[string]float64, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {promQL}}, &data); err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", promQL, err)
		}
		if value != 0 {
			values[labelsKey(r.Metric, labels)] = value
		}
	}
	return values, nil
}

func labelsKey(of map[string]string, labels []string) string {
	words := make([]string, len(labels))
	for i, label := range labels {
		words[i] = strings.ReplaceAll(of[label], " ", "_")
	}
	return strings.Join(words, " ")
}

// scraped waits for a scrape that begins after now: what happened before is in it.
func (p *prometheus) scraped(t *testing.T) {
	t.Helper()
	since := float64(time.Now().UnixMilli()) / 1000
	eventually(t, "Prometheus scrapes", func() error {
		at, err := p.vector("timestamp(verify_build_info)")
		if err != nil {
			return err
		}
		for _, value := range at {
			if value > since {
				return nil
			}
		}
		return fmt.Errorf("last scrape at %v, want one after %v", at, since)
	})
}

// exemplar is what Prometheus keeps of one observation.
type exemplar struct {
	Labels map[string]string
	Value  string
}

func (p *prometheus) exemplars(t *testing.T, selector string) []exemplar {
	t.Helper()
	now := time.Now()
	var data []struct {
		Exemplars []exemplar
	}
	err := p.get("/api/v1/query_exemplars", url.Values{
		"query": {selector},
		"start": {now.Add(-time.Hour).Format(time.RFC3339)},
		"end":   {now.Add(time.Hour).Format(time.RFC3339)},
	}, &data)
	if err != nil {
		t.Fatal(err)
	}
	var all []exemplar
	for _, series := range data {
		all = append(all, series.Exemplars...)
	}
	return all
}

// differences lists what differs between two sets of series; want's zeros mean absence.
func differences(got, want map[string]float64) []string {
	keys := map[string]bool{}
	for key := range got {
		keys[key] = true
	}
	for key := range want {
		keys[key] = true
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if got[key] != want[key] {
			all = append(all, fmt.Sprintf("{%s}: got %v, want %v", key, got[key], want[key]))
		}
	}
	return all
}
