// Package caddyverify makes Caddy an egress gateway to the Verify API of
// Nexmo/Vonage: applications call it without credentials, it adds them.
package caddyverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/exp/zapslog"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is an egress gateway to the Verify API, version 1. It answers calls of
// the API (/verify/{format}, /verify/check/{format}, /verify/search/{format},
// /verify/control/{format} and /verify/psd2/json, where {format} is json or xml) by
// making them with the account's credentials, says of any other path under /verify
// that there is no such call, and leaves calls elsewhere to the next handler. For an account
// with `api v2` that goes for version 2 and its paths, too (/v2/verify, /v2/verify/{request_id}
// and /v2/verify/{request_id}/next_workflow, and with `templates` /v2/verify/templates).
//
// Clients need no credentials, and those they send are dropped. The upstream
// request is made from the parameters of the call alone: no header of the client
// is copied, no query passed on. The upstream's answer is passed on unchanged
// once it is known to be one.
type Handler struct {
	// AccountName is that of one of the app's accounts, which then has all settings but
	// `errors`, `strict` and `browsers`. Default: the handler has an account of its own.
	AccountName string `json:"account,omitempty"`

	// AccountByCaller makes each call with the account of its caller. Default: `false`.
	AccountByCaller bool `json:"account_by_caller,omitempty"`

	// The settings of the handler's own account.
	Account

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

	gateway *gateway.Gateway
	takesV2 bool // calls of version 2, since an account is there
	app     *App
	// sites are the handlers that make calls for this one, by the accounts' names, where
	// those are the app's.
	sites map[string]*Handler
	// named is, of such a handler, the account's name.
	named    string
	rotation rotation
	// roundTripper takes the place of the transport in tests.
	roundTripper http.RoundTripper
	leave        func() error // gives the account back
	logger       *slog.Logger
}

