package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
	_ "github.com/caddyverify/caddy-verify/bench/speed/floor"
	_ "github.com/caddyverify/caddy-verify/caddyverify"
)

// TestCaddySides runs each side of Caddy in this process and asks it what it is
// asked before a measurement.
func TestCaddySides(t *testing.T) {
	_, names := named()
	for _, name := range names {
		if name == "nginx" || name == "haproxy" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := testBench(t)
			// All spans of traced calls come out, each by itself.
			for _, variable := range append(caddyEnv(name, t.TempDir(), b.sink.url), "OTEL_TRACES_SAMPLER_ARG=1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1") {
				key, value, _ := strings.Cut(variable, "=")
				t.Setenv(key, value)
			}
			var address, admin string
			if err := loopback.Free(&address, &admin); err != nil {
				t.Fatal(err)
			}
			config, err := adapt(t, caddyConfig(name, t.TempDir(), address, admin, b.upstream.url, false))
			if err == nil {
				err = caddy.Load(config, true)
			}
			if err != nil {
				t.Fatal(err)
			}
			stop := func() {
				if err := caddy.Stop(); err != nil {
					t.Error(err)
				}
			}
			defer stop()
			s := &side{name: name, url: "http://" + address, admin: admin}
			if m, err := s.memory(t.Context()); err != nil || m.HeapAlloc == 0 {
				t.Errorf("its memory: %+v, %v", m, err)
			}
			for _, w := range chosen([]string{"hit", "hit10", "request", "check"}, []string{name}) {
				for range 2 {
					if err := b.try(t.Context(), w.name, s); err != nil {
						t.Errorf("%s: %v", w.name, err)
					}
				}
			}
			searches := len(b.ids) // one for each, the first time
			if strings.HasPrefix(name, "respond") || name == "reverse_proxy" {
				searches = 0
			}
			if got := int(b.upstream.searches.Load()); got != searches {
				t.Errorf("%d verifications were searched for upstream, want %d", got, searches)
			}
			if n := b.upstream.refused.Load(); n > 0 {
				t.Errorf("the upstream refused %d calls", n)
			}
			_, spans := variant(name)
			least, most := 0, 0
			switch spans {
			case tracing:
				least, most = 2*len(b.ids), math.MaxInt
			case sampling:
				// Of some 60 calls hardly ever more than two are drawn; all would have more spans than this.
				askTraced(t, s)
				least, most = 1, 2*len(b.ids)
			}
			stop()
			if n := b.sink.of(name); n < least || n > most {
				t.Errorf("%d spans came out, want %d to %d", n, least, most)
			}
		})
	}
}

// askTraced makes a call of an application that traces it.
func askTraced(t *testing.T, s *side) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/verify/search/json?request_id="+requestID(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// TestSampling wants the matcher to be the documented one and to let through one call in a hundred.
func TestSampling(t *testing.T) {
	documented, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if !strings.Contains(words(string(documented)), words(tracings[sampling])) {
		t.Error("docs/telemetry.md has another one")
	}
	uuid := regexp.MustCompile(regexp.MustCompile(`uuid} (\S+)`).FindStringSubmatch(tracings[sampling])[1])
	const all = 1 << 12
	matched := 0
	for i := range all {
		if uuid.MatchString(fmt.Sprintf("%03x5a52b-7d8e-4c30-a1b5-0d4b8a1d7b0e", i)) {
			matched++
		}
	}
	if share := float64(matched) / all; share < 0.0095 || share > 0.0105 {
		t.Errorf("it lets through %.4f", share)
	}
}

