// Package caddyverify makes Caddy an egress gateway to the Verify API of
// Nexmo/Vonage: applications call it without credentials, it adds them.
package caddyverify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is an egress gateway to the Verify API, version 1. It answers calls of
// the API (/verify/{format}, /verify/check/{format}, /verify/search/{format},
// /verify/control/{format} and /verify/psd2/json, where {format} is json or xml) by
// making them with the account's credentials, says of any other path under /verify
// that there is no such call, and leaves calls elsewhere to the next handler.
//
// Clients need no credentials, and those they send are dropped. The upstream
// request is made from the parameters of the call alone: no header of the client
// is copied, no query passed on. The upstream's answer is passed on unchanged
// once it is known to be one.
type Handler struct {
	// Upstream is the URL that the paths of the API are appended to. It must be
	// https unless its host is a loopback address.
	// Default: `https://api.nexmo.com`.
	Upstream string `json:"upstream,omitempty"`

	// InsecureUpstream allows an upstream with http on any host. The credentials
	// are then sent in clear. Default: `false`.
	InsecureUpstream bool `json:"insecure_upstream,omitempty"`

	// Credentials of the account. Required.
	Credentials *Credentials `json:"credentials,omitempty"`

	// Auth is where the credentials go: `basic` (the Authorization header, the
	// provider's present form), or one of the older forms `query` and `body`.
	// Default: `basic`.
	Auth string `json:"auth,omitempty"`

	// Method is how calls are made: `get`, with everything in the query, as in version
	// 1.0.0 of the API's document; `post`, with a form, as in later ones but for the
	// search; or `auto`. That is GET for a search and POST for all else, and where the
	// upstream answers 404, 405 or 501 to a POST without a word of the API, GET, at once
	// from then on. Default: `get` with `auth query`, else `auto`.
	Method string `json:"method,omitempty"`

	// Errors is how the gateway reports trouble of its own: `verify` answers
	// HTTP 200 with a Verify status and error_text, as the API does and its SDKs
	// expect; `http` answers the same body with 400, 422, 429, 502, 503 or 504.
	// Default: `verify`.
	Errors string `json:"errors,omitempty"`

	// Strict refuses a call with a parameter that the API does not have, by name and
	// with status 3. Without it such a parameter is left out, as the API itself does,
	// and counted. Default: `false`.
	Strict bool `json:"strict,omitempty"`

	// Browsers is what becomes of calls that a page in somebody's browser makes,
	// known by an Origin or a Sec-Fetch-Site header: `refuse` answers 403, `allow`
	// takes them. Default: `refuse`.
	Browsers string `json:"browsers,omitempty"`

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

	// Countries are the values of the metrics' label `country`, as ISO 3166-1 alpha-2
	// codes; any other country is `other`. Default: fifty countries of much traffic.
	Countries []string `json:"countries,omitempty"`

	// Settle searches, when there is nothing else to do, for verifications whose
	// time is over and whose end no application has asked for, so that metrics know
	// every outcome and price. Default: `false`.
	Settle bool `json:"settle,omitempty"`

	client   *upstream.Client
	fetch    wire.Sender // send, made once
	base     *url.URL
	account  *account
	trouble  *accountTrouble
	logger   *slog.Logger
	refusals *refusals
	kept     []any    // keys of what it holds in state
	stops    []func() // end what it listens to
}

// Credentials are an API key and its secret. Write the secret as a placeholder,
// {env.NAME} or {file.PATH}: a literal is shown by Caddy's admin API and stored in
// its autosave file.
type Credentials struct {
	// The API key. Placeholders are allowed.
	APIKey string `json:"api_key,omitempty"`

	// The API secret. Placeholders are allowed; they are read when the
	// configuration is loaded.
	APISecret string `json:"api_secret,omitempty"`
}

const (
	defaultUpstream    = "https://api.nexmo.com"
	defaultTimeout     = 10 * time.Second
	defaultIdleTimeout = 30 * time.Second

	errorsVerify = "verify"
	errorsHTTP   = "http"

	browsersRefuse = "refuse"
	browsersAllow  = "allow"
)

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision checks the configuration and makes the handler ready. It makes no
// connection, and touches nothing that live traffic uses: App does, once the
// configuration is in force.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	return h.named(h.provision(ctx, app.(*App)))
}

