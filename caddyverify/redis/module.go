// Package redis is the store that gateways share by way of Redis or Valkey: the Caddy module
// verify.stores.redis. Only a Caddy that imports it has it.
package redis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

func init() { caddy.RegisterModule(new(Store)) }

const (
	defaultPort   = "6379"
	defaultPrefix = "verify"
)

// Store says where Redis or Valkey is, from version 6 on, alone or as a cluster, and how what
// lies in it is encrypted. All gateways that share it say the same. Username, password and
// encryption keys are placeholders, {env.NAME} or {file./path}, read when the configuration
// is loaded.
type Store struct {
	// Addresses are servers as host:port; of a cluster, some of its nodes. The port's default
	// is 6379. At least one is needed.
	Addresses []string `json:"addresses,omitempty"`

	// TLS has connections encrypted. Default: they are not.
	TLS *TLS `json:"tls,omitempty"`

	// Username is the ACL user. Default: Redis' own, `default`.
	Username string `json:"username,omitempty"`

	// Password is the user's. Default: none.
	Password string `json:"password,omitempty"`

	// DB is the number of the database, which must be 0 in a cluster. Default: 0.
	DB int `json:"db,omitempty"`

	// Prefix is what all keys begin with: letters, digits, `-`, `_` and `.`. Default: `verify`.
	Prefix string `json:"prefix,omitempty"`

	// EncryptionKeys are secrets of at least 32 characters from which the keys are derived
	// that values are encrypted with and that names are made of. The first encrypts, all
	// decrypt, the last one makes names. A new one is put before the others; the last one is
	// taken away while no gateway runs, since without it nothing that lies in the store is
	// found. At least one is needed.
	EncryptionKeys []string `json:"encryption_keys,omitempty"`

	pooled *pooledClient
	key    poolKey
	secret []string // the encryption keys
}

// TLS is how servers prove who they are.
type TLS struct {
	// CA is a file of PEM certificates that servers' are signed by. Default: the system's.
	CA string `json:"ca,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Store) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "verify.stores.redis", New: func() caddy.Module { return new(Store) }}
}

// UnmarshalJSON implements json.Unmarshaler. A null is an error, which encoding/json takes for a
// setting that is not there: connections would be in clear where `tls` was left empty.
func (s *Store) UnmarshalJSON(text []byte) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(text, &settings); err != nil {
		return errors.New("it must be an object in braces")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if string(settings[name]) == "null" {
			return errors.New(name + ": it is null; write a value, or leave it out")
		}
	}
	type plain Store
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(s))
}

// clients keeps connections over reloads of Caddy's configuration.
var clients = caddy.NewUsagePool()

type poolKey [sha256.Size]byte

// pooledClient is a client with the stores that were opened on it.
type pooledClient struct {
	*client
	mu     sync.Mutex
	opened map[string]*opened // by account
}

// opened is the store of an account, for as long as somebody uses it.
type opened struct {
	*store.Shared
	users int
	stop  func()
}

// Destruct implements caddy.Destructor. Nobody uses what was opened any more.
func (p *pooledClient) Destruct() error {
	p.close()
	return nil
}

// Provision reads the placeholders and has the connection made, or takes over that of the
// configuration before. It waits for no server.
func (s *Store) Provision(caddy.Context) error {
	o, err := s.options()
	if err != nil {
		return fmt.Errorf("store redis: %w", err)
	}
	if s.key, err = s.poolKey(o); err != nil {
		return err
	}
	pooled, _, err := clients.LoadOrNew(s.key, func() (caddy.Destructor, error) {
		return &pooledClient{client: dial(o), opened: map[string]*opened{}}, nil
	})
	if err != nil {
		return err
	}
	s.pooled = pooled.(*pooledClient)
	return nil
}

// Cleanup gives the connection back. What was opened keeps it until it is closed.
func (s *Store) Cleanup() error {
	if s.pooled == nil {
		return nil
	}
	_, err := clients.Delete(s.key)
	return err
}

// Open returns what gateways share of an account, as one of them sees it, until done is called,
// once. It is the same for all configurations that say the same of the store, and ends when
// the last of them is done. The gateway's name must be its own, and stay the same while it
// runs.
func (s *Store) Open(account, gateway string) (shared *store.Shared, done func(), err error) {
	k, err := store.NewKeys(account, s.secret...)
	if err != nil {
		return nil, nil, err
	}
	p := s.pooled
	if _, _, err = clients.LoadOrNew(s.key, func() (caddy.Destructor, error) { return p, nil }); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.opened[account]
	if of == nil {
		of = &opened{Shared: store.NewShared(p.open(k.Account(), gateway), k)}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			of.Run(ctx)
		}()
		of.stop = func() { cancel(); <-ended } // it signs off, within the time that a call may take
		p.opened[account] = of
	}
	of.users++
	return of.Shared, func() { p.done(account, s.key) }, nil
}

func (p *pooledClient) done(account string, key poolKey) {
	p.mu.Lock()
	of := p.opened[account]
	if of.users--; of.users == 0 {
		delete(p.opened, account)
		of.stop()
	}
	p.mu.Unlock()
	_, _ = clients.Delete(key) // closing it makes no error
}

// poolKey is the same for settings that come to the same.
func (s *Store) poolKey(o options) (poolKey, error) {
	ca := ""
	if s.TLS != nil {
		pem, err := s.TLS.pem()
		if err != nil {
			return poolKey{}, err
		}
		ca = "tls:" + string(pem)
	}
	all, err := json.Marshal([]any{o.addresses, o.username, o.password, ca, o.db, o.prefix, s.secret})
	return sha256.Sum256(all), err
}

// options reads what is written.
func (s *Store) options() (o options, err error) {
	if o.addresses, err = addresses(s.Addresses); err != nil {
		return o, err
	}
	if o.username, err = resolve("username", s.Username); err != nil {
		return o, err
	}
	if o.password, err = resolve("password", s.Password); err != nil {
		return o, err
	}
	if o.username != "" && o.password == "" {
		return o, errors.New("username: there is no password; add `password {file./run/secrets/redis_password}`")
	}
	if s.DB < 0 || s.DB > 0 && len(o.addresses) > 1 {
		return o, fmt.Errorf("db: %d is none; write a number from 0 on, and leave it out where there are several addresses", s.DB)
	}
	o.db = s.DB
	if o.prefix = s.Prefix; o.prefix == "" {
		o.prefix = defaultPrefix
	}
	if !prefixes.MatchString(o.prefix) {
		return o, fmt.Errorf("prefix: %q has other characters than letters, digits, -, _ and ., or more than 32", o.prefix)
	}
	if o.tls, err = s.TLS.config(); err != nil {
		return o, err
	}
	if len(s.EncryptionKeys) == 0 {
		return o, errors.New("encryption_key is missing; add `encryption_key {file./run/secrets/store_key}`, with what `openssl rand -base64 32` prints in the file")
	}
	s.secret = nil
	for _, written := range s.EncryptionKeys {
		key, err := resolve("encryption_key", written)
		if err != nil {
			return o, err
		}
		s.secret = append(s.secret, key)
	}
	if _, err := store.NewKeys("", s.secret...); err != nil {
		return o, fmt.Errorf("encryption_key: %w", err)
	}
	return o, nil
}

var prefixes = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,32}$`)

