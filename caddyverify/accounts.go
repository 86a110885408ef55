package caddyverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
)

// Account is an account of the Verify API: an API key at an upstream, and how it is used.
type Account struct {
	// Upstream is the URL that the paths of the API are appended to. It must be
	// https unless its host is a loopback address.
	// Default: `https://api.nexmo.com`.
	Upstream string `json:"upstream,omitempty"`

	// InsecureUpstream allows an upstream with http on any host. The credentials
	// are then sent in clear. Default: `false`.
	InsecureUpstream bool `json:"insecure_upstream,omitempty"`

	// API is the version of the Verify API that calls are answered from: `v1`, or `v2`, which
	// applications notice no more of than docs/v2.md says. With `v2` those that speak version 2
	// themselves may call it, too (/v2/verify). Default: `v1`.
	API string `json:"api,omitempty"`

	// Drain is `v1` where verifications that were started with that version may be under way
	// yet: what this gateway, or those of its store, has not started with v2 is looked for
	// there first. It needs credentials. Default: none are.
	Drain string `json:"drain,omitempty"`

	// Templates has calls of version 2 about templates (/v2/verify/templates…) go through, by
	// the callers that it names. They change the messages of all applications of the account.
	// Default: they are refused.
	Templates *Templates `json:"templates,omitempty"`

	// Application is the id of the provider's application by whose key calls of `api v2` are
	// signed, and whose webhooks tell of them. Default: calls are made with the credentials, and
	// no webhook tells of them.
	Application string `json:"application,omitempty"`

	// PrivateKey is the application's, in PEM: RSA with 2048 bits or more. Write it as a
	// placeholder, {file.PATH}; the file is read again whenever it changes. Required with
	// Application.
	PrivateKey string `json:"private_key,omitempty"`

	// SignatureSecret is the account's, by which the provider signs webhooks of `api v2`: 16 to 256
	// characters. Placeholders are allowed; a file is read again whenever it changes. Required for
	// `verify_webhook`.
	SignatureSecret string `json:"signature_secret,omitempty"`

	// Credentials of the account. Required, but with Application; there they are for `drain`.
	// Files that they come from are read again whenever they change, beside an Application where
	// there is something to drain.
	Credentials *Credentials `json:"credentials,omitempty"`

	// NextCredentials are a second secret of the same account, whose api_key is the same.
	// It takes over where the provider refuses the secret in use, with status 4 or HTTP 401
	// or 403, once a search of the gateway's own has shown that it is accepted; so does the
	// first, in turn. The gateway stays with the one it has, also after a reload, until
	// that is refused or a new secret comes. Default: none.
	NextCredentials *Credentials `json:"next_credentials,omitempty"`

	// Auth is where the credentials go: `basic` (the Authorization header, the
	// provider's present form), or one of the older forms `query` and `body`, which version 1
	// alone has. Default: `basic`.
	Auth string `json:"auth,omitempty"`

	// Method is how calls are made: `get`, with everything in the query, as in version
	// 1.0.0 of the API's document; `post`, with a form, as in later ones but for the
	// search; or `auto`. That is GET for a search and POST for all else, and where the
	// upstream answers 404, 405 or 501 to a POST without a word of the API, GET, at once
	// from then on. Calls of version 2 have methods of their own. Default: `get` with
	// `auth query`, else `auto`.
	Method string `json:"method,omitempty"`

	// Timeout bounds one upstream call from its start to the end of its answer:
	// 100 ms to 5 minutes. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Transport configures the connections to the upstream. It is Caddy's own
	// `http` transport, without HTTP/3 and h2c, whose clients may send a call twice,
	// and without proxy_protocol. It uses a proxy only if `network_proxy` names one,
	// whatever the environment says, and accepts headers of 16 KiB unless
	// `max_response_header_size` says otherwise. Default: `http` with `versions 1.1`, and
	// with `keepalive 30s`, which is shorter than the time after which providers close an
	// idle connection.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	// Cache keeps the answers to searches in memory. Default: on, with its defaults.
	Cache *Cache `json:"cache,omitempty"`

	// Breaker stops calls to an upstream in trouble. Default: on, with its defaults.
	Breaker *Breaker `json:"breaker,omitempty"`

	// Limit is how many calls a second the account may make; negative for no
	// limit. The provider's own limit is 30, and it answers status 1 to more. A
	// call waits up to 250 ms for its turn before the gateway does so; checks go
	// first. Default: `28`.
	Limit int `json:"limit,omitempty"`

	// SearchLimit is how many of these calls a second may be searches, for which the
	// provider has a limit of its own; with a limit of all calls, at most that. A search that
	// waits for its turn keeps no other call back. With a store it is divided by the number of
	// gateways, of which each makes one a second at least. Default: none of its own, but what
	// `limit` allows.
	SearchLimit int `json:"search_limit,omitempty"`

	// Countries are the values of the metrics' label `country`, as ISO 3166-1 alpha-2
	// codes; any other country is `other`. Default: twelve countries of much traffic.
	Countries []string `json:"countries,omitempty"`

	// Guard says which verifications are not started. Default: none is refused.
	Guard *Guard `json:"guard,omitempty"`

	// Settle searches, when there is nothing else to do, for verifications whose
	// time is over and whose end no application has asked for, so that metrics know
	// every outcome and price. Default: `false`.
	Settle bool `json:"settle,omitempty"`

	// Exclusive says that nobody uses the account past this gateway, or those of its store: no
	// other program has its secret and checks or controls what started here. Then `in_progress`
	// is `auto` by default. Default: `false`.
	Exclusive bool `json:"exclusive,omitempty"`

	// Failover are the names of the app's accounts with which new verifications start, in
	// their order, while the provider refuses this one (4, 8, 9) or its circuit for
	// requests is open. Checks, searches and controls go to the account that started the
	// verification. Only an account of the app can have them. Default: none.
	Failover []string `json:"failover,omitempty"`
}

