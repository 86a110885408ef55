package caddyverify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("verify", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Handler)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("verify", httpcaddyfile.Before, "reverse_proxy")

	httpcaddyfile.RegisterGlobalOption("verify", parseApp)

	httpcaddyfile.RegisterHandlerDirective("verify_sandbox", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Sandbox)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("verify_sandbox", httpcaddyfile.Before, "reverse_proxy")

	httpcaddyfile.RegisterHandlerDirective("verify_health", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Health)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("verify_health", httpcaddyfile.Before, "reverse_proxy")
	httpcaddyfile.RegisterHandlerDirective("verify_webhook", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Webhook)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("verify_webhook", httpcaddyfile.Before, "reverse_proxy")
	httpcaddyfile.RegisterHandlerDirective("verify_live", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Live)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("verify_live", httpcaddyfile.Before, "reverse_proxy")
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	verify [<matcher>] {
//	    account     <name>|by caller
//	    upstream    <url>
//	    insecure_upstream
//	    api         v1|v2 {
//	        drain v1
//	    }
//	    application <id>
//	    private_key <pem>
//	    signature_secret <secret>
//	    credentials <api_key> <api_secret>
//	    next_credentials <api_key> <api_secret>
//	    auth        basic|query|body
//	    method      auto|get|post
//	    errors      verify|http
//	    strict
//	    browsers    refuse|allow
//	    timeout     <duration>
//	    transport   http {
//	        ...
//	    }
//	    cache off
//	    cache {
//	        in_progress    <duration>|off|auto
//	        settling       <duration>|off
//	        final          <duration>|off
//	        not_found      <duration>|off
//	        stale_if_error <duration>|off
//	        max_entries    <number>
//	        max_bytes      <size>
//	    }
//	    breaker off
//	    breaker {
//	        window   <duration>
//	        open_for <duration>
//	    }
//	    limit     <n>/s|off [<n>/s]
//	    countries <code...>
//	    guard {
//	        recommended  [off|monitor|enforce]
//	        countries    [off|monitor|enforce] <code...>
//	        deny_prefix  [off|monitor|enforce] <digits...>
//	        number_types [off|monitor|enforce] [premium|shared|uan...]
//	        cool_down    [off|monitor|enforce]
//	        per_number   [off|monitor|enforce] [<n>/<duration>...]
//	        per_address  [off|monitor|enforce] <n>/<duration>...
//	        per_prefix   [off|monitor|enforce]
//	        conversion   [off|monitor|enforce]
//	        budget       [off|monitor|enforce] <amount> <currency>/day|month...
//	        price        <amount> <currency> [<code...>]
//	        trusted      <digits...>
//	        trusted_file <path> <key>
//	        record       <path>
//	    }
//	    settle
//	    exclusive
//	}
//
// Its errors name the subdirective and never print what was written for it.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	lines := map[string]caddyfile.Dispenser{}
	known := append([]string{"account", "errors", "strict", "browsers"}, settingNames...)
	err := subdirectives(d, known, func(name string) (err error) {
		lines[name] = *d
		switch name {
		case "account":
			return h.unmarshalAccount(d)
		case "errors":
			h.Errors, err = oneArg(d, name, "verify|http")
		case "strict":
			h.Strict = true
			err = noArgs(d, name)
		case "browsers":
			h.Browsers, err = oneArg(d, name, "refuse|allow")
		default:
			return h.unmarshalSetting(d, name)
		}
		return err
	})
	if err != nil || h.AccountName != "" || h.AccountByCaller {
		return err // the account is elsewhere
	}
	return atLine(h.check(), lines, d)
}

// unmarshalAccount reads whose account is used.
func (h *Handler) unmarshalAccount(d *caddyfile.Dispenser) error {
	switch words := d.RemainingArgs(); {
	case len(words) == 1 && words[0] != "by":
		h.AccountName = words[0]
	case len(words) == 2 && words[0] == "by" && words[1] == "caller":
		h.AccountByCaller = true
	default:
		return d.Err("account takes the name of an account of the global option verify, or: account by caller" + unset)
	}
	return nil
}

