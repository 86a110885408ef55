package caddyverify

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestDocumentedConfiguration loads the example of docs/configuration.md and calls it as each of its callers.
func TestDocumentedConfiguration(t *testing.T) {
	content, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(content), "```caddyfile\n")
	example, _, _ = strings.Cut(example, "```")
	if !found {
		t.Fatal("there is no example")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{
		"shop_key": "shopkey1", "shop_secret": testSecret, "login_key": "loginkey", "login_secret": testSecret,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login := newCertificate(t, folder)
	shopAPI, shop := newProvider(t, "shopkey1")
	loginAPI, logins := newProvider(t, "loginkey")
	plain, secure, monitoring := freeAddress(t), freeAddress(t), freeAddress(t)
	for old, replacement := range map[string]string{
		"admin unix//run/caddy/admin.sock|0600": "admin off\npersist_config off\nskip_install_trust\nstorage file_system " + folder,
		"/run/secrets/":                         folder + "/",
		"account shop {\n\t\t\tcred":            "account shop {\n\t\t\tupstream " + shop.URL + "\n\t\t\tcred",
		"account login {\n\t\t\tcred":           "account login {\n\t\t\tupstream " + logins.URL + "\n\t\t\tcred",
		"CN=login-*,O=Acme":                     "CN=sh*,O=Acme",
		"http://verify.internal:8080":           "http://" + plain,
		"http://verify.internal:9180":           "http://" + monitoring,
		"remote_ip 10.0.9.1":                    "remote_ip 127.0.0.1",
		"https://verify.internal:8443":          "https://" + strings.Replace(secure, "127.0.0.1", "localhost", 1),
		"/etc/caddy/verify.pem":                 folder + "/cert.pem",
		"/etc/caddy/verify.key":                 folder + "/key.pem",
		"/etc/caddy/company-ca.pem":             folder + "/cert.pem",
		"$2a$14$":                               "$2a$04$",
	} {
		example = replace(t, example, old, replacement)
	}
	config, err := adaptCaddyfile(example)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), `"disable_redirects":true`) {
		t.Error("it takes port 80, too, which a gateway without rights cannot")
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })

	clients := map[string]*http.Client{"plain": http.DefaultClient, "secure": {Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{login}, InsecureSkipVerify: true,
	}}}}
	t.Cleanup(clients["secure"].CloseIdleConnections)
	base := map[string]string{"plain": "http://" + plain, "secure": "https://" + strings.Replace(secure, "127.0.0.1", "localhost", 1)}
	call := func(site, user, path string, form url.Values) reply {
		t.Helper()
		r := request(t, http.MethodPost, base[site]+path, "application/x-www-form-urlencoded", form.Encode())
		if user != "" {
			r.SetBasicAuth(user, "password")
		}
		return doBy(t, clients[site], r)
	}
	start := func(site, user, number string) string {
		t.Helper()
		answer := call(site, user, "/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})
		if answer.field("status") != "0" {
			t.Fatalf("%s %s is answered with %d %s", site, user, answer.StatusCode, answer.body)
		}
		return answer.field("request_id")
	}
	mine, others := start("plain", "checkout", "447700900001"), start("secure", "", "447700900002")
	for id, api := range map[string]*sandbox.Sandbox{mine: shopAPI, others: loginAPI} {
		if _, ok := api.Verification(id); !ok {
			t.Errorf("%s was not started with its caller's account", id)
		}
	}
	if answer := call("plain", "newsletter", "/verify/search/json", url.Values{"request_id": {mine}}); answer.field("status") != "101" {
		t.Errorf("another caller reads %s", answer.body)
	}
	if answer := call("plain", "checkout", "/verify/search/json", url.Values{"request_id": {mine}}); answer.field("status") != "IN PROGRESS" {
		t.Errorf("the caller itself reads %s", answer.body)
	}
	if answer := call("plain", "stranger", "/verify/search/json", url.Values{"request_id": {mine}}); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("whom Caddy does not know reads %d %s", answer.StatusCode, answer.body)
	}
	if answer := get(t, base["plain"]+"/metrics"); strings.Contains(answer.body, "verify_") {
		t.Error("applications read the metrics, by which callers can be told apart")
	}
	var metrics string
	for !strings.Contains(metrics, `caller="newsletter",operation="search"} 1`) && t.Context().Err() == nil { // within a second
		metrics = get(t, "http://"+monitoring+"/metrics").body
		time.Sleep(50 * time.Millisecond)
	}
	for _, want := range []string{
		`verify_caller_verifications_started_total{account="key1@` + strings.TrimPrefix(shop.URL, "http://") + `",caller="checkout"} 1`,
		`verify_caller_isolated_total{account="key1@` + strings.TrimPrefix(shop.URL, "http://") + `",caller="newsletter",operation="search"} 1`,
		`verify_caller_requests_total{account="nkey@` + strings.TrimPrefix(logins.URL, "http://") + `",caller="login",operation="request",status="0"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
}

// newProvider is the API of one account.
func newProvider(t *testing.T, key string) (*sandbox.Sandbox, *httptest.Server) {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{APIKey: key, APISecret: testSecret, Code: testCode, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, server
}
