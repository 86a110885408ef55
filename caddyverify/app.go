package caddyverify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
)

const appName = "verify"

func init() {
	caddy.RegisterModule(App{})
}

// What is the process's: it survives a reload.
var (
	// accounts are those that handlers use. During a reload the new handler takes hold
	// before the old one lets go.
	accounts = caddy.NewUsagePool() // of pooledAccount, by accountID
	// metrics are counted here, since Caddy makes a new registry with each configuration,
	// and counters made with it would begin at 0 on every reload.
	metrics = observe.NewMetrics()
	// running counts calls that are to reach their end: those of the last configuration
	// may be under way still when the process exits.
	running gateway.Running
)

// accountID names an account: an API key at one upstream.
type accountID struct{ upstream, apiKey string }

type pooledAccount struct{ *gateway.Account }

// Destruct implements caddy.Destructor. Calls of the last handler may still be under way.
func (a pooledAccount) Destruct() error {
	a.Close()
	return nil
}

// registerMetrics adds the collectors to the configuration's registry, which Caddy serves
// and, with `metrics { otlp }`, pushes.
func registerMetrics(registry prometheus.Registerer) error {
	if err := metrics.Register(registry); err != nil {
		return err
	}
	return observe.Register(registry, gateway.Collector{Accounts: func(yield func(*gateway.Account) bool) {
		accounts.Range(func(_, value any) bool { return yield(value.(pooledAccount).Account) })
	}})
}

// App holds what the handlers of one configuration share. A configuration with a verify
// handler has it by itself; the Caddyfile's global option `verify` gives it settings.
//
// A configuration may be rejected after any number of its handlers were provisioned,
// and even after its apps were started. So what a configuration wants of the
// accounts is gathered here, and put in force when Caddy says that all of it runs.
type App struct {
	// Accounts are the accounts that handlers may name. Default: none.
	Accounts map[string]*Account `json:"accounts,omitempty"`

	// Callers are the applications that call. Default: whom Caddy's authentication finds.
	Callers *Callers `json:"callers,omitempty"`

	// Store is what all gateways of the accounts share what they know by. Default: none, each
	// gateway is alone.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=verify.stores inline_key=store"`

	// OnUnknown is what becomes of an isolated caller's verification while the store is away
	// and cannot say who has started it: `allow` has it be as if he had, `deny` as if nobody
	// had. Default: `allow`.
	OnUnknown string `json:"on_unknown,omitempty"`

	store    sharedStore // nil for none
	uses     []*accountUse
	used     map[string]bool // accounts, by name
	handlers []*Handler
	webhooks []*Webhook
	undo     []func()
	logger   *slog.Logger
	pushes   func() bool // whether Caddy pushes metrics; known when all apps are there
}

// accountUse is what one configuration does with an account.
type accountUse struct {
	id       accountID
	account  *gateway.Account
	settings *accountSettings
	gateways []*gateway.Gateway
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision checks the settings and has Caddy tell when the configuration is in force.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger, a.used = ctx.Slogger(), map[string]bool{}
	a.pushes = func() bool {
		app, err := ctx.AppIfConfigured("http")
		if err != nil {
			return false
		}
		http, ok := app.(*caddyhttp.App)
		return ok && http.Metrics != nil && http.Metrics.OTLP
	}
	if err := a.checkAccounts(); err != nil {
		return err
	}
	if err := a.loadStore(ctx); err != nil {
		return err
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	return events.(*caddyevents.App).On("started", onStart{a})
}

// Start does nothing: apps that are started later may fail yet.
func (*App) Start() error { return nil }

// Stop does nothing: what calls that are under way need is taken back by Cleanup,
// when all apps have stopped.
func (*App) Stop() error { return nil }

// onStart is told when all apps of the configuration have started. It is no part of App,
// since Caddy logs what handles an event with all its settings, which may be secrets.
type onStart struct{ app *App }

// Handle implements caddyevents.Handler.
func (s onStart) Handle(context.Context, caddy.Event) error {
	metrics.Pushed(s.app.pushes())
	s.app.takeOver()
	return nil
}

// join makes a handler's gateway, as one of its account's, and notes what the handler
// wants of that.
func (a *App) join(h *Handler, id accountID, host string, config gateway.Config) error {
	use := a.use(id)
	if h.named != "" && !slices.Contains(use.settings.names, h.named) {
		use.settings.names = append(slices.Clip(use.settings.names), h.named)
	}
	settings, err := use.settings.with(&h.Account)
	if err == nil {
		err = a.checkRecord(use, settings)
	}
	if err != nil {
		return withNames(err, use.settings.names)
	}
	done, err := a.share(id, settings.core)
	if err != nil {
		return err
	}
	pooled, _, err := accounts.LoadOrNew(id, func() (caddy.Destructor, error) {
		return pooledAccount{gateway.NewAccount(host, id.apiKey, metrics, settings.core)}, nil
	})
	if err != nil {
		done()
		return err
	}
	h.leave = func() error {
		defer done() // when the account has told all that it knows
		_, err := accounts.Delete(id)
		return err
	}
	use.account, use.settings = pooled.(pooledAccount).Account, settings
	use.account.Prepare(settings.core)
	config.Account = use.account
	if h.gateway, err = gateway.New(config); err != nil {
		return err
	}
	use.gateways = append(use.gateways, h.gateway)
	a.handlers = append(a.handlers, h)
	return nil
}

// withNames tells with an error in an account that it has several names.
func withNames(err error, names []string) error {
	if len(names) < 2 {
		return err
	}
	return fmt.Errorf("%w; the accounts %s have one api_key at one upstream, and so are one account", err, strings.Join(names, " and "))
}

func (a *App) use(id accountID) *accountUse {
	for _, use := range a.uses {
		if use.id == id {
			return use
		}
	}
	use := &accountUse{id: id, settings: &accountSettings{callers: a.Callers}}
	a.uses = append(a.uses, use)
	return use
}

// takeOver puts in force what the configuration wants.
func (a *App) takeOver() {
	for _, name := range slices.Sorted(maps.Keys(a.Accounts)) {
		if !a.used[name] {
			a.logger.Warn("no handler uses the account", slog.String("name", name))
		}
	}
	for _, use := range a.uses {
		a.undo = append(a.undo, use.account.Configure(use.settings.core))
		use.account.TakeOverRelays(a)
		for i, g := range use.gateways {
			g.Start(use.settings.settle && i == 0)
		}
	}
	for _, h := range a.handlers {
		h.watchCredentials()
	}
	for _, h := range a.webhooks {
		h.watchSecrets()
	}
}

// Cleanup takes it back.
func (a *App) Cleanup() error {
	for _, undo := range a.undo {
		undo()
	}
	a.undo = nil
	return nil
}

// Interface guards
var (
	_ caddy.App           = (*App)(nil)
	_ caddy.Provisioner   = (*App)(nil)
	_ caddy.CleanerUpper  = (*App)(nil)
	_ caddyevents.Handler = onStart{}
)
