//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// failure is a row of docs/failures.md: how to make it happen, and what it then says.
type failure struct {
	name     string
	upstream string   // "" for a sandbox, or one of the places made in TestFailures
	faults   []string // of the sandbox
	more     string   // subdirectives
	before   int      // calls made before the one that is looked at
	until    bool     // as many more as it takes to have the cause
	call     string   // request, check, search or control; default: request
	key      string   // Idempotency-Key

	cause   string // "" for an answer of the API
	status  string
	code    int // under errors http
	text    string
	sent    string // what the text ends with; "" for an answer of the API
	retry   bool   // there is a Retry-After
	tries   int    // default: 1
	outcome string // by which verify_upstream_requests_total grows
	series  string // another metric that grows or, if it is a gauge, is not 0
	quiet   bool   // logged at level debug
	level   string // of the log line, default: warn
	reason  string // "" for none
}

const (
	nothingSent = "nothing was sent"
	perhapsSent = "the call may have been sent"

	// short is long enough for what comes before that which takes too long, on a busy machine.
	short = "timeout 2s"
)

var failures = []failure{
	{name: "down", upstream: "closed", tries: 2, cause: "connect_failed", status: "5", code: 502, text: "The Verify API cannot be reached", sent: nothingSent, outcome: "connect", reason: "refused"},
	{name: "no name", upstream: "nameless", more: "transport http {\nresolvers {closed}\n}", tries: 2, cause: "connect_failed", status: "5", code: 502, text: "The Verify API cannot be reached", sent: nothingSent, outcome: "connect", reason: "dns"},
	{name: "untrusted", upstream: "untrusted", cause: "tls_failed", status: "5", code: 502, text: "No trusted connection to the Verify API could be made", sent: nothingSent, outcome: "tls", reason: "unknown_authority"},
	{name: "no handshake", upstream: "mute", more: short, cause: "upstream_timeout", status: "5", code: 504, text: "The Verify API did not answer in time", sent: nothingSent, outcome: "timeout", reason: "handshake_timeout"},
	{name: "hang", faults: []string{"* hang"}, more: short, cause: "upstream_timeout", status: "5", code: 504, text: "The Verify API did not answer in time", sent: perhapsSent, outcome: "timeout", reason: "no_answer"},
	{name: "slow", faults: []string{"* delay 20s"}, more: short, cause: "upstream_timeout", status: "5", code: 504, text: "The Verify API did not answer in time", sent: perhapsSent, outcome: "timeout", reason: "no_answer"},
	{name: "drip", faults: []string{"* drip 50ms"}, more: short, cause: "upstream_timeout", status: "5", code: 504, text: "The Verify API did not answer in time", sent: perhapsSent, outcome: "timeout", reason: "slow_answer"},
	{name: "close", faults: []string{"* close"}, cause: "connection_lost", status: "5", code: 502, text: "The connection to the Verify API was lost", sent: perhapsSent, outcome: "connection_lost", reason: "closed"},
	{name: "reset", faults: []string{"* reset_after"}, cause: "connection_lost", status: "5", code: 502, text: "The connection to the Verify API was lost", sent: perhapsSent, outcome: "connection_lost", reason: "reset"},
	{name: "truncate", faults: []string{"* truncate"}, cause: "connection_lost", status: "5", code: 502, text: "The connection to the Verify API was lost", sent: perhapsSent, outcome: "connection_lost", reason: "closed"},
	{name: "http 503", faults: []string{"* http 503"}, cause: "upstream_error", status: "5", code: 502, text: "The Verify API answered with an HTTP error", sent: perhapsSent, outcome: "http_5xx", reason: "web_page"},
	{name: "http 404", faults: []string{"* http 404"}, cause: "upstream_error", status: "5", code: 502, text: "The Verify API answered with an HTTP error", sent: perhapsSent, outcome: "http_4xx", reason: "web_page"},
	{name: "redirect", faults: []string{"* redirect"}, cause: "upstream_error", status: "5", code: 502, text: "The Verify API answered with an HTTP error", sent: perhapsSent, outcome: "http_3xx", reason: "redirect"},
	{name: "garbage", faults: []string{"* garbage"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "malformed"},
	{name: "html", faults: []string{"* html"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "web_page"},
	{name: "bomb", faults: []string{"* bomb"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "content_encoding"},
	{name: "deep", faults: []string{"* deep"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "malformed"},
	{name: "dtd", faults: []string{"* dtd"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "malformed"},
	{name: "two statuses", faults: []string{"* duplicate_status"}, cause: "answer_unreadable", status: "5", code: 502, text: "The Verify API's answer cannot be read", sent: perhapsSent, outcome: "bad_body", reason: "malformed"},
	{name: "big", faults: []string{"* big"}, cause: "answer_too_large", status: "5", code: 502, text: "The Verify API's answer is too large", sent: perhapsSent, outcome: "bad_body"},
	{name: "echo", faults: []string{"* echo"}, cause: "answer_with_secret", status: "5", code: 502, text: "The Verify API's answer was withheld", sent: perhapsSent, outcome: "bad_body"},
	{name: "status 5", faults: []string{"* status 5"}, status: "5", code: 200, text: "Internal Error", outcome: "answered", series: `verify_requests_total{status="5",source="upstream"}`},
	{name: "status 1", faults: []string{"* status 1"}, status: "1", code: 200, text: "Throttled", outcome: "answered", series: `verify_throttled_total{where="upstream"}`, level: "info"},
	{name: "http 429", faults: []string{"* http 429"}, cause: "upstream_throttled", status: "1", code: 429, text: "The Verify API refused the call for coming too fast (HTTP 429)", sent: nothingSent, outcome: "http_4xx", series: `verify_throttled_total{where="upstream"}`, level: "info"},
	{name: "our limit", more: "limit 1/s", before: 1, cause: "limit_reached", status: "1", code: 429, text: "The account's limit of calls a second is reached", sent: nothingSent, retry: true, series: `verify_throttled_total{where="local"}`, level: "info"},
	{name: "after status 1", faults: []string{"* status 1"}, more: "limit 2/s", before: 1, cause: "account_throttled", status: "1", code: 429, text: "The Verify API has throttled the account, and the gateway makes fewer calls for now", sent: nothingSent, retry: true, series: `verify_throttled_total{where="upstream"}`, level: "info"},
	{name: "status 4", faults: []string{"* status 4"}, status: "4", code: 200, text: "Invalid credentials were provided", outcome: "answered", series: `verify_account_trouble{status="4"}`},
	{name: "after status 4", faults: []string{"* status 4"}, before: 1, cause: "account_bad_credentials", status: "4", code: 502, text: "The Verify API refuses the gateway's credentials", sent: nothingSent, retry: true, series: `verify_account_trouble{status="4"}`, level: "info"},
	{name: "http 401", faults: []string{"* http 401"}, cause: "upstream_unauthorized", status: "4", code: 502, text: "The Verify API refused the gateway's credentials", sent: nothingSent, outcome: "http_4xx", reason: "not_verify"},
	{name: "http 403 to requests alone", faults: []string{"request http 403"}, more: "limit off", before: 40, cause: "upstream_unauthorized", status: "4", code: 502, text: "The Verify API refused the gateway's credentials", sent: nothingSent, outcome: "http_4xx", reason: "web_page"},
	{name: "after http 401", faults: []string{"* http 401"}, before: 1, until: true, cause: "account_bad_credentials", status: "4", code: 502, text: "The Verify API refuses the gateway's credentials", sent: nothingSent, retry: true, series: `verify_account_trouble{status="4"}`, level: "info"},
	{name: "barred", faults: []string{"* status 8"}, before: 1, cause: "account_barred", status: "8", code: 502, text: "The Verify API has barred the account", sent: nothingSent, retry: true, series: `verify_account_trouble{status="8"}`, level: "info"},
	{name: "no credit", faults: []string{"* status 9"}, before: 1, cause: "account_no_credit", status: "9", code: 502, text: "The account has no credit left", sent: nothingSent, retry: true, series: `verify_account_trouble{status="9"}`, level: "info"},
	{name: "breaker", upstream: "closed", more: "breaker {\nopen_for 1m\n}", before: 5, cause: "breaker_open", status: "5", code: 503, text: "The Verify API is in trouble and is not called for now", sent: nothingSent, retry: true, outcome: "rejected_open", level: "info"},
	{name: "checks in account trouble", faults: []string{"* status 8"}, before: 1, call: "check", status: "8", code: 200, text: "barred", outcome: "answered", series: `verify_account_trouble{status="8"}`},
	{name: "key used again", before: 1, key: "once", cause: "idempotency_key_reused", status: "3", code: 422, text: "The Idempotency-Key was used for another call", sent: nothingSent, quiet: true, series: `verify_requests_total{status="3",source="gateway"}`},
	{name: "too many", faults: []string{"* hang"}, more: "timeout 20s\nlimit off", before: 512, cause: "too_many_under_way", status: "1", code: 429, text: "Too many calls are under way", sent: nothingSent, retry: true, series: `verify_requests_total{status="1",source="gateway"}`, level: "info"},
}

// documented is docs/failures.md, whose rows must say what the gateway says.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return !strings.HasPrefix(line, "|") })
	return rows
}

// TestFailures makes each failure happen to a real gateway, once with `errors verify` and once with `errors http`, and
// compares what the app reads, the log says and the metrics count with the table and with docs/failures.md.
func TestFailures(t *testing.T) {
	rows := documented(t)
	places := failurePlaces(t)
	address := freeAddress(t)
	var sites strings.Builder
	for i, f := range failures {
		for _, errors := range []string{"verify", "http"} {
			upstream := places[f.upstream]
			switch f.upstream {
			case "":
				upstream = startFaulty(t, f.faults)
			case "closed":
				upstream = "http://" + closedAddress(t)
			case "nameless":
				upstream = "https://" + errors + ".invalid"
			}
			fmt.Fprintf(&sites, "http://%s {\nverify {\nupstream %s\ncredentials %s %s\ncountries GB\nerrors %s\n%s\n}\n}\n",
				failureHost(i, errors, address), upstream, gatewayKey, gatewaySecret, errors, strings.ReplaceAll(f.more, "{closed}", places["udp"]))
		}
	}
	caddy := startCaddyfile(t, nil, fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		log {
			level DEBUG
			format json
		}
	}
	http://metrics.test:%s {
		metrics
	}
	%s`, portOf(address), sites.String()), address)

	for i, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			for _, errors := range []string{"verify", "http"} {
				f.happen(t, caddy, address, failureHost(i, errors, address), errors == "http")
			}
			word := "`" + f.cause + "`"
			if f.cause == "" {
				word = "status " + f.status
			}
			code := strconv.Itoa(f.code)
			if !slices.ContainsFunc(rows, func(row string) bool {
				return strings.Contains(row, word) && strings.Contains(row, f.text) && strings.Contains(row, code) && strings.Contains(row, "`"+f.outcome) && strings.Contains(row, f.series) &&
					(f.sent == "" || strings.Contains(row, f.sent)) && (!f.retry || strings.Contains(row, "Retry-After")) &&
					strings.Contains(row, "level info") == (f.level == "info")
			}) {
				t.Errorf("no row of docs/failures.md has %s, %q, %s, %q and %q", word, f.text, code, f.sent, f.outcome)
			}
		})
	}
	if strings.Contains(caddy.output.String(), gatewaySecret) {
		t.Error("the secret is in the log")
	}
}

