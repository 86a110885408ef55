package gateway

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
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
		begun        bool // of that it is known that it has
		after        time.Duration
		away         bool
		want         string // "" for nowhere
		result       observe.WebhookResult
	}{
		{"a named one's", "checkout", false, false, 0, false, "checkout.internal", observe.WebhookTaken},
		{"another's", "login", false, false, 0, false, "others.internal", observe.WebhookTaken},
		{"nobody knows yet", "checkout", true, true, 59 * time.Second, false, "", observe.WebhookUndecided},
		{"nobody knows any more", "checkout", true, true, time.Minute, false, "", observe.WebhookTaken},
		{"nobody ever knew", "checkout", true, false, 0, false, "", observe.WebhookTaken},
		{"the store is away", "checkout", false, false, 0, true, "", observe.WebhookStoreAway},
		{"the store is away for long", "checkout", true, true, time.Minute, true, "", observe.WebhookStoreAway},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 0, direct(newSandbox(t)))
				f.isolated("checkout", "login")
				f.join()
				f.join()
				id := f.all[0].start(test.caller, testNumber)
				here := f.all[1].Gateway
				if test.unknown {
					id = strings.Repeat("0123abcd", 4)
				}
				if test.begun {
					here.Account.states.Began(t.Context(), id, state.Start{})
				}
				time.Sleep(test.after)
				var got []string
				here.Account.relays.Sender = relay.New(roundTrip(func(r *http.Request) (*http.Response, error) {
					got = append(got, r.URL.Host)
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
				}), func(relay.Delivery, relay.Result, error) {})
				h := &Webhooks{gateway: here, to: to, relays: new(relaysOf)}
				f.away(test.away)
				result := h.relay(t.Context(), state.Event{ID: id}, nil)
				synctest.Wait()
				if want := strings.Fields(test.want); result != test.result || !slices.Equal(got, want) {
					t.Errorf("it goes to %v, want %v, and is %s", got, want, result)
				}
			})
		})
	}
}

// TestRelayAfterReload: what waits goes where the configuration in force has it, and to nobody else.
func TestRelayAfterReload(t *testing.T) {
	targets := func(named map[string]string) Relays {
		r := Relays{}
		for name, host := range named {
			to, err := relay.NewTarget("https://"+host+"/", "0123456789abcdef0123456789abcdef")
			if err != nil {
				t.Fatal(err)
			}
			r[name] = to
		}
		return r
	}
	type sites []map[string]string
	for _, c := range []struct {
		name          string
		before, after sites
		of, caller    string // by which of the first site's it is sent
		unknown       bool
		want          string
	}{
		{"unchanged", sites{{"shop": "a"}}, sites{{"shop": "a"}}, "shop", "shop", false, "a/"},
		{"another URL", sites{{"shop": "a"}}, sites{{"shop": "b"}}, "shop", "shop", false, "b/"},
		{"another URL for all", sites{{"*": "a"}}, sites{{"*": "b"}}, "*", "shop", false, "b/"},
		{"for all from now on", sites{{"shop": "a"}}, sites{{"*": "b"}}, "shop", "shop", false, "b/"},
		{"its own from now on", sites{{"*": "a"}}, sites{{"*": "a", "shop": "b"}}, "*", "shop", false, "b/"},
		{"none any more", sites{{"shop": "a", "app": "b"}}, sites{{"app": "b"}}, "shop", "shop", false, ""},
		{"none at all", sites{{"shop": "a"}}, sites{{}}, "shop", "shop", false, ""},
		{"no site", sites{{"shop": "a"}}, sites{}, "shop", "shop", false, ""},
		{"two sites become one", sites{{"*": "a"}, {"*": "b"}}, sites{{"*": "b"}}, "*", "shop", false, ""},
		{"two sites become one, and it has another URL", sites{{"*": "a"}, {"*": "b"}}, sites{{"*": "c"}}, "*", "shop", false, ""},
		{"one site becomes two", sites{{"*": "a"}}, sites{{"*": "b"}, {"*": "c"}}, "*", "shop", false, ""},
		{"two equal sites", sites{{"*": "a"}, {"*": "a"}}, sites{{"*": "b"}, {"*": "b"}}, "*", "shop", false, "b/"},
		{"another has its own site", sites{{"shop": "a"}, {"app": "b"}}, sites{{"shop": "c"}, {"app": "b"}}, "shop", "shop", false, "c/"},
		{"two sites unchanged", sites{{"shop": "a"}, {"*": "b"}}, sites{{"shop": "a"}, {"*": "b"}}, "shop", "shop", false, "a/"},
		{"two for all unchanged", sites{{"*": "a"}, {"*": "b"}}, sites{{"*": "a"}, {"*": "b"}}, "*", "shop", false, "a/"},
		{"another URL of two sites", sites{{"shop": "a"}, {"*": "b"}}, sites{{"shop": "c"}, {"*": "b"}}, "shop", "shop", false, ""},
		{"none any more of two sites", sites{{"shop": "a", "app": "c"}, {"*": "b"}}, sites{{"app": "c"}, {"*": "b"}}, "shop", "shop", false, ""},
		{"another URL for all of two sites", sites{{"*": "a"}, {"*": "b"}}, sites{{"*": "c"}, {"*": "b"}}, "*", "shop", false, ""},
		{"nobody's", sites{{"*": "a"}}, sites{{"*": "b"}}, "*", "", true, "b/"},
		{"nobody's, and there is one's own", sites{{"*": "a"}}, sites{{"shop": "b", "*": "c"}}, "*", "", true, ""},
		{"nobody's, and it is the same place", sites{{"*": "a"}}, sites{{"shop": "b", "*": "a"}}, "*", "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &relays{by: map[any]*relaysOf{}}
			load := func(configuration int, all sites) (by *relaysOf) {
				for _, named := range all {
					by = r.add(configuration, targets(named))
				}
				return by
			}
			is := owner{c.caller, !c.unknown}
			got := func(by *relaysOf, was *relay.Target) string {
				if to := r.now(by, is, was); to != nil {
					return to.String()
				}
				return ""
			}
			by := load(1, c.before)
			first := by.sites[0][c.of]
			expect := func(when, want string) {
				t.Helper()
				if to := got(by, first); to != want {
					t.Errorf("%s it goes to %q, want %q", when, to, want)
				}
			}
			expect("before that is in force", first.String())
			r.takeOver(1)
			expect("when that is in force", first.String())
			load(2, sites{{"shop": "x", "*": "x"}})
			expect("while another is refused", first.String())
			load(3, c.after)
			expect("before another is in force", first.String())
			r.takeOver(3)
			expect("then", c.want)
			load(4, sites{{"shop": "x", "*": "x"}})
			expect("while a third is refused", c.want)
		})
	}
}

