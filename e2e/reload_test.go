//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// reloadPlan is how much TestReloadsUnderLoad does: a fifth of it, unless E2E_RELOADS=full.
func reloadPlan() (reloads, perSecond int, over time.Duration) {
	if os.Getenv("E2E_RELOADS") == "full" {
		return 50, 500, time.Minute
	}
	return 10, 200, 12 * time.Second
}

// reloadSettings are what a reload changes, one after the other. The limit changes each time; it is never off, since after
// that nothing is known of the calls of the last second, and those beyond the limit are refused until it is over.
var reloadSettings = []string{
	"timeout 9s", "errors http", "cache off", "breaker off", "countries GB DE", "method post", "strict",
	"cache {\nin_progress 5s\nmax_entries 5000\n}", "settle", "browsers allow", "auth body",
	"transport http {\nkeepalive off\n}", "breaker {\nopen_for 1s\n}",
}

// TestReloadsUnderLoad changes the configuration again and again under a steady load. Every call that the gateway has taken
// is answered with what the provider said, and reaches the provider once.
//
// A server that is replaced closes the connections on which nothing is under way. A call that is written to one of them at
// that moment was taken by nobody, and HTTP has the client make it again (RFC 9112, section 9.3.1). So a call that failed is
// made again if the provider has not got it; if it has, its answer was lost.
func TestReloadsUnderLoad(t *testing.T) {
	reloads, perSecond, over := reloadPlan()
	api := startWitness(t, 20*time.Millisecond)
	address, admin := freeAddress(t), freeAddress(t)
	config := func(n int) string {
		return fmt.Sprintf("{\nadmin %s\npersist_config off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel WARN\n}\n}\n"+
			"http://%s {\nmetrics /metrics\nverify {\nupstream %s\ncredentials %s %s\n%s\nlimit %d/s\n}\n}\n",
			admin, address, api.URL, gatewayKey, gatewaySecret, reloadSettings[n%len(reloadSettings)], 5000+n*37%5000)
	}
	startCaddyfile(t, nil, config(0), address, admin)

	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	kept := &http.Client{Transport: transport, Timeout: patience}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience} // of those kept, the next may be closed as well
	var answers, again atomic.Int64
	call := func(n int) {
		path, form := steadyCall(n)
		want := witnessed(path, form)
		client := kept
		for tries := 1; ; tries++ {
			code, body, err := postTo(t.Context(), client, address, path, form)
			if err == nil {
				answers.Add(1)
				if came, _ := api.told(path, form); code != http.StatusOK || body != want || came != 1 {
					t.Errorf("call %d came to the provider %d times and was answered with %d %s", n, came, code, body)
				}
				return
			}
			again.Add(1)
			client = fresh
			if came, _ := api.told(path, form); came > 0 || tries == 10 {
				t.Errorf("call %d came to the provider %d times and got no answer: %v", n, came, err)
				return
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	made := make(chan int, 1)
	go func() { made <- steady(ctx, perSecond, call) }()
	defer stop()

	tick := time.NewTicker(over / time.Duration(reloads))
	defer tick.Stop()
	var longest time.Duration
	for n := range reloads {
		<-tick.C
		begun := time.Now()
		loadCaddyfile(t, admin, config(n+1))
		longest = max(longest, time.Since(begun))
	}
	stop()
	total := <-made
	if int(answers.Load()) != total || api.calls() != total {
		t.Errorf("of %d calls, %d are answered and %d came to the provider", total, answers.Load(), api.calls())
	}
	// The gateway's own count outlives all the reloads: what it took, it answered, and somebody got it.
	if counted := scraped(t, "http://"+address+"/metrics", "verify_requests_total"); counted != float64(total) {
		t.Errorf("the gateway counts %v answers, its clients %d", counted, total)
	}
	if total < perSecond*int(over.Seconds())*9/10 {
		t.Errorf("only %d calls were made", total)
	}
	t.Logf("%d reloads in %s, the longest took %s; %d calls at %d/s, all answered; %d were written to a connection that was being closed, and made again",
		reloads, over, longest.Round(time.Millisecond), total, perSecond, again.Load())
}

// loadCaddyfile has a Caddy take a new configuration.
func loadCaddyfile(t *testing.T, admin, caddyfile string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+admin+"/load", strings.NewReader(caddyfile))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/caddyfile")
	r.Close = true // the admin endpoint is replaced, too
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the configuration is refused with %d: %s (%v)", response.StatusCode, body, err)
	}
}

// scraped is the sum of all series of a metric.
func scraped(t *testing.T, url, metric string) (sum float64) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, metric+"{") {
			sum += number(line[strings.LastIndex(line, " ")+1 : len(line)-1])
		}
	}
	return sum
}
