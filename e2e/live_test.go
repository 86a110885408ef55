//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// browse runs live/live.mjs, which fails if the live page is not as it should be. It is told of each line as it comes.
func browse(t *testing.T, heed func(line string), args ...string) (said string) {
	t.Helper()
	if _, err := os.Stat("live/node_modules"); err != nil {
		t.Fatalf("what opens the page is not installed; run: npm ci --prefix e2e/live, and on Debian apt-get install chromium-headless-shell (%v)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"live/live.mjs"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if heed != nil {
			heed(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("live.mjs %s: %v\n%s%s", args[0], err, said, &stderr)
	}
	return said
}

// TestLiveFigures has ten verifications end in several ways: the page, the admin API and the scrape tell the same.
func TestLiveFigures(t *testing.T) {
	provider, gateway, admin := freeAddress(t), freeAddress(t), freeAddress(t)
	startCaddyfile(t, nil, fmt.Sprintf(`{
		admin %s
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		verify {
			callers {
				caller checkout {http.request.header.X-App} checkout
				unknown shared
			}
		}
	}
	http://%s {
		verify_sandbox {
			credentials %s %s
			code 1234
			speed 60
			limit off
		}
	}
	http://%s {
		metrics /metrics
		verify_live
		verify {
			upstream http://%[2]s
			credentials %[3]s %[4]s
			limit off
		}
	}
	`, admin, provider, gatewayKey, gatewaySecret, gateway), provider, gateway, admin)
	call := func(path string, form url.Values) map[string]any {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+gateway+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-App", "checkout")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for i := range 10 {
		number := fmt.Sprint([]int{447700900330, 4915123000330}[i%2] + i)
		id := fmt.Sprint(call("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"])
		if i < 8 { // of GB four, of DE three verified; two go on
			code := "1234"
			if i == 7 {
				code = "0000"
			}
			call("/verify/check/json", url.Values{"request_id": {id}, "code": {code}})
		}
		for range 1 + i%3 { // the first is asked of the provider
			call("/verify/search/json", url.Values{"request_id": {id}})
		}
	}

	var page struct {
		State, Summary, Success, Started, Spent string
		Funnel, Way, Countries, Callers         [][]string
		Points                                  int
	}
	if err := json.Unmarshal([]byte(browse(t, nil, "figures", "http://"+gateway+"/live")), &page); err != nil {
		t.Fatal(err)
	}
	scrape := scrapeOf(t, "http://"+gateway+"/metrics")
	document := get(t, "http://"+admin+"/verify/accounts")
	var told struct {
		Accounts []struct {
			State, Summary string
			Cache          struct{ Hits, Entries float64 }
			Hour           struct {
				Requested, Started, Entered, Verified float64
				Spent                                 map[string]float64
			}
		}
	}
	if err := json.Unmarshal(document, &told); err != nil || len(told.Accounts) != 1 {
		t.Fatalf("%v: %s", err, document)
	}
	account := told.Accounts[0]

	euros := func(v float64) string { return fmt.Sprintf("€%.2f", v) }
	counts := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	spent := scrape("verify_cost_total", "")
	hits := scrape("verify_cache_requests_total", `result="hit"`) + scrape("verify_cache_requests_total", `result="stale"`)
	verified := scrape("verify_verifications_finished_total", `outcome="success"`)
	started := scrape("verify_verifications_started_total", "")
	for _, figure := range []struct {
		name                  string
		page, document, scrap string
	}{
		{"state", strings.ToLower(page.State), account.State, "ok"},
		{"summary", page.Summary, account.Summary, page.Summary},
		{"started", page.Started, counts(account.Hour.Started), counts(started)},
		{"spent", page.Spent, euros(account.Hour.Spent["EUR"]), euros(spent)},
		{"accepted", page.Funnel[1][1], counts(account.Hour.Started), counts(started)},
		{"verified", page.Funnel[3][1], counts(account.Hour.Verified), counts(verified)},
		{"success", page.Success, fmt.Sprintf("%.0f %%", 100*account.Hour.Verified/account.Hour.Started), fmt.Sprintf("%.0f %%", 100*verified/started)},
		{"requested", page.Funnel[0][1], counts(account.Hour.Requested), counts(scrape("verify_requests_total", `operation="request"`))},
		{"entered", page.Funnel[2][1], counts(account.Hour.Entered), page.Funnel[2][1]},
		{
			"memory", strings.Fields(page.Way[3][1])[0] + " " + strings.Fields(page.Way[3][1])[2],
			counts(account.Cache.Hits) + " " + counts(account.Cache.Entries), counts(hits) + " " + counts(scrape("verify_cache_entries", "")),
		},
	} {
		t.Logf("%s: %s", figure.name, figure.page)
		if figure.page != figure.document || figure.page != figure.scrap {
			t.Errorf("%s is %q on the page, %q in the admin API, %q in the scrape", figure.name, figure.page, figure.document, figure.scrap)
		}
	}
	if started != 10 || verified != 7 || hits == 0 || spent == 0 || page.Points == 0 {
		t.Errorf("%v started, %v verified, %v from memory, %v spent, %d points in a table: the test does not see what it should", started, verified, hits, spent, page.Points)
	}
	for name, row := range map[string][]string{"GB": {"GB", "5", "4", "80 %", "–"}, "DE": {"DE", "5", "3", "60 %", "–"}} {
		if !slices.ContainsFunc(page.Countries, func(r []string) bool { return slices.Equal(r[:5], row) }) {
			t.Errorf("no row of %s is %q: %q", name, row, page.Countries)
		}
	}
	if len(page.Callers) != 1 || !slices.Equal(page.Callers[0][:4], []string{"checkout", "10", "7", "70 %"}) {
		t.Errorf("the callers are %q", page.Callers)
	}
}

// TestLivePage goes through the states of the demo's page: themes, a phone, the keyboard, axe-core, no JavaScript, faults.
func TestLivePage(t *testing.T) {
	_, address := startDemo(t, freeAddress(t))
	t.Logf("\n%s", browse(t, nil, "page", "http://"+address+"/live"))
}

// TestLiveReconnects measures what an open page costs a gateway that has nothing else to do, and restarts it.
func TestLiveReconnects(t *testing.T) {
	const measured, most = 10 * time.Second, 0.03 // of a core; usually it is a tenth of that
	demo, address := startDemo(t, freeAddress(t))
	browse(t, func(line string) {
		switch line {
		case "open":
			before := cpu(t, demo.cmd.Process.Pid)
			time.Sleep(measured)
			share := (cpu(t, demo.cmd.Process.Pid) - before).Seconds() / measured.Seconds()
			t.Logf("with an open page the gateway takes %.2f %% of a core", share*100)
			if share > most {
				t.Errorf("with an open page the gateway takes %.1f %% of a core, at most %.0f %% should be", share*100, most*100)
			}
			demo.interrupt(t) // an open page does not hold it up
		case "stale":
			startDemo(t, address)
		}
	}, "reconnect", "http://"+address+"/live")
}

// TestLivePicture draws the page into the folder that E2E_PICTURES names, see docs/live.md: some minutes, with an outage.
func TestLivePicture(t *testing.T) {
	if os.Getenv("E2E_PICTURES") == "" {
		t.Skip("E2E_PICTURES names no folder")
	}
	output, err := filepath.Abs(os.Getenv("E2E_PICTURES"))
	if err != nil {
		t.Fatal(err)
	}
	demo, address := startDemo(t, freeAddress(t), "--traffic=true", "--speed", "20", "--fault", "* delay 70ms", "--fault", "* delay 180ms 12%")
	play := func(d time.Duration, faults ...string) {
		form := url.Values{"fault": append([]string{"* delay 70ms", "* delay 180ms 12%"}, faults...)}
		response, err := http.PostForm("http://"+address+"/sandbox/faults", form)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		time.Sleep(d)
	}
	demo.says(t, regexp.MustCompile(`Ctrl-C ends it`))
	play(4 * time.Minute)
	play(70*time.Second, "* close")
	play(150 * time.Second)
	browse(t, nil, "picture", "http://"+address+"/live", filepath.Join(output, "live.png"))
}

// startDemo starts the demo without traffic of its own, unless more says otherwise.
func startDemo(t *testing.T, address string, more ...string) (demo *process, at string) {
	t.Helper()
	demo = start(t, nil, append([]string{"verify", "demo", "--listen", address, "--traffic=false"}, more...)...)
	demo.listening(t, address)
	return demo, address
}

// cpu is the processor time that a process has taken.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on, see proc(5)
	const perSecond = 100
	ticks := 0
	for _, text := range fields[11:13] {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / perSecond
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return body
}

// scrapeOf reads metrics, and returns the sum of those of a name that have a label, or of all.
func scrapeOf(t *testing.T, url string) func(name, label string) float64 {
	t.Helper()
	text := string(get(t, url))
	return func(name, label string) (sum float64) {
		t.Helper()
		found := false
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, name+"{") && strings.Contains(line, label) {
				found = true
				sum += number(strings.TrimSpace(line[strings.LastIndex(line, " "):]))
			}
		}
		if !found {
			t.Errorf("there is no %s{%s}", name, label)
		}
		return math.Round(sum*1e8) / 1e8
	}
}
