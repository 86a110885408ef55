package live

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// newAccount returns an account that is in force.
func newAccount(t *testing.T, key, name string) *gateway.Account {
	t.Helper()
	countries, err := country.NewList([]string{"GB"})
	if err != nil {
		t.Fatal(err)
	}
	s := &gateway.Settings{Countries: countries, Limit: limit.Settings{Rate: -1}, Names: []string{name}}
	a := gateway.NewAccount("provider.example", key, observe.NewMetrics(), s)
	t.Cleanup(a.Close)
	t.Cleanup(a.Configure(s))
	return a
}

func pageOf(accounts ...*gateway.Account) *Page {
	return &Page{Accounts: func() []*gateway.Account { return accounts }, Version: "v1.2.3"}
}

func ask(p *Page, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(method, "http://gateway.internal"+path, nil))
	return w
}

func TestPage(t *testing.T) {
	shop, desk := newAccount(t, "key-of-shop", "shop"), newAccount(t, "key-of-desk", "desk<b>")
	demo := pageOf(shop)
	demo.Faults = "/sandbox/faults"
	for _, test := range []struct {
		name         string
		page         *Page
		method, path string
		code         int
		has, lacks   []string
	}{
		{
			"one account", pageOf(shop), http.MethodGet, "/live", 200,
			[]string{shop.Label(), "v1.2.3", "No verification was started in the last hour.", `<meta http-equiv="refresh"`, "curl http://gateway.internal/verify/json"},
			[]string{`aria-label="Accounts"`, `id="faults"`},
		},
		{"several accounts", pageOf(shop, desk), http.MethodGet, "/live", 200, []string{`aria-label="Accounts"`, "shop", "desk&lt;b&gt;", `<code>` + desk.Label()}, []string{"desk<b>"}},
		{"another account", pageOf(shop, desk), http.MethodGet, "/live?account=" + shop.Label(), 200, []string{`<code>` + shop.Label()}, nil},
		{"an account that is not there", pageOf(shop), http.MethodGet, "/live?account=x", 200, []string{`<code>` + shop.Label()}, nil},
		{"no account", pageOf(), http.MethodGet, "/live", 200, []string{"No account"}, []string{`id="sentence"`}},
		{"the demo", demo, http.MethodGet, "/live", 200, []string{`id="faults" data-path="/sandbox/faults" hidden`}, nil},
		{"the head", pageOf(shop), http.MethodHead, "/live", 200, nil, nil},
		{"a change", pageOf(shop), http.MethodPost, "/live", 405, []string{"only reads"}, nil},
		{"a change of the stream", pageOf(shop), http.MethodDelete, "/live/stream", 405, []string{"only reads"}, nil},
		{"a stream of no account", pageOf(), http.MethodGet, "/live/stream", 404, []string{"no verify handler"}, nil},
		{"the head of a stream", pageOf(shop), http.MethodHead, "/live/stream", 200, nil, []string{"event:"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ask(test.page, test.method, test.path)
			if w.Code != test.code {
				t.Errorf("it is %d: %s", w.Code, w.Body)
			}
			for _, text := range test.has {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("%q is not in it", text)
				}
			}
			for _, text := range test.lacks {
				if strings.Contains(strings.Split(w.Body.String(), "<script>")[0], text) {
					t.Errorf("%q is in it", text)
				}
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.code == 405) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
}

// TestHeaders keeps others' scripts, frames and caches away.
func TestHeaders(t *testing.T) {
	w := ask(pageOf(newAccount(t, "key", "shop")), http.MethodGet, "/live")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Set-Cookie": "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'; ", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'; ", "frame-ancestors 'none'; ", "require-trusted-types-for 'script'; trusted-types 'none'"} {
		if !strings.Contains(policy, rule) {
			t.Errorf("the policy has no %q: %s", rule, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy lets in more: %s", policy)
	}
}

// reader is a client that takes what it is sent once it may.
type reader struct {
	mu     sync.Mutex // held by who has it wait
	header http.Header
	text   strings.Builder
}

func (r *reader) Header() http.Header { return r.header }
func (r *reader) WriteHeader(int)     {}
func (r *reader) Flush()              {}
func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// told is the data of the events of a name.
func (r *reader) told(name string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	event := ""
	lines := bufio.NewScanner(strings.NewReader(r.text.String()))
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		text := lines.Text()
		if text == "" {
			event = ""
		}
		if after, ok := strings.CutPrefix(text, "event: "); ok {
			event = after
		}
		if data, ok := strings.CutPrefix(text, "data: "); ok && event == name {
			all = append(all, data)
		}
	}
	return all
}

// follow reads a stream until stop is called.
func follow(t *testing.T, serve func(http.ResponseWriter, *http.Request)) (r *reader, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	r, ended := &reader{header: http.Header{}}, make(chan struct{})
	go func() {
		defer close(ended)
		serve(r, httptest.NewRequest(http.MethodGet, "/live/stream", nil).WithContext(ctx))
	}()
	synctest.Wait()
	return r, func() {
		cancel()
		<-ended
	}
}

func decode[T any](t *testing.T, data string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return v
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, "key", "shop")
		time.Sleep(12 * time.Second)
		a.History().Started("GB", "")
		time.Sleep(4 * time.Second) // a point is over
		done := make(chan struct{})
		p := pageOf(a)
		p.Done = done
		r, stop := follow(t, p.ServeHTTP)
		if !strings.HasPrefix(r.text.String(), "retry: 1000\n") || r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("it begins with %.100s, under %v", r.text.String(), r.header)
		}
		begin := decode[hello](t, r.told("hello")[0])
		started := begin.Hour.Columns["started"]
		if len(started) != 719 || len(begin.Day.Columns["started"]) != 1439 || begin.Version != "v1.2.3" || len(begin.Events) != 1 ||
			started[715] != nil || *started[718] != 12 || begin.Hour.End != time.Now().Unix()-1 {
			t.Errorf("the page begins with %d and %d points, %d events, the last points %v, until %d, at %d",
				len(started), len(begin.Day.Columns["started"]), len(begin.Events), started[715:], begin.Hour.End, time.Now().Unix())
		}
		// Whatever the moment of the tick, each point comes once.
		time.Sleep(26 * time.Second)
		synctest.Wait()
		if n := len(r.told("now")); n != 27 {
			t.Errorf("now was told %d times", n)
		}
		end := begin.Hour.End
		for i, data := range r.told("more") {
			m := decode[more](t, data)
			if i > 0 { // the first is that of hello
				end += pointEvery
			}
			if m.At != end || len(m.Windows) != 3 || m.Windows[1].Started != 1 || m.Windows[1].Countries[0].Name != "GB" || m.Windows[1].Callers == nil {
				t.Errorf("a point ends at %d, not %d; the windows are %+v", m.At, end, m.Windows)
			}
		}
		a.HoldCircuit(wire.WriteClass)
		synctest.Wait()
		if told := r.told("event"); len(told) != 1 || decode[status.Event](t, told[0]).Level != "warn" {
			t.Errorf("the events are %q", told)
		}
		if last := r.told("now"); len(last[0]) > 2048 {
			t.Errorf("a second's news has %d bytes", len(last[0]))
		}
		close(done)
		synctest.Wait()
		sent := r.text.Len()
		time.Sleep(time.Minute)
		if r.text.Len() != sent {
			t.Error("it goes on when the configuration has gone")
		}
		stop()
	})
}

