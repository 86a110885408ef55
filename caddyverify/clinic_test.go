package caddyverify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// clinic is Caddyfile.example with a sandbox over TLS, and what a test has go wrong.
type clinic struct {
	folder, key, secret, ca string // files
	upstream, admin         string
	requests                atomic.Int32 // that the sandbox got

	config map[string]string // what to replace in Caddyfile.example
	whole  string            // in place of Caddyfile.example
	env    map[string]string

	// Of the sandbox: its certificate, its faults, and what else is done to its answers.
	certificate func(*x509.Certificate)
	faults      []string
	api         string // default: v1
	publicKey   string // of an application
	spoil       func(http.Header)
}

const doctorKey = "canarykey"

// file writes one into the folder and returns its path.
func (c *clinic) file(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(c.folder, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{folder: t.TempDir(), admin: freeAddress(t), env: map[string]string{}}
	c.key = c.file(t, "key", doctorKey+"\n", 0o600)
	c.secret = c.file(t, "secret", canarySecret+"\n", 0o600)
	c.ca = filepath.Join(c.folder, "ca.pem")
	return c
}

// serve starts the sandbox.
func (c *clinic) serve(t *testing.T) {
	t.Helper()
	config := sandbox.Config{API: c.api, APIKey: doctorKey, APISecret: canarySecret, Faults: sandboxFaults(t, c.faults)}
	if c.publicKey != "" {
		config.Application, config.PublicKey = testApplication, c.publicKey
	}
	api, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		if c.spoil != nil {
			c.spoil(w.Header())
		}
		api.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c.certify(t)}}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	c.upstream = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

func sandboxFaults(t *testing.T, lines []string) (faults []sandbox.Fault) {
	t.Helper()
	for _, line := range lines {
		fault, err := sandbox.ParseFault(line)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, fault)
	}
	return faults
}

// certify makes the sandbox's certificate, which is its own issuer.
func (c *clinic) certify(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Inspecting Proxy CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if c.certificate != nil {
		c.certificate(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c.file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// transportBlock is what Caddyfile.example shows of a transport.
const transportBlock = "# transport http {\n\t\t# \tnetwork_proxy url http://proxy.internal:3128\n\t\t# \tkeepalive 30s\n\t\t# }"

// examine has the doctor look at it, and returns what it finds and all that is printed.
func (c *clinic) examine(t *testing.T) (found []doctor.Finding, printed string) {
	t.Helper()
	if c.upstream == "" {
		c.serve(t)
	}
	replace := map[string]string{
		"{file./run/secrets/vonage_api_key}":    "{file." + c.key + "}",
		"{file./run/secrets/vonage_api_secret}": "{file." + c.secret + "}",
		"https://api.nexmo.com":                 c.upstream,
		transportBlock:                          "transport http {\n\t\t\ttls_trust_pool file " + c.ca + "\n\t\t}",
		"log default {":                         "admin " + c.admin + "\n\tlog default {",
	}
	maps.Copy(replace, c.config)
	text := c.whole
	if text == "" {
		example, err := os.ReadFile("../Caddyfile.example")
		if err != nil {
			t.Fatal(err)
		}
		text = string(example)
	}
	for old, replacement := range replace {
		if !strings.Contains(text, old) && c.whole == "" {
			t.Fatalf("Caddyfile.example has no %q any more", old)
		}
		text = strings.Replace(text, old, replacement, 1)
	}
	for name, value := range c.env {
		t.Setenv(name, value)
	}
	e := examination{config: c.file(t, "Caddyfile", text, 0o600), autosave: filepath.Join(c.folder, "autosave.json"), getenv: func(name string) string { return c.env[name] }}
	if err := quietCaddy(); err != nil {
		t.Fatal(err)
	}
	e.run(t.Context())
	var lines, document bytes.Buffer
	if err := e.report.WriteText(&lines); err != nil {
		t.Fatal(err)
	}
	if err := e.report.WriteJSON(&document); err != nil {
		t.Fatal(err)
	}
	var read struct{ Findings []doctor.Finding }
	if err := json.Unmarshal(document.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	return read.Findings, lines.String() + document.String()
}

// clean has nothing in sight of what must not be shown.
func clean(t *testing.T, printed string) {
	t.Helper()
	for _, canary := range []string{canarySecret, canaryNext, proxyPassword, testNumber} {
		if strings.Contains(printed, canary) {
			t.Errorf("%s is shown:\n%s", canary, printed)
		}
	}
}

// v2 has calls answered from version 2, with more settings.
func (c *clinic) v2(more string) {
	c.api = "v1 v2"
	c.config["timeout 10s"] = "timeout 10s\n\t\tapi v2 {\n\t\t\tdrain v1\n\t\t}\n" + more
}

// signed has calls signed by an application's key.
func (c *clinic) signed(public, private string) {
	c.api, c.publicKey = "v2", public
	c.config["timeout 10s"] = "timeout 10s\n\t\tapi v2\n\t\tapplication " + testApplication + "\n\t\tprivate_key " + private
}

// next adds a second secret.
func (c *clinic) next(t *testing.T, secret string) {
	t.Helper()
	c.config["# next_credentials {file./run/secrets/vonage_api_key} {file./run/secrets/vonage_next_secret}"] = "next_credentials " + doctorKey + " {file." + c.file(t, "next", secret, 0o600) + "}"
}

// proxy has calls go through one.
func (c *clinic) proxy(t *testing.T, url string) {
	t.Helper()
	c.config[transportBlock] = "transport http {\n\t\t\ttls_trust_pool file " + c.ca + "\n\t\t\tnetwork_proxy url " + url + "\n\t\t}"
}
