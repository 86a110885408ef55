package caddyverify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
)

// Cache says how long the answers to searches are kept in memory. A duration
// below 0 keeps nothing of that kind.
type Cache struct {
	// Off sends every search upstream. Default: `false`.
	Off bool `json:"off,omitempty"`

	// InProgress is the lifetime of IN PROGRESS. `auto` is until the provider can change the
	// verification by itself, half a minute at most, and a second near that: it sends the next
	// message, or gives up, after the times that the request asked for or the workflow has. It is
	// for an account that nobody uses past this gateway, or those of its store; a verification
	// that they have not seen start has 2s. Default: `2s`, with `exclusive` `auto`.
	InProgress Lifetime `json:"in_progress,omitempty"`

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

// Lifetime is a duration as Caddy writes them, or Auto.
type Lifetime caddy.Duration

// Auto is the lifetime that follows from what is cached.
const Auto Lifetime = math.MinInt64

const auto = "auto"

// UnmarshalJSON implements json.Unmarshaler.
func (l *Lifetime) UnmarshalJSON(text []byte) error {
	if string(text) == `"`+auto+`"` {
		*l = Auto
		return nil
	}
	return (*caddy.Duration)(l).UnmarshalJSON(text)
}

// MarshalJSON implements json.Marshaler.
func (l Lifetime) MarshalJSON() ([]byte, error) {
	if l == Auto {
		return json.Marshal(auto)
	}
	return json.Marshal(caddy.Duration(l))
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

func (c *Cache) settings(timeout time.Duration, exclusive bool) search.Settings {
	scheduled := c.InProgress == Auto || exclusive && c.InProgress == 0
	inProgress := time.Duration(c.InProgress)
	if scheduled {
		inProgress = 0
	}
	return search.Settings{
		InProgress:   inProgress,
		Scheduled:    scheduled,
		Settling:     time.Duration(c.Settling),
		Final:        time.Duration(c.Final),
		NotFound:     time.Duration(c.NotFound),
		StaleIfError: time.Duration(c.StaleIfError),
		MaxEntries:   c.MaxEntries,
		MaxBytes:     c.MaxBytes,
		Timeout:      timeout,
	}
}

// Breaker says when the gateway stops to call an upstream in trouble. There are
// two circuits for each account: one for checks and searches, one for requests
// and controls. A circuit opens when half of 20 or more outcomes within the
// window are failures, or when 5 connections in a row could not be made. While it
// is open, searches are answered from memory as far as possible, and all else at
// once with status 5. When its time is over the gateway itself searches for an
// unused request_id, and calls flow again once the upstream has answered that.
type Breaker struct {
	// Off calls the upstream whatever becomes of it. Default: `false`.
	Off bool `json:"off,omitempty"`

	// Window is how long an outcome counts; at least three times the timeout.
	// Default: `30s`, or three times the timeout if that is longer.
	Window caddy.Duration `json:"window,omitempty"`

	// OpenFor is how long a circuit stays open before the upstream is asked for a
	// sign of life: 100 ms to a minute. It doubles with each time there is none, up to
	// 40 seconds.
	// Default: `5s`.
	OpenFor caddy.Duration `json:"open_for,omitempty"`
}

func (b *Breaker) settings(timeout time.Duration) breaker.Settings {
	s := breaker.Settings{Off: b.Off, Window: time.Duration(b.Window), OpenFor: time.Duration(b.OpenFor), Timeout: timeout}
	if s.Window == 0 {
		s.Window = max(30*time.Second, 3*timeout)
	}
	return s
}

// accountSettings are what the handlers of a configuration want of an account, all
// of them together. The zero value of a field is its default.
type accountSettings struct {
	cache       Cache
	breaker     Breaker
	api         string
	drain       string
	application string
	limit       int
	searches    int      // that of searches
	codes       []string // of countries; nil for the default
	countries   country.List
	guard       Guard
	settle      bool
	exclusive   bool
	timeout     caddy.Duration // the longest
	callers     *Callers
	names       []string // that the app has for the account
	core        *gateway.Settings
}

// with returns the settings with those of a further handler. What one handler says
// holds for the others that say nothing; two that say different things are an error.
func (s accountSettings) with(a *Account) (*accountSettings, error) {
	s.timeout = max(s.timeout, a.Timeout)
	s.settle = s.settle || a.Settle
	s.exclusive = s.exclusive || a.Exclusive
	var err error
	agree(&err, "api", &s.api, cmp.Or(a.API, apiV1)) // no verification is checked at another version than its own
	agree(&err, "drain", &s.drain, cmp.Or(a.Drain, "nothing"))
	agree(&err, "application", &s.application, cmp.Or(a.Application, "none"))
	agree(&err, "limit", &s.limit, a.Limit)
	agree(&err, "search_limit", &s.searches, a.SearchLimit)
	if a.Cache != nil {
		agreeOff(&err, "cache", s.cache, *a.Cache, Cache{Off: true})
		s.cache.Off = s.cache.Off || a.Cache.Off
		agree(&err, "cache: in_progress", &s.cache.InProgress, a.Cache.InProgress)
		agree(&err, "cache: settling", &s.cache.Settling, a.Cache.Settling)
		agree(&err, "cache: final", &s.cache.Final, a.Cache.Final)
		agree(&err, "cache: not_found", &s.cache.NotFound, a.Cache.NotFound)
		agree(&err, "cache: stale_if_error", &s.cache.StaleIfError, a.Cache.StaleIfError)
		agree(&err, "cache: max_entries", &s.cache.MaxEntries, a.Cache.MaxEntries)
		agree(&err, "cache: max_bytes", &s.cache.MaxBytes, a.Cache.MaxBytes)
	}
	if a.Breaker != nil {
		agreeOff(&err, "breaker", s.breaker, *a.Breaker, Breaker{Off: true})
		s.breaker.Off = s.breaker.Off || a.Breaker.Off
		agree(&err, "breaker: window", &s.breaker.Window, a.Breaker.Window)
		agree(&err, "breaker: open_for", &s.breaker.OpenFor, a.Breaker.OpenFor)
	}
	if err != nil {
		return nil, err
	}
	if len(a.Countries) > 0 {
		listed, err := country.NewList(a.Countries)
		if err != nil {
			return nil, fmt.Errorf("countries: %w", err)
		}
		codes := listed.Codes()
		if s.codes != nil && !slices.Equal(s.codes, codes) {
			return nil, contradiction("countries", s.codes, codes)
		}
		s.codes = codes
	}
	if s.countries, err = country.NewList(s.codes); err != nil {
		return nil, fmt.Errorf("countries: %w", err)
	}
	if s.guard, err = s.guard.with(a.Guard); err != nil {
		return nil, err
	}
	refused, err := s.guard.settings(s.callers, s.names)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	s.core = &gateway.Settings{
		Cache:     s.cache.settings(time.Duration(s.timeout), s.exclusive),
		CacheOff:  s.cache.Off,
		Breaker:   s.breaker.settings(time.Duration(s.timeout)),
		Limit:     limit.Settings{Rate: s.limit, SearchRate: s.searches, Callers: s.callers.shares()},
		Countries: s.countries,
		Guard:     refused,
		Record:    s.guard.record(),
		Callers:   s.callers.names(),
		Names:     s.names,
	}
	return &s, s.validate()
}

func (s *accountSettings) validate() error {
	if err := s.core.Limit.Validate(); err != nil {
		return err
	}
	if err := s.core.Breaker.Validate(); err != nil {
		return fmt.Errorf("breaker: %w", err)
	}
	if err := s.cache.validate(); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

// agree takes in what a handler says, if it says anything.
func agree[T comparable](err *error, name string, all *T, one T) {
	var unsaid T
	switch {
	case *err != nil, one == unsaid, one == *all:
	case *all == unsaid:
		*all = one
	default:
		*err = contradiction(name, *all, one)
	}
}

// agreeOff makes sure that nothing is said in detail of what another handler has off.
func agreeOff[T comparable](err *error, name string, all, one, off T) {
	var unsaid T
	if *err == nil && all != unsaid && one != unsaid && (all == off) != (one == off) {
		*err = fmt.Errorf("%s: it is off in one handler of this account and has settings in another; all handlers of an account share one", name)
	}
}

func contradiction[T any](name string, all, one T) error {
	return fmt.Errorf("%s: it is %s here and %s in another handler of this account; write it in one of them, or the same in all", name, asWritten(one), asWritten(all))
}

// asWritten writes a value as it is written in a Caddyfile, more or less.
func asWritten(value any) string {
	switch v := value.(type) {
	case Lifetime:
		if v == Auto {
			return auto
		}
		return asWritten(caddy.Duration(v))
	case caddy.Duration:
		if v < 0 {
			return "off"
		}
		return time.Duration(v).String()
	case int:
		if v < 0 {
			return "off"
		}
	}
	return fmt.Sprint(value)
}
