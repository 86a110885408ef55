package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

var errReply = errors.New("the server runs another version of the scripts")

// options are how to reach the servers.
type options struct {
	addresses          []string // host:port
	username, password string
	tls                *tls.Config
	db                 int
	prefix             string
	deaf               bool // the server knows no client tracking: for tests
	patient            bool // a server on a busy machine is waited for: for tests of something else
}

// client is one connection to the servers for all accounts. It is made in the background, and
// again when it turns out that it leads to a replica.
type client struct {
	prefix string
	option rueidis.ClientOption
	cancel context.CancelFunc
	ctx    context.Context

	tried chan struct{} // closed once it has been tried to connect
	first sync.Once

	mu   sync.Mutex
	conn rueidis.Client // nil while there is none
	why  error          // there is none

	watchMu  sync.Mutex
	watchers map[string][]*func(store.Name) // by account
}

// dial returns at once. Calls wait for the first try to connect, or as long as they may; after
// that they fail while there is no connection.
func dial(o options) *client {
	c := &client{prefix: o.prefix, watchers: map[string][]*func(store.Name){}, why: errors.New("not connected yet"), tried: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.option = rueidis.ClientOption{
		InitAddress: o.addresses,
		Username:    o.username,
		Password:    o.password,
		TLSConfig:   o.tls,
		SelectDB:    o.db,
		ClientName:  "caddy-verify",

		// A lone command that is late would close its connection, and with it flush all that
		// was heard of; retries would go on until the context ends.
		AlwaysPipelining:  true,
		DisableRetry:      true,
		PipelineMultiplex: -1,                                                                             // or every change would be told several times
		Dialer:            net.Dialer{Timeout: 200 * time.Millisecond, KeepAlive: 250 * time.Millisecond}, // KeepAlive is also when to ping
		ConnWriteTimeout:  250 * time.Millisecond,

		ClientTrackingOptions: []string{"BCAST", "PREFIX", c.told()},
		OnInvalidations:       c.invalidated,
		DisableCache:          o.deaf,
	}
	if o.patient {
		c.option.Dialer.Timeout, c.option.ConnWriteTimeout = time.Minute, time.Minute
	}
	go c.connect()
	return c
}

// told is what keys begin with that are written for those who watch.
func (c *client) told() string { return c.prefix + ":told:" }

// connect tries until there is a connection.
func (c *client) connect() {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		conn, err := rueidis.NewClient(c.option)
		c.mu.Lock()
		c.first.Do(func() { close(c.tried) }) // once the lock is open
		if c.ctx.Err() != nil {
			c.mu.Unlock()
			if err == nil {
				conn.Close()
			}
			return
		}
		c.conn, c.why = nil, nil
		if err == nil {
			c.conn = conn
			c.mu.Unlock()
			return
		}
		c.why = fmt.Errorf("connect: %w", err)
		c.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return
		}
	}
}

// close ends the connection; a server that hangs does not hold who calls it.
func (c *client) close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		go c.conn.Close()
	}
	c.conn, c.why = nil, errors.New("closed")
}

// run runs a script.
func (c *client) run(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) rueidis.RedisResult {
	select {
	case <-c.tried:
	case <-ctx.Done():
	}
	c.mu.Lock()
	conn, why := c.conn, c.why
	c.mu.Unlock()
	if conn == nil {
		return rueidis.NewErrorResult(why)
	}
	r := script.Exec(ctx, conn, keys, args)
	if err, ok := rueidis.IsRedisErr(r.Error()); ok && strings.HasPrefix(err.Error(), "READONLY") {
		c.renew(conn, err)
	}
	return r
}

// renew connects anew: what was a master is none any more.
func (c *client) renew(conn rueidis.Client, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.conn, c.why = nil, why
		go conn.Close()
		go c.connect()
	}
}

func (c *client) open(tag, gateway string) store.Store { return account{c, tag, gateway} }

func (c *client) watch(tag string, f func(store.Name)) (stop func()) {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	c.watchers[tag] = append(c.watchers[tag], &f)
	return func() {
		c.watchMu.Lock()
		defer c.watchMu.Unlock()
		var rest []*func(store.Name)
		for _, other := range c.watchers[tag] {
			if other != &f {
				rest = append(rest, other)
			}
		}
		if c.watchers[tag] = rest; len(rest) == 0 {
			delete(c.watchers, tag)
		}
	}
}

// invalidated is called with keys that were written, and with none when the connection was
// lost. The library waits for it.
func (c *client) invalidated(keys []rueidis.RedisMessage) {
	if keys == nil {
		c.tell("", store.Name{})
	}
	for _, key := range keys {
		text, err := key.ToString()
		if err != nil {
			continue
		}
		tail, ours := strings.CutPrefix(text, c.told())
		if tag, n, ok := name(tail); ours && ok {
			c.tell(tag, n)
		}
	}
}

// tell calls those who watch an account; without a tag, all.
func (c *client) tell(tag string, n store.Name) {
	c.watchMu.Lock()
	var all []*func(store.Name)
	for of, some := range c.watchers {
		if of == tag || tag == "" {
			all = append(all, some...)
		}
	}
	c.watchMu.Unlock()
	for _, f := range all {
		(*f)(n)
	}
}
