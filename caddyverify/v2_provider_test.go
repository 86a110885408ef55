package caddyverify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// providerV2 is a sandbox of version 2 that keeps what it was authorized by.
type providerV2 struct {
	*testUpstream
	mu     sync.Mutex
	tokens []string // JWTs, each once
}

// newProviderV2 has the application of applicationKey, and tells hook what the secret signs.
func newProviderV2(t *testing.T, hook, signature string, more ...func(*sandbox.Config)) *providerV2 {
	t.Helper()
	_, public := applicationKey()
	config := sandbox.Config{
		API: sandbox.V2, APIKey: testKey, APISecret: testSecret, Code: testCode, AllowPinCode: true, Limit: -1,
		Application: testApplication, PublicKey: public, Webhook: hook, SignatureSecret: signature,
	}
	for _, change := range more {
		change(&config)
	}
	api, err := sandbox.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &providerV2{testUpstream: &testUpstream{Sandbox: api}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			p.mu.Lock()
			if !slices.Contains(p.tokens, token) {
				p.tokens = append(p.tokens, token)
			}
			p.mu.Unlock()
		}
		p.serve(w, r)
	}))
	t.Cleanup(func() {
		_ = api.Close()
		p.Server.Close()
	})
	return p
}

// seen are the JWTs that came.
func (p *providerV2) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tokens)
}

// dashed is a request_id of version 1 as version 2 has it.
func dashed(id string) string {
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// signature is the JWT of a webhook of now, with claims put in the place of the usual ones.
func signature(secret, body string, claims map[string]any) string {
	sum := sha256.Sum256([]byte(body))
	all := map[string]any{"iss": "Vonage", "iat": time.Now().Unix(), "jti": rand.Text(), "payload_hash": hex.EncodeToString(sum[:]), "api_key": testKey}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// hook is a delivery of a webhook; without a token it is unsigned.
func hook(t *testing.T, url, token, body string) *http.Request {
	t.Helper()
	r := request(t, http.MethodPost, url, "application/json", body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// summary tells how a verification has ended.
func summary(id, status string) string {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return `{"request_id":"` + dashed(id) + `","submitted_at":"` + now + `","status":"` + status + `","type":"summary","channel_timeout":180,` +
		`"workflow":[{"channel":"sms","initiated_at":"` + now + `","status":"` + status + `"}],"price":"0.10000000","finalized_at":"` + now + `"}`
}
