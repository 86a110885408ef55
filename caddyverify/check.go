package caddyverify

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// settingError is an error in one setting, by its name.
type settingError struct {
	setting string
	err     error
}

func (e *settingError) Error() string {
	if text := e.err.Error(); strings.HasPrefix(text, e.setting) {
		return text
	}
	return e.setting + ": " + e.err.Error()
}

func (e *settingError) Unwrap() error { return e.err }

// check tells what is wrong with the settings as they are written. A Caddyfile's
// reader is told so with file and line.
func (h *Handler) check() error {
	if err := first([]settingError{
		{"errors", oneOf(h.Errors, errorsVerify, errorsHTTP)},
		{"browsers", oneOf(h.Browsers, browsersRefuse, browsersAllow)},
	}); err != nil {
		return err
	}
	if h.Failover != nil {
		return errors.New("failover: only accounts of the global option verify have it; move the account there and name it here")
	}
	return h.Account.check()
}

func (a *Account) check() error {
	return first([]settingError{
		{"upstream", a.checkUpstream()},
		{"auth", a.checkAuth()},
		{"method", a.checkMethod()},
		{"timeout", within(a.Timeout, 100*time.Millisecond, 5*time.Minute)},
		{"breaker", a.Breaker.check(cmp.Or(a.Timeout, caddy.Duration(defaultTimeout)))},
		{"cache", a.Cache.check()},
		{"limit", limit.Settings{Rate: a.Limit, SearchRate: a.SearchLimit}.Validate()},
		{"countries", checkCountries(a.Countries)},
		{"guard", a.Guard.checkAccount()},
		{"api", oneOf(a.API, apiV1, apiV2)},
		{"drain", a.checkDrain()},
		{"templates", a.checkTemplates()},
		{"application", a.checkApplication()},
		{"private_key", a.checkPrivateKey()},
		{"signature_secret", a.checkSignatureSecret()},
		{"credentials", a.checkCredentials()},
		{"next_credentials", a.checkNext()},
	})
}

func (a *Account) checkAuth() error {
	if err := oneOf(a.Auth, string(upstream.Basic), string(upstream.Query), string(upstream.Body)); err != nil {
		return err
	}
	if a.v2Alone() && a.Auth != "" && a.Auth != string(upstream.Basic) {
		return errors.New("calls of version 2 have the credentials in the Authorization header alone; leave it out, or add `drain v1` if it is for that")
	}
	return nil
}

func (a *Account) checkMethod() error {
	if err := oneOf(a.Method, string(upstream.Auto), string(upstream.Get), string(upstream.Post)); err != nil {
		return err
	}
	if a.v2Alone() && a.Method == string(upstream.Get) {
		return errors.New("calls of version 2 have methods of their own; leave it out, or add `drain v1` if it is for that")
	}
	return nil
}

// v2Alone tells that there are no calls of version 1, to which some settings belong.
func (a *Account) v2Alone() bool { return a.API == apiV2 && a.Drain == "" }

// checkNext tells what is wrong with the second credentials, if there are any.
func (a *Account) checkNext() error {
	switch {
	case a.NextCredentials == nil:
		return nil
	case a.Application != "":
		return errors.New("calls are signed with the private_key, of which there is one; leave them out")
	}
	return a.NextCredentials.check()
}

// first returns the first of them that is an error.
func first(errs []settingError) error {
	for i := range errs {
		if errs[i].err != nil {
			return &errs[i]
		}
	}
	return nil
}

// within tells whether a duration is within its bounds. 0 stands for the default.
func within(d caddy.Duration, least, most time.Duration) error {
	switch duration := time.Duration(d); {
	case duration == 0:
		return nil
	case duration < least && duration > -time.Millisecond && duration < time.Millisecond:
		return fmt.Errorf("it is %v, and must be at least %v; a number alone in JSON counts nanoseconds, so write it with its unit in quotes, such as \"10s\"", duration, least)
	case duration < least:
		return fmt.Errorf("it is %v, and must be at least %v", duration, least)
	case duration > most:
		return fmt.Errorf("it is %v, and must be at most %v", duration, most)
	}
	return nil
}

