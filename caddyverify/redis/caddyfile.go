package redis

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the store from the global option verify. Syntax:
//
//	store redis {
//	    address        <host[:port]...>
//	    tls            [<ca file>]
//	    username       <placeholder>
//	    password       <placeholder>
//	    db             <number>
//	    prefix         <text>
//	    encryption_key <placeholder...>
//	}
func (s *Store) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // redis
	if d.NextArg() {
		return d.Err("store redis takes a block in braces: store redis { … }")
	}
	end, seen := *d, map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return d.Err("a line begins with what is no subdirective; it is not shown, since it may be a secret")
		}
		if seen[name] {
			return d.Errf("%s is given more than once", name)
		}
		seen[name] = true
		if err := s.unmarshal(d, name, d.RemainingArgs()); err != nil {
			return err
		}
	}
	for _, needed := range []string{"address", "encryption_key"} {
		if !seen[needed] {
			return end.Errf("store redis needs %s; write for example:\n%s", needed, example)
		}
	}
	return nil
}

const (
	example = "store redis {\n\taddress        redis.internal:6379\n\tencryption_key {file./run/secrets/store_key}\n}"
	// unset explains an argument that is not there.
	unset = "; {$NAME} stands for nothing while the environment variable is not set"
)

func (s *Store) unmarshal(d *caddyfile.Dispenser, name string, args []string) (err error) {
	one := func(to *string, usage string) error {
		if len(args) != 1 || args[0] == "" {
			return d.Errf("%s takes one argument: %s %s%s", name, name, usage, unset)
		}
		*to = args[0]
		return nil
	}
	some := func(to *[]string, usage string) error {
		if len(args) == 0 || slices.Contains(args, "") {
			return d.Errf("%s takes at least one argument: %s %s%s", name, name, usage, unset)
		}
		*to = args
		return nil
	}
	switch name {
	case "address":
		return some(&s.Addresses, "<host[:port]...>")
	case "tls":
		s.TLS = new(TLS)
		if len(args) == 0 {
			return nil
		}
		return one(&s.TLS.CA, "[<ca file>]")
	case "username":
		return one(&s.Username, "<placeholder>")
	case "password":
		return one(&s.Password, "<placeholder>")
	case "db":
		var number string
		if err := one(&number, "<number>"); err != nil {
			return err
		}
		if s.DB, err = strconv.Atoi(number); err != nil || s.DB < 0 {
			return d.Err("db: write a whole number from 0 on")
		}
		return nil
	case "prefix":
		return one(&s.Prefix, "<text>")
	case "encryption_key":
		return some(&s.EncryptionKeys, "<placeholder...>")
	}
	return d.Errf("unrecognized subdirective of store redis %q; there are address, tls, username, password, db, prefix and encryption_key", name)
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Store)(nil)
