//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
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

// What an application is set up with. None of it may leave the gateway.
const (
	dummyKey    = "dummy-key-of-an-app"
	dummySecret = "dummy-secret-of-an-app"
	appAgent    = "app-behind-the-gateway"
)

// What the gateway is set up with.
const (
	gatewayKey    = "e2e-key"
	gatewaySecret = "e2e-secret-of-the-gateway" //nolint:gosec // nobody's
)

// sdks are those of sdk/sdk.mjs, one with a slash too much in its settings, each with the first of two numbers of its own: Verify takes one verification at a time
// for a number. The numbers are kept free for fiction, and the sandbox has no special answer for these.
var sdks = []struct {
	name   string
	slash  string // what its host ends in
	number int
}{
	{"server-sdk", "/", 447700900400},
	{"verify-1.18", "", 447700900410},
	{"nexmo", "", 447700900420},
}

// TestDemo is the README's first minute with an application in it: the demo, an SDK pointed at it, Ctrl-C.
func TestDemo(t *testing.T) {
	address := freeAddress(t)
	demo := start(t, nil, "verify", "demo", "--listen", address)
	demo.listening(t, address)
	code := demo.says(t, regexp.MustCompile(`(?i)\bcode\b\D{0,20}\b(\d{4,6})\b`))[1]
	for _, sdk := range sdks {
		t.Run(sdk.name, func(t *testing.T) {
			runSDK(t, sdk.name, sdk.number, address+sdk.slash, code, 0)
		})
	}
	demo.interrupt(t)
}

