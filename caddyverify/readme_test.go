package caddyverify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// readmeBlocks are the configurations that README.md shows under a heading.
func readmeBlocks(t *testing.T, heading string) []string {
	t.Helper()
	content, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(content), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	blocks := strings.Split(section, "```caddyfile\n")[1:]
	if !found || len(blocks) == 0 {
		t.Fatalf("README.md shows no configuration under %q", heading)
	}
	for i, block := range blocks {
		blocks[i], _, _ = strings.Cut(block, "```")
	}
	return blocks
}

// replace wants the text to be there.
func replace(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q in %s", old, text)
	}
	return strings.ReplaceAll(text, old, replacement)
}

// TestReadmeOnCallers runs what README.md says of client certificates, forward_auth
// and load balancers.
func TestReadmeOnCallers(t *testing.T) {
	folder := t.TempDir()
	blocks := readmeBlocks(t, "Who calls")
	if len(blocks) != 4 {
		t.Fatalf("README.md shows %d configurations, the test knows 4", len(blocks))
	}
	byCertificate, byHeader, servers, outside := blocks[0], blocks[1], blocks[2], blocks[3]
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Remote-User", "login") }))
	t.Cleanup(auth.Close)
	byHeader = replace(t, byHeader, "auth.internal:9091", strings.TrimPrefix(auth.URL, "http://"))
	servers = replace(t, servers, "10.0.1.0/24", "127.0.0.1/32")
	certificate := newCertificate(t, folder)

	u := newUpstream(t)
	mtls, forward, balanced := freeAddress(t), freeAddress(t), freeAddress(t)
	mtls = "https://" + replace(t, mtls, "127.0.0.1", "localhost")
	verify := "\nverify {\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\nlimit off\n}\n}\n"
	log := filepath.Join(folder, "log")
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nauto_https disable_redirects\nskip_install_trust\ndefault_bind 127.0.0.1\nstorage file_system " + folder + "\n" + servers +
		"log default {\nlevel DEBUG\nformat json\noutput file " + log + "\n}\n}\n" +
		mtls + " {\ntls " + folder + "/cert.pem " + folder + "/key.pem {\nclient_auth {\nmode require_and_verify\ntrust_pool file {\npem_file " + folder + "/cert.pem\n}\n}\n}\n" + byCertificate + verify +
		"http://" + forward + " {\n" + byHeader + verify +
		"http://" + balanced + " {\n" + outside + "respond @outside 403" + verify)
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })

	search := func(client *http.Client, url string, header http.Header) int {
		t.Helper()
		r := request(t, http.MethodGet, url+"/verify/search/json?request_id=a", "", "")
		r.Header = header
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	callers := func() string {
		content, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	withCertificate := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true,
	}}}
	defer withCertificate.CloseIdleConnections()
	if code := search(withCertificate, mtls, http.Header{}); code != http.StatusOK || !strings.Contains(callers(), `"caller":"CN=shop,O=Acme"`) {
		t.Errorf("by certificate: %d, and the log has\n%s", code, callers())
	}
	// The client's own idea of who it is does not count.
	if code := search(http.DefaultClient, "http://"+forward, http.Header{"Remote-User": {"somebody-else"}}); code != http.StatusOK ||
		!strings.Contains(callers(), `"caller":"login"`) || strings.Contains(callers(), `"caller":"somebody-else"`) {
		t.Errorf("by forward_auth: %d, and the log has\n%s", code, callers())
	}
	for forwarded, want := range map[string]int{
		"10.1.2.3":               http.StatusOK,
		"203.0.113.7":            http.StatusForbidden,
		"10.1.2.3, 203.0.113.7":  http.StatusForbidden, // the first is what the client wrote
		"203.0.113.7, 10.1.2.30": http.StatusOK,
	} {
		if code := search(http.DefaultClient, "http://"+balanced, http.Header{"X-Forwarded-For": {forwarded}}); code != want {
			t.Errorf("behind a balancer, for %s: %d, want %d", forwarded, code, want)
		}
	}
}

