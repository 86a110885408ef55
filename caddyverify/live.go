package caddyverify

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/live"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
)

func init() {
	caddy.RegisterModule(Live{})
}

// Live is a page that shows the gateway as it is, at /live: whether it works, how many
// verifications succeed and where not, the way to the provider, and what happened. It has
// the last day, from memory, and only reads. A hundred may be open at a time; others show
// how it was when they were loaded. All else is left to the next handler.
//
// It is shown to whom one of Caddy's handlers has let in (basic_auth, forward_auth, TLS
// client certificates), and else to clients on the same machine alone.
type Live struct {
	// SandboxFaults is the path of a sandbox's faults on the same site, which the page then
	// switches on and off, as in the demo. Default: none.
	SandboxFaults string `json:"sandbox_faults,omitempty"`

	page *live.Page
	end  context.CancelFunc // of its streams
}

// CaddyModule returns the Caddy module information.
func (Live) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_live",
		New: func() caddy.Module { return new(Live) },
	}
}

// Provision sets up the page. Its streams end when their server begins to shut down, which
// else would wait for them for its grace period, and by default for ever.
func (l *Live) Provision(ctx caddy.Context) error {
	streams, end := context.WithCancel(ctx)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(end)
	}
	l.end = end
	l.page = &live.Page{Accounts: allAccounts, Version: version.String(), Faults: l.SandboxFaults, Done: streams.Done()}
	return nil
}

// Cleanup ends the streams.
func (l *Live) Cleanup() error {
	if l.end != nil {
		l.end()
	}
	return nil
}

// UnmarshalCaddyfile sets up the page from Caddyfile tokens. Syntax:
//
//	verify_live [<matcher>]
func (*Live) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return subdirectives(d, nil, func(string) error { return nil })
}

// ServeHTTP shows the page.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Path != live.Path && r.URL.Path != live.StreamPath {
		return next.ServeHTTP(w, r)
	}
	if !letIn(r) && !local(r) {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "The live page is for whom Caddy has let in: put basic_auth, forward_auth or TLS client certificates before verify_live. Without one it is shown on the gateway's own machine alone, at localhost.", http.StatusForbidden)
		return nil
	}
	l.page.ServeHTTP(w, r)
	return nil
}

// letIn tells whether one of Caddy's handlers has found out who the client is.
func letIn(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return false
	}
	if user, ok := replacer.GetString("http.auth.user.id"); ok && user != "" {
		return true
	}
	// forward_auth is a reverse proxy whose answer was that the call may go on.
	code, ok := replacer.GetString("http.reverse_proxy.status_code")
	return ok && strings.HasPrefix(code, "2")
}

// local tells whether the client is on the same machine, and knows the gateway by a name
// of it: a page in its browser could have a name of its own lead here. What a proxy on
// the machine passes on is anybody's.
func local(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !client.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Live)(nil)
	_ caddy.CleanerUpper          = (*Live)(nil)
	_ caddyhttp.MiddlewareHandler = (*Live)(nil)
	_ caddyfile.Unmarshaler       = (*Live)(nil)
)