func (h *Handler) provision(ctx caddy.Context, app *App) error {
	h.logger = ctx.Slogger()
	ownStandardLog()
	if err := h.check(); err != nil {
		return err
	}
	base, err := upstreamURL(h.Upstream, h.InsecureUpstream)
	if err != nil {
		return err
	}
	auth := upstream.Auth(cmp.Or(h.Auth, string(upstream.Basic)))
	method := upstream.Method(cmp.Or(h.Method, string(auth.DefaultMethod())))
	h.Errors = cmp.Or(h.Errors, errorsVerify)
	h.Browsers = cmp.Or(h.Browsers, browsersRefuse)
	h.Timeout = cmp.Or(h.Timeout, caddy.Duration(defaultTimeout))
	h.warnOfWriteTimeout(ctx)
	key, secret, err := h.Credentials.resolveFor(auth)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if h.Credentials.literal() {
		h.logger.Warn("the api_secret stands in the configuration, where the admin API and the autosave file show it; write a placeholder in its place, for example " + exampleCredentials)
	}
	transport, err := h.transport(ctx)
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	h.fetch = h.send
	h.refusals = newRefusals(h.refused)
	h.stops = append(h.stops, h.refusals.stop)
	h.client, err = upstream.New(upstream.Config{
		URL:       base,
		Key:       key,
		Secret:    upstream.NewSecret(secret),
		Auth:      auth,
		Method:    method,
		Methods:   h.keepMethods(base),
		Transport: transport,
	})
	if err != nil {
		return err
	}
	if h.Cache == nil {
		h.Cache = new(Cache)
	}
	if h.Breaker == nil {
		h.Breaker = new(Breaker)
	}
	if h.base, err = url.Parse(base); err != nil {
		return errors.New("upstream: not a URL")
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.finishWith(ctx)
	if err := app.join(h, accountID{base, key}); err != nil {
		return err
	}
	h.warnOfRefusedSecret()
	return nil
}

// transport loads the module for connections to the upstream.
func (h *Handler) transport(ctx caddy.Context) (http.RoundTripper, error) {
	if h.TransportRaw == nil {
		h.TransportRaw = caddyconfig.JSONModuleObject(reverseproxy.HTTPTransport{
			KeepAlive: &reverseproxy.KeepAlive{IdleConnTimeout: caddy.Duration(defaultIdleTimeout)},
			Versions:  []string{"1.1"},
		}, "protocol", "http", nil)
	}
	var err error
	if h.TransportRaw, err = readProxy(withoutSurprises(h.TransportRaw)); err != nil {
		return nil, err
	}
	written := texts(h.TransportRaw)
	module, err := ctx.LoadModule(h, "TransportRaw")
	if err != nil {
		return nil, withoutPasswords(err, written)
	}
	transport, ok := module.(*reverseproxy.HTTPTransport)
	if !ok {
		return nil, errors.New("only the http transport speaks to the Verify API")
	}
	transport.Transport.OnProxyConnectResponse = upstream.ProxyAnswered
	return transport, checkTransport(transport)
}

// upstreamURL checks the base URL. Its errors never show the URL, which may hold
// a password.
func upstreamURL(raw string, insecure bool) (string, error) {
	if raw == "" {
		raw = defaultUpstream
	}
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsAny(raw, "{}"):
		return "", errors.New("placeholders are read in credentials alone; " + writeItOut)
	case err != nil || u.Hostname() == "" || !isPort(u.Port()) || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("not an http or https URL; write for example " + defaultUpstream)
	case u.User != nil:
		return "", errors.New("the URL holds a user name; use credentials for what the Verify API is to see")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the URL has a query or a fragment; write no more than scheme, host and perhaps a path")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/verify"):
		return "", errors.New("the URL ends in /verify, which the paths of the API begin with; leave it out")
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return "", errors.New("http would send the credentials in clear; write https, or add insecure_upstream")
	}
	// One spelling, so that one account is not taken for two.
	u.Host = strings.ToLower(u.Host)
	return strings.TrimSuffix(u.String(), "/"), nil
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n <= math.MaxUint16
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// oneOf makes sure that value is one of those allowed, or not given.
func oneOf(value string, allowed ...string) error {
	if value != "" && !slices.Contains(allowed, value) {
		return fmt.Errorf("it must be one of %q", allowed)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
