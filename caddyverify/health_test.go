package caddyverify

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
)

// healthSites loads a gateway, and on two more addresses the health of the process, leniently and strictly.
func healthSites(t *testing.T, u *testUpstream, global, gateway, health, strict string, settings ...string) error {
	t.Helper()
	config, err := adaptCaddyfile("{\n admin off\n persist_config off\n " + global + "\n}\n" +
		"http://" + gateway + " {\n verify {\n upstream " + u.URL + "\n credentials " + testKey + " " + testSecret + "\n" + strings.Join(settings, "\n") + "\n }\n}\n" +
		"http://" + health + " {\n verify_health\n}\n" +
		"http://" + strict + " {\n verify_health {\n strict\n }\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	return loadConfig(config)
}

func ownStorage(t *testing.T) {
	t.Helper()
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	t.Cleanup(func() { _ = caddy.Stop() })
}

func TestHealth(t *testing.T) {
	ownStorage(t)
	searches := func(url string) {
		for range 30 {
			served(t, url+"/verify/search/json?request_id=a")
		}
	}
	for _, test := range []struct {
		name  string
		fault string
		calls func(url string)
		// body is what ready tells, with LABEL for the account's label.
		body string
	}{
		{"all is well", "", searches, `{"status":"ready"}`},
		{
			"the circuit for reads opens", "search http 500", searches,
			`{"status":"degraded","accounts":[{"account":"LABEL","circuits":{"read":"open"}}]}`,
		},
		{
			"the account is barred", "request status 8",
			func(url string) { served(t, url+"/verify/json?number="+testNumber+"&brand=Acme") },
			`{"status":"degraded","accounts":[{"account":"LABEL","refused":["8"]}]}`,
		},
		{
			"the provider throttles", "request status 1",
			func(url string) { served(t, url+"/verify/json?number="+testNumber+"&brand=Acme") },
			`{"status":"degraded","accounts":[{"account":"LABEL","limit":{"now":500,"full":1000}}]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, gateway, health, strict := newUpstream(t), freeAddress(t), freeAddress(t), freeAddress(t)
			if err := healthSites(t, u, "", gateway, health, strict, "limit 1000/s", "cache off", "breaker {\n open_for 1m\n}"); err != nil {
				t.Fatal(err)
			}
			if test.fault != "" {
				u.fail(t, test.fault)
			}
			test.calls("http://" + gateway)
			sent := len(u.Calls())

			host := strings.TrimPrefix(u.URL, "http://")
			want := strings.ReplaceAll(test.body, "LABEL", observe.AccountLabel(host, testKey))
			strictCode := http.StatusOK
			if strings.Contains(want, "degraded") {
				strictCode = http.StatusServiceUnavailable
			}
			for address, code := range map[string]int{health: http.StatusOK, strict: strictCode} {
				got := get(t, "http://"+address+"/health/ready")
				body := regrown.ReplaceAllString(got.body, `"now":500`)
				if got.StatusCode != code || !sameJSON(t, body, want) {
					t.Errorf("ready is %d %s, want %d %s", got.StatusCode, got.body, code, want)
				}
				if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Content-Type") != "application/json" {
					t.Errorf("the header is %v", got.Header)
				}
				if got := get(t, "http://"+address+"/health/live"); got.StatusCode != http.StatusOK || !sameJSON(t, got.body, `{"status":"live"}`) {
					t.Errorf("live is %d %s", got.StatusCode, got.body)
				}
			}
			if asked := len(u.Calls()) - sent; asked != 0 {
				t.Errorf("the provider was asked %d times", asked)
			}
		})
	}
}

// regrown is a limit of 500 that has grown since by one each second.
var regrown = regexp.MustCompile(`"now":5\d\d\b`)

// sameJSON compares two texts.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var values [2]any
	for i, text := range []string{a, b} {
		if err := json.Unmarshal([]byte(text), &values[i]); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func TestHealthAnswersOnly(t *testing.T) {
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	for _, test := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/health/live", http.StatusOK},
		{http.MethodHead, "/health/live", http.StatusOK},
		{http.MethodPost, "/health/live", http.StatusMethodNotAllowed},
		{http.MethodPost, "/health/ready", http.StatusMethodNotAllowed},
		{http.MethodGet, "/health/ready", http.StatusServiceUnavailable}, // no configuration is in force
		{http.MethodGet, "/health", http.StatusTeapot},
		{http.MethodGet, "/health/live/", http.StatusTeapot},
		{http.MethodPost, "/verify/json", http.StatusTeapot},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := new(Health).ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil), next); err != nil || w.Code != test.code {
				t.Errorf("got %d, %v; want %d", w.Code, err, test.code)
			}
			if allow := w.Header().Get("Allow"); (allow != "") != (test.code == http.StatusMethodNotAllowed) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
}

// TestHealthOverReloads asks all the while that configurations come, good ones and such as Caddy rejects late: there is
// always one in force.
func TestHealthOverReloads(t *testing.T) {
	ownStorage(t)
	u, gateway, health, strict := newUpstream(t), freeAddress(t), freeAddress(t), freeAddress(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := healthSites(t, u, "", gateway, health, strict); err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	go func() {
		defer close(ended)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // each on the newest socket
		for {
			select {
			case <-done:
				return
			default:
			}
			response, err := client.Get("http://" + health + "/health/ready")
			if err != nil {
				continue // a socket that was closed with the connection in its queue
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if asked.Add(1); response.StatusCode != http.StatusOK {
				t.Errorf("ready is %d %s", response.StatusCode, body)
			}
		}
	}()
	for n := 0; n < 5 || asked.Load() < 10 && n < 500; n++ {
		if err := healthSites(t, u, "", gateway, health, strict, "limit 20/s"); err != nil {
			t.Error(err)
		}
		if err := healthSites(t, u, "", taken.Addr().String(), health, strict); err == nil {
			t.Error("an address is taken, and the configuration is in force")
		}
	}
	close(done)
	if <-ended; asked.Load() < 10 {
		t.Errorf("health was asked for %d times only", asked.Load())
	}
}

// TestHealthOfAServerThatCloses has a reload drop an address after shutdown_delay: until then it serves, and says that no
// more should come.
func TestHealthOfAServerThatCloses(t *testing.T) {
	ownStorage(t)
	// A slow machine may not get to ask within a second.
	for delay := time.Second; !closesAfter(t, delay); delay *= 4 {
		if delay > time.Minute {
			t.Fatal("the address has closed, and ready was never anything but 200")
		}
	}
}

// closesAfter reports false where the address has closed before all was asked.
func closesAfter(t *testing.T, delay time.Duration) bool {
	t.Helper()
	u, gateway, health := newUpstream(t), freeAddress(t), freeAddress(t)
	if err := healthSites(t, u, "shutdown_delay "+delay.String(), gateway, health, freeAddress(t)); err != nil {
		t.Fatal(err)
	}
	next := []string{freeAddress(t), freeAddress(t)}
	begun, loaded := time.Now(), make(chan error, 1)
	go func() { loaded <- healthSites(t, u, "", gateway, next[0], next[1]) }()
	defer func() {
		if err := <-loaded; err != nil {
			t.Error(err)
		}
	}()
	ask := func(path string) (code int, body string) {
		t.Helper()
		response, err := http.Get("http://" + health + path)
		if err == nil {
			defer response.Body.Close()
			text, readErr := io.ReadAll(response.Body)
			code, body, err = response.StatusCode, string(text), readErr
		}
		if err != nil && time.Since(begun) < delay {
			t.Errorf("%s: %v", path, err)
		}
		return code, body
	}
	code, body := ask("/health/ready")
	for code == http.StatusOK {
		time.Sleep(10 * time.Millisecond)
		code, body = ask("/health/ready")
	}
	live, _ := ask("/health/live")
	if time.Since(begun) >= delay {
		return false
	}
	if code != http.StatusServiceUnavailable || !sameJSON(t, body, `{"status":"stopping"}`) {
		t.Errorf("ready is %d %s", code, body)
	}
	if live != http.StatusOK {
		t.Errorf("live is %d", live)
	}
	return true
}
