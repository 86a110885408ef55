package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const nextSecret = "N3xt-secret-of-the-gateway"

// keeper is a provider that takes the secrets that are valid at the moment.
type keeper struct {
	mu    sync.Mutex
	valid map[string]bool
	code  int      // to the others; 0 for status 4
	seen  []string // operation and secret of each attempt
	fails func(path, secret string) (code int, body string)
	took  time.Duration
	mixed int
}

func (k *keeper) set(valid ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.valid = map[string]bool{}
	for _, s := range valid {
		k.valid[s] = true
	}
}

// taken returns what came in since the last time.
func (k *keeper) taken() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := strings.Join(k.seen, ", ")
	k.seen = nil
	return seen
}

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	return provider(k.answer).RoundTrip(r)
}

func (k *keeper) answer(r *http.Request) (int, string) {
	_ = r.ParseForm()
	found := map[string]bool{}
	if _, secret, ok := r.BasicAuth(); ok {
		found[secret] = true
	}
	for _, secret := range r.Form["api_secret"] {
		found[secret] = true
	}
	time.Sleep(k.took)
	k.mu.Lock()
	defer k.mu.Unlock()
	var secret string
	for secret = range found { //nolint:revive // one
	}
	if len(found) != 1 {
		k.mixed++
	}
	name := map[string]string{testSecret: "first", nextSecret: "next"}[secret]
	word := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/verify/"), "/json")
	k.seen = append(k.seen, strings.Replace(word, "json", "request", 1)+" "+name)
	if k.fails != nil {
		if code, body := k.fails(r.URL.Path, name); code != 0 {
			return code, body
		}
	}
	switch {
	case !k.valid[secret] && k.code != 0:
		return k.code, ""
	case !k.valid[secret]:
		return http.StatusOK, `{"status":"4","error_text":"Bad Credentials"}`
	case strings.HasPrefix(r.URL.Path, "/verify/search/"):
		return http.StatusOK, `{"status":"101","error_text":"No response found"}`
	}
	return http.StatusOK, `{"request_id":"` + cmp.Or(r.Form.Get("request_id"), "cc121958d8fb4368") + `","status":"0"}`
}

// newPair returns a gateway with two secrets.
func newPair(t *testing.T, a *Account, k *keeper, first, next string) *Gateway {
	t.Helper()
	c := newGateway(t, a, k, "https://provider.example").Config
	c.Upstream.Secret, c.Upstream.Next = upstream.NewSecret(first), upstream.NewSecret(next)
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	g.Start(false)
	return g
}

// changes tells of secrets and suspensions.
func changes(a *Account) func() string {
	var mu sync.Mutex
	var all []string
	a.Subscribe(func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		switch d := e.Detail.(type) {
		case SecretSwitched:
			all = append(all, fmt.Sprintf("%s to %s, %s", d.From, d.To, d.Why))
		case SecretReplaced:
			all = append(all, "replaced")
		case AccountSuspended:
			all = append(all, fmt.Sprintf("suspended %q to %q", d.From, d.To))
		case InvariantBroken:
			all = append(all, "broken "+string(d.Invariant))
		}
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		told := strings.Join(all, "; ")
		all = nil
		return told
	}
}

type pairTest struct {
	*testing.T
	k    *keeper
	a    *Account
	g    *Gateway
	told func() string
}

// inPair runs a test with two secrets in time that is not real.
func inPair(t *testing.T, name string, f func(p *pairTest)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := &pairTest{T: t, k: new(keeper), a: newAccount(t)}
			p.k.set(testSecret)
			p.g = newPair(t, p.a, p.k, testSecret, nextSecret)
			p.told = changes(p.a)
			f(p)
			synctest.Wait()
		})
	})
}

func (p *pairTest) call(path, form, want string) {
	p.Helper()
	if got := call(p.g, path, form); !strings.Contains(got, `"status":"`+want+`"`) {
		p.Errorf("%s is answered with %s, want status %s", path, got, want)
	}
}

func (p *pairTest) expect(seen, told string) {
	p.Helper()
	synctest.Wait()
	if got := p.k.taken(); got != seen {
		p.Errorf("the provider has seen %q, want %q", got, seen)
	}
	if got := p.told(); got != told {
		p.Errorf("told of %q, want %q", got, told)
	}
}

const (
	aRequest = "number=447700900000&brand=Acme"
	aCheck   = "request_id=cc121958d8fb4368&code=1234"
	toNext   = "first to next, status_4"
)

