package caddyverify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/spf13/cobra"
)

// serveSites serves what the commands would, each site on a server of its own.
func serveSites(t *testing.T, sites ...site) []*httptest.Server {
	t.Helper()
	var all []caddyhttp.RouteList
	for _, s := range sites {
		all = append(all, s.routes())
	}
	return serveRoutes(t, all...)
}

func serveRoutes(t *testing.T, all ...caddyhttp.RouteList) (servers []*httptest.Server) {
	t.Helper()
	config, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(config)
	t.Cleanup(cancel)
	for _, routes := range all {
		if err := routes.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		app, err := ctx.App(appName)
		if err != nil {
			t.Fatal(err)
		}
		app.(*App).takeOver()
		compiled := routes.Compile(caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
			err := compiled.ServeHTTP(w, r)
			if refused, ok := errors.AsType[caddyhttp.HandlerError](err); ok && refused.StatusCode < 500 {
				w.WriteHeader(refused.StatusCode)
			} else if err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(server.Close)
		servers = append(servers, server)
	}
	return servers
}

// Nothing that the demo or the sandbox does not know looks like success, and / says
// what this is.
func TestSites(t *testing.T) {
	credentials := &Credentials{APIKey: testKey, APISecret: testSecret}
	upstream := newUpstream(t)
	servers := serveSites(t,
		site{"gateway", &Handler{Account: Account{Upstream: upstream.Server.URL, Credentials: credentials}}, demoPage("http://gateway", "http://sandbox"), demoRoutes("sandbox:1")},
		site{address: "sandbox", handler: &Sandbox{}, page: sandboxPage("http://sandbox")})
	for i, server := range servers {
		page := get(t, server.URL+"/")
		if page.StatusCode != http.StatusOK || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/plain") ||
			strings.Count(page.body, "\n") != 3 || !strings.HasSuffix(page.body, "\n") || !strings.Contains(page.body, "curl http://") {
			t.Errorf("%d /: %d %s, want three lines of text: %s", i, page.StatusCode, page.Header.Get("Content-Type"), page.body)
		}
		for _, path := range []string{"/v2/verify", "/v1/messages", "/sms/json", "/number/lookup/json", "/index.html", "/sandbox/"} {
			got := do(t, request(t, http.MethodPost, server.URL+path, "application/json", "{}"))
			var body struct{ Title, Detail string }
			if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.StatusCode != http.StatusNotFound ||
				got.Header.Get("Content-Type") != "application/json" || body.Title == "" || !strings.Contains(body.Detail, "Only the Verify API is here") ||
				!strings.HasSuffix(got.body, "\n") {
				t.Errorf("%d %s: %d %s %s", i, path, got.StatusCode, got.Header.Get("Content-Type"), got.body)
			}
		}
		if got := postForm(t, server.URL+"/verify/json", "number=447700900000&brand=Demo&api_key=k&api_secret=s"); got.field("status") != "0" || !strings.HasSuffix(got.body, "}\n") {
			t.Errorf("%d: a request is answered with %q", i, got.body)
		}
	}
}

// TestDemoRoutes looks at what the demo has beside the gateway.
func TestDemoRoutes(t *testing.T) {
	var asked []string
	sandbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(sandbox.Close)
	u := newUpstream(t)
	gateway := &Handler{Account: Account{Upstream: u.URL, Credentials: &Credentials{APIKey: testKey, APISecret: testSecret}}}
	server := serveSites(t, site{"demo", gateway, demoPage("http://demo", "http://sandbox"), demoRoutes(strings.TrimPrefix(sandbox.URL, "http://"))})[0]
	for _, test := range []struct {
		name, method, path, accept, from string
		code                             int
		text                             string
	}{
		{"a browser is led to the page", "GET", "/", "text/html,*/*;q=0.8", "127.0.0.1", 302, ""},
		{"curl is not", "GET", "/", "*/*", "127.0.0.1", 200, "curl http://demo"},
		{"the page", "GET", "/live", "text/html", "127.0.0.1", 200, `data-path="/sandbox/faults"`},
		{"the page from elsewhere", "GET", "/live", "text/html", "10.1.2.3", 403, "Caddy has let in"},
		{"metrics", "GET", "/metrics", "", "127.0.0.1", 200, "go_goroutines"},
		{"health", "GET", "/health/ready", "", "127.0.0.1", 503, `"starting"`}, // in a test
		{"faults", "GET", "/sandbox/faults", "", "127.0.0.1", 200, ""},
		{"faults from elsewhere", "POST", "/sandbox/faults", "", "10.1.2.3", 404, "Only the Verify API"},
		{"what else the sandbox has", "GET", "/sandbox/calls", "", "127.0.0.1", 404, "Only the Verify API"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "http://localhost"+test.path, nil)
			r.RemoteAddr = test.from + ":4711"
			r.Header.Set("Accept", test.accept)
			w := httptest.NewRecorder()
			server.Config.Handler.ServeHTTP(w, r)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.text) || test.code == 302 && w.Header().Get("Location") != "/live" {
				t.Errorf("it is %d %v %.300s", w.Code, w.Header(), w.Body)
			}
		})
	}
	if got := strings.Join(asked, ", "); got != "GET /sandbox/faults" {
		t.Errorf("the sandbox is asked for %s", got)
	}
}