// TestCaddyfiles wants them valid with all that the flags add.
func TestCaddyfiles(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	for handler := range handlers {
		for _, name := range []string{handler, handler + tracing, handler + sampling} {
			for _, metrics := range []bool{false, true} {
				config, err := adapt(t, caddyConfig(name, t.TempDir(), "127.0.0.1:80", "127.0.0.1:2019", "http://127.0.0.1:81", metrics))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				var c caddy.Config
				if err = json.Unmarshal(config, &c); err == nil {
					err = caddy.Validate(&c)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				for what, want := range map[string]bool{
					`"handler":"tracing"`:       name != handler,
					`"metrics":{`:               metrics,
					`"listen":"127.0.0.1:2019"`: true,
					`["127.0.0.1:80"]`:          true,
				} {
					if strings.Contains(string(config), what) != want {
						t.Errorf("%s, metrics %v: %s is to be there: %v\n%s", name, metrics, what, want, config)
					}
				}
			}
		}
	}
}

// TestConfigs wants no word left that should have been replaced.
func TestConfigs(t *testing.T) {
	nginx, err := nginxConfig("/folder", "127.0.0.1:80", "http://127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]string{"nginx": nginx, "haproxy": haproxyConfig("127.0.0.1:80", "http://127.0.0.1:81")} {
		if left := regexp.MustCompile(`\{\w+\}|http://127`).FindString(config); left != "" {
			t.Errorf("%s: %s is left in\n%s", name, left, config)
		}
		for _, word := range []string{"127.0.0.1:80", "127.0.0.1:81", accountBasic} {
			if !strings.Contains(config, word) {
				t.Errorf("%s: there is no %s in\n%s", name, word, config)
			}
		}
	}
}

func TestUpstream(t *testing.T) {
	u := &upstream{passed: map[int]*passed{}}
	ask := func(authorization, method, path, params string) (int, string) {
		r := httptest.NewRequest(method, path+"?"+params, nil)
		if method == http.MethodPost {
			r = httptest.NewRequest(method, path, strings.NewReader(params))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		u.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	type verification struct {
		RequestID string `json:"request_id"`
		Status    string
	}
	var answer struct {
		verification
		Requests []verification `json:"verification_requests"`
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		_, body := ask(accountBasic, method, "/verify/search/json", "request_id=a")
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.verification != (verification{"a", "SUCCESS"}) {
			t.Errorf("one id by %s: %v\n%s", method, err, body)
		}
		_, body = ask(accountBasic, method, "/verify/search/json", "request_ids=a&request_ids=b")
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Requests) != 2 || answer.Requests[1].RequestID != "b" {
			t.Errorf("two ids by %s: %v\n%s", method, err, body)
		}
	}
	if got := u.searches.Load(); got != 6 {
		t.Errorf("%d verifications were searched for, want 6", got)
	}
	if n := len(state(requestID(0))); n < 450 || n > 550 {
		t.Errorf("a state has %d bytes, want about 500", n)
	}
	for path, params := range map[string]string{"/verify/json": "number=447700900000&brand=Acme+", "/verify/check/json": "code=1234&request_id=" + idPrefix} {
		for _, serial := range []string{"00000001", "00000002", "00000002"} {
			code, body := ask(accountBasic, http.MethodPost, path, params+"0007"+serial)
			if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 || answer.verification != (verification{idPrefix + "0007" + serial, "0"}) {
				t.Errorf("%s: %d %v\n%s", path, code, err, body)
			}
		}
		if calls, twice := u.of(7); calls != 2 || twice != 1 {
			t.Errorf("%s: %d calls and %d again, want 2 and 1", path, calls, twice)
		}
		delete(u.passed, 7)
	}
	refused := u.refused.Load()
	for _, wrong := range [][4]string{
		{"Basic YXBwOm5vbmU=", "GET", "/verify/search/json", "request_id=a"},
		{accountBasic, "GET", "/verify/search/json", ""},
		{accountBasic, "GET", "/verify/search/xml", "request_id=a"},
		{accountBasic, "POST", "/verify/json", "number=447700900000&brand=Acme"},
	} {
		if code, body := ask(wrong[0], wrong[1], wrong[2], wrong[3]); code != http.StatusUnauthorized {
			t.Errorf("%v: %d %s", wrong, code, body)
		}
	}
	if got := u.refused.Load() - refused; got != 4 {
		t.Errorf("%d calls were refused, want 4", got)
	}
}

// TestVerify wants every way noticed in which a run can have gone wrong.
func TestVerify(t *testing.T) {
	of := figure{"request", "floor"}
	for name, test := range map[string]struct {
		spoil func(b *bench)
		want  string
	}{
		"good":           {func(*bench) {}, ""},
		"cut off":        {func(b *bench) { b.upstream.note("Acme 000100000009") }, ""},
		"more than that": {func(b *bench) { b.connections = 0; b.upstream.note("Acme 000100000009") }, "of 2 calls answered, 3 came"},
		"lost":           {func(b *bench) { b.passes[0].calls = 3 }, "of 3 calls answered, 2 came"},
		"twice":          {func(b *bench) { b.upstream.note("Acme 000100000002") }, "1 of these more than once"},
		"refused":        {func(b *bench) { b.upstream.refused.Add(1) }, "no calls of the account"},
		"no spans":       {func(b *bench) { b.sides["floor"+tracing] = nil }, "floor+tracing: no span"},
		"went wrong":     {func(b *bench) { b.fail("five") }, "five"},
	} {
		b := testBench(t)
		b.connections = 1
		b.passes = []pass{{1, of, 2}}
		b.upstream.note("Acme 000100000001")
		b.upstream.note("Acme 000100000002")
		test.spoil(b)
		err := b.verify()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// testBench has an upstream and a sink.
func testBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(options{keys: 20}, nil)
	t.Cleanup(b.close)
	var err error
	if b.upstream, err = newUpstream(); err != nil {
		t.Fatal(err)
	}
	if b.sink, err = newSink(); err != nil {
		t.Fatal(err)
	}
	return b
}

func adapt(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Error(w)
		}
	}
	return config, err
}
