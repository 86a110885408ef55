package caddyverify

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	v2 "github.com/caddyverify/caddy-verify/caddyverify/internal/upstream/v2"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The versions of the Verify API.
const (
	apiV1 = "v1"
	apiV2 = "v2"
)

const (
	// applicationExample is what an error shows.
	applicationExample = "`application aaaaaaaa-bbbb-cccc-dddd-0123456789ab`"
	privateKeyExample  = "`private_key {file./run/secrets/vonage_private.key}`"
	signatureExample   = "`signature_secret {file./run/secrets/vonage_signature_secret}`"
)

// applicationID matches the id of an application, a UUID.
var applicationID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// keyPath matches what is written in place of a placeholder: a path, which has no character of
// PEM's lines but those of names.
var keyPath = regexp.MustCompile(`^\.{0,2}/[\w./-]+$`)

// unmarshalAPI reads the version of the API.
func (a *Account) unmarshalAPI(d *caddyfile.Dispenser) (err error) {
	if a.API, err = oneArg(d, "api", apiV1+"|"+apiV2); err != nil {
		return err
	}
	return block(d, "api", []string{"drain", "templates"}, func(name string) (err error) {
		switch name {
		case "drain":
			a.Drain, err = oneArg(d, name, apiV1)
		case "templates":
			a.Templates = &Templates{Callers: d.RemainingArgs()}
		}
		return err
	})
}

// secretArg reads one argument that may be a placeholder, and is not shown.
func secretArg(d *caddyfile.Dispenser, name, usage string) (value string, err error) {
	if count := d.CountRemainingArgs(); count != 1 || !d.Args(&value) || value == "" {
		hint := ""
		if count < 2 {
			hint = unset
		}
		return "", d.Errf("%s takes one argument: %[1]s %s%s", name, usage, hint)
	}
	return value, nil
}

// byJWT tells that calls are signed with a private key.
func (a *Account) byJWT() bool { return a.API == apiV2 && a.Application != "" }

func (a *Account) checkDrain() error {
	switch err := oneOf(a.Drain, apiV1); {
	case err != nil:
		return err
	case a.Drain != "" && a.API != apiV2:
		return errors.New("there is nothing to drain without `api v2`")
	case a.Drain != "" && a.Credentials == nil:
		return errors.New("verifications of v1 are checked with the account's credentials; add them, for example " + exampleCredentials)
	}
	return nil
}

func (a *Account) checkApplication() error {
	switch {
	case a.Application == "" && (a.PrivateKey == "" || a.API != apiV2):
		return nil // of a key without `api v2`, checkPrivateKey tells
	case a.API != apiV2:
		return errors.New("only calls of version 2 are signed by an application; add `api v2`, or leave it out")
	case a.Application == "":
		return errors.New("it is missing beside private_key; add the application's id, for example " + applicationExample)
	case !applicationID.MatchString(a.Application):
		return errors.New("it is no application's id, which is a UUID; write for example " + applicationExample)
	}
	return nil
}

func (a *Account) checkPrivateKey() error {
	switch {
	case a.PrivateKey != "" && a.API != apiV2:
		return errors.New("only calls of version 2 are signed with it; add `api v2` and `application`, or leave it out")
	case a.Application == "":
		return nil // told already
	case a.PrivateKey == "":
		return errors.New("it is missing beside application; add the application's private key, for example " + privateKeyExample)
	case strings.HasPrefix(a.PrivateKey, "{") && placeholder.MatchString(a.PrivateKey):
		return nil
	case keyPath.MatchString(a.PrivateKey):
		return errors.New("it is the path of a file, and no key; write {file." + a.PrivateKey + "}")
	case !strings.Contains(a.PrivateKey, "BEGIN"):
		return errors.New("it is no key in PEM; if it is where the key is, write a placeholder, for example " + privateKeyExample)
	}
	_, err := a.jwtOf(a.PrivateKey)
	return err
}

