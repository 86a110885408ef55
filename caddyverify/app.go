package caddyverify

import (
	"context"
	"log/slog"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
)

const appName = "verify"

func init() {
	caddy.RegisterModule(App{})
}

// App holds what the handlers of one configuration share. It has no settings: a
// configuration with a verify handler has it by itself.
//
// A configuration may be rejected after any number of its handlers were provisioned,
// and even after its apps were started. So what a configuration wants of the
// accounts is gathered here, and put in force when Caddy says that all of it runs.
type App struct {
	accounts []*accountUse
	undo     []func()
}

// accountUse is what one configuration does with an account.
type accountUse struct {
	id       accountID
	account  *account
	settings *accountSettings
	handlers []*Handler
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision has Caddy tell when the configuration is in force.
func (a *App) Provision(ctx caddy.Context) error {
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	return events.(*caddyevents.App).On("started", a)
}

// Start does nothing: apps that are started later may fail yet.
func (*App) Start() error { return nil }

// Stop does nothing: what calls that are under way need is taken back by Cleanup,
// when all apps have stopped.
func (*App) Stop() error { return nil }

// Handle is called when all apps of the configuration have started.
func (a *App) Handle(context.Context, caddy.Event) error {
	a.takeOver()
	return nil
}

// join gives a handler its account, and notes what it wants of that.
func (a *App) join(h *Handler, id accountID) error {
	use := a.use(id)
	settings, err := use.settings.with(h)
	if err != nil {
		return err
	}
	h.account = keep(h, id, func() *account { return newAccount(id, settings) }, (*account).end)
	h.account.prepare(settings)
	h.trouble = keep(h, troubleKey{id, h.client.Secret.Sum()}, func() *accountTrouble { return &accountTrouble{label: id.label()} }, func(*accountTrouble) {})
	h.logger = h.logger.With(slog.String("account", h.account.label))
	use.account, use.settings = h.account, settings
	use.handlers = append(use.handlers, h)
	return nil
}

// troubleKey is the key of an account's trouble: a new secret begins without that of
// the last one.
type troubleKey struct {
	accountID
	secret [32]byte
}

// accountTrouble is the trouble of an account with one secret.
type accountTrouble struct {
	breaker.Account
	label string
}

func (a *App) use(id accountID) *accountUse {
	for _, use := range a.accounts {
		if use.id == id {
			return use
		}
	}
	use := &accountUse{id: id, settings: new(accountSettings)}
	a.accounts = append(a.accounts, use)
	return use
}

// takeOver puts in force what the configuration wants.
func (a *App) takeOver() {
	for _, use := range a.accounts {
		a.undo = append(a.undo, use.account.configure(use.settings))
		use.account.metrics.Prepare(use.settings.countries.Labels())
		for _, h := range use.handlers {
			h.listen()
		}
		if use.settings.settle {
			use.handlers[0].beginToSettle()
		}
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
	_ caddyevents.Handler = (*App)(nil)
)