// Credentials are an API key and its secret. Write the secret as a placeholder,
// {env.NAME} or {file.PATH}: a literal is shown by Caddy's admin API and stored in
// its autosave file.
type Credentials struct {
	// The API key. Placeholders are allowed.
	APIKey string `json:"api_key,omitempty"`

	// The API secret. Placeholders are allowed; they are read when the
	// configuration is loaded, and those of files again whenever these change. A secret
	// that passes the checks of load time is then in use at once; any other changes
	// nothing, and neither does another api_key: the log warns of them.
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

// CaddyModule returns the Caddy module information. Caddy asks at each call, while a new secret may come
// in, so it copies nothing.
func (*Handler) CaddyModule() caddy.ModuleInfo {
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
	return h.withName(h.provision(ctx, app.(*App)))
}

func (h *Handler) provision(ctx caddy.Context, app *App) error {
	h.logger = ctx.Slogger()
	h.app = app
	ownStandardLog()
	if h.AccountName != "" || h.AccountByCaller {
		return h.provisionNamed(ctx, app)
	}
	if err := h.check(); err != nil {
		return err
	}
	if err := h.Templates.checkCallers(app.Callers); err != nil {
		return fmt.Errorf("templates: %w", err)
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
	if err := h.readCredentials(auth); err != nil {
		return err
	}
	if err := h.readSignatureSecret(); err != nil {
		return err
	}
	secret, next := h.rotation.secrets()
	transport, err := h.transport(ctx)
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	if h.Cache == nil {
		h.Cache = new(Cache)
	}
	if h.Breaker == nil {
		h.Breaker = new(Breaker)
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.finishWith(ctx)
	h.takesV2 = h.API == apiV2
	calls := upstream.Config{
		URL:       base.String(),
		Key:       h.rotation.key,
		Secret:    secret,
		Next:      next,
		Auth:      auth,
		Method:    method,
		Transport: transport,
	}
	if err := app.join(h, accountID{base.String(), h.rotation.key}, base.Host, gateway.Config{
		Upstream:      calls,
		V2:            h.v2(calls),
		Timeout:       time.Duration(h.Timeout),
		HTTPErrors:    h.Errors == errorsHTTP,
		Strict:        h.Strict,
		AllowBrowsers: h.Browsers == browsersAllow,
		Caller:        h.callerOf,
		Logger:        h.logger,
		AccountLogger: accountLogger(ctx),
		Running:       &running,
	}); err != nil {
		return err
	}
	h.warnOfRefusedSecret()
	return nil
}

// accountLogger is for an account's own lines where another handler than verify has opened it: they come under
// the name of that one. Else it is nil.
func accountLogger(ctx caddy.Context) *slog.Logger {
	if _, ok := ctx.Module().(*Webhook); !ok {
		return nil
	}
	return slog.New(zapslog.NewHandler(ctx.Logger(new(Handler)).Core(),
		zapslog.WithName(string(new(Handler).CaddyModule().ID)), zapslog.AddStacktraceAt(slog.Level(127)))) // none, as Caddy's own have none
}

// Cleanup gives back what the handler holds.
func (h *Handler) Cleanup() error {
	if h.sites != nil {
		var err error
		for _, site := range h.sites {
			err = errors.Join(err, site.Cleanup())
		}
		return err
	}
	if h.rotation.stop != nil {
		h.rotation.stop()
		h.rotation.stop = nil
	}
	if h.gateway != nil {
		h.gateway.Close()
	}
	if h.leave == nil {
		return nil
	}
	defer func() { h.leave = nil }()
	return h.leave()
}

// ServeHTTP answers the calls of the Verify API. It returns no error for them:
// Caddy would log it with the query, and so with numbers and codes.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch isV2 := wire.IsV2(r.URL.Path); {
	case wire.IsOurs(r.URL.Path), isV2 && h.takesV2:
		h.gatewayFor(r).ServeHTTP(w, r)
		return nil
	case isV2:
		return answered(w, r, next)
	}
	return next.ServeHTTP(w, r)
}

// answered leaves a call of version 2 to the next handler. Where that has no answer, Caddy would
// write an empty 200, by which version 2 says that a code was right.
func answered(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	noted := &noting{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	if err := next.ServeHTTP(noted, r); err != nil || noted.written {
		return err
	}
	answer := wire.Say(wire.Refuse(wire.UnknownPath, ""), wire.Request, wire.V2, true)
	w.Header().Set("Content-Type", answer.ContentType)
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body) // a client that has left has nothing to be told
	return nil
}

// noting is an http.ResponseWriter that notes whether anything was written.
type noting struct {
	*caddyhttp.ResponseWriterWrapper
	written bool
}

func (n *noting) WriteHeader(code int) {
	n.written = true
	n.ResponseWriterWrapper.WriteHeader(code)
}

func (n *noting) Write(b []byte) (int, error) {
	n.written = true
	return n.ResponseWriterWrapper.Write(b)
}

func (n *noting) ReadFrom(r io.Reader) (int64, error) {
	n.written = true
	return n.ResponseWriterWrapper.ReadFrom(r)
}

// gatewayFor is the one of the caller's account.
func (h *Handler) gatewayFor(r *http.Request) *gateway.Gateway {
	if h.AccountByCaller {
		if c, ok := h.app.Callers.find(r); ok {
			return h.sites[c.Account].gateway
		}
	}
	return h.gateway
}

// callerOf tells who makes a call. A caller with an account of its own is refused by
// others.
func (h *Handler) callerOf(r *http.Request) (*caller.Caller, bool) {
	c, ok := h.app.Callers.find(r)
	return c, ok && (c.Account == "" || c.Account == h.named)
}

// finishWith has the server that ctx belongs to wait for calls whose clients have
// left when it stops, until its grace_period is over. By itself a server does so for
// HTTP/1.1 alone: over HTTP/2 and 3 a stream that the client has closed is done with.
func (h *Handler) finishWith(ctx caddy.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnStop(h.finish)
	}
}

// finish waits where nobody else does. In a reload the process goes on, and with it
// the calls.
func (h *Handler) finish(ctx context.Context) error {
	if reloaded := caddy.ActiveContext().Context != nil; reloaded && !caddy.Exiting() {
		return nil
	}
	if n := running.Count(); n > 0 {
		h.logger.LogAttrs(ctx, slog.LevelInfo, "waiting for calls whose clients have left", slog.Int("calls", n))
	}
	return running.Wait(ctx)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
