package webhook

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	secret = "a signature secret of the account"
	key    = "abcdef01"
	event  = `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","triggered_at":"2026-01-01T14:00:00.000Z","type":"event","channel":"voice","status":"completed","finalized_at":"2026-01-01T14:00:09.000Z"}`
)

func verifier(t testing.TB, secrets ...string) *Verifier {
	t.Helper()
	v, err := New(Settings{Key: key, Application: "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", Secrets: append(secrets, secret)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// said is what a token has.
type said map[string]any

// claim are the claims of the provider's tokens for a body, with others instead; nil is for none.
func claim(body string, others said) said {
	sum := sha256.Sum256([]byte(body))
	c := said{
		"iat": time.Now().Unix(), "jti": rand.Text(), "iss": "Vonage",
		"payload_hash": hex.EncodeToString(sum[:]), "api_key": key, "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
	}
	maps.Copy(c, others)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

func part(x any) string {
	text, ok := x.(string)
	if !ok {
		b, _ := json.Marshal(x)
		text = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func header(alg string) said { return said{"alg": alg, "typ": "JWT"} }

// sign makes a token as the provider does, whatever it says.
func sign(header, claims any, secret string) string {
	text := part(header) + "." + part(claims)
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func signRSA(t testing.TB, claims any) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := part(header("RS256")) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func post(body, authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/verify", strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func signed(body string) *http.Request {
	return post(body, "Bearer "+sign(header("HS256"), claim(body, nil), secret))
}
