package caddyverify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// adminClient calls the admin endpoint at a unix socket.
type adminClient struct {
	*testing.T
	http.Client
}

func newAdminClient(t *testing.T, socket string) *adminClient {
	a := &adminClient{T: t, Client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
	t.Cleanup(a.CloseIdleConnections)
	return a
}

// unserved sends a request until somebody answers: right after a reload a connection may
// end that the last configuration's server has not served yet.
func unserved(t *testing.T, client *http.Client, makeRequest func() *http.Request) *http.Response {
	t.Helper()
	for {
		r := makeRequest()
		r.Close = true
		response, err := client.Do(r)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
}

func (a *adminClient) request(method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(a.Context(), method, "http://127.0.0.1/verify/"+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	return r
}

func (a *adminClient) ask(method, path, body string) (code int, answer string) {
	a.Helper()
	response := unserved(a.T, &a.Client, func() *http.Request { return a.request(method, path, body) }) //nolint:bodyclose // unserved has it closed
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// get reads a document.
func (a *adminClient) get(path string, into any) {
	a.Helper()
	code, answer := a.ask(http.MethodGet, path, "")
	if err := json.Unmarshal([]byte(answer), into); err != nil || code != http.StatusOK {
		a.Fatalf("%s is answered %d %s", path, code, answer)
	}
}

func (a *adminClient) post(path, body, want string) {
	a.Helper()
	if code, answer := a.ask(http.MethodPost, path, body); fmt.Sprint(code, " ", strings.TrimSpace(answer)) != want {
		a.Errorf("%s is answered %d %s, want %s", path, code, answer, want)
	}
}

// operated is a gateway with two sites, whose admin endpoint is a unix socket.
type operated struct {
	*adminClient
	api    *testUpstream
	socket string
	sites  [2]string
	label  string
	load   func(more string) // loads the configuration, with more settings of the account
	logged func() string
}

// call calls the Verify API at one of the sites.
func (o *operated) call(site int, path, form string) reply {
	o.Helper()
	response := unserved(o.T, http.DefaultClient, func() *http.Request { //nolint:bodyclose // unserved has it closed
		return request(o.T, http.MethodPost, "http://"+o.sites[site]+"/verify/"+path, "application/x-www-form-urlencoded", form)
	})
	body, err := io.ReadAll(response.Body)
	if err != nil {
		o.Fatal(err)
	}
	return reply{response, string(body)}
}

func newOperated(t *testing.T) *operated {
	o := &operated{api: newUpstream(t), socket: filepath.Join(t.TempDir(), "admin.sock"), sites: [2]string{freeAddress(t), freeAddress(t)}}
	o.label = "ef01@" + strings.TrimPrefix(o.api.URL, "http://")
	o.adminClient = newAdminClient(t, o.socket)
	option, logged := logFile(t)
	o.logged = logged
	o.load = func(more string) {
		t.Helper()
		config, err := adaptCaddyfile("{\nadmin unix/" + o.socket + "\npersist_config off\n" + option +
			"verify {\naccount shop {\nupstream " + o.api.URL + "\ncredentials " + testKey + " " + testSecret + "\nlimit off\n" + more + "\n}\n}\n}\n" +
			"http://" + o.sites[0] + " {\nverify {\naccount shop\n}\n}\nhttp://" + o.sites[1] + " {\nverify {\naccount shop\n}\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
		o.CloseIdleConnections()
	}
	o.load("")
	t.Cleanup(func() { _ = caddy.Stop() })
	return o
}

func (o *operated) start(site int, number string) string {
	o.Helper()
	answer := o.call(site, "json", "number="+number+"&brand=Acme")
	if answer.field("status") != "0" {
		o.Fatal(answer.body)
	}
	return answer.field("request_id")
}

func (o *operated) only() status.Account {
	o.Helper()
	var all status.Status
	o.get("accounts", &all)
	if len(all.Accounts) != 1 || all.Version == "" || !strings.HasPrefix(all.Go, "go") {
		o.Fatalf("the accounts are %+v", all)
	}
	return all.Accounts[0]
}

// remembering is for tests that do not go by how long IN PROGRESS is told from memory.
const remembering = "cache {\nin_progress 1h\n}\n"

func TestAdmin(t *testing.T) {
	o := newOperated(t)
	if a := o.only(); a.Account != o.label || fmt.Sprint(a.Names) != "[shop]" || a.State != status.OK || a.Summary != "No verification was started in the last hour." {
		t.Errorf("at first it is %+v", a)
	}
	o.load(remembering)
	first, second := o.start(0, "447700900001"), o.start(1, "33639980001")
	o.call(0, "check/json", "request_id="+first+"&code="+testCode)
	for range 3 {
		o.call(1, "search/json", "request_id="+second)
	}
	o.load(remembering + "countries GB") // what is known survives
	var named status.Account
	o.get("accounts/shop", &named)
	byLabel := status.Account{}
	o.get("accounts/"+url.PathEscape(o.label), &byLabel)
	if named.Account != o.label || byLabel.Account != o.label {
		t.Errorf("by its names it is %s and %s", named.Account, byLabel.Account)
	}
	for named.Hour.Calls["search"].Memory < 2 && t.Context().Err() == nil { // counted once a second
		time.Sleep(20 * time.Millisecond)
		o.get("accounts/shop", &named)
	}
	h := named.Hour
	got := fmt.Sprintf("%d %d %d %v %v %v %s %s %d %d", h.Requested, h.Started, h.Verified, *h.SuccessRate, h.Calls["search"], h.Calls["check"], h.Countries[0].Name, h.Countries[1].Name, named.Cache.Hits, named.Verifications.UnderWay)
	if want := "2 2 1 0.5 {1 2 0} {1 0 0} FR GB 2 1"; got != want {
		t.Errorf("the hour has %s, want %s", got, want)
	}
	var v status.Verification
	o.get("verifications/"+first, &v)
	if v.State != "success" || v.Attempts != 1 || v.Country != "GB" || v.Summary != "It was started 0 s ago and succeeded." && !strings.HasPrefix(v.Summary, "It was started ") {
		t.Errorf("the first verification is %+v", v)
	}
	for _, test := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "verifications/nobodys", "", 404, "knows no verification"},
		{"GET", "accounts/other", "", 404, `there is no account \"other\"; there are`},
		{"GET", "nothing", "", 404, "there is no /verify/nothing; GET /verify/accounts is a start"},
		{"POST", "accounts", "", 405, "takes GET"},
		{"GET", "cache/purge", "", 405, "takes POST"},
		{"POST", "breaker/shop/all/open", "", 404, `there is no breaker \"all\"; there are read`},
		{"POST", "breaker/other/read/open", "", 404, "there is no account"},
		{"POST", "cache/purge", `{"id":"x"}`, 400, "no document of this path"},
		{"POST", "cache/purge", `{"request_id":"447700900001"}`, 400, "that is no request_id, and nothing was purged"},
		{"POST", "cache/purge", `{"account":"other"}`, 404, "there is no account"},
	} {
		if code, answer := o.ask(test.method, test.path, test.body); code != test.code || !strings.Contains(answer, test.want) {
			t.Errorf("%s %s is answered %d %s, want %d with %s", test.method, test.path, code, answer, test.code, test.want)
		}
	}
}

// What an operator does is in the log, under the name that the admin API has as a module.
func TestAdminLogs(t *testing.T) {
	o := newOperated(t)
	o.post("breaker/shop/read/open", "", `200 {"done":1}`)
	o.post("breaker/shop/read/close", "", `200 {"done":1}`)
	o.post("accounts/shop/try", "", `200 {"done":0}`)
	got := 0
	for line := range strings.Lines(o.logged()) {
		if strings.Contains(line, "an operator has") {
			if got++; !strings.Contains(line, `"logger":"admin.api.verify"`) {
				t.Errorf("a line is %s", line)
			}
		}
	}
	if got != 3 {
		t.Errorf("there are %d lines:\n%s", got, o.logged())
	}
}

// Any HTTP client is told what a path takes, and may send nothing in its own way.
func TestAdminHTTP(t *testing.T) {
	o := newOperated(t)
	for path, want := range map[string]string{"accounts": "GET, HEAD", "cache/purge": "POST"} {
		response := unserved(t, &o.Client, func() *http.Request { return o.request(http.MethodPut, path, "") }) //nolint:bodyclose // unserved has it closed
		if got := response.Header.Get("Allow"); response.StatusCode != http.StatusMethodNotAllowed || got != want {
			t.Errorf("PUT %s is answered %d and told of %s, want %s", path, response.StatusCode, got, want)
		}
	}
	response := unserved(t, &o.Client, func() *http.Request { //nolint:bodyclose // unserved has it closed
		r := o.request(http.MethodPost, "cache/purge", "")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), -1
		return r
	})
	if response.StatusCode != http.StatusOK {
		t.Errorf("no body, in chunks, is answered %d", response.StatusCode)
	}
}

func TestAdminActions(t *testing.T) {
	o := newOperated(t)
	o.load(remembering)
	id := o.start(0, "447700900001")
	search := func() { o.call(0, "search/json", "request_id="+id) }
	search()
	asked := len(o.api.Calls())
	o.post("cache/purge", "", `200 {"done":1}`)
	search()
	o.post("cache/purge", `{"account":"shop","request_id":"`+id+`"}`, `200 {"done":1}`)
	search()
	search()
	if n := len(o.api.Calls()) - asked; n != 2 {
		t.Errorf("%d searches went upstream after two purges", n)
	}
	check := func() string {
		return o.call(1, "check/json", "request_id="+id+"&code="+testCode).body
	}
	o.post("breaker/shop/read/open", "", `200 {"done":1}`)
	if a := o.only(); a.State != status.Degraded || !strings.HasPrefix(a.Summary, "Checks and searches are stopped by an operator since ") || !a.Circuits[0].Held {
		t.Errorf("it is %s: %s", a.State, a.Summary)
	}
	if answer := check(); !strings.Contains(answer, "breaker_open") {
		t.Errorf("a check is answered %s", answer)
	}
	o.load(remembering + "settle") // an operator's word survives
	if answer := check(); !strings.Contains(answer, "breaker_open") {
		t.Errorf("after a reload a check is answered %s", answer)
	}
	o.post("accounts/shop/try", "", `200 {"done":0}`)
	o.post("breaker/shop/read/close", "", `200 {"done":1}`)
	if answer := check(); !strings.Contains(answer, `"0"`) {
		t.Errorf("a check is answered %s", answer)
	}
	o.api.fail(t, "request status 9")
	o.call(0, "json", "number=447700900002&brand=Acme")
	if a := o.only(); a.State != status.Down || !strings.HasPrefix(a.Summary, "The provider refuses the account: no credit (9) since ") {
		t.Errorf("it is %s: %s", a.State, a.Summary)
	}
	o.api.fail(t)
	o.post("accounts/shop/try", "", `200 {"done":1}`)
	o.start(0, "447700900003")
	if a := o.only(); a.State != status.OK || len(a.Troubles) > 0 {
		t.Errorf("it is %s: %s", a.State, a.Summary)
	}
	o.load("breaker off")
	if code, answer := o.ask(http.MethodPost, "breaker/shop/read/open", ""); code != http.StatusConflict || !strings.Contains(answer, "are off") {
		t.Errorf("a breaker that is off is answered %d %s", code, answer)
	}
}

func TestAdminEvents(t *testing.T) {
	o := newOperated(t)
	o.post("cache/purge", "", `200 {"done":1}`)
	follow := func() (next func() string) {
		response := unserved(t, &o.Client, func() *http.Request { return o.request(http.MethodGet, "events", "") }) //nolint:bodyclose // unserved has it closed
		lines := bufio.NewScanner(response.Body)
		return func() string {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					var event status.Event
					if err := json.Unmarshal([]byte(data), &event); err != nil || event.Account != o.label || time.Since(event.Time) > time.Minute {
						t.Fatalf("an event is %s", data)
					}
					return event.Level + " " + event.Text
				}
			}
			return "the end"
		}
	}
	next := follow()
	expect := func(want string) {
		t.Helper()
		for {
			got := next()
			if got == "info A configuration has come into force." && want != got { // within a second
				continue
			}
			if got != want {
				t.Errorf("it tells %q, want %q", got, want)
			}
			return
		}
	}
	expect("info An operator has purged the cache of 0 verifications.")
	o.post("cache/purge", `{"request_id":"00000000000040008000000000000000"}`, `200 {"done":1}`)
	expect("info An operator has purged the cache of 0 verifications.")
	id := o.start(0, "447700900001")
	o.call(0, "search/json", "request_id="+id)
	o.post("cache/purge", `{"request_id":"`+id+`"}`, `200 {"done":1}`)
	expect("info An operator has purged the cache of one verification.")
	o.post("breaker/shop/write/open", "", `200 {"done":1}`)
	expect("warn Requests and controls are stopped (operator).")
	o.post("breaker/shop/write/close", "", `200 {"done":1}`)
	expect("info Requests and controls are made again (operator).")
	o.load("settle")
	for next() != "the end" { // another configuration, another admin endpoint
	}
	next = follow() // and the events of before are still there
	expect("info An operator has purged the cache of 0 verifications.")
}