// accountName matches the name of an account.
var accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// site returns a handler with the account and, of h, the settings of a site.
func (a *Account) site(h *Handler) *Handler {
	site := &Handler{Account: *a, Errors: h.Errors, Strict: h.Strict, Browsers: h.Browsers, roundTripper: h.roundTripper}
	site.Failover = nil // the app's matter
	return site
}

// checkNamed tells what is wrong with a handler that leaves its account to the app.
func (h *Handler) checkNamed(a *App) error {
	switch {
	case h.AccountName != "" && h.AccountByCaller:
		return errors.New("account: it is given twice, by name and by caller")
	case h.AccountByCaller && a.Callers == nil:
		return errors.New("account: there are no callers to choose it by; the global option verify has none")
	case h.AccountName != "" && a.Accounts[h.AccountName] == nil:
		return fmt.Errorf("account: there is none named %s; the global option verify has %v", h.AccountName, slices.Sorted(maps.Keys(a.Accounts)))
	}
	settings, err := json.Marshal(&h.Account) //nolint:gosec // as it is written, to see what is
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
	names := []string{h.AccountName}
	if h.AccountByCaller {
		names = nil
		for _, c := range app.Callers.rules.All() {
			switch {
			case c.Account != "":
			case c.Name == caller.Other:
				return errors.New("account: `unknown shared` has no account that `account by caller` could choose; write `unknown refuse`, or the account's name in place of `by caller`")
			default:
				return fmt.Errorf("account: caller %s has none that `account by caller` could choose; write `account <name>` into its block", c.Name)
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
		h.takesV2 = h.takesV2 || site.takesV2
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
	if a.Callers != nil {
		if err := a.Callers.check(); err != nil {
			return fmt.Errorf("callers: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Accounts)) {
		if !accountName.MatchString(name) || name == "by" {
			return fmt.Errorf("account %q: a name has 1 to 64 letters, digits and _ . -, and is not \"by\"", name)
		}
		if err := a.Accounts[name].check(); err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		if err := a.Accounts[name].Templates.checkCallers(a.Callers); err != nil {
			return fmt.Errorf("account %s: templates: %w", name, err)
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
	for _, c := range a.Callers.Known {
		if c.Account != "" && a.Accounts[c.Account] == nil {
			return fmt.Errorf("callers: caller %s: there is no account named %s", c.Name, c.Account)
		}
	}
	return nil
}