func TestNextSecret(t *testing.T) {
	inPair(t, "the first is revoked", func(p *pairTest) {
		p.call("/verify/json", aRequest, "0")
		p.expect("request first", "")
		p.k.set(nextSecret)
		p.call("/verify/check/json", aCheck, "0")
		p.expect("check first, search next, check next", toNext)
		p.call("/verify/check/json", aCheck+"5", "0")
		time.Sleep(time.Hour)
		p.call("/verify/psd2/json", "number=447700900000&payee=Acme&amount=1.00", "0")
		p.expect("check next, psd2 next", "")
		if s := p.a.Snapshot(); !slices.Contains(s.Secrets, wire.NextSecret) || len(s.Troubles) != 0 {
			t.Errorf("the snapshot has %v, suspended %v", s.Secrets, s.Troubles)
		}
		// A site, or the next configuration, has the same two; and another has not.
		p.g = newPair(p.T, p.a, p.k, testSecret, nextSecret)
		p.call("/verify/json", aRequest, "0")
		p.expect("request next", "")
		p.g = newPair(p.T, p.a, p.k, testSecret, "another-secret")
		p.call("/verify/json", aRequest+"&lg=en-gb", "4")
	})
	inPair(t, "and back", func(p *pairTest) {
		p.k.set(nextSecret)
		p.call("/verify/json", aRequest, "0")
		p.k.set(testSecret)
		p.call("/verify/check/json", aCheck, "0")
		p.expect("request first, search next, request next, check next, search first, check first", toNext+"; next to first, status_4")
	})
	inPair(t, "neither is taken", func(p *pairTest) {
		p.k.set()
		p.call("/verify/json", aRequest, "4")
		p.call("/verify/json", aRequest+"&lg=en-gb", "4")
		p.call("/verify/check/json", aCheck, "4")
		p.expect("request first, search next, check first", `suspended "" to "4"`)
		time.Sleep(29 * time.Second)
		p.k.set(nextSecret)
		time.Sleep(2 * time.Second)
		p.expect("search first, search next, search next", `suspended "4" to ""; `+toNext)
	})
	inPair(t, "by HTTP 401", func(p *pairTest) {
		p.k.set(nextSecret)
		p.k.code = http.StatusUnauthorized
		p.call("/verify/json", aRequest, "4")
		p.expect("request first, search first, search next, search next", "first to next, unauthorized")
		p.call("/verify/json", aRequest, "0")
		p.expect("request next", "")
	})
	inPair(t, "by HTTP 403, which is about the call", func(p *pairTest) {
		p.k.fails = func(path, _ string) (int, string) {
			return map[bool]int{true: http.StatusForbidden}[path == "/verify/check/json"], ""
		}
		p.call("/verify/check/json", aCheck, "4")
		p.expect("check first, search first", "")
	})
	inPair(t, "the search fails once", func(p *pairTest) {
		p.k.set(nextSecret)
		n := 0
		p.k.fails = func(path, _ string) (int, string) {
			if n++; path == "/verify/search/json" && n == 2 {
				return http.StatusInternalServerError, ""
			}
			return 0, ""
		}
		p.call("/verify/json", aRequest, "0")
		p.expect("request first, search next, search next, request next", toNext)
	})
	inPair(t, "the search panics", func(p *pairTest) {
		p.k.set(nextSecret)
		p.k.fails = func(path, _ string) (int, string) {
			if path == "/verify/search/json" {
				panic("a test")
			}
			return 0, ""
		}
		p.call("/verify/json", aRequest, "4")
	})
	inPair(t, "a call whose time is over meanwhile", func(p *pairTest) {
		p.k.set(nextSecret)
		p.k.took = 600 * time.Millisecond
		p.call("/verify/json", aRequest, "5")
		p.expect("request first", "")
		time.Sleep(time.Second)
		p.expect("search next", toNext)
		p.call("/verify/json", aRequest, "0")
		p.expect("request next", "")
	})
	inPair(t, "many at once", func(p *pairTest) {
		p.k.set(nextSecret)
		p.k.took = 50 * time.Millisecond
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() { p.call("/verify/json", "brand=Acme&number="+strconv.Itoa(447700900000+n), "0") })
		}
		all.Wait()
		seen := p.k.taken()
		if n := strings.Count(seen, "search"); n != 1 || strings.Count(seen, "request next") != 50 {
			p.Errorf("%d searches, and %s", n, seen)
		}
		p.expect("", toNext)
	})
}

