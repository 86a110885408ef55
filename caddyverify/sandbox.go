package caddyverify

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

func init() {
	caddy.RegisterModule(Sandbox{})
}

// Sandbox is a Verify API to develop and test against. It keeps verifications,
// sends nothing and costs nothing. It answers calls under /verify/, or those of Verify
// v2 at /v2/verify, GET /sandbox/calls, which tells in JSON what it received and which codes to enter, and
// GET and POST /sandbox/faults, which tells and changes its settings until the next
// configuration; all else is left to the next handler. Sandboxes with the same
// api_key, or without credentials, have the same verifications, over reloads too.
type Sandbox struct {
	// API is what is answered: `v1`, calls under /verify/, `v2`, calls at /v2/verify, or
	// both, which know nothing of each other's verifications. Default: `v1`.
	API []string `json:"api,omitempty"`

	// Credentials that callers must present. Default: any are accepted.
	Credentials *Credentials `json:"credentials,omitempty"`

	// Application is the id of the application in whose name callers of v2 sign their
	// JWTs, in place of presenting credentials. Default: none; without credentials any
	// JWT is accepted.
	Application string `json:"application,omitempty"`

	// PublicKey is the application's RSA key in PEM, or a placeholder such as
	// {file./path}. Required with application.
	PublicKey string `json:"public_key,omitempty"`

	// Webhook is the URL that is told of verifications of v2 that were started with a
	// JWT. Default: none.
	Webhook string `json:"webhook,omitempty"`

	// SignatureSecret signs what webhook is told, or is a placeholder of it. Required
	// with webhook.
	SignatureSecret string `json:"signature_secret,omitempty"`

	// Code is the right code of every verification, 4 to 10 letters, digits or
	// dashes. Default: a random one for each, in the log and at /sandbox/calls.
	Code string `json:"code,omitempty"`

	// Speed is how many seconds pass in a verification in each real second.
	// Default: `1`.
	Speed float64 `json:"speed,omitempty"`

	// Limit is how many calls are accepted in a second before status 1 is
	// answered; negative for no limit. Default: `30`.
	Limit float64 `json:"limit,omitempty"`

	// Faults are what goes wrong, each written as
	// `<operation>|* <kind> [<value>] [<share>%]`; docs/sandbox.md lists the kinds.
	// Default: none.
	Faults []string `json:"faults,omitempty"`

	api  *sandbox.Sandbox // with settings of its own
	kept *sandboxAccount  // its key in sandboxes
}

// sandboxes keeps what sandboxes of an account have in common over reloads of
// Caddy's configuration.
var sandboxes = caddy.NewUsagePool()

type sandboxAccount struct{ apiKey string }

type pooledSandbox struct{ *sandbox.Sandbox }

// Destruct implements caddy.Destructor; a sandbox holds nothing but memory.
func (pooledSandbox) Destruct() error { return nil }

// CaddyModule returns the Caddy module information.
func (Sandbox) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_sandbox",
		New: func() caddy.Module { return new(Sandbox) },
	}
}

// Provision makes the sandbox, or takes over that of the configuration before.
func (s *Sandbox) Provision(ctx caddy.Context) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	config.Logger = ctx.Slogger()
	account := sandboxAccount{config.APIKey}
	first, _, err := sandboxes.LoadOrNew(account, func() (caddy.Destructor, error) {
		common := config
		common.Webhook, common.SignatureSecret = "", "" // it is the configuration's, not the account's
		api, err := sandbox.New(common)
		return &pooledSandbox{api}, err
	})
	if err != nil {
		return err
	}
	s.kept = &account
	s.api, err = first.(*pooledSandbox).With(config)
	return err
}

