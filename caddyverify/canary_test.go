package caddyverify

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// What must not get out, each unlike anything else.
const (
	canarySecret = "CanarySecretOfTheGateway7f3a"
	canaryNext   = "CanaryNextOfTheGateway81b2"
	canaryNewest = "CanaryNewestOfTheGateway5d0c"
	canaryStore  = "CanaryPasswordOfTheStore2c6f"
	canarySealed = "CanaryKeyThatSealsWhatLiesInTheStore94ab"
	canaryClient = "CanarySecretOfTheClient"
	canaryNumber = "447911654321"
	canaryCode   = "48291537"
	canaryPayee  = "CanaryPayee"
	canaryAmount = "98765432.1" // which no time in a log has in it for years
)

// canaryCalls is a call of each operation.
var canaryCalls = map[wire.Operation]string{
	wire.Request: "number=" + canaryNumber + "&brand=Acme",
	wire.Check:   "request_id=%s&code=" + canaryCode,
	wire.Search:  "request_id=%s",
	wire.Control: "request_id=%s&cmd=cancel",
	wire.PSD2:    "number=" + canaryNumber + "&payee=" + canaryPayee + "&amount=" + canaryAmount,
}

// TestCanary runs Caddyfile.example with everything logged, sends the canaries
// along every path, failures too, and looks for them in all that came out.
func TestCanary(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, folder)
	}
	for name, content := range map[string]string{"vonage_api_key": testKey, "vonage_api_secret": canarySecret, "vonage_next_secret": canaryNext, "redis_password": canaryStore, "store_key": canarySealed} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u := newUpstreamFor(t, canarySecret)
	site, admin := freeAddress(t), freeAddress(t)
	logs := []string{filepath.Join(folder, "default.log"), filepath.Join(folder, "site.log")}
	exported := collect(t)
	config := shippedConfig(t, map[string]string{
		":8080 {": strings.TrimPrefix(site, "127.0.0.1") + " {\nbind 127.0.0.1\nhandle_errors {\nrespond 500\n}\nerror /boom* 500\n" +
			"rewrite /rewritten* /elsewhere?{query}\nredir /moved* /elsewhere?{query}\nroute /proxied* {\nreverse_proxy " + u.URL + "\n}",
		"# otlp":                                "otlp",
		"# verify_live":                         "verify_live",
		"# tracing /verify/* {":                 "tracing /verify/* {\nspan verify\n}",
		"{file./run/secrets/vonage_api_key}":    "{file." + folder + "/vonage_api_key}",
		"{file./run/secrets/vonage_api_secret}": "{file." + folder + "/vonage_api_secret}",
		"# next_credentials {file./run/secrets/vonage_api_key} {file./run/secrets/vonage_next_secret}": "next_credentials " + testKey + " {file." + folder + "/vonage_next_secret}",
		"https://api.nexmo.com": u.URL,
		"log default {":         "admin " + admin + "\nlog default {\nlevel DEBUG\noutput file " + logs[0],
		"\tlog {\n":             "\tlog {\n\t\tlevel DEBUG\n\t\toutput file " + logs[1] + "\n",
		"\tservers {": "\tverify {\nstore redis {\naddress " + freeAddress(t) + "\npassword {file." + folder + "/redis_password}\nencryption_key {file." + folder + "/store_key}\n}\n}\n" +
			"\tservers {\n\t\ttrace",
		"limit 28/s":  "limit off\nguard {\nrecommended monitor\nrecord " + folder + "/starts.jsonl\n}",
		"timeout 10s": "timeout 2s",
	})
	// An open breaker would spare the upstream most of what follows.
	config = bytes.Replace(config, []byte(`"breaker":{"open_for":5000000000,"window":30000000000}`), []byte(`"breaker":{"off":true}`), 1)
	stderr := watchStderr(t)
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })

	var answers, headers strings.Builder
	ask := func(r *http.Request) {
		r.SetBasicAuth("client", canaryClient)
		r.Header.Set("Referer", "http://app.internal/?number="+canaryNumber)
		r.Header.Set("Idempotency-Key", "verify-"+canaryNumber+rand.Text())
		got := do(t, r)
		fmt.Fprintln(&answers, got.Status, got.Header, got.body)
		fmt.Fprintln(&headers, got.Status, got.Header)
	}
	calls := 0
	everyWay := func() {
		id := "cc121958d8fb4368aa3bb762bb9a0f74"
		for _, o := range wire.Operations {
			for _, format := range o.Formats() {
				for _, build := range ways {
					if all := u.Verifications(); len(all) > 0 {
						id = all[len(all)-1].RequestID
					}
					form := strings.ReplaceAll(canaryCalls[o], "%s", id) + "&api_key=client&api_secret=" + canaryClient
					ask(build(t, "http://"+site+wire.Path(o, format), form))
					calls++
				}
			}
		}
	}
	// The right code, from a client that leaves before its answer and then asks again,
	// as does the one that asked for it.
	again := func(o wire.Operation, form string) reply {
		u.fail(t, "* delay 100ms")
		defer u.fail(t)
		before := len(u.Calls())
		for first := true; ; first = false {
			r := request(t, http.MethodPost, "http://"+site+wire.Path(o, wire.JSON), "application/x-www-form-urlencoded", form)
			calls++
			if first {
				resetting(t, u, r, func() bool { return len(u.Calls()) > before })
				continue
			}
			got := do(t, r)
			if n := len(u.Verifications()); got.field("status") != "0" || n != 1 {
				t.Errorf("%v: the repetition gets %s", o, got.body)
			}
			fmt.Fprintln(&answers, got.Status, got.Header, got.body)
			return got
		}
	}
	begun := again(wire.Request, "number="+canaryNumber+"&brand=Acme&pin_code="+canaryCode)
	right := again(wire.Check, "request_id="+begun.field("request_id")+"&code="+canaryCode)
	expectAbsent(t, "kept answers", begun.body+right.body, canaryCode)
	everyWay()
	for _, fault := range []string{
		"close", "reset_after", "garbage", "html", "truncate", "big", "bomb", "deep", "dtd", "duplicate_status",
		"redirect http://127.0.0.1/" + canaryNumber, "echo", "no_content_type", "surplus", "http 502", "http 429",
		"status 1", "status 2", "status 5", "status 9", "http 401", // the last two stop further calls
	} {
		u.fail(t, "* "+fault)
		everyWay()
	}
	u.fail(t, "* hang")
	ask(request(t, http.MethodGet, "http://"+site+"/verify/json?number="+canaryNumber+"&brand=Acme", "", ""))
	u.fail(t)
	secrets := "number=" + canaryNumber + "&code=" + canaryCode + "&api_secret=" + canaryClient
	for _, target := range []string{
		"/verify/json?" + secrets, // code is no parameter of a request
		"/verify/check/json?" + secrets,
		"/verify/json?" + canaryNumber,
		"/verify/json?" + canaryNumber + "=1",
		"/verify/json?%zz&" + secrets,
		"/verify/json?" + secrets + ";" + canaryNumber,
		"/verify/check/json?request_id=" + canaryNumber + "&code=1",
		"/verify/check/json?request_id=a&code=" + canaryCode + "%00",
		"/verify/" + canaryNumber,
		"/verify/psd2/json?" + secrets + "&payee=" + canaryPayee + "&amount=" + canaryAmount,
		"/verify/psd2/json?" + secrets + "&payee=" + canaryPayee + "%00&amount=<" + canaryAmount,
		"/verify/json?" + secrets + "&payee=" + canaryPayee + "&amount=" + canaryAmount,
		"/verify/psd2/xml?" + secrets + "&payee=" + canaryPayee,
		"/verify/network-unblock?network=" + canaryNumber,
		"/verify/check/json?" + canaryCode + "&" + canaryClient + "&x" + canaryNumber + "=" + canaryCode, // left out
		"/verify/json?number=" + canaryNumber + "%3Cb%3E&brand=Acme",
		"//verify/json?" + secrets,
		"/Verify/json?" + secrets,
		"/Verify/" + canaryNumber + "?" + secrets,
		"/x/../verify/" + canaryNumber,
		"/%76erify/" + canaryNumber,
		"/elsewhere?" + secrets,
		"/boom?" + secrets,
	} {
		ask(request(t, http.MethodGet, "http://"+site+target, "", ""))
		calls++
	}
	ask(request(t, http.MethodPost, "http://"+site+"/verify/json", "text/plain", secrets))
	ask(request(t, http.MethodPost, "http://"+site+"/verify/json", "application/x-www-form-urlencoded", `{"number":"`+canaryNumber+`","code":"`+canaryCode+`"}`))
	ask(request(t, http.MethodGet, "http://"+site+"/verify/json", "application/json", `{"`+canaryCode+`":"`+canaryNumber+`","number":"`+canaryNumber+`"}`))
	browser := request(t, http.MethodGet, "http://"+site+"/verify/json?"+secrets, "", "")
	browser.Header.Set("Origin", "null")
	ask(browser)
	renamed := request(t, http.MethodGet, "http://"+site+"/verify/json?"+secrets, "", "")
	renamed.Host = "evil.example"
	if got := do(t, renamed); got.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("under a name that is not the gateway's: %s %s", got.Status, got.body)
	}
	ask(request(t, http.MethodDelete, "http://"+site+"/verify/json?"+secrets, "", ""))
	for _, send := range headersWith(canaryNumber, canaryCode) {
		for _, target := range []string{"/verify/search/json?request_id=a", "/rewritten?a=b", "/moved?a=b", "/proxied", "/boom", "/elsewhere"} {
			r := request(t, http.MethodGet, "http://"+site+target, "", "")
			if send(r); r.Host != site && strings.HasPrefix(target, "/verify") {
				continue // refused before the gateway, with a span of Caddy's own
			}
			do(t, r)
			calls++
		}
	}
	for _, target := range []string{"/rewritten?", "/moved?", "/proxied?", "/proxied/" + canaryNumber + "?"} {
		do(t, request(t, http.MethodGet, "http://"+site+target+secrets, "", ""))
		calls++
	}
	for _, other := range []string{ // and reloads meanwhile
		`"auth":"query","method":"post"`, `"auth":"body"`,
		`"auth":"basic","method":"get"`, `"auth":"query"`, `"auth":"body","method":"get"`, // by GET
	} {
		if err := loadConfig(bytes.Replace(config, []byte(`"auth":"basic"`), []byte(other), 1)); err != nil {
			t.Fatal(err)
		}
		u.fail(t)
		everyWay()
		log.Print(secrets, canarySecret) // as any library may
		for _, fault := range []string{"close", "echo", "surplus", "http 502", "http 404", "redirect http://127.0.0.1/?" + secrets} {
			u.fail(t, "* "+fault)
			everyWay()
		}
	}
	first := u
	read := func() string {
		var text strings.Builder
		for _, file := range logs {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(content)
		}
		return text.String()
	}
	made := calls
	for _, other := range []string{canaryNext, canaryNewest} { // the second secret, and a new one in its file
		u = newUpstreamFor(t, other)
		if err := loadConfig(bytes.ReplaceAll(config, []byte(first.URL), []byte(u.URL))); err != nil {
			t.Fatal(err)
		}
		if other == canaryNewest {
			for _, content := range []string{canaryNewest + "\n" + canaryNewest, canaryNewest} {
				if err := os.WriteFile(filepath.Join(folder, "vonage_api_secret"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				for line := map[bool]string{true: `"secret replaced"`, false: "has white space in it"}[content == other]; !strings.Contains(read(), line); {
					if t.Context().Err() != nil {
						t.Fatalf("no line %s", line)
					}
				}
			}
		}
		for _, fault := range []string{"* delay 1ms", "* echo", "* http 401", "* status 4"} {
			u.fail(t, fault)
			everyWay()
		}
		if len(u.Verifications()) == 0 {
			t.Errorf("no call was made with %s", other)
		}
	}
	newest := u
	u, made = first, calls-made
	for _, canary := range []string{canarySecret, canaryNumber, canaryCode} {
		if !slices.ContainsFunc(u.Calls(), func(c sandbox.Call) bool { return c.Method == http.MethodGet && strings.Contains(c.URI, canary) }) {
			t.Errorf("%s went upstream in no URL: the test does not see what becomes of those", canary)
		}
	}

	shown, page := adminAnswers(t, admin, newest.Verifications()), livePage(t, site, "refuses the account: credentials (4)")
	scraped := get(t, "http://"+site+"/metrics").body
	health := get(t, "http://"+site+"/health/ready").body
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	logged := read()
	recorded, err := os.ReadFile(filepath.Join(folder, "starts.jsonl"))
	if err != nil || !strings.Contains(string(recorded), `"prefix":"`+canaryNumber[:len(canaryNumber)-4]+`"`) || !strings.Contains(string(recorded), `"outcome":"success"`) {
		t.Errorf("the record is not what it should be: %v %s", err, recorded)
	}
	if n := len(u.Calls()); n < (calls-made)/2 {
		t.Errorf("only %d of %d calls went upstream", n, calls)
	}
	if n := strings.Count(logged, `"handled request"`); n < calls {
		t.Errorf("only %d of %d calls are in the access log: the test does not see what is logged", n, calls)
	}
	if !strings.Contains(logged, "/boom?number=REDACTED") || !strings.Contains(logged, "http.log.error") {
		t.Error("the error that Caddy logged by itself is not in the logs")
	}
	for _, line := range []string{"rewrote request", "upstream roundtrip", "dropping header containing underscore", "rejecting request with long method"} {
		if !strings.Contains(logged, line) {
			t.Errorf("%q is not in the logs: the test does not see what Caddy logs of headers", line)
		}
	}
	if !strings.Contains(logged, "a library printed a line") || !strings.Contains(logged, "Unsolicited response received on idle HTTP channel") {
		t.Error("what libraries printed by themselves is not in the logs")
	}
	if !strings.Contains(logged, `"secret switched"`) {
		t.Error("no change of the secret is in the logs")
	}
	if !strings.Contains(logged, `"store is away, going on alone"`) || !strings.Contains(scraped, "verify_store_up{") {
		t.Error("the gateway has no store")
	}
	if !strings.Contains(logged, `"calls refused"`) {
		t.Error("no flood of refusals is in the logs")
	}
	if !strings.Contains(shown, "vonage_api_secret}") {
		t.Errorf("the admin API does not show the configuration: %s", shown)
	}
	autosave, _ := filepath.Glob(filepath.Join(folder, "caddy", "*.json"))
	for _, file := range autosave {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(content)
	}

	if !strings.Contains(logged, `"account":"ef01@127.0.0.1:`) {
		t.Error("the logs do not tell whose account it is")
	}
	if !strings.Contains(scraped, `verify_requests_total{account="ef01@127.0.0.1:`+newest.Listener.Addr().String()[10:]+`",operation="check",source="gateway",status="5"}`) {
		t.Errorf("the scrape has no metrics of the gateway: %s", scraped)
	}
	spans, pushed := exported("/v1/traces"), exported("/v1/metrics")
	if !strings.Contains(spans, "POST /verify/check/{format}") || !strings.Contains(pushed, "verify_requests_total") {
		t.Errorf("the exports have %d and %d bytes, and not what they should", len(spans), len(pushed))
	}

	basic := base64.StdEncoding.EncodeToString([]byte(testKey + ":" + canarySecret))
	for where, text := range map[string]string{
		"answers": answers.String(), "logs": logged, "admin API": shown, "live page": page, "scrape": scraped, "health": health, "spans": spans, "exported metrics": pushed,
		"headers": headers.String(), "standard error": stderr(), "record of starts": string(recorded),
	} {
		for _, secret := range []string{canarySecret, canaryNext, canaryNewest, canaryStore, canarySealed, basic} {
			expectAbsent(t, where, text, secret)
		}
		if where != "answers" {
			for _, canary := range []string{canaryClient, canaryNumber, canaryCode, canaryPayee, canaryAmount} {
				expectAbsent(t, where, text, canary)
			}
		}
	}
}

// headersWith puts values into each place of a request's head where a client may.
func headersWith(values ...string) []func(*http.Request) {
	all := []func(*http.Request){func(r *http.Request) {
		for _, name := range []string{
			"Accept", "Accept-Language", "Authorization", "Baggage", "Cache-Status", "Content-Type", "Cookie", "Forwarded", "From",
			"Idempotency-Key", "If-None-Match", "Location", "Max-Forwards", "Proxy-Authorization", "Proxy-Status", "Range", "Referer",
			"Traceparent", "Tracestate", "User-Agent", "Via", "X-Api-Key", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Method",
			"X-Forwarded-Proto", "X-Forwarded-Uri", "X-Http-Method-Override", "X-Original-Url", "X-Real-Ip", "X-Request-Id", "X-Rewrite-Url",
		} {
			r.Header[name] = append(values, "/verify/check/json?code="+strings.Join(values, "&number="))
		}
	}}
	for _, value := range values {
		all = append(all,
			func(r *http.Request) { r.Header["X-"+value], r.Header["X_"+value] = []string{"x"}, []string{"x"} },
			func(r *http.Request) { r.Header.Set("User-Agent", value) },
			func(r *http.Request) { r.Header.Set("X-Forwarded-For", value) },
			func(r *http.Request) { r.Host = value },
			func(r *http.Request) { r.Host = value + ".internal:80" },
			func(r *http.Request) { r.Method = value },
			func(r *http.Request) { r.Method = value + strings.Repeat("X", 32) })
	}
	return all
}

// watchStderr returns what the process has written to standard error since.
func watchStderr(t *testing.T) func() string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stderr
	os.Stderr = file
	t.Cleanup(func() {
		os.Stderr = was
		file.Close()
	})
	return func() string {
		content, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

func expectAbsent(t *testing.T, where, text, canary string) {
	t.Helper()
	if i := strings.Index(text, canary); i >= 0 {
		t.Errorf("%s is in the %s: …%s…", canary, where, text[max(0, i-200):min(len(text), i+100)])
	}
}

// collect stands in for an OpenTelemetry Collector. It returns what came in so far
// on a path; texts stand in it as they are.
func collect(t *testing.T) func(path string) string {
	t.Helper()
	var mu sync.Mutex
	bodies := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		bodies[r.URL.Path] += string(body)
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	return func(path string) string {
		mu.Lock()
		defer mu.Unlock()
		return bodies[path]
	}
}

// shippedConfig adapts Caddyfile.example with some of its text replaced.
func shippedConfig(t *testing.T, replace map[string]string) []byte {
	t.Helper()
	config, err := adaptCaddyfile(replaced(t, shippedText(t), replace))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func shippedText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func replaced(t *testing.T, text string, replace map[string]string) string {
	t.Helper()
	for old, replacement := range replace {
		if !strings.Contains(text, old) {
			t.Fatalf("Caddyfile.example has no %q any more", old)
		}
		text = strings.Replace(text, old, replacement, 1)
	}
	return text
}

// livePage is the page and the beginning of its stream, both of which say something.
func livePage(t *testing.T, address, says string) string {
	t.Helper()
	stream := request(t, http.MethodGet, "http://"+address+"/live/stream", "", "")
	response, err := http.DefaultClient.Do(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var all strings.Builder
	for lines := bufio.NewReader(response.Body); !strings.Contains(all.String(), `"windows":`); {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream of the live page ends: %v %s", err, all.String())
		}
		all.WriteString(line)
	}
	page := get(t, "http://"+address+"/live").body
	for _, text := range []string{all.String(), page} {
		if !strings.Contains(text, says) {
			t.Errorf("the live page does not tell %q: the test does not see what it shows", says)
		}
	}
	return page + all.String()
}

// adminAnswers is what Caddy's admin API tells.
func adminAnswers(t *testing.T, address string, verifications []sandbox.Verification) string {
	t.Helper()
	const ofOne = "/verify/verifications/"
	var all strings.Builder
	var paths []string
	for _, v := range verifications {
		paths = append(paths, ofOne+v.RequestID)
	}
	known := 0
	for _, path := range append(paths, "/config/", "/metrics", "/reverse_proxy/upstreams", "/verify/accounts", "/verify/guard", "/verify/events") {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		if path == "/verify/events" { // has no end
			body = make([]byte, 1<<20)
			var n int
			n, err = response.Body.Read(body)
			body = body[:n]
		} else {
			body, err = io.ReadAll(response.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		of := strings.HasPrefix(path, ofOne)
		if of && response.StatusCode == http.StatusOK {
			known++ // of others the answer to the request was spoiled
		}
		if !of && response.StatusCode != http.StatusOK || path == "/config/" && !json.Valid(body) {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
		all.Write(body)
	}
	for _, path := range []string{"/verify/guard/block", "/verify/guard/lift"} { // a whole number, by mistake
		response, err := http.Post("http://"+address+path, "application/json", strings.NewReader(`{"target":"`+canaryNumber+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if response.Body.Close(); err != nil || response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s %v", path, response.StatusCode, body, err)
		}
		all.Write(body)
	}
	if known == 0 {
		t.Error("the gateway tells of no verification")
	}
	return all.String()
}
