package caddyverify

import (
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
)

// Cache says how long the answers to searches are kept in memory. A duration
// below 0 keeps nothing of that kind.
type Cache struct {
	// Off sends every search upstream. Default: `false`.
	Off bool `json:"off,omitempty"`

	// InProgress is the lifetime of IN PROGRESS. Default: `2s`.
	InProgress caddy.Duration `json:"in_progress,omitempty"`

	// Settling is the lifetime of SUCCESS, FAILED, EXPIRED and CANCELLED at first:
	// the price may still change. When the API says the same again after that time,
	// Final applies. Default: `1m`.
	Settling caddy.Duration `json:"settling,omitempty"`

	// Final is the lifetime of a final state that has settled. Default: `24h`.
	Final caddy.Duration `json:"final,omitempty"`

	// NotFound is the lifetime of status 101. Default: `1s`.
	NotFound caddy.Duration `json:"not_found,omitempty"`

	// StaleIfError is how long past its lifetime a state is still answered when the
	// upstream fails, times out or answers 1 or 5. Default: `5m`.
	StaleIfError caddy.Duration `json:"stale_if_error,omitempty"`

	// MaxEntries is how many states are kept: one for each caller, verification
	// and format. Default: `100000`.
	MaxEntries int `json:"max_entries,omitempty"`

	// MaxBytes is how much memory they may take; at least 1 MiB, which is the
	// largest answer. Default: 64 MiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

func (c *Cache) validate() error {
	switch {
	case c.MaxEntries < 0:
		return errors.New("max_entries must be above 0")
	case c.MaxBytes != 0 && c.MaxBytes < 1<<20:
		return errors.New("max_bytes must be at least 1 MiB")
	}
	return nil
}

func (c *Cache) settings(timeout time.Duration) search.Settings {
	return search.Settings{
		InProgress:   time.Duration(c.InProgress),
		Settling:     time.Duration(c.Settling),
		Final:        time.Duration(c.Final),
		NotFound:     time.Duration(c.NotFound),
		StaleIfError: time.Duration(c.StaleIfError),
		MaxEntries:   c.MaxEntries,
		MaxBytes:     c.MaxBytes,
		Timeout:      timeout,
	}
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
	return c, block(d, func(name string) (err error) {
		switch name {
		case "in_progress":
			c.InProgress, err = lifetimeArg(d, name)
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
		default:
			return d.Errf("unrecognized subdirective of cache %q", name)
		}
		return err
	})
}

// lifetimeArg reads a duration or off. In the configuration 0 means the default,
// so none at all is below it.
func lifetimeArg(d *caddyfile.Dispenser, name string) (caddy.Duration, error) {
	value, err := oneArg(d, name, "<duration>|off")
	if err != nil {
		return 0, err
	}
	if value == "off" {
		return -1, nil
	}
	duration, err := caddy.ParseDuration(value)
	if err != nil || duration <= 0 {
		return 0, d.Errf("%s: write a duration above 0 such as 2s, or off", name)
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
