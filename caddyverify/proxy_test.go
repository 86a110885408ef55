package caddyverify

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The password of a proxy, in forms that URLs can have and such as they cannot.
const proxyPassword = "Pa55word"

// TestProxyPassword has URLs of proxies that cannot be used; no error may show the
// password.
func TestProxyPassword(t *testing.T) {
	t.Setenv("VERIFY_TEST_PROXY", "http://user:"+proxyPassword+"%zz@proxy.internal:3128")
	t.Setenv("VERIFY_TEST_EMPTY", "")
	for name, line := range map[string]string{
		"a bad escape":               "network_proxy url http://user:" + proxyPassword + "%zz@proxy.internal:3128",
		"a slash":                    "network_proxy url http://user:" + proxyPassword + "/x@proxy.internal:3128",
		"a hash":                     "network_proxy url http://user:" + proxyPassword + "#x@proxy.internal:3128",
		"a bad port":                 "network_proxy url http://user:" + proxyPassword + "@proxy.internal:x",
		"no scheme":                  "network_proxy url user:" + proxyPassword + "@proxy.internal:3128",
		"a foreign scheme":           "network_proxy url ftp://user:" + proxyPassword + "@proxy.internal:3128",
		"a quote":                    "network_proxy url `http://user:\"" + proxyPassword + "@proxy internal`",
		"no module":                  "network_proxy http://user:" + proxyPassword + "@proxy.internal:3128",
		"the older form":             "forward_proxy_url http://user:" + proxyPassword + "%zz@proxy.internal:3128",
		"an argument too many":       "forward_proxy_url http://user:" + proxyPassword + "@proxy.internal x",
		"in place of a subdirective": "http://user:" + proxyPassword + "@proxy.internal:3128",
		"in place of a duration":     "dial_timeout http://user:" + proxyPassword + "@proxy.internal:3128",
		"in a variable":              "network_proxy url {env.VERIFY_TEST_PROXY}",
		"an unset variable":          "network_proxy url http://user:{env.VERIFY_TEST_EMPTY}@proxy.internal",
		"a placeholder of a request": "network_proxy url http://user:{http.request.host}@proxy.internal",
	} {
		t.Run(name, func(t *testing.T) {
			err := load(":0 {\nverify {\ncredentials abcd1234 S3cretSecret\ntransport http {\n" + line + "\n}\n}\n}\n")
			if err == nil || !strings.Contains(err.Error(), "transport") && !strings.Contains(err.Error(), "Caddyfile:5") {
				t.Errorf("the error is %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), proxyPassword) || strings.Contains(err.Error(), "user:")) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// The same in JSON, where Caddy names the module that it does not know.
func TestProxyPasswordInJSON(t *testing.T) {
	for _, proxy := range []map[string]any{
		{"from": "http://user:" + proxyPassword + "@proxy.internal:3128"},
		{"from": "url", "url": "http://user:" + proxyPassword + "@proxy.internal:x"},
		{"from": "url", "URL": "http://user:" + proxyPassword + "%zz@proxy.internal"},
	} {
		err := loadJSON(t, map[string]any{
			"credentials": map[string]string{"api_key": "abcd1234", "api_secret": "S3cretSecret"},
			"transport":   map[string]any{"protocol": "http", "network_proxy": proxy},
		})
		if err == nil || !strings.Contains(err.Error(), "upstream https://api.nexmo.com: transport: ") || strings.Contains(err.Error(), proxyPassword) {
			t.Errorf("%v: %v", proxy, err)
		}
	}
}

// TestProxyPasswordInUse calls through a proxy whose password is in a file, with
// everything logged.
func TestProxyPasswordInUse(t *testing.T) {
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	authorizations := make(chan string, 8)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorizations <- r.Header.Get("Proxy-Authorization")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "password"), []byte(proxyPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	logFile, site := filepath.Join(folder, "log"), freeAddress(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nlog default {\nlevel DEBUG\noutput file " + logFile + "\n}\n}\n" +
		"http://" + site + " {\nverify {\nupstream http://127.0.0.1:9\nbreaker off\ncredentials " + testKey + " " + testSecret + "\n" +
		"transport http {\nnetwork_proxy url " + strings.Replace(proxy.URL, "//", "//user:{file."+folder+"/password}@", 1) + "\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	get(t, "http://"+site+"/verify/search/json?request_id=a")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-authorizations; got != "Basic dXNlcjpQYTU1d29yZA==" { // user:Pa55word
		t.Errorf("the proxy was told %q", got)
	}
	logged, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(logged); !strings.Contains(text, `"call"`) || strings.Contains(text, proxyPassword) {
		t.Errorf("the log is %s", text)
	}
}