// TestEvents has things happen while streams begin: each is told once, in its order.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := []*gateway.Account{newAccount(t, "key-one", "one"), newAccount(t, "key-two", "two")}
		go func() {
			for range 60 {
				for _, a := range accounts {
					a.HoldCircuit(wire.ReadClass)
					time.Sleep(time.Millisecond)
					a.ReleaseCircuit(wire.ReadClass)
				}
			}
		}()
		for begun := range 40 {
			time.Sleep(time.Duration(begun) * 100 * time.Microsecond)
			r, stop := follow(t, func(w http.ResponseWriter, r *http.Request) { _ = ServeEvents(w, r, nil, accounts) })
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			stop()
			seen, last := map[string]bool{}, map[string]time.Time{}
			for _, data := range r.told("") {
				event := decode[status.Event](t, data)
				if seen[data] || event.Time.Before(last[event.Account]) {
					t.Fatalf("%s is told twice, or late", data)
				}
				seen[data] = true
				last[event.Account] = event.Time
			}
			if want := min(2*begun, 20); len(seen) < want {
				t.Fatalf("%d events are told", len(seen))
			}
		}
		time.Sleep(time.Minute)
	})
}

// TestSlowReader has a client take nothing: what happens does not wait for it.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, "key", "shop")
		r, stop := follow(t, func(w http.ResponseWriter, r *http.Request) { _ = ServeEvents(w, r, nil, []*gateway.Account{a}) })
		r.mu.Lock()
		begun := time.Now()
		for range maxBehind {
			a.HoldCircuit(wire.ReadClass)
			a.ReleaseCircuit(wire.ReadClass)
		}
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("others waited for %v", waited)
		}
		r.mu.Unlock()
		synctest.Wait()
		if n := len(r.told("")); n < maxBehind || n > maxBehind+2 {
			t.Errorf("it is told %d events late", n)
		}
		stop()
	})
}