// Caddyfile.example and the Caddyfile of deployments say the same to an SDK's other products.
func TestExampleEndsAsTheDemo(t *testing.T) {
	for _, file := range []string{"../Caddyfile.example", "../deploy/Caddyfile"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(content, []byte("respond @other `"+otherProducts+"` 404")) {
			t.Errorf("%s does not answer other products with %s", file, otherProducts)
		}
	}
}

func TestSandboxPage(t *testing.T) {
	for apis, want := range map[string][2]bool{"": {true, false}, "v1": {true, false}, "v2": {false, true}, "v1 v2": {true, true}} {
		page := sandboxPage("http://sandbox", strings.Fields(apis)...)
		if got := [2]bool{strings.Contains(page, "http://sandbox/verify/json"), strings.Contains(page, "http://sandbox/v2/verify")}; got != want {
			t.Errorf("%q: %s", apis, page)
		}
	}
}

func TestSandboxFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string // JSON, or what the error names
	}{
		{nil, `{"code":"1234","speed":1,"limit":30}`},
		{[]string{"--code", "", "--speed", "60", "--limit", "off"}, `{"speed":60,"limit":-1}`},
		{[]string{"--fault", "search delay 2s", "--fault", "* close 5%"}, `{"code":"1234","speed":1,"limit":30,"faults":["search delay 2s","* close 5%"]}`},
		{[]string{"--fault", "webhook double"}, `"faults":["webhook double"]`},
		{[]string{"--code", "12"}, "code"},
		{[]string{"--speed", "0"}, "--speed"},
		{[]string{"--limit", "30"}, "--limit"},
		{[]string{"--fault", "search explode"}, "explode"},
	} {
		cmd := &cobra.Command{Use: "demo", SilenceUsage: true}
		cmd.SetOut(io.Discard)
		sandboxFlags(cmd, demoCode)
		if err := cmd.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		var got string
		if s, err := newSandbox(caddycmd.Flags{FlagSet: cmd.Flags()}); err != nil {
			got = err.Error()
		} else {
			text, _ := json.Marshal(s)
			got = string(text)
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%q makes %s, want %s", test.args, got, test.want)
		}
	}
}

// sandboxCommand is `caddy verify sandbox` with these arguments.
func sandboxCommand(t *testing.T, args ...string) caddycmd.Flags {
	t.Helper()
	parent := new(cobra.Command)
	caddycmd.Commands()["verify"].CobraFunc(parent)
	cmd, _, err := parent.Find([]string{"sandbox"})
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err != nil {
		t.Fatal(err)
	}
	return caddycmd.Flags{FlagSet: cmd.Flags()}
}

func TestSandboxWebhookFlags(t *testing.T) {
	const secret = "signature-secret-of-the-test"
	t.Setenv("TEST_SIGNATURE", secret)
	const to, by = "--webhook=http://localhost:8080/hooks", "--signature-secret=" + secret
	for _, test := range []struct {
		name string
		args []string
		want string // JSON, or the error
	}{
		{"none", []string{"--api", "v2"}, `{"api":["v2"],"speed":1,"limit":30}`},
		{"to v2", []string{"--api", "v2", to, by}, `"webhook":"http://localhost:8080/hooks","signature_secret":"` + secret + `"`},
		{"to both", []string{"--api", "v1,v2", to, by}, `"webhook":"http://localhost:8080/hooks"`},
		{"a placeholder", []string{"--api", "v2", to, "--signature-secret={env.TEST_SIGNATURE}"}, `"signature_secret":"{env.TEST_SIGNATURE}"`},
		{"no secret", []string{"--api", "v2", to}, "--signature-secret: it is missing"},
		{"no URL", []string{"--api", "v2", by}, "--webhook: it is missing"},
		{"version 1", []string{to, by}, "--webhook: version 1 has none; add --api v2"},
		{"not a URL", []string{"--api", "v2", "--webhook=localhost:8080/hooks", by}, "--webhook: write a URL"},
		{"no host", []string{"--api", "v2", "--webhook=http:///hooks", by}, "--webhook: write a URL"},
		{"nothing in a placeholder", []string{"--api", "v2", to, "--signature-secret={file./nowhere/secret}"}, "--signature-secret, from {file./nowhere/secret}, has no value: there is no such file"},
		{"no JWT is accepted", []string{"--api", "v2", to, by, "--credentials", "key:secret"}, "--webhook: with --credentials no JWT is accepted"},
		{"credentials alone", []string{"--credentials", "key:secret-of-tests"}, `"credentials":{"api_key":"key","api_secret":"secret-of-tests"}`},
		{"half of the credentials", []string{"--credentials", "key"}, "--credentials: write <api_key>:<api_secret>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got string
			if s, err := aloneSandbox(sandboxCommand(t, test.args...)); err != nil {
				got = err.Error()
				if strings.Contains(got, secret) {
					t.Error("the error shows the secret")
				}
			} else {
				text, _ := json.Marshal(s)
				got = string(text)
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("it makes %s, want %s", got, test.want)
			}
		})
	}
}
