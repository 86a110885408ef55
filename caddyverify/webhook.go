package caddyverify

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/relay"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/watch"
)

func init() {
	caddy.RegisterModule(new(Webhook))
}

// Webhook takes in what the provider tells of verifications of version 2 by webhooks, for an
// account with `api v2` and `signature_secret`. What is not signed by that secret, is older
// than five minutes, or has been here before changes nothing, and neither does a verification
// that no gateway of the account has started. It answers every request that it gets: give it a
// matcher.
type Webhook struct {
	// AccountName is that of one of the app's accounts. Required.
	AccountName string `json:"account,omitempty"`

	// Relays are where webhooks are passed on to, each to the caller that started the verification.
	// Default: nowhere.
	Relays []*Relay `json:"relays,omitempty"`

	account  *Account
	site     *Handler // of the account
	webhooks *gateway.Webhooks
	secret   string          // in use
	warned   map[string]bool // since the files last had secrets
	stop     func()          // nil where no file is watched
}

// Relay is where a caller takes webhooks. They come as the provider sent them, at least once, and
// signed anew, as the provider signs them.
type Relay struct {
	// Caller is the name of the caller; `*` is for all that no other relay is for. Required.
	Caller string `json:"caller,omitempty"`

	// URL is called by POST: https, or http on this host. What is not answered with 2xx is tried
	// again, up to five times within ten minutes. Required.
	URL string `json:"url,omitempty"`

	// Secret signs, and is one of the gateway's own: the caller has it, and nobody else, so that no
	// two relays have one, and none has the account's. 32 to 256 characters. It may be a placeholder;
	// a new one is in use as soon as it is in its file. Required.
	Secret string `json:"secret,omitempty"`

	to     *relay.Target // what it comes to
	secret string        // in use
}

