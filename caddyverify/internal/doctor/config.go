package doctor

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

type object = map[string]any

// Config is a configuration of Caddy's, as JSON.
type Config struct {
	root object
	// Sites are the places of its verify handlers.
	Sites []*Site
	// Webhooks are its verify_webhook handlers as they are written, each once.
	Webhooks []json.RawMessage
	// metrics are the places of handlers that serve metrics.
	metrics []page
	// tracing tells that some site has spans.
	tracing bool
}

// Site is a verify handler and what stands before it.
type Site struct {
	// Name is what it is called by: its hosts or addresses, or both where the hosts are
	// those of another site, too.
	Name string
	// Handler is the handler as it is written.
	Handler json.RawMessage
	// WriteTimeout is the server's; 0 for none.
	WriteTimeout time.Duration

	listen string
	local  bool // bound to loopback addresses alone
	mutual bool // TLS with certificates of the clients
	state
}

// page is where a handler serves metrics.
type page struct {
	listen, hosts []string
	path          string
	tls           bool
}

// Read reads a configuration and finds its handlers.
func Read(config []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(config, &c.root); err != nil {
		return nil, errors.New("the configuration is not a JSON object")
	}
	servers, _ := at(c.root, "apps", "http", "servers").(object)
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		server, _ := servers[name].(object)
		w := walker{config: c, server: server, depth: maxDepth}
		w.routes(list(server["routes"]), state{})
	}
	c.tellApart()
	return c, nil
}

// tellApart gives sites of one name at several addresses a name of their own.
func (c *Config) tellApart() {
	addresses := map[string]map[string]bool{}
	for _, site := range c.Sites {
		if addresses[site.Name] == nil {
			addresses[site.Name] = map[string]bool{}
		}
		addresses[site.Name][site.listen] = true
	}
	for _, site := range c.Sites {
		if len(addresses[site.Name]) > 1 {
			site.Name += " at " + site.listen
		}
	}
}

// Accounts are those of the app, by name.
func (c *Config) Accounts() map[string]json.RawMessage {
	accounts, _ := at(c.root, "apps", "verify", "accounts").(object)
	all := map[string]json.RawMessage{}
	for name, account := range accounts {
		all[name] = raw(account)
	}
	return all
}

// Callers are those that the app has; nil for none.
func (c *Config) Callers() json.RawMessage {
	if callers := at(c.root, "apps", "verify", "callers"); callers != nil {
		return raw(callers)
	}
	return nil
}

// Store is the one that gateways share; nil where there is none.
func (c *Config) Store() json.RawMessage {
	store, ok := at(c.root, "apps", "verify", "store").(object)
	if !ok {
		return nil
	}
	return raw(store)
}

// at returns what is at a path of names; nil for nothing.
func at(value any, path ...string) any {
	for _, name := range path {
		o, _ := value.(object)
		value = o[name]
	}
	return value
}

func list(value any) []any {
	all, _ := value.([]any)
	return all
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func texts(value any) []string {
	values := list(value)
	all := make([]string, len(values))
	for i := range values {
		all[i] = text(values[i])
	}
	return all
}

func isTrue(value any) bool {
	b, _ := value.(bool)
	return b
}

// duration reads one as Caddy writes it, in nanoseconds or with a unit.
func duration(value any) time.Duration {
	switch v := value.(type) {
	case float64:
		return time.Duration(v)
	case string:
		d, _ := time.ParseDuration(v)
		return d
	}
	return 0
}

func raw(value any) json.RawMessage {
	b, _ := json.Marshal(value) // it was JSON
	return b
}

// anywhere tells whether a name has the value true somewhere.
func anywhere(value any, name string) bool {
	switch v := value.(type) {
	case object:
		if isTrue(v[name]) {
			return true
		}
		for _, one := range v {
			if anywhere(one, name) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return anywhere(one, name) })
	}
	return false
}

// isLocal tells whether only this host reaches an address to listen on.
func isLocal(address string) bool {
	if network, rest, found := strings.Cut(address, "/"); found {
		if strings.HasPrefix(network, "unix") || strings.HasPrefix(network, "fd") {
			return true
		}
		address = rest
	}
	return isLoopback(hostOf(address))
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// hostOf is the host of an address, whose port may be a range.
func hostOf(address string) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 && !strings.HasSuffix(address, "]") {
		address = address[:i]
	}
	return strings.Trim(address, "[]")
}
