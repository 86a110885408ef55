//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// drill is trouble of one party, and where its name must be read.
type drill struct {
	name   string
	fault  string // the sandbox's
	secret string // that the sandbox wants, if another than the gateway's

	upstream, transport string // in place of the sandbox

	timeout string
	apps    int // that call at the same time

	reads  []string // patterns, each of which some answer must match
	logged []string // patterns of log lines
	alert  string
	says   string // in the alert's text
	row    string // of docs/failures.md: whose it is
}

// drillSpeed is how much shorter the times in the rules are here: a minute is two seconds.
const drillSpeed = 30

const stopped = `"status":"5","error_text":".*\(caddy-verify: breaker_open\)"`

// stops is a drill in which the breaker opens.
func stops(d drill, cause, says, row string) drill {
	d.reads = []string{`"status":"5","error_text":".*\(caddy-verify: ` + cause + `\)"`, stopped}
	d.logged = []string{
		`"msg":"call".*"status":"5".*"cause":"` + cause + `"`,
		`"level":"warn".*"msg":"breaker changed".*"to":"open","why":"` + cause + `"`,
	}
	d.alert, d.says, d.row = "VerifyBreakerOpen", "Most likely it is "+says+":", row
	return d
}

func drills(t *testing.T) []drill {
	network := func(d drill) drill { return stops(d, "connect_failed", "the network", "the network") }
	const between = "something that answers in the provider's place"
	refused := func(d drill, first string) drill {
		d.reads = []string{first, `"status":"4","error_text":".*\(caddy-verify: account_bad_credentials\)"`}
		d.logged = []string{`"level":"warn".*"msg":"account trouble changed".*"to":"4"`}
		d.alert, d.says, d.row = "VerifyCredentialsRejected", "It is the account's key and secret", "the account"
		return d
	}
	throttled := func(d drill, first, logged string) drill {
		d.reads, d.logged = []string{first, `"status":"1","error_text":".*\(caddy-verify: account_throttled\)"`}, []string{logged, `"level":"warn".*"msg":"limit lowered"`}
		d.alert, d.says, d.row = "VerifyErrorBudgetBurn", "Most of it is status 1: the provider's limit", "the provider's limit"
		return d
	}
	return []drill{
		network(drill{name: "refused", upstream: "http://" + closedAddress(t)}),
		network(drill{name: "dns", upstream: "http://verify.invalid", transport: "resolvers " + noSuchName(t)}),
		network(drill{name: "route", upstream: "http://255.255.255.255"}), // a broadcast address has no route for TCP
		stops(drill{name: "hangs", fault: "* hang", timeout: "1s", apps: 30}, "upstream_timeout", "the provider", "the provider"),
		stops(drill{name: "http503", fault: "* http 503"}, "upstream_error", "the provider", "the provider"),
		stops(drill{name: "garbage", fault: "* garbage"}, "answer_unreadable", between, between),
		stops(drill{name: "html", fault: "* html"}, "answer_unreadable", between, between),
		refused(drill{name: "credentials", secret: "another-secret-of-the-account"}, `"status":"4","error_text":"(Invalid credentials were provided|Bad credentials)"`),
		refused(drill{name: "http401", fault: "* http 401"}, `"status":"4","error_text":".*\(caddy-verify: upstream_unauthorized\)"`),
		throttled(drill{name: "throttled", fault: "* status 1 40%"}, `"status":"1","error_text":"Throttled"`, `"msg":"call".*"status":"1","source":"upstream"`),
		throttled(drill{name: "http429", fault: "* http 429 40%"}, `"status":"1","error_text":".*\(caddy-verify: upstream_throttled\)"`, `"msg":"call".*"status":"1".*"cause":"upstream_throttled"`),
		{
			name: "slow", fault: "* delay 2600ms", apps: 40,
			reads: []string{`"request_id":"[0-9a-f]{32}","status":"0"`}, logged: []string{`.`},
			alert: "VerifyLatencyHigh", says: "of the provider's answers", row: "the provider",
		},
	}
}

// TestDrills makes trouble of each party at a gateway of its own. What the application reads, the log, the one alert that
// a real Prometheus raises, and docs/failures.md must all point at it.
func TestDrills(t *testing.T) {
	docs, err := os.ReadFile("../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "## Whose it is")
	table, _, _ = strings.Cut(table, "\n## ")

	jobs, gateways := map[string]string{}, map[string]*drilled{}
	all := drills(t)
	for _, d := range all {
		g := startDrill(t, d)
		jobs[d.name], gateways[d.name] = g.address, g
	}
	p := startPrometheusWithRules(t, jobs, 500*time.Millisecond, drillSpeed)
	for _, g := range gateways {
		g.use(t)
	}
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			g := gateways[d.name]
			eventually(t, d.alert+" says "+d.says, func() error { return p.fires(d.name, d.alert, d.says) })
			for _, pattern := range d.reads {
				if !g.hasRead(pattern) {
					t.Errorf("no application reads %s", pattern)
				}
			}
			for _, pattern := range d.logged {
				g.caddy.says(t, regexp.MustCompile(pattern))
			}
			if !slices.ContainsFunc(strings.Split(table, "\n"), func(line string) bool {
				cells := strings.Split(line, " | ")
				return len(cells) == 5 && cells[1] == d.row && strings.Contains(cells[4], d.alert) && d.named(cells[2]+cells[3])
			}) {
				t.Errorf("docs/failures.md has no row that says the same: %s, %s", d.row, d.alert)
			}
		})
	}
	// An incident is one notification: by now the others would have been raised, too.
	for _, d := range all {
		for _, other := range p.raised(t, d.name) {
			if other != d.alert {
				t.Errorf("%s: %s is raised, too", d.name, other)
			}
		}
	}
}

