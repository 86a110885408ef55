package sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	application     = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
	signatureSecret = "the signature secret of the simulated account"
	// tokenCanary is how all tokens begin.
	tokenCanary = "eyJhbGciOi"
)

// applicationKey is made once: what is drawn for it is not of a seed.
var applicationKey = sync.OnceValues(func() (private, public string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	one, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	two, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: one})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: two}))
})

// second is an account at version 2 of the API.
type second struct {
	jwt, hooks bool // calls are signed; webhooks tell of verifications
	drain      bool // it was at version 1 before

	mu sync.Mutex
	// since is when it came to version 2; zero before.
	since time.Time
	// expired is when the provider let all tokens expire that were made before.
	expired time.Time
	prices  map[string]prices // that webhooks told
	told    map[string][]hook // by request_id
	alien   []string          // that webhooks told of, and nobody has started
}

// hook is an end that a webhook has told a process of.
type hook struct {
	state string
	by    *process
	at    time.Time
}

// comeToSecond has the account be at version 2 in a part of the runs. It is drawn apart, so that other
// runs are what they were.
func (w *world) comeToSecond() {
	r := mathrand.New(mathrand.NewPCG(w.seed, 8))
	if is := r.IntN(6) == 0; !is && !*secondFlag {
		return
	}
	s := &second{prices: map[string]prices{}, told: map[string][]hook{}}
	s.jwt = r.IntN(3) > 0
	s.hooks = s.jwt && r.IntN(4) > 0
	if s.drain = r.IntN(3) == 0; !s.drain {
		s.since = time.Now()
	}
	w.second = s
}

// at tells whether the account is at version 2.
func (s *second) at() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.since.IsZero()
}

// spans tells that the account came to version 2 between two times: that knows nothing of what was
// begun with version 1.
func (s *second) spans(from, to time.Time) bool {
	if s == nil || !s.drain {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since.After(from) && s.since.Before(to)
}

// goOver has the account come to version 2, once.
func (w *world) goOver(t *testing.T) {
	t.Helper()
	if w.second == nil || w.second.at() {
		return
	}
	w.note("the account comes to version 2")
	w.second.mu.Lock()
	w.second.since = time.Now()
	w.second.mu.Unlock()
	for _, p := range w.slots {
		p.reload(t)
	}
}

// sandboxOf has the provider be there with version 2, too.
func (w *world) sandboxOf(account int) sandbox.Config {
	c := sandbox.Config{APIKey: apiKey, APISecret: apiSecret, Code: rightCode, Limit: -1, Record: -1}
	s := w.second
	if s == nil {
		return c
	}
	c.API = "v1 v2"
	if s.jwt {
		_, c.PublicKey = applicationKey()
		c.Application = application
	}
	if s.hooks {
		c.Webhook, c.SignatureSecret = "http://hooks.example/", signatureSecret
		c.Transport = &hookRoad{world: w, account: account}
	}
	return c
}

// config has a gateway make calls by version 2, once the account is there.
func (s *second) config(c *gateway.Config) {
	if !s.at() {
		return
	}
	before := c.Upstream
	c.V2 = new(gateway.V2)
	if s.drain {
		c.V2.Drain = &before
	}
	if s.jwt {
		c.V2.Application = application
		private, _ := applicationKey()
		c.Upstream.Secret, c.Upstream.Next = upstream.NewSecret(private), upstream.Secret{}
	}
}

// expire has the provider take no token that was made before, not too often.
func (w *world) expire() {
	s := w.second
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.expired) > 2*time.Minute {
		s.expired = time.Now()
		go w.note("all tokens have expired")
	}
}