// TestDemoLines has a shell run what the demo prints, from the request to the end of its verification.
func TestDemoLines(t *testing.T) {
	address := freeAddress(t)
	demo := start(t, nil, "verify", "demo", "--listen", address)
	demo.listening(t, address)
	demo.says(t, regexp.MustCompile(`Ctrl-C ends it`))
	lines := regexp.MustCompile(`(?m)^  .*curl -s .*$`).FindAllString(demo.output.String(), -1)
	if len(lines) != 3 {
		t.Fatalf("the demo prints %d lines with curl: %q", len(lines), lines)
	}
	out, err := exec.Command("bash", "-e", "-o", "pipefail", "-c", strings.Join(lines, "\n")).CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?s)"status": ?"0".*"status": ?"0".*"status": ?"SUCCESS"`).Match(out) {
		t.Errorf("a shell makes of them %s (%v)", out, err)
	}
	demo.interrupt(t)
}

// answered are the versions of the API that the gateway answers applications from, with all that differs for them and for the provider.
var answered = []struct {
	name     string
	gateway  string // settings
	provider string
	sdk      []string // what the SDKs expect otherwise; docs/v2.md
	// Of the calls that reach the provider: how they are authorized, where they go, and what need be no POST.
	authorized *regexp.Regexp
	paths      []string
	others     map[string]string
}{
	{
		"v1", "credentials " + gatewayKey + " {env.E2E_VERIFY_SECRET}", "credentials " + gatewayKey + " {env.E2E_VERIFY_SECRET}", nil,
		byBasic,
		[]string{"/verify/json", "/verify/check/json", "/verify/search/json", "/verify/control/json", "/verify/psd2/json"},
		map[string]string{"/verify/search/json": "GET"},
	},
	{
		"v2 with JWT", "api v2\napplication " + gatewayApplication + "\nprivate_key {file.{folder}/private.key}",
		"api v2\napplication " + gatewayApplication + " {file.{folder}/public.key}",
		[]string{"--psd2", "3"},
		regexp.MustCompile(`^Bearer [\w-]+\.[\w-]+\.[\w-]{300,}$`),
		[]string{"/v2/verify", "/v2/verify/{id}"},
		map[string]string{"/v2/verify/{id}": "DELETE"},
	},
	{
		"v2 with Basic", "api v2\ncredentials " + gatewayKey + " {env.E2E_VERIFY_SECRET}", "api v2\ncredentials " + gatewayKey + " {env.E2E_VERIFY_SECRET}",
		[]string{"--psd2", "3"},
		byBasic,
		[]string{"/v2/verify", "/v2/verify/{id}"},
		map[string]string{"/v2/verify/{id}": "DELETE"},
	},
}

const gatewayApplication = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"

var (
	byBasic = regexp.MustCompile("^Basic " + regexp.QuoteMeta(basic(gatewayKey, gatewaySecret)) + "$")
	uuid    = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// applicationKeys are the files of an application's key, private.key and public.key.
func applicationKeys(t *testing.T) (folder string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	for name, block := range map[string]*pem.Block{"private.key": {Type: "PRIVATE KEY", Bytes: private}, "public.key": {Type: "PUBLIC KEY", Bytes: public}} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestGateway puts a gateway with real credentials between applications and the API, and looks at what leaves it.
func TestGateway(t *testing.T) {
	const code = "1234"
	env := []string{"E2E_VERIFY_SECRET=" + gatewaySecret}
	for _, from := range answered {
		t.Run(from.name, func(t *testing.T) {
			keys := applicationKeys(t)
			private, err := os.ReadFile(filepath.Join(keys, "private.key"))
			if err != nil {
				t.Fatal(err)
			}
			api := freeAddress(t)
			// Fifteen times as fast, the 30 seconds before a verification can be cancelled are two seconds, for a busy machine to be too early in.
			startCaddyfile(t, env, caddyfile(api, `verify_sandbox {
			`+strings.ReplaceAll(from.provider, "{folder}", keys)+`
			code `+code+`
			speed 15
		}`), api)
			upstream := startRecorder(t, "http://"+api)
			gateway := freeAddress(t)
			caddy := startCaddyfile(t, env, caddyfile(gateway, `verify {
			upstream `+upstream.URL+`
			`+strings.ReplaceAll(from.gateway, "{folder}", keys)+`
		}`), gateway)

			secrets := []string{gatewaySecret, basic(gatewayKey, gatewaySecret)}
			for line := range strings.Lines(string(private)) {
				if line = strings.TrimSpace(line); len(line) > 16 {
					secrets = append(secrets, line)
				}
			}
			for _, sdk := range sdks {
				t.Run(sdk.name, func(t *testing.T) {
					before := len(upstream.recorded())
					said := runSDK(t, sdk.name, sdk.number, gateway+sdk.slash, code, 8*time.Second, from.sdk...)
					calls := upstream.recorded()[before:]
					for _, c := range calls {
						secrets = append(secrets, strings.TrimPrefix(c.authorization, "Bearer "))
					}
					for _, secret := range secrets {
						if strings.Contains(said, secret) {
							t.Errorf("the gateway's %q reached an application", secret)
						}
					}
					for _, path := range from.paths {
						if !slices.ContainsFunc(calls, func(c call) bool { return templateOf(c) == path }) {
							t.Errorf("no call of %s reached the API", path)
						}
					}
					for _, c := range calls {
						if !from.authorized.MatchString(c.authorization) {
							t.Errorf("%s %s is authorized by %q", c.method, c.path, c.authorization)
						}
						path := templateOf(c)
						if c.method != http.MethodPost && c.method != from.others[path] || !slices.Contains(from.paths, path) {
							t.Errorf("%s %s: a call that changes something must be a POST", c.method, c.path)
						}
						inspect(t, c)
					}
				})
			}

			caddy.interrupt(t)
			secrets = append(secrets, dummySecret, basic(dummyKey, dummySecret))
			for _, sdk := range sdks {
				secrets = append(secrets, strconv.Itoa(sdk.number), strconv.Itoa(sdk.number+1))
			}
			for _, secret := range secrets {
				if strings.Contains(caddy.output.String(), secret) {
					t.Errorf("the gateway logged %q", secret)
				}
			}
		})
	}
}

// templateOf is the path of a call without the id that may be in it.
func templateOf(c call) string { return uuid.ReplaceAllString(c.path, "{id}") }

// inspect wants nothing in a call that only the application could have put there.
func inspect(t *testing.T, c call) {
	t.Helper()
	for _, own := range []string{dummyKey, dummySecret, basic(dummyKey, dummySecret), appAgent} {
		if strings.Contains(c.everything, own) {
			t.Errorf("%s %s carries the application's %q", c.method, c.path, own)
		}
	}
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// caddyfile is that of a server which does one thing on one loopback address.
func caddyfile(address, directive string) string {
	return fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		default_bind 127.0.0.1
	}
	http://%s {
		%s
	}
	`, address, directive)
}

// runSDK runs sdk/sdk.mjs against an address and returns what it printed.
func runSDK(t *testing.T, sdk string, number int, address, code string, cancelWithin time.Duration, more ...string) string {
	t.Helper()
	if _, err := os.Stat("sdk/node_modules"); err != nil {
		t.Fatalf("the SDKs are not installed; run: npm ci --prefix e2e/sdk (%v)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{
		"sdk/sdk.mjs",
		"--sdk", sdk,
		"--host", "http://" + address,
		"--api-key", dummyKey,
		"--api-secret", dummySecret,
		"--app", appAgent,
		"--number", strconv.Itoa(number),
		"--code", code,
		"--cancel-within", strconv.FormatInt(cancelWithin.Milliseconds(), 10),
	}, more...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", sdk, err, &stdout, &stderr)
	}
	if !strings.HasSuffix(stdout.String(), `{"step":"done"}`+"\n") {
		t.Fatalf("%s ended early:\n%s%s", sdk, &stdout, &stderr)
	}
	return stdout.String() + stderr.String()
}