// TestDay replays two days of calls and events: the page does not grow from the one to the other.
func TestDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, "key", "shop")
		sizes := func() (page, stream int) {
			r, stop := follow(t, pageOf(a).ServeHTTP)
			defer stop()
			return ask(pageOf(a), http.MethodGet, "/live").Body.Len(), r.text.Len()
		}
		var pages, streams [2]int
		for day := range 2 {
			for minute := range 24 * 60 {
				for i := range 8 {
					country := fmt.Sprint("country", i)
					a.History().Started(country, fmt.Sprint("caller", minute, i))
					a.History().Finished(wire.OutcomeSuccess, country, "", 1, 20*time.Second)
					a.History().Spent("EUR", country, "", .05)
					a.History().Sent(true, 100*time.Millisecond)
				}
				a.HoldCircuit(wire.ReadClass)
				a.ReleaseCircuit(wire.ReadClass)
				time.Sleep(time.Minute)
			}
			pages[day], streams[day] = sizes()
		}
		t.Logf("page: %d bytes, beginning of a stream: %d", pages, streams)
		for _, n := range [][2]int{pages, streams} {
			if n[1] > n[0]+n[0]/50 {
				t.Errorf("it grows: %d bytes", n)
			}
		}
		if n := len(a.Notices()); n > 100 {
			t.Errorf("%d events are kept", n)
		}
	})
}

// What the script reads of what it is sent is in there, if there is such a thing.
func TestScriptReadsWhatIsSent(t *testing.T) {
	function := func(name string) string {
		_, rest, found := strings.Cut(pageJS, "const "+name+" = ")
		body, _, ends := strings.Cut(rest, "\n  };")
		if !found || !ends {
			t.Fatalf("there is no %s", name)
		}
		return body
	}
	guarded := function("showGuard")
	for _, test := range []struct {
		script, variable string
		least            int
		sent             []reflect.Type
	}{
		{function("showNow"), "n", 20, []reflect.Type{reflect.TypeFor[now]()}},
		{pageJS, "m", 3, []reflect.Type{reflect.TypeFor[more]()}},
		{guarded, "g", 3, []reflect.Type{reflect.TypeFor[status.Guard]()}},
		{guarded, "r", 6, []reflect.Type{reflect.TypeFor[status.GuardRule]()}},
		{guarded, "b", 10, []reflect.Type{reflect.TypeFor[status.GuardBudget](), reflect.TypeFor[status.GuardBlock]()}},
	} {
		sent := map[string]bool{}
		for _, document := range test.sent {
			for field := range document.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				sent[name] = true
			}
		}
		read := regexp.MustCompile(`\b`+test.variable+`\.([a-z_]+)\b`).FindAllStringSubmatch(test.script, -1)
		if len(read) < test.least {
			t.Errorf("found %s in %d places", test.variable, len(read))
		}
		for _, m := range read {
			if !sent[m[1]] {
				t.Errorf("the script reads %s, which is not sent", m[0])
			}
		}
	}
}

// The page has the guard's figures, and no more of them than it can show.
func TestGuard(t *testing.T) {
	day := []guard.Budget{{Mode: guard.Enforce, Cap: guard.Money{Micro: 5_000_000, Currency: "EUR"}}}
	s := guard.Settings{Account: guard.RuleSet{Budgets: day}, Callers: map[string]guard.RuleSet{}}
	for i := range maxBudgets + 5 {
		s.Callers[fmt.Sprint("app", i)] = guard.RuleSet{Budgets: day}
	}
	shop := newAccount(t, "key-of-shop", "shop")
	t.Cleanup(shop.Configure(&gateway.Settings{Limit: limit.Settings{Rate: -1}, Guard: s}))
	for _, place := range []guard.Place{{Target: "LK", Everyone: true}, {Target: "CI"}} {
		if err := shop.PinBlock(place); err != nil {
			t.Fatal(err)
		}
	}
	body := ask(pageOf(shop), http.MethodGet, "/live").Body.String()
	for _, text := range []string{`<th scope="row">LK</th><td>all</td>`, `<th scope="row">CI</th><td>-</td>`, `<th scope="row">account/day</th>`, "<td>5.00 EUR</td>", "<td>0.0 %</td>"} {
		if !strings.Contains(body, text) {
			t.Errorf("%q is not in it", text)
		}
	}
	if more := moreOf(shop); more.Guard == nil || len(more.Guard.Budgets) != maxBudgets {
		t.Errorf("the stream has %+v", more.Guard)
	}
	if more := moreOf(newAccount(t, "key-of-desk", "desk")); more.Guard != nil {
		t.Errorf("without a guard the stream has %+v", more.Guard)
	}
}
