package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const testSignature = "signature-secret"

// receiver takes webhooks in place of a network, and answers with codes, one after
// another, and then 204.
type receiver struct {
	mu    sync.Mutex
	codes []int // 0: no answer
	got   []received
}

type received struct {
	at     time.Time
	token  string
	body   string
	claims claims
	signed bool // with the right secret
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	got := received{at: time.Now(), body: string(body)}
	got.token = strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
	if parts := strings.Split(got.token, "."); len(parts) == 3 {
		mac := hmac.New(sha256.New, []byte(testSignature))
		mac.Write([]byte(parts[0] + "." + parts[1]))
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		got.signed = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) == parts[2] && string(header) == `{"alg":"HS256","typ":"JWT"}`
		if err := json.Unmarshal(payload, &got.claims); err != nil {
			return nil, err
		}
	}
	r.got = append(r.got, got)
	code := http.StatusNoContent
	if len(r.codes) > 0 {
		code, r.codes = r.codes[0], r.codes[1:]
	}
	if code == 0 || q.Method != http.MethodPost || q.URL.String() != "https://gateway.example/webhook" || q.Header.Get("Content-Type") != "application/json" {
		return nil, errors.New("no answer")
	}
	return &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{}}, nil
}

// take gives what came since it was called last, once all is quiet.
func (r *receiver) take() []received {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// bodies are what came, each with a fixed request_id.
func bodies(all []received) string {
	var b strings.Builder
	for _, r := range all {
		b.WriteString(uuidPattern.ReplaceAllString(r.body, "ID") + "\n")
	}
	return b.String()
}

// withWebhooks is a sandbox that tells a receiver, in a bubble where it is 2000-01-01.
func withWebhooks(t *testing.T, cfg Config) (*Sandbox, *receiver) {
	t.Helper()
	r := new(receiver)
	cfg.API, cfg.Webhook, cfg.SignatureSecret, cfg.Transport = V2, "https://gateway.example/webhook", testSignature, r
	cfg.Application, cfg.PublicKey = testApplication, publicPEM(testSigner())
	s := newSandbox(t, cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s, r
}

// beginTold starts a verification by JWT.
func beginTold(t *testing.T, s *Sandbox, body string) string {
	t.Helper()
	w := askBearer(s, "POST", "/v2/verify", sign(t, testSigner(), headerRS256, goodClaims()), body)
	if w.Code != http.StatusAccepted {
		t.Fatalf("no verification: %d %s", w.Code, w.Body)
	}
	return fields(t, w.Body.String())["request_id"]
}
