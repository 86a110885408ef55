package caddyverify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// Handlers of one account share all that is known of it, whatever else differs.
func TestHandlersShareTheirAccount(t *testing.T) {
	one := &Handler{Account: Account{Timeout: caddy.Duration(3 * time.Second)}}
	other := &Handler{Errors: "http", Account: Account{Auth: "body", Timeout: caddy.Duration(4 * time.Second)}}
	if err := inForce(t, one, other); err != nil {
		t.Fatal(err)
	}
	next := &Handler{Account: Account{Timeout: caddy.Duration(5 * time.Second), Limit: 3}}
	if err := inForce(t, next); err != nil {
		t.Fatal(err)
	}
	if one.gateway.Account != other.gateway.Account || one.gateway.Account != next.gateway.Account {
		t.Error("they have different accounts")
	}
	for _, h := range []*Handler{one, other, next} {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
}

// What one handler says of its account holds for those that say nothing, whichever
// comes first; two that say different things are told so.
func TestSettingsOfSeveralHandlers(t *testing.T) {
	const key = "of-several"
	trusted := trustedFile(t, "")
	tests := []struct {
		name     string
		handlers []Account
		wrong    string
		check    func(*accountSettings) bool
	}{
		{"a limit and none", []Account{{Limit: 5}, {}}, "", func(s *accountSettings) bool { return s.limit == 5 }},
		{"none and a limit", []Account{{}, {Limit: 5}, {}}, "", func(s *accountSettings) bool { return s.limit == 5 }},
		{"the same limit", []Account{{Limit: 5}, {Limit: 5}}, "", func(s *accountSettings) bool { return s.limit == 5 }},
		{"two limits", []Account{{Limit: 5}, {}, {Limit: 28}}, "limit: it is 28 here and 5 in another handler", nil},
		{"a limit and off", []Account{{Limit: -1}, {Limit: 28}}, "limit: it is 28 here and off in another handler", nil},
		{"a limit of searches and none", []Account{{SearchLimit: 5}, {}, {SearchLimit: 5, Limit: 20}}, "", func(s *accountSettings) bool {
			return s.core.Limit.Rate == 20 && s.core.Limit.SearchRate == 5
		}},
		{"two limits of searches", []Account{{SearchLimit: 5}, {SearchLimit: 4}}, "search_limit: it is 4 here and 5 in another handler", nil},
		{"a limit of searches above another handler's", []Account{{SearchLimit: 5}, {Limit: 4}}, "limit of searches must be at most that of all calls, 4 a second, not 5", nil},
		{
			"parts of a cache",
			[]Account{{Cache: &Cache{Final: caddy.Duration(time.Hour)}}, {Cache: &Cache{MaxEntries: 7}}},
			"",
			func(s *accountSettings) bool {
				return s.cache == Cache{Final: caddy.Duration(time.Hour), MaxEntries: 7}
			},
		},
		{
			"two lifetimes",
			[]Account{{Cache: &Cache{Final: -1}}, {Cache: &Cache{Final: caddy.Duration(time.Hour)}}},
			"cache: final: it is 1h0m0s here and off in another handler", nil,
		},
		{"no cache", []Account{{}, {Cache: &Cache{Off: true}}}, "", func(s *accountSettings) bool { return s.cache.Off }},
		{"no cache and a cache", []Account{{Cache: &Cache{Off: true}}, {Cache: &Cache{MaxEntries: 7}}}, "cache: it is off in one handler", nil},
		{"no breaker and a breaker", []Account{{Breaker: &Breaker{OpenFor: caddy.Duration(time.Second)}}, {Breaker: &Breaker{Off: true}}}, "breaker: it is off in one handler", nil},
		{
			"two open times",
			[]Account{{Breaker: &Breaker{OpenFor: caddy.Duration(time.Second)}}, {Breaker: &Breaker{OpenFor: caddy.Duration(2 * time.Second)}}},
			"breaker: open_for: it is 2s here and 1s in another handler", nil,
		},
		{
			"countries",
			[]Account{{}, {Countries: []string{"gb", "DE"}}, {Countries: []string{"DE", "GB"}}, {}},
			"",
			func(s *accountSettings) bool { return strings.Join(s.countries.Labels(), " ") == "DE GB other" },
		},
		{"other countries", []Account{{Countries: []string{"GB"}}, {Countries: []string{"FR"}}}, "countries: it is [FR] here and [GB] in another handler", nil},
		{
			"a guard and none",
			[]Account{{Guard: &Guard{CoolDown: &GuardRule{}}}, {}, {Guard: &Guard{Recommended: "enforce", Trusted: []string{"44"}}}},
			"",
			func(s *accountSettings) bool {
				g := s.core.Guard
				return g.Account.CoolDown == guard.Monitor && g.Account.Conversion == guard.Enforce && slices.Equal(g.Trusted.Prefixes, []string{"44"})
			},
		},
		{
			"the same guard in other words",
			[]Account{
				{Guard: &Guard{PerNumber: &GuardRule{}, Countries: &GuardRule{Values: []string{"gb", "DE"}}, Trusted: []string{"44", "49"}}},
				{Guard: &Guard{
					PerNumber: &GuardRule{Mode: "monitor", Values: []string{"6/24h", "3/10m"}},
					Countries: &GuardRule{Values: []string{"DE", "GB"}}, Trusted: []string{"49", "44"},
				}},
			},
			"",
			func(s *accountSettings) bool { return len(s.core.Guard.Account.Countries.Allowed) == 2 },
		},
		{"a rule in two modes", []Account{{Guard: &Guard{CoolDown: &GuardRule{}}}, {Guard: &Guard{CoolDown: &GuardRule{Mode: "off"}}}}, "guard: cool_down: it is another one here than in another handler", nil},
		{"all rules in two modes", []Account{{Guard: &Guard{Recommended: "monitor"}}, {Guard: &Guard{Recommended: "enforce"}}}, "guard: recommended: it is enforce here and monitor in another handler", nil},
		{
			"two budgets",
			[]Account{{Guard: &Guard{Budget: &GuardRule{Values: []string{"5 EUR/day"}}, Prices: []GuardPrice{{Amount: "1", Currency: "EUR"}}}}, {Guard: &Guard{Budget: &GuardRule{Values: []string{"6 EUR/day"}}, Prices: []GuardPrice{{Amount: "1", Currency: "EUR"}}}}},
			"guard: budget: it is another one here", nil,
		},
		{
			"two prices",
			[]Account{{Guard: &Guard{Prices: []GuardPrice{{Amount: "1", Currency: "EUR"}}}}, {Guard: &Guard{Prices: []GuardPrice{{Amount: "1.00", Currency: "EUR"}, {Amount: "2", Currency: "EUR", Countries: []string{"GB"}}}}}},
			"guard: price: it is another one here", nil,
		},
		{"others are trusted", []Account{{Guard: &Guard{Trusted: []string{"44"}}}, {Guard: &Guard{Trusted: []string{"49"}}}}, "guard: trusted: it is another one here", nil},
		{
			"others are trusted by a file",
			[]Account{{Guard: &Guard{TrustedFile: trusted}}, {Guard: &Guard{TrustedFile: trusted}}, {Guard: &Guard{TrustedFile: &TrustedFile{Path: trusted.Path, Key: "{env.OTHER}"}}}},
			"guard: trusted_file: it is another one here", nil,
		},
		{"settling", []Account{{Settle: true}, {}}, "", func(s *accountSettings) bool { return s.settle }},
		{"the account is ours", []Account{{Exclusive: true}, {}}, "", func(s *accountSettings) bool {
			return s.core.Cache.Scheduled && s.core.Cache.InProgress == 0
		}},
		{"that, with a lifetime", []Account{{Exclusive: true}, {Cache: &Cache{InProgress: Lifetime(time.Second)}}}, "", func(s *accountSettings) bool {
			return !s.core.Cache.Scheduled && s.core.Cache.InProgress == time.Second
		}},
		{"as it changes", []Account{{}, {Cache: &Cache{InProgress: Auto}}}, "", func(s *accountSettings) bool {
			return s.core.Cache.Scheduled && s.core.Cache.InProgress == 0
		}},
		{"two lifetimes of IN PROGRESS", []Account{{Cache: &Cache{InProgress: Auto}}, {Cache: &Cache{InProgress: Lifetime(time.Second)}}}, "cache: in_progress: it is 1s here and auto in another handler", nil},
		{
			"the longest timeout",
			[]Account{{Timeout: caddy.Duration(20 * time.Second)}, {}},
			"",
			func(s *accountSettings) bool { return s.core.Breaker.Window == time.Minute },
		},
		{"a window too short for another's timeout", []Account{
			{Breaker: &Breaker{Window: caddy.Duration(30 * time.Second)}}, {Timeout: caddy.Duration(20 * time.Second)},
		}, "breaker: window must be at least three times the timeout", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var handlers []*Handler
			for i := range tt.handlers {
				h := &Handler{Account: tt.handlers[i]}
				h.Credentials = &Credentials{APIKey: key, APISecret: testSecret}
				handlers = append(handlers, h)
			}
			err := inForce(t, handlers...)
			switch {
			case tt.wrong == "" && err != nil, tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("the error is %v, want %q", err, tt.wrong)
			case tt.check != nil && !tt.check(merged(t, handlers)):
				t.Errorf("together they want %+v", merged(t, handlers))
			}
			for _, h := range handlers {
				if err := h.Cleanup(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// merged is what handlers want of their account together.
func merged(t *testing.T, handlers []*Handler) *accountSettings {
	t.Helper()
	s := new(accountSettings)
	for _, h := range handlers {
		var err error
		if s, err = s.with(&h.Account); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A configuration that is provisioned but not in force changes nothing of an account
// in use, and one that is taken back leaves no trace.
func TestAccountSettingsInForce(t *testing.T) {
	say := func(limit int, off bool) *gateway.Settings {
		s, err := new(accountSettings).with(&Account{Limit: limit, Breaker: &Breaker{Off: off}})
		if err != nil {
			t.Fatal(err)
		}
		return s.core
	}
	a := gateway.NewAccount("example.com", "a-key", metrics, say(200, false))
	defer a.Close()
	takeBackFirst := a.Configure(say(200, false))
	expect := func(rate int, circuits bool) {
		t.Helper()
		if s := a.Snapshot(); s.Limit.Rate != rate || (len(s.Circuits) > 0) != circuits {
			t.Errorf("the limit is %d, want %d; the circuits are %v", s.Limit.Rate, rate, s.Circuits)
		}
	}
	a.Prepare(say(2, true))
	expect(200, true)
	takeBackSecond := a.Configure(say(2, true))
	expect(2, false)
	takeBackSecond() // it has failed to start
	expect(200, true)
	takeBackThird := a.Configure(say(20, false))
	takeBackFirst() // a reload
	expect(20, true)
	takeBackThird()
	expect(20, true) // calls may still be under way
}
