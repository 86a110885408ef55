package sandbox

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxLife is how long a JWT may live.
const maxLife = 24 * time.Hour

// is says whether the sandbox answers calls of an API.
func (cfg *Config) is(api string) bool { return slices.Contains(strings.Fields(cfg.API), api) }

// completeV2 checks what v2 has beyond v1.
func (cfg *Config) completeV2() error {
	switch {
	case !slices.Contains([]string{V1, V2, V1 + " " + V2, V2 + " " + V1}, cfg.API):
		return fmt.Errorf("sandbox: api %q is unknown: use v1, v2, or v1 v2 for both", cfg.API)
	case cfg.Application == "" && cfg.PublicKey != "":
		return errors.New("sandbox: the id of application is empty: write the one that JWTs name, or leave out application and its public key")
	case cfg.PublicKey == "" && cfg.Application != "":
		return errors.New("sandbox: the public key of application is empty: write it in PEM, or {file./path} of it, or leave out application")
	case cfg.Application != "" && !cfg.is(V2):
		return errors.New("sandbox: application is for v2, and api is v1: write api v2, or leave out application")
	case cfg.Webhook == "" && cfg.SignatureSecret != "":
		return errors.New("sandbox: the URL of webhook is empty: write the one that is told, or leave out webhook and its signature secret")
	case cfg.SignatureSecret == "" && cfg.Webhook != "":
		return errors.New("sandbox: the signature secret of webhook is empty: write the one that webhooks are signed with, or leave out webhook")
	case cfg.Webhook != "" && !cfg.is(V2):
		return errors.New("sandbox: webhook is for v2, and api is v1: write api v2, or leave out webhook")
	case cfg.Webhook != "" && !isURL(cfg.Webhook):
		return errors.New("sandbox: the URL of webhook cannot be used: write one such as http://localhost:8080/verify/webhook")
	case cfg.is(V2) && cfg.Code != "" && !isCodeV2(cfg.Code):
		return fmt.Errorf("sandbox: code %q cannot be a code of v2: use 4 to 10 letters or digits", cfg.Code)
	}
	return nil
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// parsePublicKey reads an RSA key as openssl writes it. Its errors show nothing of it: it may be a private one.
func parsePublicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, noPublicKey("is not PEM")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		kind := "is PEM of another kind"
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			kind = "is the private one"
		}
		return nil, noPublicKey(kind)
	}
	if err != nil {
		return nil, noPublicKey("is damaged")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, noPublicKey("is no RSA key of 2048 bits or more, which RS256 needs")
	}
	return key, nil
}

func noPublicKey(why string) error {
	return fmt.Errorf("sandbox: the public key of application %s: write what `openssl pkey -in <private key> -pubout` makes of the application's RSA key", why)
}

// authenticate says who calls: application is that of a JWT, "" where there is none.
// Unlike v1, v2 has credentials in the header alone.
func (s *Sandbox) authenticate(c call) (application string, refused *problem) {
	any := s.cfg.APIKey == "" && s.publicKey == nil
	switch {
	case c.v2.bearer != "" && s.publicKey != nil:
		return s.verifyJWT(c.v2.bearer)
	case c.v2.bearer != "" && any:
		return claimedApplication(c.v2.bearer), nil
	case c.apiKey != "" && c.apiSecret != "" && any:
		return "", nil
	case s.cfg.APIKey != "" && c.apiKey == s.cfg.APIKey && subtle.ConstantTimeCompare([]byte(c.apiSecret), []byte(s.cfg.APISecret)) == 1:
		return "", nil
	}
	return "", &unauthorized
}

// claimedApplication is that of a JWT that nobody verifies.
func claimedApplication(token string) string {
	var claims struct {
		Application string `json:"application_id"`
	}
	_, payload, _ := strings.Cut(token, ".")
	payload, _, _ = strings.Cut(payload, ".")
	_ = decodePart(payload, &claims)
	return cmp.Or(claims.Application, "any")
}

// verifyJWT verifies a JWT of the application by the real time, not by the sandbox's
// clock: whoever signed it has no other.
func (s *Sandbox) verifyJWT(token string) (application string, refused *problem) {
	signed, signature, _ := cutLast(token, ".")
	head, payload, found := strings.Cut(signed, ".")
	var header struct{ Alg, Typ string }
	var claims struct {
		Application string   `json:"application_id"`
		IssuedAt    *float64 `json:"iat"`
		Expires     *float64 `json:"exp"`
		ID          string   `json:"jti"`
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if !found || err != nil || !decodePart(head, &header) || !decodePart(payload, &claims) || header.Alg != "RS256" {
		return "", &unauthorized
	}
	sum := sha256.Sum256([]byte(signed))
	if rsa.VerifyPKCS1v15(s.publicKey, crypto.SHA256, sum[:], sig) != nil {
		return "", &badSignature
	}
	now := time.Now()
	seconds := float64(now.UnixNano()) / 1e9
	switch {
	case claims.Application != s.cfg.Application, claims.ID == "", claims.IssuedAt == nil, claims.Expires == nil:
		return "", &unauthorized
	case *claims.IssuedAt > seconds, *claims.Expires > seconds+maxLife.Seconds():
		return "", &unauthorized
	case *claims.Expires <= seconds:
		return "", &jwtExpired
	}
	return claims.Application, nil
}

func decodePart(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