// atLine adds to an error where the setting stands, or else where the block ends.
func atLine(err error, lines map[string]caddyfile.Dispenser, d *caddyfile.Dispenser) error {
	if err == nil {
		return nil
	}
	if in, ok := errors.AsType[*settingError](err); ok {
		if line, ok := lines[in.setting]; ok {
			return line.WrapErr(err)
		}
	}
	return d.WrapErr(err)
}

// subdirectives consumes the directive's name and reads its block, which has lines of the known
// subdirectives. One may be given once, unless it is one of many.
func subdirectives(d *caddyfile.Dispenser, known []string, parse func(name string) error, many ...string) error {
	d.Next()
	directive := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no arguments but a matcher; write a block in braces", directive)
	}
	return block(d, "", known, parse, many...)
}

// block calls parse for each line of the block of a subdirective that follows.
func block(d *caddyfile.Dispenser, of string, known []string, parse func(name string) error, many ...string) error {
	seen, last := map[string]bool{}, ""
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if name == "{" {
			return d.Errf("%s takes no block", last)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return d.Err("a line begins with what is no subdirective; it is not shown, since it may be a secret")
		}
		if last = name; !slices.Contains(known, name) {
			return unrecognized(d, of, name, known)
		}
		if seen[name] && !slices.Contains(many, name) {
			return d.Errf("%s is given more than once", name)
		}
		seen[name] = true
		if err := parse(name); err != nil {
			return err
		}
	}
	return nil
}

func noArgs(d *caddyfile.Dispenser, name string) error {
	if d.CountRemainingArgs() != 0 {
		return d.Errf("%s takes no argument", name)
	}
	return nil
}

// writeItOut is what to do where placeholders are not read.
const writeItOut = "write the value, or {$NAME}, for which a Caddyfile has the environment variable's value"

// unset explains an argument that is not there.
const unset = "; {$NAME} stands for nothing while the environment variable is not set"

func oneArg(d *caddyfile.Dispenser, name, usage string) (value string, err error) {
	count := d.CountRemainingArgs()
	if count != 1 || !d.Args(&value) || value == "" {
		hint := ""
		if count < 2 {
			hint = unset
		}
		return "", d.Errf("%s takes one argument: %s %s%s", name, name, usage, hint)
	}
	if strings.ContainsAny(value, "{}") {
		return "", d.Errf("%s: placeholders are read in credentials alone; %s", name, writeItOut)
	}
	return value, nil
}

func countArg(d *caddyfile.Dispenser, name string) (int, error) {
	value, err := oneArg(d, name, "<number>")
	if err != nil {
		return 0, err
	}
	count, err := strconv.Atoi(value)
	if err != nil || count <= 0 {
		return 0, d.Errf("%s: write a whole number above 0", name)
	}
	return count, nil
}

func durationArg(d *caddyfile.Dispenser, name string) (caddy.Duration, error) {
	value, err := oneArg(d, name, "<duration>")
	if err != nil {
		return 0, err
	}
	duration, err := caddy.ParseDuration(value)
	if err != nil || duration <= 0 {
		return 0, d.Errf("%s: not a duration above 0; write for example 10s", name)
	}
	return caddy.Duration(duration), nil
}

func parseCredentials(d *caddyfile.Dispenser) (*Credentials, error) {
	c, name := new(Credentials), d.Val()
	count := d.CountRemainingArgs()
	if count != 2 || !d.Args(&c.APIKey, &c.APISecret) {
		hint := ""
		if count < 2 {
			hint = unset
		}
		return nil, d.Errf("%s takes two arguments: %[1]s <api_key> <api_secret>%s", name, hint)
	}
	return c, nil
}

