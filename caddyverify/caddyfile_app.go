package caddyverify

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func parseApp(d *caddyfile.Dispenser, earlier any) (any, error) {
	if earlier != nil {
		return nil, d.Err("the global option verify is given more than once")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option. Syntax:
//
//	verify {
//	    account <name> {
//	        # settings of the handler but for account, errors, strict and browsers
//	        failover <name...>
//	    }
//	    store redis {
//	        # settings of the store
//	    }
//	    on_unknown allow|deny
//	    callers {
//	        caller <name> <placeholder> <value...> {
//	            account     <name>
//	            weight      <number>
//	            limit       <n>/s
//	            concurrency <number>
//	            reads       all
//	            guard {
//	                # rules of the handler's guard, but for price, trusted and trusted_file
//	            }
//	        }
//	        unknown refuse|shared
//	        isolate on|off
//	    }
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	lines := map[string]caddyfile.Dispenser{}
	err := subdirectives(d, []string{"account", "callers", "store", "on_unknown"}, func(name string) (err error) {
		lines[name] = *d
		switch name {
		case "account":
			return a.unmarshalAccount(d)
		case "callers":
			line := *d
			if a.Callers, err = parseCallers(d); err != nil {
				return err
			}
			if err := a.Callers.check(); err != nil {
				return line.WrapErr(err)
			}
			return nil
		case "store":
			a.StoreRaw, err = parseStore(d)
			return err
		case "on_unknown":
			a.OnUnknown, err = oneArg(d, name, "allow|deny")
			return err
		}
		return nil
	}, "account")
	if err != nil {
		return err
	}
	return errors.Join(atLine(a.checkAccounts(), lines, d), atLine(a.checkStore(), lines, d))
}

func (a *App) unmarshalAccount(d *caddyfile.Dispenser) error {
	var name string
	if d.CountRemainingArgs() != 1 || !d.Args(&name) {
		return d.Err("account takes a name and a block: account shop { … }")
	}
	if a.Accounts[name] != nil {
		return d.Errf("account %s is given more than once", name)
	}
	account, lines := new(Account), map[string]caddyfile.Dispenser{}
	if err := block(d, "account", append([]string{"failover"}, settingNames...), func(name string) error {
		lines[name] = *d
		if name == "failover" {
			if account.Failover = d.RemainingArgs(); len(account.Failover) == 0 {
				return d.Err("failover takes names of accounts" + unset)
			}
			return nil
		}
		return account.unmarshalSetting(d, name)
	}); err != nil {
		return err
	}
	if a.Accounts == nil {
		a.Accounts = map[string]*Account{}
	}
	a.Accounts[name] = account
	return atLine(account.check(), lines, d)
}

// settingNames are those that unmarshalSetting reads.
var settingNames = []string{
	"upstream", "insecure_upstream", "api", "application", "private_key", "signature_secret", "credentials", "next_credentials",
	"auth", "method", "timeout", "transport", "cache", "breaker", "limit", "countries", "guard", "settle", "exclusive",
}

// unmarshalSetting reads a setting.
func (a *Account) unmarshalSetting(d *caddyfile.Dispenser, name string) (err error) {
	switch name {
	case "upstream":
		a.Upstream, err = oneArg(d, name, "<url>")
	case "insecure_upstream":
		a.InsecureUpstream = true
		err = noArgs(d, name)
	case "api":
		return a.unmarshalAPI(d)
	case "application":
		a.Application, err = oneArg(d, name, "<id>")
	case "private_key":
		a.PrivateKey, err = secretArg(d, name, "{file./path}")
	case "signature_secret":
		a.SignatureSecret, err = secretArg(d, name, "{file./path}")
	case "credentials":
		a.Credentials, err = parseCredentials(d)
	case "next_credentials":
		a.NextCredentials, err = parseCredentials(d)
	case "auth":
		a.Auth, err = oneArg(d, name, "basic|query|body")
	case "method":
		a.Method, err = oneArg(d, name, "auto|get|post")
	case "timeout":
		a.Timeout, err = durationArg(d, name)
	case "transport":
		a.TransportRaw, err = parseTransport(d)
	case "cache":
		a.Cache, err = parseCache(d)
	case "breaker":
		a.Breaker, err = parseBreaker(d)
	case "limit":
		a.Limit, a.SearchLimit, err = limitArgs(d)
	case "countries":
		if a.Countries = d.RemainingArgs(); len(a.Countries) == 0 {
			err = d.Err("countries takes two-letter codes: countries GB DE …" + unset)
		}
	case "guard":
		a.Guard, err = parseGuard(d)
	case "settle":
		a.Settle = true
		err = noArgs(d, name)
	case "exclusive":
		a.Exclusive = true
		err = noArgs(d, name)
	}
	return err
}

func parseCallers(d *caddyfile.Dispenser) (*Callers, error) {
	if d.CountRemainingArgs() > 0 {
		return nil, d.Err("callers takes a block in braces")
	}
	c := new(Callers)
	return c, block(d, "callers", []string{"caller", "unknown", "isolate"}, func(name string) (err error) {
		switch name {
		case "caller":
			var one *Caller
			one, err = parseCaller(d)
			c.Known = append(c.Known, one)
		case "unknown":
			c.Unknown, err = oneArg(d, name, "refuse|shared")
		case "isolate":
			c.Isolate, err = oneArg(d, name, "on|off")
		}
		return err
	}, "caller")
}

func parseCaller(d *caddyfile.Dispenser) (*Caller, error) {
	words := d.RemainingArgs()
	if len(words) < 3 {
		return nil, d.Err("caller takes a name, a placeholder and the values that are the caller's: caller checkout {http.auth.user.id} checkout" + unset)
	}
	// Caddy spells out shorthands such as {tls_client_subject} in sites alone.
	from := caddyfile.Segment{{Text: words[1]}}
	httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&from)
	c := &Caller{Name: words[0], From: from[0].Text, Is: words[2:]}
	return c, block(d, "caller", []string{"account", "weight", "limit", "concurrency", "reads", "guard"}, func(name string) (err error) {
		switch name {
		case "account":
			c.Account, err = oneArg(d, name, "<name>")
		case "weight":
			c.Weight, err = countArg(d, name)
		case "limit":
			if c.Limit, err = limitArg(d); err == nil && c.Limit < 0 {
				err = d.Err("limit: a caller without a limit of its own has none; leave it out")
			}
		case "concurrency":
			c.Concurrency, err = countArg(d, name)
		case "reads":
			c.Reads, err = oneArg(d, name, "all")
		case "guard":
			c.Guard, err = parseGuard(d)
		}
		return err
	})
}
