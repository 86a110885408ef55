package search

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// refusedFor is for how long a verification is asked for alone, and mostRefused how many are.
	refusedFor  = time.Minute
	mostRefused = 256
)

// refusals are the verifications for which a search was refused, and when: whoever polls one of them
// all the same would have each list refused that it is in. It is guarded by lists.mu.
type refusals map[string]time.Duration

// any tells that one of these is among them.
func (r refusals) any(ids []string, now time.Duration) bool {
	for _, id := range ids {
		if at, ok := r[id]; ok && now-at < refusedFor {
			return true
		}
	}
	return false
}

func (r refusals) add(id string, now time.Duration) {
	maps.DeleteFunc(r, func(_ string, at time.Duration) bool { return now-at >= refusedFor })
	if len(r) < mostRefused {
		r[strings.Clone(id)] = now
	}
}

// noteRefusal takes note of a verification that was asked for alone and refused: it is no part of
// a list from then on.
func (c *Cache) noteRefusal(l *list) {
	if len(l.ids) == 1 && refuses(&l.answer) {
		c.lists.mu.Lock()
		defer c.lists.mu.Unlock()
		c.lists.refused.add(l.ids[0], c.now())
	}
}

// refuses tells that an answer refuses a call for what it asks.
func refuses(a *wire.Answer) bool {
	switch {
	case a.Fault != nil:
		return a.Fault.Cause == wire.UpstreamError && refusesOne(a.Fault.UpstreamCode)
	case a.Code != http.StatusOK && !refusesOne(a.Code), a.List, !a.Status.Numeric():
		return false
	}
	switch a.Status {
	case wire.NoResponse, wire.InternalError, wire.Throttled, wire.BadCredentials, wire.AccountBarred, wire.NoCredit:
		return false
	}
	return true
}