// TestSecondSecretSendsOnce: by the other secret a call is made once more if the provider
// has done nothing, and in no other case.
func TestSecondSecretSendsOnce(t *testing.T) {
	inPair(t, "another answer", func(p *pairTest) {
		p.k.fails = func(string, string) (int, string) { return http.StatusOK, `{"status":"8"}` }
		p.call("/verify/json", aRequest, "8")
		p.expect("request first", `suspended "" to "8"`)
	})
	inPair(t, "refused for the other, too", func(p *pairTest) { // which a search was not
		p.k.set(nextSecret)
		p.k.fails = func(path, _ string) (int, string) {
			if path == "/verify/json" {
				return http.StatusOK, `{"status":"4"}`
			}
			return 0, ""
		}
		p.call("/verify/json", aRequest, "4")
		p.expect("request first, search next, request next", toNext+`; suspended "" to "4"`)
	})
}

// TestUse changes the secrets a hundred times while calls are made, as a rotation does:
// the provider takes the next one before it is in use, and the last one until no call has
// it any more.
func TestUse(t *testing.T) {
	for _, auth := range []upstream.Auth{upstream.Basic, upstream.Query, upstream.Body} {
		t.Run(string(auth), func(t *testing.T) {
			k, a := new(keeper), newAccount(t)
			secret := func(n int) string { return fmt.Sprintf("S3cret-number-%d", n) }
			k.set(secret(0))
			c := newGateway(t, a, k, "https://provider.example").Config
			c.Upstream.Auth, c.Upstream.Secret = auth, upstream.NewSecret(secret(0))
			g, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Close)
			g.Start(false)
			told := changes(a)
			check := func(g *Gateway, form url.Values) string { return call(g, "/verify/check/json", form.Encode()) }
			for n := range 100 {
				k.set(secret(n), secret(n+1))
				var calls sync.WaitGroup
				for worker := range 8 {
					calls.Go(func() {
						for call := range 5 {
							form := url.Values{"request_id": {fmt.Sprintf("%d-%d-%d", n, worker, call)}, "code": {"1234"}}
							if got := check(g, form); !strings.Contains(got, `"status":"0"`) {
								t.Errorf("a call is answered with %s", got)
							}
						}
					})
				}
				if err := g.Use(upstream.NewSecret(secret(n+1)), upstream.Secret{}); err != nil {
					t.Fatal(err)
				}
				calls.Wait()
				k.set(secret(n + 1))
				if got := check(g, url.Values{"request_id": {strconv.Itoa(n)}, "code": {"1234"}}); !strings.Contains(got, `"status":"0"`) {
					t.Errorf("after the swap a call is answered with %s", got)
				}
			}
			if k.mixed > 0 {
				t.Errorf("%d attempts had a mixture", k.mixed)
			}
			if n := strings.Count(told(), "replaced"); n != 100 {
				t.Errorf("told of %d new secrets, want 100", n)
			}
			if len(a.secrets) != 2 || !g.Account.live.Shown([]byte(secret(100))) {
				t.Errorf("%d secrets are known", len(a.secrets))
			}
		})
	}
}

// TestLastSecretIsHeldBack: an answer to a call that was under way may hold the secret of
// before, for as long as calls may last.
func TestLastSecretIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		g := newPair(t, a, new(keeper), testSecret, nextSecret)
		held := func(secret string) bool {
			x := exchange{operation: wire.Check, answer: wire.Answer{Code: http.StatusOK, Body: []byte(`{"error_text":"` + secret + `"}`)}}
			g.keepSecret(&x)
			return !strings.Contains(string(x.answer.Body), secret)
		}
		const newer = "A-newer-secret"
		for _, secret := range []string{testSecret, nextSecret} {
			if !held(secret) {
				t.Errorf("%s reaches the client", secret)
			}
		}
		if err := g.Use(upstream.NewSecret(newer), upstream.Secret{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(g.Timeout)
		for _, secret := range []string{nextSecret, newer} {
			if !held(secret) {
				t.Errorf("%s reaches the client", secret)
			}
		}
		g.Close()
		time.Sleep(2 * time.Second)
		a.live.Add()
		if held(nextSecret) {
			t.Error("what nobody uses any more is looked for")
		}
		a.Close()
	})
}
