package v2

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

const (
	// tokenLife is how long a token is valid, the same as that of the SDKs' tokens, and tokenUse how long it is
	// used: the provider's clock may be ahead.
	tokenLife = 15 * time.Minute
	tokenUse  = 10 * time.Minute
	// tokenBefore is how long before now a token says to be issued: the provider's clock may
	// be behind.
	tokenBefore = 5 * time.Second
	// renewEvery is the least time between two renewals. Where a clock is wrong, every token
	// is refused, and a signature for each call would only cost time.
	renewEvery = time.Minute
)

// JWT makes the tokens of an application (RS256), each of which serves for ten minutes whatever
// the load.
type JWT struct {
	application string
	key         *rsa.PrivateKey
	live        *upstream.Live

	mu      sync.Mutex
	token   upstream.Secret
	made    time.Time // by the wall clock, which goes on while a machine sleeps
	renewed time.Time
	letGo   func(after time.Duration) // of live
	closed  bool
}

// NewJWT returns the JWT of an application with its private key: RSA of 2048 bits or more, in
// PEM. The tokens in use are among live.
func NewJWT(application string, key upstream.Secret, live *upstream.Live) (*JWT, error) {
	if uuid(application) == "" {
		return nil, errors.New("the application's id is not a UUID: take it from the provider's dashboard, where it is beside the application's name")
	}
	private, err := key.RSA()
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be used: %w", err)
	}
	return &JWT{application: application, key: private, live: live}, nil
}

// Format implements fmt.Formatter, so that no verb prints the key.
func (*JWT) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("JWT")) }

// Authorize implements Authorizer.
func (j *JWT) Authorize(h http.Header) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	age := time.Now().Round(0).Sub(j.made)
	if j.token.None() || age < 0 || age >= tokenUse { // below 0, the clock was set back
		if err := j.sign(); err != nil {
			return err
		}
	}
	j.token.Bearer(h)
	return nil
}

// Renew implements Authorizer.
func (j *JWT) Renew(refused string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.token.None() {
		return true
	}
	used := http.Header{}
	j.token.Bearer(used)
	if used.Get("Authorization") != refused {
		return true // another call was told before
	}
	now := time.Now().Round(0)
	if since := now.Sub(j.renewed); since >= 0 && since < renewEvery || j.sign() != nil {
		return false
	}
	j.renewed = now
	return true
}

// Close has live let go of the token, some time after. What signs later is under way still, and its
// token is let go as soon as its time is over.
func (j *JWT) Close(after time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.letGo != nil {
		j.letGo(after)
		j.letGo = nil
	}
}

// sign makes a new token. The caller holds j.mu.
func (j *JWT) sign() error {
	now := time.Now().Round(0)
	issued := now.Add(-tokenBefore)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode([]byte(
		`{"application_id":"`+uuid(j.application)+`","iat":`+strconv.FormatInt(issued.Unix(), 10)+
			`,"exp":`+strconv.FormatInt(issued.Add(tokenLife).Unix(), 10)+`,"jti":"`+uuid(hex.EncodeToString(id))+`"}`))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, j.key, crypto.SHA256, sum[:])
	if err != nil {
		return errors.New("the private key does not sign")
	}
	if j.letGo != nil {
		j.letGo(tokenLife) // calls that began with the old token may still be under way
	}
	j.token, j.made = upstream.NewSecret(signed+"."+encode(signature)), now
	letGo := j.live.Add(j.token)
	if j.letGo = letGo; j.closed {
		letGo(tokenLife)
		j.letGo = nil
	}
	return nil
}
