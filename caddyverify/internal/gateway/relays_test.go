package gateway

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRelayKnowsWhose has a gateway get the webhooks of verifications that another has started.
func TestRelayKnowsWhose(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	to := Relays{}
	for name, url := range map[string]string{"checkout": "https://checkout.internal/", OtherCallers: "https://others.internal/"} {
		var err error
		if to[name], err = relay.NewTarget(url, secret); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, caller string
		unknown      bool // another id
		away         bool
		want         string // "" for nowhere
	}{
		{"a named one's", "checkout", false, false, "checkout.internal"},
		{"another's", "login", false, false, "others.internal"},
		{"nobody knows", "checkout", true, false, ""},
		{"the store is away", "checkout", false, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 0, direct(newSandbox(t)))
				f.isolated("checkout", "login")
				f.join()
				f.join()
				id := f.all[0].start(test.caller, testNumber)
				if test.unknown {
					id = strings.Repeat("0123abcd", 4)
				}
				here := f.all[1].Gateway
				var got []string
				here.Account.relays.Sender = relay.New(roundTrip(func(r *http.Request) (*http.Response, error) {
					got = append(got, r.URL.Host)
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
				}), func(relay.Delivery, relay.Result, error) {})
				h := &Webhooks{gateway: here, to: to}
				f.away(test.away)
				sure := h.relay(t.Context(), state.Event{ID: id}, nil)
				synctest.Wait()
				if want := strings.Fields(test.want); sure == (test.want == "") || !slices.Equal(got, want) {
					t.Errorf("it goes to %v, want %v; sure: %t", got, want, sure)
				}
			})
		})
	}
}

// What is told before the answer to its request is comes again; what nobody has begun for long does not.
func TestRelayOfUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWebhooks(t, newAccount(t), io.Discard)
		defer h.Close()
		h.to = Relays{OtherCallers: nil}
		if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != http.StatusServiceUnavailable {
			t.Errorf("an early one is answered %d", code)
		}
		if e := (state.Event{At: time.Now().Add(-2 * time.Minute)}); e.Early() {
			t.Error("one of long ago is early")
		}
		h.to = nil
		if code := deliver(h, hook(testSignature, `,"jti":"one"`)); code != http.StatusNoContent {
			t.Errorf("where none is passed on it is answered %d", code)
		}
	})
}
