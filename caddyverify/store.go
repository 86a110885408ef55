package caddyverify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// storesNamespace is where the modules are that gateways can share what they know by.
const storesNamespace = "verify.stores"

// gatewayName tells this process from the others that share a store.
var gatewayName = rand.Text()

// sharedStore is a module of storesNamespace.
type sharedStore interface {
	// Open returns what gateways share of an account, as the one of that name sees it, until
	// done is called, once.
	Open(account, gateway string) (shared *store.Shared, done func(), err error)
}

// What OnUnknown may be.
const (
	allowUnknown = "allow"
	denyUnknown  = "deny"
)

func (a *App) checkStore() error {
	switch {
	case a.OnUnknown != "" && a.OnUnknown != allowUnknown && a.OnUnknown != denyUnknown:
		return &settingError{"on_unknown", fmt.Errorf("it must be %s or %s, not %q", allowUnknown, denyUnknown, a.OnUnknown)}
	case a.OnUnknown != "" && a.StoreRaw == nil:
		return &settingError{"on_unknown", errors.New("there is no store that could be away; add one, or leave this out")}
	}
	return nil
}

func (a *App) loadStore(ctx caddy.Context) error {
	if err := a.checkStore(); err != nil || a.StoreRaw == nil {
		return err
	}
	module, err := ctx.LoadModule(a, "StoreRaw")
	if err != nil {
		return err
	}
	shared, ok := module.(sharedStore)
	if !ok {
		return fmt.Errorf("store: %T is none", module)
	}
	a.store = shared
	return nil
}

// checkStore is the doctor's look at the store: whether it answers as gateways need it. tried
// tells that Caddy has tried to load the configuration.
func (e *examination) checkStore(ctx context.Context, written json.RawMessage, tried bool) {
	if written == nil {
		return
	}
	const check = "store"
	say := func(l doctor.Level, text, change string) {
		e.report.Add(doctor.Finding{Level: l, Check: check, Text: text, Change: change})
	}
	loading, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	app := &App{StoreRaw: written}
	if err := app.loadStore(loading); err != nil {
		if !tried { // else it is told already that Caddy cannot load this
			say(doctor.Fail, sentence(err), "what stands in `store`.")
		}
		return
	}
	shared, done, err := app.store.Open("", rand.Text())
	if err != nil {
		say(doctor.Fail, sentence(err), "what stands in `store`.")
		return
	}
	defer done()
	for range 20 { // the connection is being made
		if _, err = shared.Beat(ctx, store.Pulse{}); err == nil {
			say(doctor.OK, fmt.Sprintf("it answers within %v.", store.Budget), "")
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if why := shared.Stats().Why; why != nil {
		err = why // not that it has been given up
	}
	say(doctor.Warn, "it is away, so each gateway would go on alone: "+sentence(err), "`store`, or the way to it.")
}

// share has an account's settings say what it shares with other gateways, until done is
// called.
func (a *App) share(id accountID, s *gateway.Settings) (done func(), err error) {
	if a.store == nil {
		return func() {}, nil
	}
	if s.Limit.Rate > store.MaxSize {
		return nil, fmt.Errorf("limit: gateways of a store can share at most %d calls a second, not %d; write less, or take the store out", store.MaxSize, s.Limit.Rate)
	}
	s.DenyUnknown = a.OnUnknown == denyUnknown
	s.Shared, done, err = a.store.Open(id.upstream+" "+id.apiKey, gatewayName)
	return done, err
}

func parseStore(d *caddyfile.Dispenser) (json.RawMessage, error) {
	var name string
	if !d.AllArgs(&name) {
		return nil, d.Err("store takes the name of a store and its settings in braces: store redis { … }")
	}
	id := storesNamespace + "." + name
	if _, err := caddy.GetModule(id); err != nil {
		return nil, d.Errf("there is no store %s in this Caddy; `caddy verify version` tells what is; to build one with the store redis, add github.com/caddyverify/caddy-verify/caddyverify/redis to the plugins", name)
	}
	unmarshaler, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(unmarshaler, "store", name, nil), nil
}
