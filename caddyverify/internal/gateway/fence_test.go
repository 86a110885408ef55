package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// noted is a store that notes what is done about checks, and may be away.
type noted struct {
	store.Store
	away atomic.Bool
	mu   sync.Mutex
	all  []string
}

func (n *noted) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, what)
}

func (n *noted) Before(ctx context.Context, id store.Name, m store.Mark, hold time.Duration) (store.Known, error) {
	n.note("before, for " + hold.String())
	if n.away.Load() {
		return store.Known{}, errors.New("refused")
	}
	return n.Store.Before(ctx, id, m, hold)
}

func (n *noted) After(ctx context.Context, id store.Name, m store.Mark) error {
	n.note("after")
	if n.away.Load() {
		return errors.New("refused")
	}
	return n.Store.After(ctx, id, m)
}

func (n *noted) Begin(ctx context.Context, id store.Name, start []byte, ttl time.Duration) error {
	if n.away.Load() {
		return errors.New("refused")
	}
	return n.Store.Begin(ctx, id, start, ttl)
}

// sharing has a gateway's account use a store, and returns what is noted there.
func sharing(t *testing.T, m *store.Memory, name string, provider http.RoundTripper) (*Gateway, *noted) {
	t.Helper()
	keys, err := store.NewKeys("account", "an encryption key for tests only")
	if err != nil {
		t.Fatal(err)
	}
	notes := &noted{Store: m.Open("account", name)}
	shared := store.NewShared(notes, keys)
	a := newAccount(t)
	s := *a.inForce.Load()
	s.Shared = shared
	t.Cleanup(a.Configure(&s))
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go shared.Run(ctx)
	synctest.Wait()
	return newGateway(t, a, provider, "https://provider.example"), notes
}

// Others are told of a check or control before it is sent and before its client is answered,
// and of nothing else. A store that is away is told again.
func TestFence(t *testing.T) {
	for _, tt := range []struct {
		path, form string
		away       bool
		want       string
	}{
		{"/verify/check/json", "request_id=abc&code=1234", false, "before, for 6s|sent|after"},
		{"/verify/control/json", "request_id=abc&cmd=cancel", false, "before, for 6s|sent|after"},
		{"/verify/check/json", "request_id=abc&code=1234", true, "before, for 6s|sent|after|before, for 5s"},
		{"/verify/json", "number=447700900000&brand=Acme", false, "sent"},
		{"/verify/search/json", "request_id=abc", false, "sent"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var memory store.Memory
			var notes *noted
			sent := provider(func(*http.Request) (int, string) {
				notes.note("sent")
				return http.StatusOK, `{"request_id":"abc","status":"0"}`
			})
			var g *Gateway
			g, notes = sharing(t, &memory, "a", sent)
			notes.away.Store(tt.away)
			if body := call(g, tt.path, tt.form); tt.away && !strings.Contains(body, `"status":"0"`) {
				t.Errorf("the client is answered %s", body)
			}
			synctest.Wait()
			if got := strings.Join(slices.Compact(notes.all), "|"); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
			}
		})
	}
}

// What others keep goes when the store is told later of a check, and that somebody has tried.
func TestUntoldCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory store.Memory
		api := newSandbox(t)
		a, notes := sharing(t, &memory, "a", direct(api))
		b, _ := sharing(t, &memory, "b", direct(api))
		begun, err := wire.Read(wire.Request, wire.JSON, []byte(call(a, "/verify/json", "number=447700900000&brand=Acme")))
		if err != nil {
			t.Fatal(err)
		}
		state := func(g *Gateway, want string) {
			t.Helper()
			if body := call(g, "/verify/search/json", "request_id="+begun.RequestID); !strings.Contains(body, `"status":"`+want+`"`) {
				t.Error(body)
			}
		}
		state(b, "IN PROGRESS")
		time.Sleep(time.Second)
		notes.away.Store(true)
		call(a, "/verify/check/json", "request_id="+begun.RequestID+"&code="+testCode)
		notes.away.Store(false)
		time.Sleep(bookAgain)
		synctest.Wait()
		state(b, "SUCCESS")
		if found, err := b.Account.shared().Look(t.Context(), store.Of(begun.RequestID), ""); err != nil || !found.Tried || found.Hold {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// What a gateway keeps goes when another makes a check, or an operator there has it purged.
func TestFenceBetweenGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory store.Memory
		api, searches := direct(newSandbox(t)), 0
		counted := provider(func(r *http.Request) (int, string) {
			if strings.Contains(r.URL.Path, "search") {
				searches++
			}
			return api(r)
		})
		a, notes := sharing(t, &memory, "a", counted)
		b, _ := sharing(t, &memory, "b", counted)
		begun, err := wire.Read(wire.Request, wire.JSON, []byte(call(a, "/verify/json", "number=447700900000&brand=Acme")))
		if err != nil {
			t.Fatal(err)
		}
		id := begun.RequestID
		expect := func(g *Gateway, status string, want int) {
			t.Helper()
			body := call(g, "/verify/search/json", "request_id="+id)
			synctest.Wait() // for what is kept after the answer
			if !strings.Contains(body, `"status":"`+status+`"`) || searches != want {
				t.Errorf("after %d searches, want %d: %s", searches, want, body)
			}
		}
		expect(b, "IN PROGRESS", 1)
		expect(a, "IN PROGRESS", 1)
		call(a, "/verify/check/json", "request_id="+id+"&code="+testCode)
		expect(b, "SUCCESS", 2)
		expect(b, "SUCCESS", 2)
		expect(a, "SUCCESS", 2)
		notes.all = nil
		a.Account.Purge(id)
		if !slices.Equal(notes.all, []string{"after"}) {
			t.Errorf("a purge: %q", notes.all)
		}
		expect(b, "SUCCESS", 3)
		a.Account.Purge("") // is of a alone: the store has it
		expect(a, "SUCCESS", 3)
	})
}