// takes tells whether the provider takes a token for one that lives.
func (s *second) takes(token string) bool {
	parts := strings.Split(token, ".")
	var claims struct{ Iat int64 }
	if len(parts) != 3 {
		return false
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	_ = json.Unmarshal(text, &claims)
	s.mu.Lock()
	defer s.mu.Unlock()
	return claims.Iat+5 >= s.expired.Unix()
}

// timingsSecond are version 2's, for the same requests.
var timingsSecond = []timing{
	{nil, seconds(0, 180, 360), 540 * time.Second},
	{url.Values{"next_event_wait": {"190"}, "pin_expiry": {"190"}}, seconds(0, 190, 380), 570 * time.Second},
	{url.Values{"next_event_wait": {"200"}}, seconds(0, 200, 400), 600 * time.Second},
	{url.Values{"workflow_id": {"4"}, "next_event_wait": {"300"}, "pin_expiry": {"300"}}, seconds(0, 300), 600 * time.Second},
	{url.Values{"workflow_id": {"6"}, "next_event_wait": {"600"}, "pin_expiry": {"600"}}, seconds(0), 600 * time.Second},
}

// timing is that of a verification, or of requests of which there is none yet.
func (w *world) timing(n int, v *sandbox.Verification) timing {
	switch {
	case w.second == nil, n == 0 && v != nil && v.API == sandbox.V1:
		return timings[n]
	}
	return timingsSecond[n]
}

// tokenUsed notes by which token a process makes calls.
func (p *process) tokenUsed(account int, token string) {
	if !strings.HasPrefix(token, "Bearer ") {
		return
	}
	p.tally.mu.Lock()
	defer p.tally.mu.Unlock()
	p.tally.tokens[fmt.Sprint(account, token)] = true
}

// checkTokens: a configuration signs once in ten minutes, and once more when the provider has let tokens
// expire.
func (p *process) checkTokens() {
	if p.second == nil || !p.second.jwt {
		return
	}
	p.tally.mu.Lock()
	defer p.tally.mu.Unlock()
	most := len(p.accounts) * (2*len(p.reloads) + int(time.Since(p.born)/(10*time.Minute)) + 1 + 10)
	if n := len(p.tally.tokens); n > most {
		p.violated(4, "gateway %d has made %d tokens, %d may be", p.number, n, most)
	}
}

// mustKnow tells since when a process has to know that a verification of version 2 is over; ok is false
// where it need not.
func (u *user) mustKnow(id string, v *sandbox.Verification, p *process, now time.Time) (since time.Time, ok bool) {
	earlier := func(t time.Time) {
		if !ok || t.Before(since) {
			since, ok = t, true
		}
	}
	if v.Status == "EXPIRED" {
		earlier(v.Finalized.Add(5*time.Second + callTimeout)) // from the answer to the request on
	}
	s := u.second
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.told[id] {
		if h.by == p || u.stores.during(h.at.Add(-settled), now, h.by, p) {
			earlier(h.at.Add(settled))
		}
	}
	return since, ok
}

// lost: what a process knows of it does not say that there is no such verification, but where nobody knows how it
// has ended.
func (u *user) lost(id string, answer *reply) {
	s := u.book.startOf(id)
	v, ok := u.verification(id)
	if u.second == nil || answer.Status != "101" || s == nil || !ok || v.API != sandbox.V2 || u.isolated && s.caller != u.caller {
		return
	}
	if !u.book.inDoubt(id) && s.knowsStart(id, answer.by, answer.begun, time.Now()) {
		u.violated(2, "%s is told that there is no %s, which gateway %d has started", u.name, id, s.startedBy.number)
	}
}

// notExpired: a process that has made the check which was right does not say that there was none, whether or
// not it got the answer.
func (u *user) notExpired(state *reply, v *sandbox.Verification, answer *reply) {
	if u.second != nil && v.API == sandbox.V2 && state.Status == "EXPIRED" && v.Status == "SUCCESS" && u.book.endedBy(state.RequestID) == answer.by {
		u.violated(3, "%s reads EXPIRED of %s, which gateway %d has verified", u.name, state.RequestID, answer.by.number)
	}
}

// nobodys: of what nobody has started nothing is told.
func (u *user) nobodys(state *reply) {
	if u.second == nil || state.RequestID == "" || state.Status == "101" || !strings.Contains(" IN PROGRESS SUCCESS FAILED EXPIRED CANCELLED ", " "+state.Status+" ") {
		return
	}
	if _, ok := u.verification(state.RequestID); !ok {
		u.violated(8, "%s reads %q of %s, which nobody has started", u.name, state.Status, state.RequestID)
	}
}

// mergePrices has the prices that webhooks told be among those that are known.
func (s *second) mergePrices(known map[string]prices) map[string]prices {
	if s == nil {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known = maps.Clone(known)
	for id, told := range s.prices {
		for i := range told {
			told[i] = max(told[i], known[id][i])
		}
		known[id] = told
	}
	return known
}

// anyAlien is one that webhooks told of, and nobody has started.
func (s *second) anyAlien(r *mathrand.Rand) string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.alien) == 0 {
		return ""
	}
	return s.alien[r.IntN(len(s.alien))]
}

// closeSecond ends the webhooks.
func (w *world) closeSecond() {
	if w.second == nil {
		return
	}
	for _, api := range w.apis {
		_ = api.Close()
	}
}

// endedBy is the process that has ended a verification of version 2. Others may have passed its answer on.
func (b *book) endedBy(id string) *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.enders[id]
}

// doubts notes that a check or control of version 2 had no answer that says what was done.
func (b *book) doubts(c *asked) {
	if !c.second || c.operation != "check" && c.operation != "control" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doubted[c.values.Get("request_id")] = true
}

func (b *book) inDoubt(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubted[id]
}

// ofBoth: what version 1 has acted upon, version 2 is not asked to. The caller holds b.mu.
func (b *book) ofBoth(p *process, c *asked, answer *reply) {
	id := c.values.Get("request_id")
	if p.second == nil || c.operation != "check" && c.operation != "control" {
		return
	}
	if !c.second {
		b.taken[id] = answer.Status
		return
	}
	if answer.Status == "0" {
		b.enders[id] = p
	}
	if said := b.taken[id]; said != "" && said != "6" {
		go p.violated(1, "a %s of %s is made by version 2 as well, though version 1 said %s", c.operation, id, said)
	}
}