// UnmarshalCaddyfile sets up the sandbox from Caddyfile tokens. Syntax:
//
//	verify_sandbox [<matcher>] {
//	    api         v1|v2 [v1|v2]
//	    credentials <api_key> <api_secret>
//	    application <id> <public_key>
//	    webhook     <url> <signature_secret>
//	    code        <pin>
//	    speed       <factor>
//	    limit       <n>/s|off
//	    fault       <operation>|* <kind> [<value>] [<share>%]
//	}
//
// Only fault may be given more than once.
func (s *Sandbox) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := subdirectives(d, []string{"api", "application", "webhook", "credentials", "code", "speed", "limit", "fault"}, func(name string) (err error) {
		switch name {
		case "api":
			if s.API = d.RemainingArgs(); len(s.API) == 0 {
				err = d.Err("api: write v1, v2, or v1 v2 for both")
			}
		case "application":
			err = twoArgs(d, name, "<id> <public_key>", &s.Application, &s.PublicKey)
		case "webhook":
			err = twoArgs(d, name, "<url> <signature_secret>", &s.Webhook, &s.SignatureSecret)
		case "credentials":
			s.Credentials, err = parseCredentials(d)
		case "code":
			s.Code, err = oneArg(d, name, "<pin>")
		case "speed":
			var factor string
			if factor, err = oneArg(d, name, "<factor>"); err == nil {
				if s.Speed, err = strconv.ParseFloat(factor, 64); err != nil || s.Speed <= 0 {
					err = d.Err("speed: write a number above 0, for example 60 for a minute per second")
				}
			}
		case "limit":
			var limit string
			if limit, err = oneArg(d, name, "<n>/s|off"); err == nil {
				if s.Limit, err = parseRate(limit); err != nil {
					err = d.Err("limit: write a number per second such as 30/s, or off")
				}
			}
		case "fault":
			s.Faults = append(s.Faults, strings.Join(d.RemainingArgs(), " "))
			if _, e := sandbox.ParseFault(s.Faults[len(s.Faults)-1]); e != nil {
				err = d.WrapErr(e)
			}
		}
		return err
	}, "fault")
	if err != nil {
		return err
	}
	return atLine(s.check(), nil, d)
}

// twoArgs reads the two arguments of a subdirective.
func twoArgs(d *caddyfile.Dispenser, name, usage string, first, second *string) error {
	if count := d.CountRemainingArgs(); count != 2 || !d.Args(first, second) {
		return d.Errf("%s takes two arguments: %s %s", name, name, usage)
	}
	return nil
}

// config checks the settings and returns them as the sandbox takes them.
func (s *Sandbox) config() (sandbox.Config, error) {
	config := sandbox.Config{
		API: strings.Join(s.API, " "), Application: s.Application, Webhook: s.Webhook, Code: s.Code, Speed: s.Speed, Limit: s.Limit,
	}
	var err error
	if config.PublicKey, err = readPlaceholder("public_key", s.PublicKey); err != nil {
		return config, err
	}
	if config.SignatureSecret, err = readPlaceholder("signature_secret", s.SignatureSecret); err != nil {
		return config, err
	}
	if s.Credentials != nil {
		if config.APIKey, config.APISecret, err = s.Credentials.resolve(); err != nil {
			return config, fmt.Errorf("credentials: %w", err)
		}
	}
	for _, line := range s.Faults {
		fault, err := sandbox.ParseFault(line)
		if err != nil {
			return config, err
		}
		config.Faults = append(config.Faults, fault)
	}
	_, err = sandbox.New(config)
	return config, err
}

// readPlaceholder reads a value that may be a placeholder. Its error names the
// placeholder, never a value.
func readPlaceholder(name, written string) (string, error) {
	if !placeholder.MatchString(written) {
		return written, nil
	}
	value := caddy.NewReplacer().ReplaceAll(written, "")
	if value == "" {
		return "", fmt.Errorf("%s, from %s, %s", name, written, noValue(written))
	}
	return value, nil
}

// check tells what is wrong with the settings as they are written.
func (s *Sandbox) check() error {
	if s.Credentials != nil {
		if err := s.Credentials.check(); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
	}
	written := *s
	written.Credentials = nil
	if placeholder.MatchString(s.PublicKey) {
		written.Application, written.PublicKey = "", "" // known when it is loaded
	}
	if placeholder.MatchString(s.SignatureSecret) {
		written.SignatureSecret = "to be read"
	}
	_, err := written.config()
	return err
}

// Cleanup gives the account back, and ends the delivery of webhooks.
func (s *Sandbox) Cleanup() error {
	if s.api != nil {
		if err := s.api.Close(); err != nil {
			return err
		}
	}
	if s.kept == nil {
		return nil // Provision failed
	}
	_, err := sandboxes.Delete(*s.kept)
	s.kept = nil
	return err
}

// ServeHTTP answers as the Verify API would.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	path := r.URL.Path
	isV2 := slices.Contains(s.API, sandbox.V2) && (path == sandbox.PathV2 || strings.HasPrefix(path, sandbox.PathV2+"/"))
	if !strings.HasPrefix(path, wire.Prefix) && !isV2 && path != sandbox.CallsPath && path != sandbox.FaultsPath {
		return next.ServeHTTP(w, r)
	}
	s.api.ServeHTTP(w, r)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Sandbox)(nil)
	_ caddy.CleanerUpper          = (*Sandbox)(nil)
	_ caddyhttp.MiddlewareHandler = (*Sandbox)(nil)
	_ caddyfile.Unmarshaler       = (*Sandbox)(nil)
)
