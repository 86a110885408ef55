package caddyverify

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
)

// accountSettings are what the handlers of a configuration want of an account, all
// of them together. The zero value of a field is its default.
type accountSettings struct {
	cache     Cache
	breaker   Breaker
	limit     int
	codes     []string // of countries; nil for the default
	countries country.List
	settle    bool
	timeout   caddy.Duration // the longest
}

// with returns the settings with those of a further handler. What one handler says
// holds for the others that say nothing; two that say different things are an error.
func (s accountSettings) with(h *Handler) (*accountSettings, error) {
	s.timeout = max(s.timeout, h.Timeout)
	s.settle = s.settle || h.Settle
	var err error
	agree(&err, "limit", &s.limit, h.Limit)
	if h.Cache != nil {
		agreeOff(&err, "cache", s.cache, *h.Cache, Cache{Off: true})
		s.cache.Off = s.cache.Off || h.Cache.Off
		agree(&err, "cache: in_progress", &s.cache.InProgress, h.Cache.InProgress)
		agree(&err, "cache: settling", &s.cache.Settling, h.Cache.Settling)
		agree(&err, "cache: final", &s.cache.Final, h.Cache.Final)
		agree(&err, "cache: not_found", &s.cache.NotFound, h.Cache.NotFound)
		agree(&err, "cache: stale_if_error", &s.cache.StaleIfError, h.Cache.StaleIfError)
		agree(&err, "cache: max_entries", &s.cache.MaxEntries, h.Cache.MaxEntries)
		agree(&err, "cache: max_bytes", &s.cache.MaxBytes, h.Cache.MaxBytes)
	}
	if h.Breaker != nil {
		agreeOff(&err, "breaker", s.breaker, *h.Breaker, Breaker{Off: true})
		s.breaker.Off = s.breaker.Off || h.Breaker.Off
		agree(&err, "breaker: window", &s.breaker.Window, h.Breaker.Window)
		agree(&err, "breaker: open_for", &s.breaker.OpenFor, h.Breaker.OpenFor)
	}
	if err != nil {
		return nil, err
	}
	if len(h.Countries) > 0 {
		listed, err := country.NewList(h.Countries)
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
	return &s, s.validate()
}

func (s *accountSettings) validate() error {
	if err := s.limits().Validate(); err != nil {
		return err
	}
	if err := s.circuits().Validate(); err != nil {
		return fmt.Errorf("breaker: %w", err)
	}
	if err := s.cache.validate(); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

func (s *accountSettings) limits() limit.Settings { return limit.Settings{Rate: s.limit} }

func (s *accountSettings) circuits() breaker.Settings {
	return s.breaker.settings(time.Duration(s.timeout))
}

func (s *accountSettings) search() search.Settings { return s.cache.settings(time.Duration(s.timeout)) }

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