// happen makes the failure happen at one gateway.
func (f failure) happen(t *testing.T, caddy *process, address, host string, useHTTP bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	operation := f.call
	if operation == "" {
		operation = "request"
	}
	ask := func(operation, number string) (*http.Response, string, error) {
		path, form := "/verify/json", "brand=Acme&number="+number
		if operation == "check" {
			path, form = "/verify/check/json", "request_id=0123456789abcdef&code="+number[6:]
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, strings.NewReader(form))
		if err != nil {
			return nil, "", err
		}
		r.Host = host
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if f.key != "" {
			r.Header.Set("Idempotency-Key", f.key)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response, string(body), err
	}
	var response *http.Response
	var body string
	before := metricsOf(t, address)
	for n := range f.before % 512 {
		if _, _, err := ask("request", strconv.Itoa(447700910000+n)); err != nil {
			t.Fatal(err)
		}
	}
	for begun := time.Now(); f.until; {
		_, body, err := ask("request", "447700918000")
		if err != nil || time.Since(begun) > patience {
			t.Fatalf("the app still reads %s (%v)", body, err)
		}
		f.until = !strings.Contains(body, f.cause)
	}
	// A scrape of so many accounts takes time, in which a limit a second would be free again.
	hurry := strings.Contains(f.more, "limit ") && f.before > 0 && f.before < 10
	if !hurry {
		before = metricsOf(t, address)
	}
	if f.before == 512 { // all at once; one of them is one too many
		refused := make(chan struct{})
		var running sync.WaitGroup
		for n := range f.before + 1 {
			running.Go(func() {
				if r, b, err := ask("request", strconv.Itoa(447700910000+n)); err == nil {
					response, body = r, b
					close(refused)
				}
			})
		}
		select {
		case <-refused:
		case <-time.After(patience):
			t.Error("none is refused")
		}
		cancel()
		running.Wait()
		if t.Failed() {
			return
		}
	} else {
		for n := range 20 {
			var err error
			if response, body, err = ask(operation, strconv.Itoa(447700919000+n)); err != nil {
				t.Fatal(err)
			}
			if !hurry || strings.Contains(body, f.cause) {
				break
			} // else it took so long that the limit was free again
		}
	}
	after := metricsOf(t, address)
	grown := map[string]float64{} // by outcome, of all accounts
	for series := range after {
		if match := outcomeSeries.FindStringSubmatch(series); match != nil && match[1] == operation && f.before != 512 && !hurry {
			grown[match[2]] += after[series] - before[series]
		}
	}
	for outcome, got := range grown {
		want := 0
		if outcome == f.outcome {
			want = max(1, f.tries)
		}
		if got != float64(want) {
			t.Errorf("the outcome %s grew by %v, want %d", outcome, got, want)
		}
	}
	if f.series != "" {
		was, is := before.sum(f.series), after.sum(f.series)
		if strings.Contains(f.series, "_total") && is <= was || is == 0 {
			t.Errorf("%s is %v, after %v", f.series, is, was)
		}
	}

	code := 200
	if useHTTP {
		code = f.code
	}
	if response.StatusCode != code || field(body, "status") != f.status || !strings.Contains(field(body, "error_text"), f.text) {
		t.Errorf("the app reads %d %s, want %d, status %s, %q", response.StatusCode, body, code, f.status, f.text)
	}
	if got := response.Header.Get("Retry-After") != ""; got != f.retry {
		t.Errorf("Retry-After: %t, want %t", got, f.retry)
	}
	proxy := response.Header.Get("Proxy-Status")
	if f.cause == "" {
		if proxy != "" {
			t.Errorf("an answer of the API has Proxy-Status %s", proxy)
		}
		return
	}
	if end := "; " + f.sent + " (caddy-verify: " + f.cause + ")"; !strings.HasSuffix(field(body, "error_text"), end) {
		t.Errorf("the app reads %s, want it to end with %q", body, end)
	}
	if !strings.HasSuffix(proxy, `details="`+f.cause+`"`) {
		t.Errorf("Proxy-Status is %s", proxy)
	}
	level := cmp.Or(f.level, "warn")
	if f.quiet {
		level = "debug"
	}
	reason := "[^\\n]*"
	if f.reason != "" {
		reason = `,"reason":"` + f.reason + `"`
	}
	caddy.says(t, regexp.MustCompile(`"level":"`+level+`"[^\n]*"msg":"call",[^\n]*"operation":"`+operation+`","format":"json","status":"`+f.status+`"[^\n]*"cause":"`+f.cause+`","may_have_been_sent":`+
		strconv.FormatBool(f.sent == perhapsSent)+reason))
}

// TestStale fails searches of a state that is in memory, and has a client leave one that is not.
func TestStale(t *testing.T) {
	api, err := sandbox.New(sandbox.Config{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	address := freeAddress(t)
	config := caddyfile(address, `verify {
			upstream `+server.URL+`
			credentials `+gatewayKey+` `+gatewaySecret+`
			timeout 2s
			cache {
				in_progress 1ms
			}
		}`)
	caddy := startCaddyfile(t, nil, strings.Replace(config, "{", "{\nlog {\nlevel DEBUG\nformat json\n}", 1), address)
	ask := func(ctx context.Context, path string) (body, cacheStatus string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", ""
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return string(text), response.Header.Get("Cache-Status")
	}
	body, _ := ask(t.Context(), "/verify/json?number=447700900700&brand=Acme")
	path := "/verify/search/json?request_id=" + field(body, "request_id")
	known, _ := ask(t.Context(), path)
	for _, kind := range []string{"hang", "reset_after", "status 5", "status 1", "http 503", "garbage"} {
		fault, err := sandbox.ParseFault("search " + kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := api.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		got, cacheStatus := ask(t.Context(), path)
		for strings.HasPrefix(cacheStatus, "caddy-verify; hit; ttl=0") && !strings.Contains(cacheStatus, "detail") {
			got, cacheStatus = ask(t.Context(), path) // its millisecond is not over
		}
		if got != known || !strings.HasSuffix(cacheStatus, "; detail=stale-if-error") {
			t.Errorf("%s: the app reads %s, Cache-Status %s", kind, got, cacheStatus)
		}
	}
	fault, err := sandbox.ParseFault("search hang")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	before := len(api.Calls())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ask(ctx, "/verify/search/json?request_id=0123456789abcdef")
	}()
	caddy.await(t, "searching", func() bool { return len(api.Calls()) > before })
	leave()
	<-gone
	caddy.says(t, regexp.MustCompile(`"level":"debug"[^\n]*"msg":"call",[^\n]*"operation":"search"[^\n]*"cause":"client_left"`))
}

// metricValues are the values of all series.
type metricValues map[string]float64

func metricsOf(t *testing.T, address string) metricValues {
	t.Helper()
	values := metricValues{}
	for line := range strings.Lines(scrapeAt(t, address)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			values[series+"}"] = n
		}
	}
	return values
}

// sum adds up the series of a metric that have these labels among theirs.
func (m metricValues) sum(series string) (sum float64) {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	for other, value := range m {
		if strings.HasPrefix(other, name+"{") && !slices.ContainsFunc(strings.Split(labels, ","), func(label string) bool { return !strings.Contains(other, label) }) {
			sum += value
		}
	}
	return sum
}

var outcomeSeries = regexp.MustCompile(`^verify_upstream_requests_total\{account="[^"]*",operation="(\w+)",outcome="(\w+)"\}$`)

func scrapeAt(t *testing.T, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "metrics.test:" + portOf(address)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func failureHost(i int, errors, address string) string {
	return fmt.Sprintf("row%d-%s.test:%s", i, errors, portOf(address))
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// failurePlaces are upstreams that are no sandbox.
func failurePlaces(t *testing.T) map[string]string {
	t.Helper()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.TLS = new(tls.Config)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections, nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	return map[string]string{
		"untrusted": untrusted.URL,
		"mute":      "https://" + mute.Addr().String(),
		"udp":       closedAddress(t),
	}
}

// closedAddress returns a loopback address that refuses connections, and that nobody else can take: its port is bound.
func closedAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

func startFaulty(t *testing.T, faults []string) string {
	t.Helper()
	config := sandbox.Config{Limit: -1}
	for _, line := range faults {
		fault, err := sandbox.ParseFault(line)
		if err != nil {
			t.Fatal(err)
		}
		config.Faults = append(config.Faults, fault)
	}
	api, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server.URL
}