func addresses(written []string) (all []string, err error) {
	if len(written) == 0 {
		return nil, errors.New("address is missing; add `address <host:port>`, for example `address redis.internal:6379`")
	}
	for _, address := range written {
		if address, err = resolve("address", address); err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port, err = net.SplitHostPort(net.JoinHostPort(strings.Trim(address, "[]"), defaultPort))
		}
		// A URL may have a password in it: it is not shown.
		if n, wrong := strconv.ParseUint(port, 10, 16); err != nil || host == "" || wrong != nil || n == 0 || strings.ContainsAny(address, "/@ ") {
			return nil, errors.New("address: one is not host:port; write for example redis.internal:6379, without redis:// and password")
		}
		if address = net.JoinHostPort(host, port); slices.Contains(all, address) {
			return nil, fmt.Errorf("address: %s is given twice", address)
		}
		all = append(all, address)
	}
	return all, nil
}

func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA == "" {
		return c, nil
	}
	pem, err := t.pem()
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: %s has no certificate in PEM in it", t.CA)
	}
	return c, nil
}

func (t *TLS) pem() ([]byte, error) {
	if t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return pem, nil
}

// resolve reads placeholders. Its errors name a placeholder, never a value.
func resolve(name, written string) (string, error) {
	if written == "" {
		return "", nil
	}
	value, err := caddy.NewReplacer().ReplaceOrErr(written, true, true)
	if err != nil || strings.TrimSpace(value) == "" {
		from := placeholder.FindString(written)
		if from == "" {
			from = "what is written"
		}
		return "", fmt.Errorf("%s: %s has no value; {env.NAME} and {file./path} have one where the variable is set, or the file is there and can be read", name, from)
	}
	if strings.TrimSpace(value) != value || strings.ContainsAny(value, "\r\n") {
		return "", fmt.Errorf("%s: the value begins or ends with white space, or has a line break in it", name)
	}
	return value, nil
}

var placeholder = regexp.MustCompile(`\{[a-zA-Z_]+\.[^{}]+\}`)

// Interface guards
var (
	_ caddy.Provisioner  = (*Store)(nil)
	_ caddy.CleanerUpper = (*Store)(nil)
)