// TestRelayOfUnknown has the provider send what nobody has begun each six hours, signed anew, and what may be
// told before the answer to its request again.
func TestRelayOfUnknown(t *testing.T) {
	for _, c := range []struct {
		name, times string
		want        int // at first
	}{
		{"of now", `,"finalized_at":"2000-01-02T00:00:00Z"`, 503},
		{"of now by another clock", `,"finalized_at":"2000-01-02T00:00:30Z"`, 503},
		{"of long ago", `,"finalized_at":"2000-01-01T23:59:00Z"`, 204},
		{"of the future", `,"finalized_at":"2020-01-01T00:00:00Z"`, 204},
		{"of one that was triggered now", `,"triggered_at":"2000-01-02T00:00:00Z"`, 503},
		{"of one that was triggered long ago", `,"triggered_at":"2000-01-01T23:59:00Z","submitted_at":"2000-01-02T00:00:00Z"`, 204},
		{"of one that was submitted now", `,"submitted_at":"2000-01-02T00:00:00Z"`, 503},
		{"of one that was submitted in the future", `,"submitted_at":"2020-01-01T00:00:00Z"`, 204},
		{"without a time", ``, 204},
		{"with a time that is none", `,"finalized_at":"now"`, 204},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour) // until 2000-01-02
				h := newWebhooks(t, newAccount(t), io.Discard)
				defer h.Close()
				h.to = Relays{OtherCallers: nil}
				body := `{"request_id":"` + testHook + `","type":"summary","status":"expired"` + c.times + `}`
				for i, want := range []int{c.want, 204, 204} {
					if code := deliver(h, hookOf(testSignature, "", body)); code != want {
						t.Errorf("time %d is answered %d, want %d", i+1, code, want)
					}
					time.Sleep(6 * time.Hour)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour)
				h := newWebhooks(t, newAccount(t), io.Discard)
				defer h.Close()
				if code := deliver(h, hookOf(testSignature, "", `{"request_id":"`+testHook+`"`+c.times+`}`)); code != http.StatusNoContent {
					t.Errorf("where none is passed on, and there is no store, it is answered %d", code)
				}
			})
		})
	}
}

// TestRelayTold has an operator hear of an application that is down at once, and what is lost be called that.
func TestRelayTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		h := newWebhooks(t, newAccount(t), &log)
		defer h.Close()
		to, err := relay.NewTarget("https://checkout.internal/hooks?key=of-the-url", "0123456789abcdef0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		relays := h.gateway.Account.relays
		relays.last.Store(h.gateway.Logger)
		for _, step := range []struct {
			result relay.Result
			want   string
		}{
			{relay.Retried, "level=WARN msg=\"webhook not relayed yet, trying again\" result=retried to=checkout.internal/hooks request_id=cc121958d8fb4368aa3bb762bb9a0f74 caller=checkout why=down\n"},
			{relay.Retried, ""},
			{relay.GaveUp, "level=WARN msg=\"webhook lost, it was not relayed\" result=gave_up to=checkout.internal/hooks request_id=cc121958d8fb4368aa3bb762bb9a0f74 caller=checkout why=down\n"},
			{relay.Delivered, "level=INFO msg=\"webhooks are relayed again\" result=delivered to=checkout.internal/hooks request_id=cc121958d8fb4368aa3bb762bb9a0f74 caller=checkout\n"},
			{relay.Delivered, ""},
		} {
			var why error
			if step.result != relay.Delivered {
				why = errors.New("down")
			}
			log.Reset()
			relays.tell(relay.Delivery{Target: to, Name: "checkout", ID: "cc121958d8fb4368aa3bb762bb9a0f74"}, step.result, why)
			if got := regexp.MustCompile(`(time|account)=\S+ `).ReplaceAllString(log.String(), ""); got != step.want {
				t.Errorf("%s: it logs %s, want %s", step.result, got, step.want)
			}
		}
	})
}
