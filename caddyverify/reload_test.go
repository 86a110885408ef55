package caddyverify

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	verifygateway "github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
)

// TestConfigurationInForce loads configurations one after the other, good ones and
// such as Caddy rejects late, and looks each time at what live traffic uses.
func TestConfigurationInForce(t *testing.T) {
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	u := newUpstream(t)
	site := freeAddress(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	load := func(sites ...string) error {
		config, err := adaptCaddyfile("{\n admin off\n persist_config off\n}\n" + strings.Join(sites, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return loadConfig(config)
	}
	gateway := func(address string, settings ...string) string {
		return "http://" + address + " {\n route {\n  metrics /metrics\n  verify {\n upstream " + u.URL + "\n credentials " + testKey + " " + testSecret + "\n" +
			strings.Join(settings, "\n") + "\n }\n }\n}\n"
	}
	missingSecret := "http://" + freeAddress(t) + " {\n verify {\n credentials key {env.NO_SUCH_SECRET_OF_A_TEST}\n }\n}\n"
	t.Cleanup(func() { _ = caddy.Stop() })

	steps := []struct {
		name   string
		sites  []string
		fails  string
		rate   int
		off    bool // the breaker
		series string
	}{
		{"the first", []string{gateway(site, "limit 200/s", "countries GB")}, "", 200, false, `country="GB"`},
		{"a secret is missing elsewhere", []string{gateway(site, "limit 2/s", "countries IS", "breaker off"), missingSecret}, "NO_SUCH_SECRET", 200, false, ""},
		{"an address is taken", []string{gateway(site, "limit 2/s", "countries IS", "breaker off", "settle"), gateway(taken.Addr().String())}, "address already in use", 200, false, ""},
		{"a second site says nothing", []string{gateway(site, "limit 20/s"), gateway(freeAddress(t))}, "", 20, false, ""},
		{"the second site says something", []string{gateway(site), gateway(freeAddress(t), "limit 10/s", "breaker off")}, "", 10, true, ""},
		{"two sites disagree", []string{gateway(site, "limit 2/s"), gateway(freeAddress(t), "limit 3/s")}, "in another handler of this account", 10, true, ""},
		{"the limit is raised", []string{gateway(site, "limit 100/s")}, "", 100, false, ""},
		{"back to the default", []string{gateway(site, "timeout 3s")}, "", 28, false, ""},
	}
	var before *verifygateway.Account
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			err := load(step.sites...)
			if (err != nil) != (step.fails != "") || err != nil && !strings.Contains(err.Error(), step.fails) {
				t.Fatalf("the load ends with %v, want %q", err, step.fails)
			}
			var now *verifygateway.Account
			accounts.Range(func(key, value any) bool {
				if key.(accountID).upstream == u.URL {
					now = value.(pooledAccount).Account
				}
				return true
			})
			if before != nil && now != before {
				t.Error("what was known of the account is gone")
			}
			before = now
			s := now.Snapshot()
			if off := len(s.Circuits) == 0; s.Limit.Rate != step.rate || off != step.off {
				t.Errorf("the limit is %d, the breaker off: %v; want %d and %v", s.Limit.Rate, off, step.rate, step.off)
			}
			if s.Settling {
				t.Error("a configuration that failed has the account settle")
			}
			if body := served(t, "http://"+site+"/verify/search/json?request_id=a"); !strings.Contains(body, `"status"`) {
				t.Errorf("a search is answered with %s", body)
			}
			scraped := served(t, "http://"+site+"/metrics")
			if !strings.Contains(scraped, step.series) || strings.Contains(scraped, `country="IS"`) {
				t.Error("the metrics' countries are not those of the configuration in force")
			}
		})
	}
}

// served gets a page from a Caddy that has just been reloaded. A connection may be one
// of the configuration before, which is about to close it.
func served(t *testing.T, url string) string {
	t.Helper()
	var err error
	for range 10 {
		var response *http.Response
		if response, err = http.Get(url); err != nil {
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil {
			return string(body)
		}
	}
	t.Fatal(err)
	return ""
}
