package v2

import (
	"fmt"
	"net/http"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// Authorizer puts credentials into requests.
type Authorizer interface {
	// Authorize sets the header Authorization.
	Authorize(h http.Header) error
	// Renew is told that the provider takes an Authorization for expired. It reports whether
	// the next Authorize gives another one.
	Renew(refused string) bool
}

// Basic are the account's api_key and a secret of it, by HTTP Basic.
func Basic(key string, secret upstream.Secret) Authorizer { return basic{key, secret} }

type basic struct {
	key    string
	secret upstream.Secret
}

// Format implements fmt.Formatter, so that no verb prints the secret.
func (basic) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("Basic")) }

func (b basic) Authorize(h http.Header) error {
	b.secret.Basic(h, b.key)
	return nil
}

func (basic) Renew(string) bool { return false }