// named tells whether a row of the documentation has the causes that the application reads.
func (d drill) named(row string) bool {
	for _, pattern := range d.reads {
		if m := regexp.MustCompile(`caddy-verify: (\w+)`).FindStringSubmatch(pattern); m != nil && !strings.Contains(row, "`"+m[1]+"`") {
			return false
		}
	}
	return true
}

// drilled is a gateway in trouble and what applications read of it.
type drilled struct {
	drill
	caddy   *process
	address string

	mu   sync.Mutex
	read map[string]bool
}

func startDrill(t *testing.T, d drill) *drilled {
	t.Helper()
	if d.timeout == "" {
		d.timeout = "8s"
	}
	if d.apps == 0 {
		d.apps = 1
	}
	config := sandbox.Config{APIKey: gatewayKey, APISecret: gatewaySecret, Limit: -1, Record: -1}
	if d.secret != "" {
		config.APISecret = d.secret
	}
	if d.fault != "" {
		fault, err := sandbox.ParseFault(d.fault)
		if err != nil {
			t.Fatal(err)
		}
		config.Faults = []sandbox.Fault{fault}
	}
	api, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	if d.upstream == "" {
		d.upstream = server.URL
	}
	g := &drilled{drill: d, address: freeAddress(t), read: map[string]bool{}}
	g.caddy = startCaddyfile(t, nil, strings.Replace(caddyfile(g.address, `
		metrics /metrics
		verify {
			upstream `+d.upstream+`
			insecure_upstream
			credentials `+gatewayKey+` `+gatewaySecret+`
			timeout `+d.timeout+`
			transport http {
				keepalive 10s
				`+d.transport+`
			}
			breaker {
				open_for 1s
			}
			limit 500/s
		}`), "{", "{\nlog {\nformat json\n}", 1), g.address)
	return g
}

// use has applications start verifications and enter codes until the test ends.
func (g *drilled) use(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var number atomic.Int64
	for range g.apps {
		wg.Go(func() {
			tick := time.NewTicker(150 * time.Millisecond)
			defer tick.Stop()
			for {
				n := number.Add(1)
				g.call("/verify/json", url.Values{"brand": {"Acme"}, "number": {fmt.Sprint(447700910000 + n)}})
				g.call("/verify/check/json", url.Values{"code": {"1234"}, "request_id": {fmt.Sprintf("%032x", n)}})
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				select {
				case <-stop: // a tick may have come, too
					return
				default:
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		wg.Wait()
	})
}

func (g *drilled) call(path string, form url.Values) {
	response, err := http.PostForm("http://"+g.address+path, form)
	if err != nil {
		return // the test ends
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.read[string(body)] = true
}

func (g *drilled) hasRead(pattern string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for body := range g.read {
		if regexp.MustCompile(pattern).MatchString(body) {
			return true
		}
	}
	return false
}

// fires wants an alert of a job to be raised with these words.
func (p *prometheus) fires(job, alert, says string) error {
	var data struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	if err := p.get("/api/v1/alerts", nil, &data); err != nil {
		return err
	}
	var there []string
	for _, a := range data.Alerts {
		if a.Labels["job"] != job {
			continue
		}
		text := a.Labels["alertname"] + " " + a.State + ": " + a.Annotations["description"]
		if a.Labels["alertname"] == alert && a.State == "firing" && strings.Contains(text, says) {
			return nil
		}
		there = append(there, text)
	}
	return fmt.Errorf("there are %q", there)
}

// raised are the alerts of a job that fired at any time.
func (p *prometheus) raised(t *testing.T, job string) (alerts []string) {
	t.Helper()
	values, err := p.vector(`max by (alertname) (max_over_time(ALERTS{alertstate="firing",job="`+job+`"}[1h]))`, "alertname")
	if err != nil {
		t.Fatal(err)
	}
	for alert := range values {
		alerts = append(alerts, alert)
	}
	slices.Sort(alerts)
	return alerts
}

// noSuchName is a DNS server that knows no name.
func noSuchName(t *testing.T) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for message := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(message)
			if err != nil {
				return
			}
			if n > 3 {
				message[2] |= 0x80                       // it is a response:
				message[3] = message[3]&^0x0f | 0x80 | 3 // no such name
				_, _ = conn.WriteTo(message[:n], from)
			}
		}
	}()
	return conn.LocalAddr().String()
}