// TestReadmeOnBasicAuth has two callers that Caddy tells apart by their passwords. Neither gets what the other was
// told.
func TestReadmeOnBasicAuth(t *testing.T) {
	const hash = "$2a$04$Zkzs1FLR6SSk0EMfrN6kFu9XHaD4jX3JBFqLKwUIvHs12IKw71Kii" // of "password", cheaply
	u, site := newUpstream(t), freeAddress(t)
	option, logged := logFile(t)
	option = strings.Replace(option, "{\n", "{\nlevel DEBUG\n", 1)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + option + "}\nhttp://" + site + " {\nbasic_auth {\nshop " + hash + "\nlogin " + hash + "\n}\n" +
		"verify {\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\nlimit off\ncache {\nin_progress 1h\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	call := func(user, path string) reply {
		t.Helper()
		r := request(t, http.MethodGet, "http://"+site+path, "", "")
		r.Header.Set("Idempotency-Key", "the-same")
		if user != "" {
			r.SetBasicAuth(user, "password")
		}
		return do(t, r)
	}
	begin := "/verify/json?brand=Acme&number=" + testNumber
	if got := call("", begin); got.StatusCode != http.StatusUnauthorized || len(u.Calls()) != 0 {
		t.Errorf("a stranger gets %d, and %d calls went upstream", got.StatusCode, len(u.Calls()))
	}
	id := call("shop", begin).field("request_id")
	for user, status := range map[string]string{"shop": "0", "login": "10"} { // 10 is the provider's answer
		if got := call(user, begin); got.field("status") != status {
			t.Errorf("the repetition of %s gets %s", user, got.body)
		}
	}
	search := "/verify/search/json?request_id=" + id
	for _, step := range []struct{ user, want string }{
		{"shop", "caddy-verify; fwd=miss; stored"}, {"shop", "caddy-verify; hit; ttl=3"}, {"login", "caddy-verify; fwd=miss; stored"},
	} {
		if got := call(step.user, search); !strings.HasPrefix(got.Header.Get("Cache-Status"), step.want) {
			t.Errorf("the search of %s: %s", step.user, got.Header.Get("Cache-Status"))
		}
	}
	for _, user := range []string{"shop", "login"} {
		if !strings.Contains(logged(), `"caller":"`+user+`"`) {
			t.Errorf("the log does not name %s", user)
		}
	}
}

// TestReadmeOnOtherProducts keeps other products of the provider on the provider.
func TestReadmeOnOtherProducts(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Was", r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(provider.Close)
	blocks := readmeBlocks(t, "SDKs")
	if _, err := adaptCaddyfile("http:// {\n@other not path /verify/*\n" + blocks[0] + "}"); err != nil {
		t.Fatal(err)
	}
	u, site := newUpstream(t), freeAddress(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n}\nhttp://" + site + " {\n@other not path /verify/* /metrics\n" +
		replace(t, blocks[0], "https://api.nexmo.com", provider.URL) + "verify {\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	r := request(t, http.MethodPost, "http://"+site+"/v2/verify", "application/json", "{}")
	r.Header.Set("Authorization", "Bearer of-the-application")
	if got := do(t, r); got.Header.Get("X-Was") != "/v2/verify Bearer of-the-application" {
		t.Errorf("another product's call: %d, the provider saw %q", got.StatusCode, got.Header.Get("X-Was"))
	}
	if got := postForm(t, "http://"+site+"/verify/json", "number="+testNumber+"&brand=Acme"); got.field("status") != "0" {
		t.Errorf("a request: %s", got.body)
	}
}

// newCertificate is one for server and client, which is its own CA, also as cert.pem
// and key.pem.
func newCertificate(t *testing.T, folder string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop", Organization: []string{"Acme"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": private} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
