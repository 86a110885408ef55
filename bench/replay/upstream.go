package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// providerLimit is how many calls of an account the provider takes in a second.
const providerLimit = 30

const (
	accountKey    = "abcdef01"
	accountSecret = "secret-of-the-account"
)

// upstream is a sandbox without a rate limit that notes when calls came.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	calls    []time.Time
	searches []time.Time
}

// newUpstream serves a sandbox. Unless it is open, callers must present the
// account's credentials.
func newUpstream(speed float64, open bool) (*upstream, error) {
	cfg := sandbox.Config{APIKey: accountKey, APISecret: accountSecret, Code: rightCode, Speed: speed, Limit: -1, Record: -1}
	if open {
		cfg.APIKey, cfg.APISecret = "", ""
	}
	api, err := sandbox.New(cfg)
	if err != nil {
		return nil, err
	}
	u := new(upstream)
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.note(strings.HasPrefix(r.URL.Path, "/verify/search/"))
		api.ServeHTTP(w, r)
	}))
	return u, nil
}

func (u *upstream) note(search bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.calls = append(u.calls, now)
	if search {
		u.searches = append(u.searches, now)
	}
}

// seen returns when calls and searches came until now. Some may still come: a gateway
// finishes what its clients have left.
func (u *upstream) seen() (calls, searches []time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.calls), slices.Clone(u.searches)
}

// busiest is the largest number of times that any window of this length holds.
func busiest(times []time.Time, window time.Duration) (most int) {
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// over is how many calls a limit would have refused; those do not count
// towards it.
func over(times []time.Time, limit int, window time.Duration) (refused int) {
	var taken []time.Time
	for _, t := range times {
		if n := len(taken); n >= limit && t.Sub(taken[n-limit]) < window {
			refused++
		} else {
			taken = append(taken, t)
		}
	}
	return refused
}