func (a *Account) checkSignatureSecret() error {
	switch {
	case a.SignatureSecret == "":
		return nil
	case a.API != apiV2:
		return errors.New("only webhooks of version 2 are signed with it; add `api v2`, or leave it out")
	case strings.Contains(a.SignatureSecret, "{") && unreadable(a.SignatureSecret) == "":
		return nil // its value is looked at by those who use it
	}
	_, err := a.resolveSignatureSecret()
	return err
}

// checkCredentials tells what is wrong with the account's, or that they are missing.
func (a *Account) checkCredentials() error {
	switch {
	case a.Credentials != nil:
	case a.byJWT():
		return nil
	case a.API == apiV2:
		return errors.New("they are missing; add them, for example " + exampleCredentials + ", or " + applicationExample + " with " + privateKeyExample)
	}
	return a.Credentials.check()
}

// maxSignatureSecret is more characters than a signature secret has.
const maxSignatureSecret = 256

// resolveSignatureSecret reads the secret that webhooks are signed with.
func (a *Account) resolveSignatureSecret() (string, error) {
	secret, err := resolve("it", a.SignatureSecret, maxSignatureSecret)
	if err == nil && len(secret) < webhook.MinSecret {
		err = credentialError("it", a.SignatureSecret, fmt.Sprintf("is shorter than %d characters, which no signature secret is; copy it from the API settings of the provider's dashboard", webhook.MinSecret))
	}
	return secret, err
}

// readSignatureSecret makes sure that there is one where it is named, whether or not a webhook
// uses it.
func (h *Handler) readSignatureSecret() error {
	if h.SignatureSecret == "" {
		return nil
	}
	if _, err := h.resolveSignatureSecret(); err != nil {
		return &settingError{"signature_secret", err}
	}
	h.warnOfCurrency()
	if !placeholder.MatchString(h.SignatureSecret) {
		h.logger.Warn("the signature_secret stands in the configuration, where the admin API and the autosave file show it; write a placeholder in its place, for example " + signatureExample)
	}
	return nil
}

// warnOfCurrency tells of prices that are in another currency than those of webhooks.
func (h *Handler) warnOfCurrency() {
	if h.Guard == nil {
		return
	}
	if p, err := h.Guard.prices(); err == nil && p.Any.Currency != "" && p.Any.Currency != wire.CurrencyV2 {
		h.logger.Warn("the guard's prices are in " + p.Any.Currency + ", and webhooks tell prices in " + wire.CurrencyV2 + ", which settle no budget in another currency; write prices and budgets in " + wire.CurrencyV2)
	}
}

// resolvePrivateKey reads the private key, and makes sure that it is one. Its errors say
// where it comes from and nothing of it.
func (a *Account) resolvePrivateKey() (string, error) {
	pem, err := caddy.NewReplacer().ReplaceOrErr(a.PrivateKey, true, true)
	if err != nil || pem == "" {
		if placeholder.MatchString(a.PrivateKey) {
			return "", credentialError("private_key", a.PrivateKey, noValue(a.PrivateKey))
		}
		return "", credentialError("private_key", a.PrivateKey, noneAtLoad(a.PrivateKey))
	}
	if _, err := a.jwtOf(pem); err != nil {
		return "", credentialError("private_key", a.PrivateKey, err.Error())
	}
	return pem, nil
}

// jwtOf makes sure that a key can sign.
func (a *Account) jwtOf(pem string) (*v2.JWT, error) {
	return v2.NewJWT(a.Application, upstream.NewSecret(pem), new(upstream.Live))
}

// v2 is what a gateway needs to answer calls from version 2 of the API; nil for version 1,
// which calls is for.
func (h *Handler) v2(calls upstream.Config) *gateway.V2 {
	if h.API != apiV2 {
		return nil
	}
	with := &gateway.V2{Application: h.Application}
	if h.Templates != nil {
		with.Templates = h.Templates.admit
	}
	if h.Drain == apiV1 {
		if h.rotation.drain != "" {
			calls.Secret, calls.Next = upstream.NewSecret(h.rotation.drain), upstream.Secret{}
		}
		with.Drain = &calls
	}
	return with
}
