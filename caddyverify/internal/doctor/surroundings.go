package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// look is how long something in the surroundings has to answer.
const look = 3 * time.Second

// Admin is the admin endpoint, as it is configured.
type Admin struct {
	Listen string
	// Off tells that there is none.
	Off bool
}

// Admin returns what is configured; without, it listens on fallback.
func (c *Config) Admin(fallback string) Admin {
	a := at(c.root, "admin")
	return Admin{
		Listen: cmp.Or(text(at(a, "listen")), fallback),
		Off:    isTrue(at(a, "disabled")),
	}
}

// CheckAdmin tells who reaches the admin endpoint.
func (r *Report) CheckAdmin(a Admin) {
	switch {
	case a.Off:
		r.Add(Finding{OK, "admin", "", "off.", ""})
	case isLocal(a.Listen):
		r.Add(Finding{OK, "admin", "", "it listens on " + a.Listen + ", which only this host reaches.", ""})
	default:
		r.Add(Finding{Warn, "admin", "", "it listens on " + a.Listen + ": whoever reaches that reads and changes the configuration, and spends the account's money.", "the global option `admin localhost:2019` or `admin unix//run/caddy/admin.sock`."})
	}
}

// CheckMetrics tells whether metrics are served. get asks the running Caddy's admin
// endpoint for a path.
func (r *Report) CheckMetrics(ctx context.Context, c *Config, a Admin, get func(path string) (string, error)) {
	if len(c.metrics) == 0 && a.Off {
		r.Add(Finding{Warn, "metrics", "", "nothing serves them, so that nobody sees how many verifications succeed.", "`metrics /metrics` in a site."})
		return
	}
	if a.Off {
		r.Add(Finding{Skip, "metrics", "", "the admin endpoint is off, so it cannot be asked whether the gateway runs.", ""})
		return
	}
	body, err := get("/metrics")
	switch {
	case err != nil:
		r.Add(Finding{Skip, "metrics", "", "no Caddy runs at " + a.Listen + ", so they were not looked at.", ""})
		return
	case !strings.Contains(body, "verify_"):
		r.Add(Finding{Warn, "metrics", "", "the Caddy that runs at " + a.Listen + " has none of the gateway's: it runs another configuration.", "`caddy reload`, or --address."})
		return
	case len(c.metrics) == 0:
		r.Add(Finding{OK, "metrics", "", "served by the admin endpoint at " + a.Listen + ".", ""})
		return
	}
	for _, page := range c.metrics {
		r.Add(page.look(ctx))
	}
}

func (p page) look(ctx context.Context) Finding {
	if p.tls || len(p.listen) == 0 || strings.Contains(p.listen[0], "/") {
		return Finding{OK, "metrics", "", "served at " + p.path + ", where it was not fetched, and by the admin endpoint.", ""}
	}
	host, port, _ := net.SplitHostPort(p.listen[0])
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	target := "http://" + net.JoinHostPort(host, port) + p.path
	code, body, err := p.fetch(ctx, target)
	switch {
	case err != nil:
		return Finding{Warn, "metrics", "", target + " does not answer.", "the site's address, and `metrics " + p.path + "` in it."}
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return Finding{Skip, "metrics", "", fmt.Sprintf("%s answers %d to this host; whether it does to Prometheus cannot be seen from here.", target, code), ""}
	case code != http.StatusOK || !strings.Contains(body, "verify_"):
		return Finding{Warn, "metrics", "", fmt.Sprintf("%s answers %d without metrics of the gateway.", target, code), "the order of routes: `metrics " + p.path + "` must come before what answers everything."}
	}
	return Finding{OK, "metrics", "", "served at " + target + ".", ""}
}

// fetch gets a page, without a proxy and without following where it leads.
func (p page) fetch(ctx context.Context, target string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	if len(p.hosts) > 0 {
		r.Host = p.hosts[0]
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	all, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	return response.StatusCode, string(all), err
}

// CheckOTLP looks at where spans and metrics are pushed, if they are.
func (r *Report) CheckOTLP(ctx context.Context, c *Config, getenv func(string) string) {
	pushed := map[string]bool{"TRACES": c.tracing, "METRICS": anywhere(c.root, "otlp")}
	looked := map[string]bool{}
	for _, signal := range []string{"TRACES", "METRICS"} {
		if !pushed[signal] || getenv("OTEL_"+signal+"_EXPORTER") == "none" {
			continue
		}
		endpoint := cmp.Or(getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
		if !looked[endpoint] {
			r.Add(collector(ctx, endpoint))
		}
		looked[endpoint] = true
	}
}

func collector(ctx context.Context, endpoint string) Finding {
	if endpoint == "" {
		return Finding{Warn, "OTLP", "", "spans or metrics are to be pushed, and OTEL_EXPORTER_OTLP_ENDPOINT is not set here: they go to https://localhost:4318.", "set it in the gateway's environment to the Collector's URL, or take out `tracing` and `otlp`."}
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return Finding{Warn, "OTLP", "", "OTEL_EXPORTER_OTLP_ENDPOINT is no URL.", "write for example http://collector.internal:4318 into it."}
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	address := net.JoinHostPort(u.Hostname(), port)
	dialer := net.Dialer{Timeout: look}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return Finding{Warn, "OTLP", "", "the Collector at " + address + " cannot be reached: spans and metrics are lost, and a reload may wait for it.", "OTEL_EXPORTER_OTLP_ENDPOINT, or start the Collector."}
	}
	_ = connection.Close()
	return Finding{OK, "OTLP", "", "the Collector at " + address + " takes connections.", ""}
}