func parseCache(d *caddyfile.Dispenser) (*Cache, error) {
	c := new(Cache)
	if d.NextArg() {
		if d.Val() != "off" || d.CountRemainingArgs() > 0 {
			return nil, d.Err("cache takes a block in braces, or off")
		}
		c.Off = true
		return c, nil
	}
	known := []string{"in_progress", "settling", "final", "not_found", "stale_if_error", "max_entries", "max_bytes"}
	return c, block(d, "cache", known, func(name string) (err error) {
		switch name {
		case "in_progress":
			c.InProgress, err = inProgressArg(d, name)
		case "settling":
			c.Settling, err = lifetimeArg(d, name)
		case "final":
			c.Final, err = lifetimeArg(d, name)
		case "not_found":
			c.NotFound, err = lifetimeArg(d, name)
		case "stale_if_error":
			c.StaleIfError, err = lifetimeArg(d, name)
		case "max_entries":
			c.MaxEntries, err = countArg(d, name)
		case "max_bytes":
			c.MaxBytes, err = sizeArg(d, name)
		}
		return err
	})
}

func parseBreaker(d *caddyfile.Dispenser) (*Breaker, error) {
	b := new(Breaker)
	if d.NextArg() {
		if d.Val() != "off" || d.CountRemainingArgs() > 0 {
			return nil, d.Err("breaker takes a block in braces, or off")
		}
		b.Off = true
		return b, nil
	}
	return b, block(d, "breaker", []string{"window", "open_for"}, func(name string) (err error) {
		switch name {
		case "window":
			b.Window, err = durationArg(d, name)
		case "open_for":
			b.OpenFor, err = durationArg(d, name)
		}
		return err
	})
}

func parseTransport(d *caddyfile.Dispenser) ([]byte, error) {
	if !d.NextArg() || d.Val() != "http" {
		return nil, d.Err("transport: only http is supported; write transport http { … }")
	}
	here := *d
	module, err := caddyfile.UnmarshalModule(d, "http.reverse_proxy.transport.http")
	if err != nil {
		return nil, withoutPasswords(err, words(here.NextSegment()))
	}
	transport := module.(*reverseproxy.HTTPTransport)
	if err := checkTransport(transport); err != nil {
		return nil, here.WrapErr(fmt.Errorf("transport: %w", err))
	}
	return caddyconfig.JSONModuleObject(transport, "protocol", "http", nil), nil
}

// inProgressArg is lifetimeArg for the one lifetime that may follow from what is cached.
func inProgressArg(d *caddyfile.Dispenser, name string) (Lifetime, error) {
	const words = "<duration>|off|" + auto
	value, err := oneArg(d, name, words)
	if err != nil || value == auto {
		return Auto, err
	}
	lifetime, err := lifetimeOf(d, name, value, words)
	return Lifetime(lifetime), err
}

// lifetimeArg reads a duration or off. In the configuration 0 means the default,
// so none at all is below it.
func lifetimeArg(d *caddyfile.Dispenser, name string) (caddy.Duration, error) {
	const words = "<duration>|off"
	value, err := oneArg(d, name, words)
	if err != nil {
		return 0, err
	}
	return lifetimeOf(d, name, value, words)
}

func lifetimeOf(d *caddyfile.Dispenser, name, value, words string) (caddy.Duration, error) {
	if value == "off" {
		return -1, nil
	}
	duration, err := caddy.ParseDuration(value)
	if err != nil || duration <= 0 {
		return 0, d.Errf("%s takes %s; a duration is above 0, such as 2s", name, words)
	}
	return caddy.Duration(duration), nil
}

func sizeArg(d *caddyfile.Dispenser, name string) (int64, error) {
	value, err := oneArg(d, name, "<size>")
	if err != nil {
		return 0, err
	}
	size, err := humanize.ParseBytes(value)
	if err != nil || size < 1<<20 || size > 1<<50 {
		return 0, d.Errf("%s: write a size of at least 1MiB, such as 64MiB", name)
	}
	return int64(size), nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Handler)(nil)
