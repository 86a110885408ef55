package gateway

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// newMember returns an account that shares a store with others, and its way there.
func newMember(t *testing.T, memory *store.Memory) (*Account, *link) {
	t.Helper()
	keys, err := store.NewKeys("account", "an encryption key of 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	way := &link{Store: memory.Open(keys.Account(), string(store.NewMark()))}
	s := &Settings{Shared: store.NewShared(way, keys)}
	a := NewAccount("provider.example", testKey, observe.NewMetrics(), s)
	t.Cleanup(a.Close)
	t.Cleanup(a.Configure(s))
	return a, way
}

// TestWebhookOfFleet has a webhook come to one gateway of a store, and to another.
func TestWebhookOfFleet(t *testing.T) {
	for _, c := range []struct {
		name       string
		unknown    bool // nobody has started the verification
		away, deaf bool // the store, for the first
		awayOther  bool
		after      time.Duration
		want       [2]observe.WebhookResult
	}{
		{"once", false, false, false, false, 0, [2]observe.WebhookResult{observe.WebhookTaken, observe.WebhookRepeated}},
		{"after a while", false, false, false, false, 4 * time.Minute, [2]observe.WebhookResult{observe.WebhookTaken, observe.WebhookRepeated}},
		{"nobody's", true, false, false, false, 0, [2]observe.WebhookResult{observe.WebhookUnknown, observe.WebhookRepeated}},
		{"the first could not tell", false, true, false, false, 0, [2]observe.WebhookResult{observe.WebhookTaken, observe.WebhookTaken}},
		{"the first is not heard", false, false, true, false, 0, [2]observe.WebhookResult{observe.WebhookTaken, observe.WebhookRepeated}},
		{"the other cannot ask", false, false, false, true, 0, [2]observe.WebhookResult{observe.WebhookTaken, observe.WebhookTaken}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := &store.Memory{}
				var all [2]*Webhooks
				var ways [2]*link
				for i := range all {
					var a *Account
					a, ways[i] = newMember(t, memory)
					if !c.unknown {
						a.states.Began(t.Context(), testHook, state.Start{})
					}
					all[i] = newWebhooks(t, a, io.Discard)
					defer all[i].Close()
				}
				ways[0].away.Store(c.away)
				ways[0].deaf.Store(c.deaf)
				ways[1].away.Store(c.awayOther)
				for i, h := range all {
					if got, _, _ := h.receive(hook(testSignature, `,"jti":"one"`)); got != c.want[i] {
						t.Errorf("gateway %d: it is %s, want %s", i, got, c.want[i])
					}
					time.Sleep(c.after)
				}
			})
		})
	}
}

// TestClaimHook has two gateways get a webhook at the same time.
func TestClaimHook(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(settle func(bool)) // what the first does
		want error
	}{
		{"under way", func(func(bool)) {}, webhook.ErrUndecided},
		{"taken", func(settle func(bool)) { settle(true) }, webhook.ErrReplayed},
		{"not taken", func(settle func(bool)) { settle(false) }, nil},
		{"the first has ended", func(func(bool)) { time.Sleep(hookLease) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := &store.Memory{}
				one, _ := newMember(t, memory)
				other, _ := newMember(t, memory)
				settle, err := one.claimHook(t.Context(), "token")
				if err != nil {
					t.Fatal(err)
				}
				c.do(settle)
				if _, err := other.claimHook(t.Context(), "token"); !errors.Is(err, c.want) {
					t.Errorf("the other has %v, want %v", err, c.want)
				}
				if _, err := other.claimHook(t.Context(), "another"); err != nil {
					t.Errorf("of another token it has %v", err)
				}
			})
		})
	}
}

// TestWebhookOvertakesStart has a webhook come to a gateway before another is answered that the
// verification has begun.
func TestWebhookOvertakesStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		ago   time.Duration // that it was blocked
		begun bool          // at last
		codes [3]int        // before the start, just after, and a minute later
		want  wire.Status
	}{
		{"and comes again", 0, true, [3]int{503, 204, 204}, wire.Failed},
		{"and nobody has started it", 0, false, [3]int{503, 503, 204}, ""},
		{"that was long ago", time.Minute, true, [3]int{204, 204, 204}, wire.InProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := &store.Memory{}
				other, _ := newMember(t, memory)
				here, _ := newMember(t, memory)
				fresh, _ := newMember(t, memory)
				h := newWebhooks(t, here, io.Discard)
				defer h.Close()
				body := fmt.Sprintf(`{"request_id":%q,"type":"summary","status":"blocked","finalized_at":%q}`,
					testHook, time.Now().Add(-c.ago).UTC().Format(time.RFC3339))
				for i, want := range c.codes {
					switch {
					case i == 1 && c.begun:
						time.Sleep(50 * time.Millisecond)
						other.states.Began(t.Context(), testHook, state.Start{})
					case i == 2:
						time.Sleep(time.Minute)
					}
					if code := deliver(h, hookOf(testSignature, `,"jti":"one"`, body)); code != want {
						t.Errorf("time %d is answered %d, want %d", i+1, code, want)
					}
				}
				for _, a := range []*Account{other, here, fresh} {
					if v, ok, _ := a.states.Find(t.Context(), testHook); ok != c.begun || ok && v.Status() != c.want {
						t.Errorf("one says %v (%t), want %v", v.Status(), ok, c.want)
					}
				}
			})
		})
	}
}
