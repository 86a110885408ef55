package webhook

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Settings say whose webhooks are taken.
type Settings struct {
	// Key is the account's api_key. Webhooks that name another one are refused. Default: any.
	Key string
	// Application is the id of the account's application, in either case. Webhooks that name another
	// one are refused. Default: any.
	Application string
	// Secrets are the account's signature secrets: the one in use, and the next one while the
	// provider changes over.
	Secrets []string
	// Window is how long ago a webhook may have been signed, and how much later than now by the
	// clock here. Default: 5m.
	Window time.Duration
	// Seen are the webhooks that were taken, for all Verifiers that have it. Default: its own.
	Seen *Seen
}

// MinSecret is the least length of a signature secret, in bytes: HMAC keys that can be tried out are
// none.
const MinSecret = 16

const (
	defaultWindow = 5 * time.Minute
	// leeway is how much clocks may differ where a webhook says until when it is valid.
	leeway = time.Minute
	// maxToken is the longest token, in bytes. Real ones are under 1 KiB.
	maxToken = 8 << 10
)

// Verifier takes the webhooks of one account. It is safe for concurrent use.
type Verifier struct {
	key, application string
	window           time.Duration
	// macs sign with each secret. They are functions, since nothing prints what these hold.
	macs []func(text string) []byte
	seen *Seen
}

// New returns a Verifier. Its errors name no secret.
func New(s Settings) (*Verifier, error) {
	if len(s.Secrets) == 0 {
		return nil, errors.New("there is no signature secret")
	}
	v := &Verifier{key: s.Key, application: s.Application, window: s.Window, seen: s.Seen}
	if v.window <= 0 {
		v.window = defaultWindow
	}
	if v.seen == nil {
		v.seen = newSeen(2*v.window, maxSeen)
	}
	return v.With(s.Secrets...)
}

// With returns a Verifier for other secrets, and else the same: what either has taken the other does
// not take again.
func (v *Verifier) With(secrets ...string) (*Verifier, error) {
	v = &Verifier{key: v.key, application: v.application, window: v.window, seen: v.seen}
	for i, secret := range secrets {
		if len(secret) < MinSecret {
			return nil, fmt.Errorf("signature secret %d has fewer than %d characters", i+1, MinSecret)
		}
		key := []byte(secret)
		v.macs = append(v.macs, func(text string) []byte {
			h := hmac.New(sha256.New, key)
			_, _ = h.Write([]byte(text))
			return h.Sum(nil)
		})
	}
	return v, nil
}

// token is one that was accepted.
type token struct {
	id      string // the same for a token that comes again
	payload *string
}

// claims are those of a token that matter. Times are in seconds since 1970.
type claims struct {
	IssuedAt  *float64 `json:"iat"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	ID        string   `json:"jti"`
	Key       *string  `json:"api_key"`
	// Application is the id of one.
	Application *string `json:"application_id"`
	// Payload is the hexadecimal SHA-256 of the body.
	Payload *string `json:"payload_hash"`
}

// token checks the signature and the claims, but for what they say about the body.
func (v *Verifier) token(h http.Header) (t token, err error) {
	values := h.Values("Authorization")
	if len(values) == 0 || values[0] == "" {
		return t, ErrUnsigned
	}
	refused := func(why string) (token, error) { return token{}, fmt.Errorf("%w: %s", ErrSignature, why) }
	scheme, text, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "bearer") || len(text) > maxToken {
		return refused("there is no bearer token")
	}
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 {
		return refused("it is no token")
	}
	var header struct {
		Algorithm string `json:"alg"`
		Critical  any    `json:"crit"`
	}
	// One algorithm and no other: what a token says of itself must not choose how it is read.
	if !decode(parts[0], &header) || header.Algorithm != "HS256" || header.Critical != nil {
		return refused("it is of another kind")
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || !v.signed(parts[0]+"."+parts[1], signature) {
		return refused("it is signed with another secret; look whether signature_secret is that of the provider's dashboard")
	}
	var c claims
	if !decode(parts[1], &c) {
		return refused("its claims cannot be read")
	}
	if c.Key != nil && v.key != "" && *c.Key != v.key {
		return refused("it is of another account than that of credentials")
	}
	if c.Application != nil && v.application != "" && !strings.EqualFold(*c.Application, v.application) {
		return refused("it is of another application than that of the account")
	}
	if !v.current(&c, time.Now()) {
		return refused("it is not of now; look at this machine's clock")
	}
	return token{id: cmp.Or(c.ID, string(signature)), payload: c.Payload}, nil
}

// decode reads a part of a token. A name that comes twice, or in other letters, is not read.
func decode(part string, into any) bool {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

func (v *Verifier) signed(text string, signature []byte) bool {
	right := 0
	for _, mac := range v.macs {
		right |= subtle.ConstantTimeCompare(mac(text), signature)
	}
	return right == 1
}

// current tells whether the token was made just now and is valid.
func (v *Verifier) current(c *claims, now time.Time) bool {
	seconds := float64(now.UnixMilli()) / 1000
	if c.IssuedAt == nil || *c.IssuedAt < seconds-v.window.Seconds() || *c.IssuedAt > seconds+v.window.Seconds() {
		return false
	}
	return (c.Expires == nil || *c.Expires > seconds-leeway.Seconds()) &&
		(c.NotBefore == nil || *c.NotBefore < seconds+leeway.Seconds())
}

// covers tells whether the token is of a body, where it says that.
func (t *token) covers(body []byte) bool {
	if t.payload == nil {
		return true
	}
	said, err := hex.DecodeString(*t.payload)
	sum := sha256.Sum256(body)
	return err == nil && subtle.ConstantTimeCompare(sum[:], said) == 1
}
