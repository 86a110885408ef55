package relay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MinSecret is the least length of a secret, in bytes: that of the hash (RFC 7518, section 3.2).
const MinSecret = 32

// Target is where an application takes webhooks. It is safe for concurrent use.
type Target struct {
	url   string
	place string // without what may be a secret
	// mac is a function, since nothing prints what it holds.
	mac atomic.Pointer[func(text string) []byte]

	mu     sync.Mutex
	broken bool      // and that was told
	told   time.Time // when last
}

// tellEvery is how often at most one target's trouble is told of.
const tellEvery = time.Minute

// String tells where the target is: host and path, since a query may hold a secret.
func (t *Target) String() string { return t.place }

// Breaks notes that a try failed, and reports whether to tell of it: the first time, until it works again.
func (t *Target) Breaks(now time.Time) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken || !t.told.IsZero() && now.Sub(t.told) < tellEvery {
		return false
	}
	t.broken, t.told = true, now
	return true
}

// Works notes that a try was taken, and reports whether to tell of it: where Breaks was told of.
func (t *Target) Works() (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tell, t.broken = t.broken, false
	return tell
}

// Same tells whether two targets have one URL.
func (t *Target) Same(other *Target) bool { return t.url == other.url }

// NewTarget returns the Target at a URL, with what signs for it. Its errors hold neither.
func NewTarget(at, secret string) (*Target, error) {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it is not an https URL; write for example https://checkout.internal/webhooks")
	case u.User != nil:
		return nil, errors.New("the URL holds a user name; the application knows the gateway by its signature")
	case u.Fragment != "":
		return nil, errors.New("the URL has a fragment; leave it out")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("http would send phone numbers in clear; write https")
	case !portInRange(u.Port()):
		return nil, errors.New("the URL's port is none; write one from 1 to 65535")
	}
	t := &Target{url: u.String(), place: u.Host + u.EscapedPath()}
	if err := t.Use(secret); err != nil {
		return nil, err
	}
	return t, nil
}

// Use puts another secret in use, from the next try on. Its error does not hold it, and changes nothing.
func (t *Target) Use(secret string) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("the secret has fewer than %d characters; make one with: openssl rand -hex 32", MinSecret)
	}
	key := []byte(secret)
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write([]byte(text))
		return h.Sum(nil)
	}
	t.mac.Store(&mac)
	return nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// portInRange takes "" for the scheme's own.
func portInRange(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// request is one try at a time.
func (t *Target) request(ctx context.Context, body []byte, id string, now time.Time) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{
		"Content-Type":  {"application/json"},
		"User-Agent":    {"caddy-verify"},
		"Authorization": {"Bearer " + t.token(body, id, now)},
	}
	return r, nil
}