// CaddyModule returns the Caddy module information. Caddy asks at each call, while a new secret may come
// in, so it copies nothing.
func (*Webhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_webhook",
		New: func() caddy.Module { return new(Webhook) },
	}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	verify_webhook [<matcher>] {
//	    account <name>
//	    relay   <caller>|* <url> <secret>
//	}
func (h *Webhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := subdirectives(d, []string{"account", "relay"}, func(name string) (err error) {
		switch name {
		case "account":
			h.AccountName, err = oneArg(d, name, "<name>")
		case "relay":
			one := new(Relay)
			if d.CountRemainingArgs() != 3 || !d.Args(&one.Caller, &one.URL, &one.Secret) {
				return d.Err("relay takes three arguments: relay <caller> <url> <secret>, for example " + relayExample + unset)
			}
			h.Relays = append(h.Relays, one)
		}
		return err
	}, "relay")
	if err == nil && h.AccountName == "" {
		err = d.WrapErr(errNoAccount)
	}
	return err
}

var errNoAccount = errors.New("account: it is missing; write the name of an account of the global option verify")

// Provision checks the configuration and makes the handler ready.
func (h *Webhook) Provision(ctx caddy.Context) error {
	if h.AccountName == "" {
		return errNoAccount
	}
	of, err := ctx.App(appName)
	if err != nil {
		return err
	}
	app := of.(*App)
	account := app.Accounts[h.AccountName]
	switch {
	case account == nil:
		return (&Handler{AccountName: h.AccountName}).checkNamed(app)
	case account.API != apiV2:
		return fmt.Errorf("account %s: only version 2 of the API has webhooks; add `api v2` to it", h.AccountName)
	case account.SignatureSecret == "":
		return fmt.Errorf("account %s: signature_secret: it is missing, and so nothing could tell whose a webhook is; add for example %s", h.AccountName, signatureExample)
	}
	h.account, h.warned = account, map[string]bool{}
	if h.secret, err = account.resolveSignatureSecret(); err != nil {
		return fmt.Errorf("account %s: signature_secret: %w", h.AccountName, err)
	}
	to, err := h.relays(app)
	if err != nil {
		return err
	}
	h.site = account.site(new(Handler))
	h.site.named = h.AccountName
	app.used[h.AccountName] = true
	if err := h.site.provision(ctx, app); err != nil {
		return fmt.Errorf("account %s: %w", h.AccountName, err)
	}
	var key string
	if account.Credentials != nil {
		key = h.site.rotation.key
	}
	if h.webhooks, err = h.site.gateway.NewWebhooks(app, key, h.secret, to); err != nil {
		return err
	}
	h.warnOfLiterals()
	app.webhooks = append(app.webhooks, h)
	return nil
}

const relayExample = "`relay checkout https://checkout.internal/webhooks {file./run/secrets/relay_checkout}`"

// relays reads where webhooks are passed on to.
func (h *Webhook) relays(app *App) (gateway.Relays, error) {
	to := gateway.Relays{}
	for _, one := range h.Relays {
		if to[one.Caller] != nil {
			return nil, fmt.Errorf("relay %s: it is there twice; a caller has one", one.Caller)
		}
		target, err := one.target(app)
		if err != nil {
			return nil, fmt.Errorf("relay %s: %w", one.Caller, err)
		}
		to[one.Caller] = target
		if err := h.ownSecret(one.secret, one); err != nil {
			return nil, fmt.Errorf("relay %s: %w", one.Caller, err)
		}
	}
	return to, nil
}

// ownSecret makes sure that a secret is that of a relay alone; nil is for the account's own.
func (h *Webhook) ownSecret(secret string, of *Relay) error {
	owner := ""
	if of != nil && secret == h.secret {
		owner = "the account's signature_secret"
	}
	for _, one := range h.Relays {
		if one != of && one.secret == secret {
			owner = "that of relay " + one.Caller
		}
	}
	if owner == "" {
		return nil
	}
	return fmt.Errorf("its secret is %s, and whoever has one secret can sign for all that have it; make another with: openssl rand -hex 32", owner)
}

func (r *Relay) target(app *App) (*relay.Target, error) {
	names := app.Callers.names()
	switch {
	case r.Caller == "":
		return nil, errors.New("the caller is missing; write its name, or * for all, for example " + relayExample)
	case r.Caller != gateway.OtherCallers && app.Callers != nil && !slices.Contains(names, r.Caller):
		return nil, fmt.Errorf("there is no such caller; write one of %q, or * for all", names)
	case strings.ContainsAny(r.URL, "{}"):
		return nil, errors.New("placeholders are read in the secret alone; write the URL out")
	}
	secret, err := r.resolveSecret()
	if err != nil {
		return nil, err
	}
	r.secret = secret
	r.to, err = relay.NewTarget(r.URL, secret)
	return r.to, err
}

// rereadRelay puts a new secret of a relay in use. What is no secret, or another's, changes nothing.
func (h *Webhook) rereadRelay(r *Relay) error {
	secret, err := r.resolveSecret()
	if err != nil {
		return err
	}
	if err := h.ownSecret(secret, r); err != nil {
		return err
	}
	r.secret = secret
	return r.to.Use(secret)
}

// resolveSecret reads the secret that signs for the caller.
func (r *Relay) resolveSecret() (string, error) {
	secret, err := resolve("the secret", r.Secret, maxSignatureSecret)
	if err == nil && len(secret) < relay.MinSecret {
		err = credentialError("the secret", r.Secret, fmt.Sprintf("has fewer than %d characters; make one with: openssl rand -hex 32", relay.MinSecret))
	}
	return secret, err
}

// warnOfLiterals tells of secrets that the configuration shows.
func (h *Webhook) warnOfLiterals() {
	for _, one := range h.Relays {
		if !placeholder.MatchString(one.Secret) {
			h.site.logger.Warn("the secret of relay " + one.Caller + " stands in the configuration, where the admin API and the autosave file show it; write a placeholder in its place, for example " + relayExample)
		}
	}
}

// watchSecrets has new secrets put in use as soon as they are in their files, until Cleanup. The
// configuration is in force.
func (h *Webhook) watchSecrets() {
	paths := filesOf(h.account.SignatureSecret)
	for _, one := range h.Relays {
		paths = append(paths, filesOf(one.Secret)...)
	}
	if len(paths) == 0 {
		return
	}
	h.stop = watch.Files(paths, h.rereadSecrets, func(err error) {
		h.site.logger.Warn("the files of the secrets of verify_webhook cannot be watched: a new secret is noticed within "+watch.Poll.String()+", and by a reload", "why", err.Error())
	})
}

// rereadSecrets has all of them read anew.
func (h *Webhook) rereadSecrets() {
	fine := h.read("signature_secret", h.rereadSecret())
	for _, one := range h.Relays {
		fine = h.read("relay "+one.Caller, h.rereadRelay(one)) && fine
	}
	if fine {
		clear(h.warned)
	}
}

// read tells once of a secret that could not be read. It reports whether it could.
func (h *Webhook) read(which string, err error) bool {
	if err == nil {
		return true
	}
	if text := which + ": " + err.Error(); !h.warned[text] {
		h.warned[text] = true
		h.site.logger.Warn(text + "; the secret of before stays in use")
	}
	return false
}

// rereadSecret puts a new signature secret in use. What is no secret changes nothing.
func (h *Webhook) rereadSecret() error {
	secret, err := h.account.resolveSignatureSecret()
	if err == nil {
		err = h.ownSecret(secret, nil)
	}
	if err == nil && secret != h.secret {
		err = h.webhooks.Use(secret)
	}
	if err == nil {
		h.secret = secret
	}
	return err
}

// ServeHTTP takes in a webhook.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h.webhooks.ServeHTTP(w, r)
	return nil
}

// Cleanup gives back what the handler holds.
func (h *Webhook) Cleanup() error {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
	if h.webhooks != nil {
		h.webhooks.Close()
	}
	if h.site == nil {
		return nil
	}
	return h.site.Cleanup()
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Webhook)(nil)
	_ caddy.CleanerUpper          = (*Webhook)(nil)
	_ caddyhttp.MiddlewareHandler = (*Webhook)(nil)
	_ caddyfile.Unmarshaler       = (*Webhook)(nil)
)
