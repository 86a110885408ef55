package redis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

const userPassword = "Password-of-the-user"

// TestUser has the contract kept for a user with no more rights than docs/configuration.md says.
func TestUser(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile("`(~verify:[^`]+)`").FindSubmatch(page)
	if rights == nil {
		t.Fatal("docs/configuration.md does not say what rights a user needs")
	}
	args := append([]string{"--user", "verify", "on", ">" + userPassword}, strings.Fields(string(rights[1]))...)
	s := newServer(t, append(args, "--user", "default", "on", "nopass", "~*", "&*", "+@all")...)
	o := options{addresses: []string{s.address()}, prefix: "verify", username: "verify", password: userPassword, patient: true}
	runContract(t, dialTest(t, o), dialTest(t, o))
	t.Cleanup(func() {
		admin := s.admin()
		log, err := admin.Do(context.Background(), admin.B().AclLog().Count(10).Build()).ToArray() // the test's own is over
		if err != nil || len(log) > 0 {
			t.Errorf("the server has refused %v, %v", log, err)
		}
	})
}

// TestTLS has a server with a certificate of a company's own, and one that nobody knows.
func TestTLS(t *testing.T) {
	t.Setenv("STORE_KEY", encryptionKey)
	folder, port := t.TempDir(), freePort(t)
	certify(t, folder)
	newServer(t, "--tls-port", port, "--tls-cert-file", folder+"/cert.pem", "--tls-key-file", folder+"/key.pem", "--tls-auth-clients", "no")
	answers := func(ca string) (*store.Shared, func() bool) {
		s := &Store{Addresses: []string{"127.0.0.1:" + port}, TLS: &TLS{CA: ca}, EncryptionKeys: []string{"{env.STORE_KEY}"}}
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Cleanup() })
		shared, done, err := s.Open("account", "gateway")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		return shared, func() bool {
			_, err := shared.Beat(t.Context(), store.Pulse{})
			return err == nil
		}
	}
	_, good := answers(folder + "/cert.pem")
	eventually(t, back, "a call over TLS", good)
	stranger, bad := answers("")
	eventually(t, back, "a certificate refused", func() bool {
		why := stranger.Stats().Why
		return bad() || why != nil && strings.Contains(why.Error(), "certificate")
	})
	if bad() {
		t.Error("a server is trusted whose certificate nobody knows")
	}
}

// certify makes a certificate that is its own issuer.
func certify(t *testing.T, folder string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
