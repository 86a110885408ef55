package caddyverify

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write the JSON of the golden adapt tests anew")

const goldenLine = "----------\n"

// TestAdapt compares what Caddyfiles turn into, testdata/adapt/*.caddytest, with
// the JSON in the same file.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddytest")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddytest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(content), goldenLine)
			got := adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+goldenLine+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestExampleIsFormatted keeps Caddyfile.example as caddy fmt would write it.
func TestExampleIsFormatted(t *testing.T) {
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(example); !bytes.Equal(formatted, example) {
		t.Errorf("caddy fmt would write\n%s", formatted)
	}
}

func adapt(t *testing.T, input string) string {
	t.Helper()
	config, err := adaptCaddyfile(input)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, config, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func adaptCaddyfile(input string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// TestExampleLetsIn has calls come to Caddyfile.example from near and far, and by names of its own and others, as it
// is and with its lines on version 2 uncommented.
func TestExampleLetsIn(t *testing.T) {
	const search, start = "/verify/search/json?request_id=a", "/v2/verify"
	type visit struct {
		from, host, path string
		code             int
		text             string
	}
	either := []visit{
		{"10.1.2.3", "verify.internal:8080", search, 200, `"status"`},
		{"192.168.1.2", "localhost", search, 200, `"status"`},
		{"127.0.0.1", "127.0.0.1:8080", search, 200, `"status"`},
		{"203.0.113.7", "verify.internal:8080", search, 403, ""},
		{"203.0.113.7", "verify.internal:8080", start, 403, ""},
		{"203.0.113.7", "verify.internal:8080", "/metrics", 403, ""},
		{"10.1.2.3", "evil.example", search, 421, ""},
		{"10.1.2.3", "evil.example", "/verify", 421, ""},
		{"10.1.2.3", "10.1.2.4:8080", "/health/live", 200, `{"status":"live"}`},
		{"203.0.113.7", "verify.internal:8080", "/health/live", 403, ""},
		{"10.1.2.3", "verify.internal:8080", "/live/stream", 200, ""}, // an empty answer: it is off
		{"10.1.2.3", "verify.internal:8080", "/v1/messages", 404, "Only the Verify API is here"},
	}
	for _, test := range []struct {
		name    string
		comment map[string]string // what becomes of it
		visits  []visit
	}{
		{"as it is", nil, []visit{
			{"10.1.2.3", "verify.internal:8080", start, 404, "Only the Verify API is here"},
		}},
		{"with version 2", map[string]string{"# path /v2/verify /v2/verify/*": "path /v2/verify /v2/verify/*", "# not path /v2/verify /v2/verify/*": "not path /v2/verify /v2/verify/*", "# api v2": "api v2"}, []visit{
			{"10.1.2.3", "verify.internal:8080", start, 405, `"type":`}, // the visit is a GET
			{"10.1.2.3", "verify.internal:8080", start + "/templates", 404, "templates_off"},
			{"10.1.2.3", "evil.example", start, 421, ""},
			{"10.1.2.3", "evil.example", start + "/templates", 421, ""},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serveExample(t, test.comment)
			for _, v := range append(test.visits, either...) {
				r := httptest.NewRequest(http.MethodGet, "http://"+v.host+v.path, nil)
				r.RemoteAddr = v.from + ":4711"
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				if w.Code != v.code || !strings.Contains(w.Body.String(), v.text) {
					t.Errorf("%s at %s from %s: %d %s, want %d %s", v.path, v.host, v.from, w.Code, w.Body, v.code, v.text)
				}
			}
		})
	}
}

// serveExample serves the site of Caddyfile.example, changed.
func serveExample(t *testing.T, replace map[string]string) http.Handler {
	t.Helper()
	u := newUpstream(t)
	t.Setenv("VERIFY_TEST_SECRET", testSecret)
	changes := map[string]string{
		"{file./run/secrets/vonage_api_key}": testKey, "{file./run/secrets/vonage_api_secret}": "{env.VERIFY_TEST_SECRET}", "https://api.nexmo.com": u.URL,
	}
	maps.Copy(changes, replace)
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct{ Routes caddyhttp.RouteList }
			}
		}
	}
	if err := json.Unmarshal(shippedConfig(t, changes), &config); err != nil {
		t.Fatal(err)
	}
	return serveRoutes(t, config.Apps.HTTP.Servers["srv0"].Routes)[0].Config.Handler
}

// TestExampleExportsNothing keeps what pushes metrics and spans out of what
// Caddyfile.example says without being asked: their default is an endpoint that
// hardly anybody has.
func TestExampleExportsNothing(t *testing.T) {
	config := string(shippedConfig(t, nil))
	for _, word := range []string{`"otlp"`, `"tracing"`} {
		if strings.Contains(config, word) {
			t.Errorf("it has %s", word)
		}
	}
	asked := string(shippedConfig(t, map[string]string{"# otlp": "otlp", "# tracing /verify/* {": "tracing /verify/* {\nspan verify\n}"}))
	if !strings.Contains(asked, `"otlp":true`) || !strings.Contains(asked, `"handler":"tracing"`) {
		t.Errorf("taken in, they are not there: %s", asked)
	}
}
