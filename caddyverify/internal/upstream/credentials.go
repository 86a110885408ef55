package upstream

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// credentials are the key with one secret and all that is made of them, ahead and once:
// an attempt takes one value of it, and so never one secret in its header and another in
// its body.
type credentials struct {
	// requests are what all calls of an operation by a method have in common. What they
	// point to is shared: the transport only reads it, as http.RoundTripper demands.
	requests map[string]*[len(wire.Operations)][len(wire.Formats)]*http.Request
	// parameters are what those by a method end with.
	parameters map[string]string
}

func (c *Client) credentialsWith(secret Secret) (*credentials, error) {
	made := &credentials{parameters: map[string]string{}}
	parameters := url.Values{"api_key": {c.Key}, "api_secret": {secret.value}}.Encode()
	if c.Auth != Basic {
		made.parameters[http.MethodGet] = "&" + parameters
	}
	if c.Auth == Body {
		made.parameters[http.MethodPost] = "&" + parameters
	}
	made.requests = map[string]*[len(wire.Operations)][len(wire.Formats)]*http.Request{http.MethodGet: {}, http.MethodPost: {}}
	for method, requests := range made.requests {
		for _, o := range wire.Operations {
			for _, f := range o.Formats() {
				target, err := url.Parse(strings.TrimSuffix(c.URL, "/") + wire.Path(o, f))
				if err != nil {
					return nil, errors.New("the upstream is not a URL")
				}
				if c.Auth == Query && method == http.MethodPost {
					target.RawQuery = parameters
				}
				requests[o][f] = c.template(method, target, f, secret)
			}
		}
	}
	return made, nil
}

func (c *Client) template(method string, target *url.URL, f wire.Format, secret Secret) *http.Request {
	r := &http.Request{
		Method: method,
		URL:    target,
		Host:   target.Host,
		Header: http.Header{
			"Accept":     {f.ContentType()},
			"User-Agent": {version.UserAgent()},
			// An answer must be read before it is passed on, and a compressed one can be
			// a bomb.
			"Accept-Encoding": {"identity"},
		},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.Auth == Basic {
		r.SetBasicAuth(c.Key, secret.value)
	}
	return r
}

// credentialsFor are those that an attempt is made with.
func (c *Client) credentialsFor(attempt wire.Attempt) *credentials {
	if attempt.Secret == wire.NextSecret && c.next != nil {
		return c.next
	}
	return c.first
}

// Sum tells the secrets of two configurations apart without showing them.
func (c *Config) Sum() [sha256.Size]byte {
	first := c.Secret.sum()
	if c.Next.None() {
		return first
	}
	next := c.Next.sum()
	return sha256.Sum256(append(first[:], next[:]...))
}
