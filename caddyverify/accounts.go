package caddyverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
)

// Account is an account of the Verify API that handlers name. What its settings mean is
// said at those of Handler.
type Account struct {
	// Upstream is the URL that the paths of the API are appended to.
	// Default: `https://api.nexmo.com`.
	Upstream string `json:"upstream,omitempty"`

	// InsecureUpstream allows an upstream with http on any host. Default: `false`.
	InsecureUpstream bool `json:"insecure_upstream,omitempty"`

	// Credentials of the account. Required.
	Credentials *Credentials `json:"credentials,omitempty"`

	// NextCredentials are the same api_key with the account's second secret. Default: none.
	NextCredentials *Credentials `json:"next_credentials,omitempty"`

	// Auth is where the credentials go. Default: `basic`.
	Auth string `json:"auth,omitempty"`

	// Method is how calls are made. Default: `get` with `auth query`, else `auto`.
	Method string `json:"method,omitempty"`

	// Timeout bounds one upstream call. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Transport configures the connections to the upstream. Default: `http` with
	// `versions 1.1` and `keepalive 30s`.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	// Cache keeps the answers to searches in memory. Default: on, with its defaults.
	Cache *Cache `json:"cache,omitempty"`

	// Breaker stops calls to an upstream in trouble. Default: on, with its defaults.
	Breaker *Breaker `json:"breaker,omitempty"`

	// Limit is how many calls a second the account may make. Default: `28`.
	Limit int `json:"limit,omitempty"`

	// Countries are the values of the metrics' label `country`. Default: fifty countries
	// of much traffic.
	Countries []string `json:"countries,omitempty"`

	// Failover are the names of accounts with which new verifications start, in their
	// order, while the provider refuses this one (4, 8, 9) or its circuit for requests is
	// open. Checks, searches and controls go to the account that started the verification.
	// Default: none.
	Failover []string `json:"failover,omitempty"`

	// Settle searches for verifications whose end no application has asked for. Default:
	// `false`.
	Settle bool `json:"settle,omitempty"`
}

// accountName matches the name of an account.
var accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// site returns a handler with the settings of an account and, of h, those of a site.
func (a *Account) site(h *Handler) *Handler {
	return &Handler{
		Upstream: a.Upstream, InsecureUpstream: a.InsecureUpstream, Credentials: a.Credentials, NextCredentials: a.NextCredentials, Auth: a.Auth, Method: a.Method,
		Timeout: a.Timeout, TransportRaw: a.TransportRaw, Cache: a.Cache, Breaker: a.Breaker, Limit: a.Limit,
		Countries: a.Countries, Settle: a.Settle,
		Errors: h.Errors, Strict: h.Strict, Browsers: h.Browsers,
		roundTripper: h.roundTripper,
	}
}

// accountOf returns the account that has those of a handler's settings that an account
// has.
func accountOf(h *Handler) *Account {
	return &Account{
		Upstream: h.Upstream, InsecureUpstream: h.InsecureUpstream, Credentials: h.Credentials, NextCredentials: h.NextCredentials, Auth: h.Auth, Method: h.Method,
		Timeout: h.Timeout, TransportRaw: h.TransportRaw, Cache: h.Cache, Breaker: h.Breaker, Limit: h.Limit,
		Countries: h.Countries, Settle: h.Settle,
	}
}

// checkNamed tells what is wrong with a handler that leaves its account to the app.
func (h *Handler) checkNamed(a *App) error {
	switch {
	case h.Account != "" && h.AccountByCaller:
		return errors.New("account: it is given twice, by name and by caller")
	case h.AccountByCaller && a.Callers == nil:
		return errors.New("account: there are no callers to choose it by; the global option verify has none")
	case h.Account != "" && a.Accounts[h.Account] == nil:
		return fmt.Errorf("account: there is none named %s; the global option verify has %v", h.Account, slices.Sorted(maps.Keys(a.Accounts)))
	}
	settings, err := json.Marshal(accountOf(h))
	if err != nil {
		return err
	}
	var given map[string]any
	if err := json.Unmarshal(settings, &given); err != nil {
		return err
	}
	if len(given) > 0 {
		return fmt.Errorf("%s: it belongs to the account; write it there", slices.Min(slices.Collect(maps.Keys(given))))
	}
	return nil
}

// provisionNamed makes the gateways of a handler that leaves its account to the app.
func (h *Handler) provisionNamed(ctx caddy.Context, app *App) error {
	if err := h.checkNamed(app); err != nil {
		return err
	}
	h.sites = map[string]*Handler{}
	names := []string{h.Account}
	if h.AccountByCaller {
		names = nil
		for _, c := range app.Callers.rules.All() {
			if c.Account == "" {
				return fmt.Errorf("account: caller %s has none to choose", c.Name)
			}
			names = append(names, c.Account)
		}
	}
	for _, name := range names {
		site, err := h.siteOf(ctx, app, name)
		if err != nil {
			return err
		}
		var others []*gateway.Gateway
		for _, other := range app.Accounts[name].Failover {
			next, err := h.siteOf(ctx, app, other)
			if err != nil {
				return err
			}
			others = append(others, next.gateway)
		}
		site.gateway.FailOver(others...)
		h.gateway = site.gateway // any of them can refuse a call
	}
	return nil
}

// siteOf returns the handler of an account, and makes it first if need be.
func (h *Handler) siteOf(ctx caddy.Context, app *App, name string) (*Handler, error) {
	if site := h.sites[name]; site != nil {
		return site, nil
	}
	site := app.Accounts[name].site(h)
	site.named = name
	h.sites[name] = site
	app.used[name] = true
	if err := site.provision(ctx, app); err != nil {
		return nil, fmt.Errorf("account %s: %w", name, err)
	}
	return site, nil
}

// checkAccounts tells what is wrong with what sites share.
func (a *App) checkAccounts() error {
	for _, name := range slices.Sorted(maps.Keys(a.Accounts)) {
		if !accountName.MatchString(name) || name == "by" {
			return fmt.Errorf("account %q: a name has 1 to 64 letters, digits and _ . -, and is not \"by\"", name)
		}
		if err := a.Accounts[name].site(new(Handler)).check(); err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		for i, other := range a.Accounts[name].Failover {
			switch {
			case a.Accounts[other] == nil:
				return fmt.Errorf("account %s: failover: there is no account named %s", name, other)
			case other == name || slices.Contains(a.Accounts[name].Failover[:i], other):
				return fmt.Errorf("account %s: failover: %s is tried already by then", name, other)
			}
		}
	}
	if a.Callers == nil {
		return nil
	}
	if err := a.Callers.check(); err != nil {
		return fmt.Errorf("callers: %w", err)
	}
	for _, c := range a.Callers.Known {
		if c.Account != "" && a.Accounts[c.Account] == nil {
			return fmt.Errorf("callers: caller %s: there is no account named %s", c.Name, c.Account)
		}
	}
	return nil
}