func (b *Breaker) check(timeout caddy.Duration) error {
	if b == nil {
		return nil
	}
	if err := first([]settingError{
		{"window", within(b.Window, 300*time.Millisecond, time.Hour)},
		{"open_for", within(b.OpenFor, 100*time.Millisecond, time.Minute)},
	}); err != nil {
		return err
	}
	return b.settings(time.Duration(timeout)).Validate()
}

func (c *Cache) check() error {
	if c == nil {
		return nil
	}
	lifetime := func(d caddy.Duration, most time.Duration) error {
		if d < 0 {
			return nil // off
		}
		return within(d, time.Millisecond, most)
	}
	if err := first([]settingError{
		{"in_progress", lifetime(caddy.Duration(c.InProgress), time.Hour)},
		{"settling", lifetime(c.Settling, 24*time.Hour)},
		{"final", lifetime(c.Final, 30*24*time.Hour)},
		{"not_found", lifetime(c.NotFound, time.Hour)},
		{"stale_if_error", lifetime(c.StaleIfError, 7*24*time.Hour)},
	}); err != nil {
		return err
	}
	return c.validate()
}

func checkCountries(codes []string) error {
	for _, code := range codes {
		if strings.Contains(code, ",") {
			return errors.New("write codes with blanks between them and no commas: GB DE FR")
		}
	}
	_, err := country.NewList(codes)
	return err
}

func (a *Account) checkUpstream() error {
	base, err := upstreamURL(a.Upstream, a.InsecureUpstream)
	if err == nil && a.API == apiV2 && strings.HasSuffix(base.Path, "/v2") {
		return errors.New("the URL ends in /v2, which the paths of version 2 begin with; leave it out")
	}
	return err
}

// upstreamURL checks the base URL. Its errors never show the URL, which may hold
// a password.
func upstreamURL(raw string, insecure bool) (*url.URL, error) {
	if raw == "" {
		raw = defaultUpstream
	}
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsAny(raw, "{}"):
		return nil, errors.New("placeholders are read in credentials alone; " + writeItOut)
	case err != nil || u.Hostname() == "" || !isPort(u.Port()) || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("not an http or https URL; write for example " + defaultUpstream)
	case u.User != nil:
		return nil, errors.New("the URL holds a user name; use credentials for what the Verify API is to see")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the URL has a query or a fragment; write no more than scheme, host and perhaps a path")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/verify"):
		return nil, errors.New("the URL ends in /verify, which the paths of the API begin with; leave it out")
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, errors.New("http would send the credentials in clear; write https, or add insecure_upstream")
	}
	// One spelling, so that one account is not taken for two.
	u.Host = strings.ToLower(u.Host)
	return url.Parse(strings.TrimSuffix(u.String(), "/"))
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n <= math.MaxUint16
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// oneOf makes sure that value is one of those allowed, or not given.
func oneOf(value string, allowed ...string) error {
	if value != "" && !slices.Contains(allowed, value) {
		return fmt.Errorf("it must be one of %q", allowed)
	}
	return nil
}

// withName says which handler an error is about, where there may be several: by its upstream, which
// holds no password where it is valid. Errors of a named account have its name.
func (h *Handler) withName(err error) error {
	if err == nil || h.AccountName != "" || h.AccountByCaller {
		return err
	}
	base, e := upstreamURL(h.Upstream, h.InsecureUpstream)
	if e != nil {
		return err
	}
	return fmt.Errorf("handler with upstream %s: %w", base, err)
}

// warnOfWriteTimeout tells of a server that ends connections before the upstream's
// time is over: its clients would never read why they get no answer.
func (h *Handler) warnOfWriteTimeout(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.WriteTimeout <= 0 || h.Timeout < server.WriteTimeout {
		return
	}
	h.logger.Warn("timeout is not below the write timeout of the server, which ends the client's connection before there is an answer; lower timeout, or raise write in the global option servers { timeouts { … } }",
		"timeout", time.Duration(h.Timeout), "write", time.Duration(server.WriteTimeout))
}

// warnOfRefusedSecret tells that a reload has brought nothing new to an upstream that
// refuses the credentials.
func (h *Handler) warnOfRefusedSecret() {
	if status, suspended := h.gateway.Suspended(); !suspended || status != wire.BadCredentials {
		return
	}
	h.logger.Warn("this configuration has the same api_key and api_secret that the Verify API has just refused; an environment variable cannot change while Caddy runs, so write new ones to a file and name it by {file./path}, or restart Caddy")
}
