package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

const (
	testSignature = "a signature secret of the account"
	testHook      = "cc121958-d8fb-4368-aa3b-b762bb9a0f74"
)

// hook is a webhook about testHook. claims are more than that it is signed now.
func hook(secret, claims string) *http.Request {
	return hookOf(secret, claims, `{"request_id":"`+testHook+`","type":"summary","status":"failed"}`)
}

func hookOf(secret, claims, body string) *http.Request {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(fmt.Appendf(nil, `{"iat":%d%s}`, time.Now().Unix(), claims))
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(text))
	r := httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+text+"."+encode(mac.Sum(nil)))
	return r
}

// newWebhooks returns those of an account at version 2, whose log is out.
func newWebhooks(t *testing.T, a *Account, out io.Writer) *Webhooks {
	t.Helper()
	g, err := New(Config{
		Account:  a,
		Upstream: upstream.Config{URL: "http://provider.example", Key: testKey, Secret: upstream.NewSecret(testSecret), Auth: upstream.Basic},
		V2:       new(V2),
		Timeout:  time.Second,
		Logger:   slog.New(slog.NewTextHandler(out, nil)),
		Running:  new(Running),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	h, err := g.NewWebhooks(nil, "", testSignature, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func deliver(h *Webhooks, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// shelf is a store that may be away, and slow.
type shelf struct {
	store.Logs
	away bool
	slow time.Duration
}

func (s *shelf) Read(ctx context.Context, log store.Name, after store.Position, most int) ([]store.Entry, error) {
	time.Sleep(s.slow)
	if s.away {
		return nil, errors.New("away")
	}
	return s.Logs.Read(ctx, log, after, most)
}

// TestWebhookWithoutStore has a webhook come while the store is away, and again.
func TestWebhookWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		other := state.New(state.Settings{})
		other.Share(memory.Open("a", "other"))
		other.Began(t.Context(), testHook, state.Start{})
		a := newAccount(t)
		logs := &shelf{Logs: memory.Open("a", "here"), away: true}
		a.states.Share(logs)
		h := newWebhooks(t, a, io.Discard)
		defer h.Close()
		for _, step := range []struct {
			away bool
			code int
		}{{true, 503}, {true, 503}, {false, 204}, {true, 204}} {
			logs.away = step.away
			if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != step.code {
				t.Errorf("away: %t: %d, want %d", step.away, code, step.code)
			}
		}
		if v, ok, _ := other.Find(t.Context(), testHook); !ok || v.Status() != "FAILED" {
			t.Errorf("the other has %v (%t)", v.Status(), ok)
		}
		if s := a.states.Stats(); s.Dropped != 0 || s.Unread != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestWebhookTwiceAtOnce has a webhook come again before it is known what becomes of it.
func TestWebhookTwiceAtOnce(t *testing.T) {
	for _, c := range []struct {
		name              string
		away              bool
		first, then, last int
	}{
		{"it is taken", false, 204, 503, 204},
		{"it is not", true, 503, 503, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := &store.Memory{}
				other := state.New(state.Settings{})
				other.Share(memory.Open("a", "other"))
				other.Began(t.Context(), testHook, state.Start{})
				a := newAccount(t)
				a.states.Share(&shelf{Logs: memory.Open("a", "here"), away: c.away, slow: time.Second})
				h := newWebhooks(t, a, io.Discard)
				defer h.Close()
				first := make(chan int, 1)
				go func() { first <- deliver(h, hook(testSignature, `,"jti":"one"`)) }()
				synctest.Wait()
				if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != c.then {
					t.Errorf("meanwhile it is answered %d, want %d", code, c.then)
				}
				if code := <-first; code != c.first {
					t.Errorf("the first is answered %d, want %d", code, c.first)
				}
				if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != c.last {
					t.Errorf("then it is answered %d, want %d", code, c.last)
				}
			})
		})
	}
}

// TestWebhookOverReload has a webhook come again after a reload, and to another site.
func TestWebhookOverReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		a.states.Began(t.Context(), testHook, state.Start{})
		before := newWebhooks(t, a, io.Discard)
		defer before.Close()
		result := func(h *Webhooks) observe.WebhookResult {
			result, _, _ := h.receive(hook(testSignature, `,"jti":"one"`))
			return result
		}
		if got := result(before); got != observe.WebhookTaken {
			t.Errorf("it is %s", got)
		}
		after := newWebhooks(t, a, io.Discard)
		defer after.Close()
		if got := result(after); got != observe.WebhookRepeated {
			t.Errorf("after a reload it is %s", got)
		}
	})
}

// TestNewSignatureSecret has another secret put in use.
func TestNewSignatureSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const another = "another signature secret of the account"
		a := newAccount(t)
		a.states.Began(t.Context(), testHook, state.Start{})
		h := newWebhooks(t, a, io.Discard)
		live := func(secret string) bool {
			a.live.Add() // those whose time is over go
			return a.live.In([]byte(secret))
		}
		if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != 204 {
			t.Errorf("signed by the first: %d", code)
		}
		if err := h.Use("short"); err == nil || deliver(h, hook(testSignature, `,"jti":"two"`)) != 204 {
			t.Errorf("what is no secret is in use: %v", err)
		}
		if err := h.Use(another); err != nil {
			t.Fatal(err)
		}
		if code := deliver(h, hook(testSignature, `,"jti":"three"`)); code != 401 {
			t.Errorf("signed by the one of before: %d", code)
		}
		before := h.gateway.Account.states.Stats()
		if code := deliver(h, hook(another, `,"jti":"one"`)); code != 204 || h.gateway.Account.states.Stats() != before {
			t.Errorf("one that was here before: %d", code)
		}
		time.Sleep(time.Minute - 1)
		if !live(another) || !live(testSignature) {
			t.Error("answers are not searched for both secrets")
		}
		time.Sleep(time.Nanosecond)
		if !live(another) || live(testSignature) {
			t.Error("answers are not searched for the new secret only")
		}
		h.Close()
		if live(another) {
			t.Error("answers are searched for a secret of nobody's")
		}
	})
}

// TestFloodOfWebhooks has anybody send webhooks.
func TestFloodOfWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lockedBuilder)
		h := newWebhooks(t, newAccount(t), out)
		lines := func(want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(strings.TrimSpace(out.take()), "\n")
			if len(got) != len(want) {
				t.Fatalf("the log:\n%s", strings.Join(got, "\n"))
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("line %d is %s, want %s", i, got[i], want[i])
				}
			}
		}
		other := func() {
			r := httptest.NewRequest(http.MethodPost, "/hooks", nil)
			r.Header.Set("Authorization", "Basic none")
			deliver(h, r)
		}
		for range 100 {
			deliver(h, hook("a secret of somebody else", ""))
		}
		deliver(h, httptest.NewRequest(http.MethodPost, "/hooks", nil))
		other() // which must not be all that is told of why
		lines("msg=webhook account=ef01@provider.example result=refused", "result=unsigned", "there is no bearer token")
		time.Sleep(10 * time.Second)
		lines(`look whether signature_secret is that of the provider's dashboard" webhooks=99`)
		deliver(h, hook("a secret of somebody else", ""))
		h.Close()
		lines(`dashboard" webhooks=1`)
	})
}

// lockedBuilder is written to by timers, too.
type lockedBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuilder) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}
