//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// ruleSpeed is how much shorter the times in the rules are here, and panelSpeed those in the panels: an hour is half a
// minute, and a day is a minute.
const (
	ruleSpeed  = 120
	panelSpeed = 1440
)

// TestDashboards has applications use a gateway, and the provider fail in known ways, and asks a real Prometheus what the
// dashboards would.
func TestDashboards(t *testing.T) {
	t.Parallel()
	api, err := sandbox.New(sandbox.Config{APIKey: loadKey, APISecret: loadPass, Code: loadCode, Speed: 10, Limit: -1, Record: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	d := &dashboardsTest{T: t, sandbox: api, queries: panelQueries(t)}
	redis := startRedis(t)
	address := startLoadedWith(t, redis.address, provider.URL, loadKey, `
			timeout 2s
			breaker {
				window 6s
				open_for 1s
			}
			limit 500/s
			guard {
				budget 1000000 EUR/day
				price 0.15 EUR
			}
			countries GB DE FR`)
	d.load = newLoad(t, address)
	d.prometheus = startPrometheusWithRules(t, map[string]string{"gateway": address}, 250*time.Millisecond, ruleSpeed)
	// Prometheus 2 has no classic buckets of a histogram of which it has the native one.
	d.native = startPrometheusWithRules(t, map[string]string{"gateway": address}, 250*time.Millisecond, ruleSpeed, "native-histograms")
	d.scraped(t)
	time.Sleep(time.Second)

	d.begun = time.Now()
	d.load.run(45 * time.Second)
	d.load.ends.Wait()
	time.Sleep(time.Second)
	d.scraped(t)
	d.figures()
	d.wantAlerts("all is well", d.begun)
	if t.Failed() {
		return
	}

	d.fails(fault{
		what: "messages to GB do not arrive", mute: "GB", lasts: 40 * time.Second,
		moves:  []moved{{"funnel", "Success rate over time", "", func(l level) bool { return l.least < .7 }}, {"cost", "Not completed/min", "GB", above(60)}},
		alerts: []string{"VerifySuccessDrop GB"},
	})
	d.load.run(15 * time.Second)
	d.fails(fault{
		what: "the store is away", lasts: 8 * time.Second, begin: redis.kill, end: redis.start,
		moves: []moved{
			{"upstream", "Store", "-key@" + strings.TrimPrefix(provider.URL, "http://"), func(l level) bool { return l.least < .5 }},
			{"upstream", "Time alone", "", above(.3)},
			{"upstream", "Calls to the store", "skipped", above(0)},
			{"upstream", "Delivered alone", "", above(1)},
		},
		alerts: []string{"VerifyStoreAway"}, lingers: []string{"VerifySuccessDrop GB"},
	})
	d.load.run(12 * time.Second) // the rest of the hour in the rules
	d.load.trouble.Store(true)
	d.fails(fault{
		what: "the provider is away", lines: []string{"* close"}, lasts: 8 * time.Second,
		moves: []moved{
			{"upstream", "Circuit breakers", "write", above(1.9)}, // too few checks are left to open the other
			{"upstream", "Upstream requests by outcome", "connection_lost", above(0)},
			{"upstream", "Rejected, circuit open", "", above(1)},
			{"overview", "Upstream errors by kind", "connection_lost", above(0)},
			{"overview", "Circuit breakers not closed", "", above(.9)},
			{"overview", "Error rate", "", above(.3)},
		},
		// Its window of 6 s is twelve minutes of the rules, so the circuit may open later than the burn is told of.
		alerts: []string{"VerifyBreakerOpen"}, lingers: []string{"VerifyErrorBudgetBurn"},
	})
	d.load.run(12 * time.Second)
	d.fails(fault{
		what: "the provider throttles", lines: []string{"* status 1 30%"}, lasts: 10 * time.Second,
		moves: []moved{
			{"upstream", "Throttled", "", above(1)},
			{"upstream", "Waiting and throttled", "throttled, upstream", above(1)},
			{"upstream", "Errors that applications read", "upstream 1", above(1)},
		},
		alerts: []string{"VerifyErrorBudgetBurn"}, lingers: []string{"VerifyThrottled"},
	})
	d.load.run(5 * time.Second)
	d.fails(fault{ // the last one: the gateway goes on to refuse for a while
		what: "the account's credentials are rejected", lines: []string{"* status 4"}, lasts: 5 * time.Second,
		moves: []moved{
			{"upstream", "Account", "account", above(3.9)},
			{"overview", "Account", "", above(3.9)},
			{"upstream", "Errors that applications read", "upstream 4", above(0)},
			{"upstream", "Errors that applications read", "gateway 4", above(0)},
		},
		alerts: []string{"VerifyCredentialsRejected"}, lingers: []string{"VerifyThrottled", "VerifyErrorBudgetBurn"},
	})
	d.load.ends.Wait()
	d.scraped(t)
	d.everyPanel(d.prometheus)
	d.native.scraped(t)
	d.everyPanel(d.native)
	d.latencies()
}

// dashboardsTest is what the parts of the test share.
type dashboardsTest struct {
	*testing.T
	*prometheus
	native  *prometheus
	load    *load
	sandbox *sandbox.Sandbox
	queries []panelQuery
	begun   time.Time
}

// startPrometheusWithRules scrapes each job's target so often, with the times in the rules so many times shorter.
func startPrometheusWithRules(t *testing.T, jobs map[string]string, every time.Duration, speed int, features ...string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("there is no Prometheus; on Debian: apt-get install prometheus (%v)", err)
	}
	rules, err := os.ReadFile("../dashboards/rules/verify.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	fmt.Fprintf(&config, `
global:
  scrape_interval: %[1]dms
  scrape_timeout: %[1]dms
  evaluation_interval: %[2]dms
rule_files: [rules.yml]
scrape_configs:
`, every.Milliseconds(), 2*every.Milliseconds())
	for job, target := range jobs {
		fmt.Fprintf(&config, "  - job_name: %s\n    static_configs:\n      - targets: [%q]\n", job, target)
	}
	folder := t.TempDir()
	for name, content := range map[string]string{
		"rules.yml":      faster(string(rules), speed),
		"prometheus.yml": config.String(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	p := &prometheus{url: "http://" + address}
	p.part = startPart(t, exec.Command(path,
		"--config.file="+filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address,
		"--log.level=warn",
		"--enable-feature="+strings.Join(features, ","),
	))
	p.ready(t, p.url+"/-/ready")
	return p
}

// figures compares what panels say with what applications know.
func (d *dashboardsTest) figures() {
	l := d.load
	span := fmt.Sprintf("%dms", time.Since(d.begun).Milliseconds()+1000)
	for _, w := range []struct {
		dashboard, panel, legend string
		want                     float64
	}{
		{"funnel", "Funnel, all countries", "requests", l.saw("requests")},
		{"funnel", "Funnel, all countries", "started", l.saw("started")},
		{"funnel", "Funnel, all countries", "a code was entered", l.saw("code entered")},
		{"funnel", "Funnel, all countries", "success", l.saw("success")},
		{"funnel", "Success rate", "", l.saw("success") / l.saw("started")},
		{"overview", "Success rate", "", l.saw("success") / l.saw("started")},
		{"funnel", "Countries", "A GB", l.saw("started GB")},
		{"funnel", "Countries", "B DE", l.saw("success DE")},
		{"funnel", "Countries", "C FR", l.saw("failed FR")},
		{"funnel", "Countries", "E GB", l.saw("cancelled GB")},
		{"funnel", "Countries", "G FR", l.saw("success FR") / l.saw("started FR")},
		{"funnel", "Requests refused, total", "3", l.saw("requests 3")},
		{"cache", "Cache hit ratio", "", l.saw("hits") / l.saw("searches")},
		{"cache", "Upstream requests saved", "", l.saw("hits")},
		{"overview", "Gateways", "", 1},
		{"overview", "Circuit breakers not closed", "", 0},
		{"overview", "Account", "", 0},
		{"overview", "Error rate", "", 0},
	} {
		got, found := 0.0, false
		for _, q := range d.queries {
			if q.Dashboard != w.dashboard || q.Panel != w.panel {
				continue
			}
			if column, country, is := strings.Cut(w.legend, " "); is && len(column) == 1 && column != "a" {
				if q.RefID != column {
					continue
				}
				values, err := d.vector(chosen(q.Expr, span), "country")
				if err != nil {
					d.Errorf("%s: %v", q, err)
				}
				got, found = values[country], true
			} else if legend := q.LegendFormat; legend == w.legend || w.legend == "" || legend == "{{status}}" {
				values, err := d.vector(chosen(q.Expr, span), "status")
				if err != nil {
					d.Errorf("%s: %v", q, err)
				}
				if legend == "{{status}}" {
					got, found = values[w.legend], true
				} else {
					got, found = values[""], true
				}
			}
		}
		// increase guesses what lies beyond the first and last scrape.
		if !found || math.Abs(got-w.want) > .02*w.want {
			d.Errorf("%s, panel %q %s: got %v (%t), the applications know of %v", w.dashboard, w.panel, w.legend, got, found, w.want)
		}
	}
	spent, err := d.vector(`sum(verify_cost_total)`)
	if err != nil || spent[""] < l.saw("spent")-1e-6 {
		d.Errorf("spent: %v (%v), checks alone told of %v", spent, err, l.saw("spent"))
	}
}

// level is what a panel showed.
type level struct{ least, most float64 }

func above(limit float64) func(level) bool { return func(l level) bool { return l.most > limit } }

// moved is a panel that shows a fault.
type moved struct {
	dashboard, panel, legend string
	holds                    func(level) bool
}

// fault is what goes wrong for a while.
type fault struct {
	what  string
	lines []string // the sandbox's
	mute  string   // a country

	begin, end func() // nil for nothing
	lasts      time.Duration
	moves      []moved
	alerts     []string // that must be raised
	lingers    []string // that may still be, from the fault before
}

// fails makes a fault under load, and wants panels to move and alerts to be raised.
func (d *dashboardsTest) fails(f fault) {
	d.Helper()
	d.Log(f.what)
	var faults []sandbox.Fault
	for _, line := range f.lines {
		parsed, err := sandbox.ParseFault(line)
		if err != nil {
			d.Fatal(err)
		}
		faults = append(faults, parsed)
	}
	d.load.run(2 * time.Second)
	from := time.Now()
	if err := d.sandbox.SetFaults(faults...); err != nil {
		d.Fatal(err)
	}
	d.load.mute.Store(f.mute)
	if f.begin != nil {
		f.begin()
	}
	d.load.run(f.lasts)
	if f.end != nil {
		f.end()
	}
	if err := d.sandbox.SetFaults(); err != nil {
		d.Fatal(err)
	}
	d.load.mute.Store("")
	d.load.run(2 * time.Second)
	for _, m := range f.moves {
		d.wantMove(f.what, m, from)
	}
	d.wantAlerts(f.what, from, append(f.alerts, f.lingers...)...)
	raised := d.raised(from)
	for _, alert := range f.alerts {
		if !raised[alert] {
			d.Errorf("%s: %s is not raised, but %q", f.what, alert, slices.Sorted(maps.Keys(raised)))
		}
	}
}

// wantMove wants a panel to show what is wrong.
func (d *dashboardsTest) wantMove(what string, m moved, from time.Time) {
	d.Helper()
	seen := level{math.Inf(1), math.Inf(-1)}
	for _, q := range d.queries {
		if q.Dashboard != m.dashboard || q.Panel != m.panel {
			continue
		}
		courses, err := d.courses(chosen(q.Expr, "20s"), from, time.Now())
		if err != nil {
			d.Errorf("%s: %v", q, err)
		}
		for _, c := range courses {
			if m.legend != "" && legendOf(q.LegendFormat, c.Metric) != m.legend {
				continue
			}
			for _, v := range c.Values {
				text, _ := v[1].(string)
				if value := number(text); !math.IsNaN(value) {
					seen.least, seen.most = min(seen.least, value), max(seen.most, value)
				}
			}
		}
		if m.legend == "" {
			break // the first query is the present
		}
	}
	if !m.holds(seen) {
		d.Errorf("%s: %s, panel %q %s does not show it: from %v to %v", what, m.dashboard, m.panel, m.legend, seen.least, seen.most)
	}
}

// legendOf is what Grafana makes of a legend.
func legendOf(format string, labels map[string]string) string {
	for label, value := range labels {
		format = strings.ReplaceAll(format, "{{"+label+"}}", value)
	}
	return format
}

// raised are the alerts that fire at some time, with the country of those that have one.
func (d *dashboardsTest) raised(since time.Time) map[string]bool {
	d.Helper()
	courses, err := d.courses(`ALERTS{alertstate="firing"}`, since, time.Now())
	if err != nil {
		d.Fatal(err)
	}
	raised := map[string]bool{}
	for _, c := range courses {
		raised[strings.TrimSpace(c.Metric["alertname"]+" "+c.Metric["country"])] = true
	}
	return raised
}

// wantAlerts wants no others than those.
func (d *dashboardsTest) wantAlerts(what string, since time.Time, may ...string) {
	d.Helper()
	may = append(may, "VerifyStoreAway") // two minutes are a second here, in which a busy machine may be late with its answers
	for alert := range d.raised(since) {
		if !slices.Contains(may, alert) {
			d.Errorf("%s: %s is raised", what, alert)
		}
	}
}

// everyPanel wants every query to have had data.
func (d *dashboardsTest) everyPanel(p *prometheus) {
	for _, q := range d.queries {
		courses, err := p.courses(chosen(faster(q.Expr, panelSpeed), "30s"), d.begun, time.Now())
		if err != nil {
			d.Errorf("%s: %v", q, err)
			continue
		}
		any := false
		for _, c := range courses {
			_, has := c.most()
			any = any || has
		}
		if !any {
			d.Errorf("%s has no data: %s", q, q.Expr)
		}
	}
	d.Logf("%d queries", len(d.queries))
}

// latencies wants the native histograms to say what the classic ones say, and to be alone.
func (d *dashboardsTest) latencies() {
	for metric, classic := range map[string]bool{
		"verify_request_duration_seconds": false, "verify_upstream_request_duration_seconds": false, "verify_time_to_success_seconds": false,
		"verify_attempts_per_verification": true,
	} {
		if got, err := d.native.vector("count(" + metric + "_bucket)"); err != nil || (got[""] > 0) != classic {
			d.Errorf("%s has %v classic buckets where native histograms are scraped (%v)", metric, got[""], err)
		}
	}
	compared := 0
	for _, q := range d.queries {
		if !strings.HasPrefix(q.Expr, "histogram_quantile(0.5") {
			continue
		}
		expr := strings.ReplaceAll(chosen(q.Expr, "1m"), "[4s]", "[1m]")
		classic, err := d.vector(expr, "source")
		native, err2 := d.native.vector(expr, "source")
		if err != nil || err2 != nil || len(classic) == 0 {
			d.Errorf("%s: %v, %v, %v", q, classic, err, err2)
		}
		for source, want := range classic {
			compared++
			// A classic bucket tells no more than its bounds, which are up to five times apart, and the first one has 0 for one.
			first := .001
			if strings.Contains(expr, "time_to_success") {
				first = 10
			}
			if got := native[source]; got <= 0 || got > 6*want || got < want/6 && want > first {
				d.Errorf("%s, %s: native %v, classic %v", q, source, got, want)
			}
		}
	}
	if compared < 4 {
		d.Errorf("only %d latencies were compared", compared)
	}
}
