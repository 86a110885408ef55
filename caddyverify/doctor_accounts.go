package caddyverify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpproxy"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// patient is an account that the doctor looks at.
type patient struct {
	*Handler
	of   string // what findings name it by; empty for the only one
	good bool   // its settings are
	// What they come to.
	base        *url.URL
	auth        upstream.Auth
	key         string
	first, next upstream.Secret
	drain       upstream.Secret // for verifications of version 1, if that is not first
}

// visited is a place where calls are taken.
type visited struct {
	*doctor.Site
	handler *Handler
	of      string
	timeout time.Duration // the longest of its accounts
}

// patients are the accounts of a configuration, and the sites that have them.
func (e *examination) patients(c *doctor.Config) (patients []*patient, sites []visited, good bool) {
	good = true
	unreadable := func(what string, err error) {
		good = false
		e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "configuration", Of: what, Text: "its settings are not such as `verify` has: " + sentence(err), Change: "what the sentence names."})
	}
	written := c.Accounts()
	named := map[string]*Handler{}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		account := new(Account)
		if err := unmarshal(written[name], account); err != nil {
			unreadable(name, err)
			continue
		}
		named[name] = account.site(new(Handler))
		patients = append(patients, &patient{Handler: named[name], of: name})
	}
	known := map[string]bool{}
	for _, site := range c.Sites {
		h := new(Handler)
		if err := json.Unmarshal(site.Handler, h); err != nil {
			unreadable(site.Name, err)
			continue
		}
		sites = append(sites, visited{Site: site, handler: h, timeout: longest(h, named)})
		if h.AccountName != "" || h.AccountByCaller {
			continue
		}
		if account, _ := json.Marshal(h.Account); !known[string(account)] { //nolint:gosec // as it is written, to be compared
			known[string(account)] = true
			patients = append(patients, &patient{Handler: h, of: hostOfUpstream(h)})
		}
	}
	name(patients, func(p *patient) *string { return &p.of })
	if len(sites) > 1 {
		for i := range sites {
			sites[i].of = sites[i].Name
		}
	}
	return patients, sites, good
}

// name gives each a name of its own, and the only one none.
func name[T any](all []T, of func(T) *string) {
	if len(all) == 1 {
		*of(all[0]) = ""
		return
	}
	used := map[string]int{}
	for _, one := range all {
		n := of(one)
		if used[*n]++; used[*n] > 1 {
			*n = fmt.Sprintf("%s (%d)", *n, used[*n])
		}
	}
}

func hostOfUpstream(h *Handler) string {
	base, err := upstreamURL(h.Upstream, h.InsecureUpstream)
	if err != nil {
		return "the handler"
	}
	return base.Host
}

// longest is the longest timeout of the accounts that a site uses.
func longest(h *Handler, named map[string]*Handler) time.Duration {
	all := []*Handler{h}
	switch {
	case h.AccountByCaller:
		all = slices.Collect(maps.Values(named))
	case named[h.AccountName] != nil:
		all = []*Handler{named[h.AccountName]}
	}
	var d caddy.Duration
	for _, one := range all {
		d = max(d, cmp.Or(one.Timeout, caddy.Duration(defaultTimeout)))
	}
	return time.Duration(d)
}

// checkSettings looks at all that needs no network.
func (e *examination) checkSettings(p *patient) bool {
	before := e.report.Count(doctor.Fail)
	if err := p.Account.check(); err != nil {
		if setting, ok := errors.AsType[*settingError](err); !ok || !p.toldBelow(setting.setting) {
			e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "configuration", Of: p.of, Text: sentence(err), Change: "what the sentence names."})
		}
	}
	p.auth = upstream.Auth(cmp.Or(p.Auth, string(upstream.Basic)))
	var key string
	if !p.byJWT() || p.Credentials != nil {
		p.key, p.first = e.checkCredentials(p, "credentials", p.Credentials)
	}
	if p.byJWT() {
		p.drain = p.first
		p.first = e.checkPrivateKey(p)
	}
	if p.SignatureSecret != "" && p.API == apiV2 {
		e.checkSignatureSecret(p)
	}
	if p.NextCredentials != nil {
		key, p.next = e.checkCredentials(p, "next_credentials", p.NextCredentials)
		switch {
		case p.first.None() || p.next.None():
		case key != p.key:
			e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "next_credentials", Of: p.of, Text: "its api_key is not that of `credentials`, and both are of one account.", Change: "`next_credentials`: the same key and another secret."})
		case p.next.Equal(p.first):
			e.report.Add(doctor.Finding{Level: doctor.Warn, Check: "next_credentials", Of: p.of, Text: "it has the same api_secret as `credentials`, and so is of no use.", Change: "`next_credentials`: the next secret that the provider gives you, or leave it out."})
			p.next = upstream.Secret{}
		}
	}
	var err error
	if p.base, err = upstreamURL(p.Upstream, p.InsecureUpstream); err == nil && p.base.Scheme == "http" && !isLoopback(p.base.Hostname()) {
		e.report.Add(doctor.Finding{Level: doctor.Warn, Check: "upstream", Of: p.of, Text: "http sends the credentials in clear.", Change: "`upstream` with https, and no `insecure_upstream`."})
	}
	e.report.CheckLimit(p.of, cmp.Or(p.Limit, limit.DefaultRate))
	p.good = e.report.Count(doctor.Fail) == before
	return p.good
}

// toldBelow tells whether what is wrong with a setting is told by a check of its own.
func (p *patient) toldBelow(setting string) bool {
	switch setting {
	case "private_key":
		return p.byJWT()
	case "signature_secret":
		return p.API == apiV2
	}
	return strings.HasSuffix(setting, "credentials")
}

// askProvider goes the way that calls go.
func (e *examination) askProvider(ctx context.Context, config []byte, p *patient) {
	if !p.good {
		e.report.Add(doctor.Finding{Level: doctor.Skip, Check: "provider", Of: p.of, Text: "it was not asked: see what fails above."})
		return
	}
	written, err := readProxy(p.TransportRaw)
	if err == nil {
		var transport http.RoundTripper
		var done context.CancelFunc
		if transport, done, err = p.loadTransport(config); err == nil {
			defer done()
			e.checkTransport(p.of, written)
			calls := upstream.Config{
				URL: p.base.String(), Key: p.key, Secret: p.first, Next: p.next, Auth: p.auth,
				Method: upstream.Method(cmp.Or(p.Method, string(p.auth.DefaultMethod()))),
			}
			directives, accepted := "credentials", doctor.ByV1
			if p.API == apiV2 {
				accepted = "a check of an unused request_id gets HTTP 404"
			}
			if p.byJWT() {
				directives = "application and private_key"
			}
			asked := &doctor.Account{
				Of:        p.of,
				URL:       calls.URL,
				Transport: transport,
				Sender: func(by http.RoundTripper) (wire.Sender, error) {
					calls.Transport = by
					return gateway.NewSender(calls, p.v2(calls))
				},
				Directives: directives, Auth: string(p.auth), Accepted: accepted,
				V2: p.API == apiV2, Signed: p.byJWT(),
				Two:     !p.next.None(),
				Timeout: time.Duration(cmp.Or(p.Timeout, caddy.Duration(defaultTimeout))),
				Proxy:   proxyOf(written).Host,
				Unused:  unusedProxy(written, p.base),
			}
			if p.Drain == apiV1 {
				asked.Drained = func(by http.RoundTripper) (wire.Sender, error) { return p.drained(calls, by) }
			}
			e.report.Ask(ctx, asked)
			return
		}
	}
	e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "transport", Of: p.of, Text: sentence(err), Change: "`transport http { … }`."})
}

// drained returns how calls are made about verifications of version 1.
func (p *patient) drained(calls upstream.Config, by http.RoundTripper) (wire.Sender, error) {
	calls.Transport = by
	if p.byJWT() {
		calls.Secret, calls.Next = p.drain, upstream.Secret{}
	}
	return gateway.NewSender(calls, nil)
}

// loadTransport makes the transport that the gateway has.
func (p *patient) loadTransport(config []byte) (http.RoundTripper, context.CancelFunc, error) {
	ctx, done, err := contextFor(config, p.TransportRaw)
	if err != nil {
		return nil, nil, err
	}
	transport, err := p.transport(ctx)
	if err != nil {
		done()
		return nil, nil, err
	}
	return transport, done, nil
}

// checkTransport tells of a transport that trusts anybody.
func (e *examination) checkTransport(of string, transport json.RawMessage) {
	var given struct {
		TLS struct {
			Trusting bool `json:"insecure_skip_verify"`
		} `json:"tls"`
	}
	if json.Unmarshal(transport, &given) == nil && given.TLS.Trusting {
		e.report.Add(doctor.Finding{Level: doctor.Warn, Check: "TLS", Of: of, Text: "certificates are not checked, so that anybody in between reads the credentials.", Change: "take out `tls_insecure_skip_verify`; `tls_trust_pool` has a private CA trusted."})
	}
}

// contextFor returns one to load a transport in. Some take certificates from the storage
// and apps of the configuration; others do without.
func contextFor(config, transport []byte) (caddy.Context, context.CancelFunc, error) {
	loaded := caddy.Config{Logging: new(caddy.Logging)}
	if err := json.Unmarshal(quiet, loaded.Logging); err != nil {
		return caddy.Context{}, nil, err
	}
	if text := string(transport); strings.Contains(text, `"pki_`) || strings.Contains(text, "client_certificate_automate") {
		var whole caddy.Config
		if err := json.Unmarshal(config, &whole); err != nil {
			return caddy.Context{}, nil, err
		}
		loaded.StorageRaw, loaded.AppsRaw = whole.StorageRaw, caddy.ModuleMap{}
		for _, app := range []string{"tls", "pki"} {
			if raw := whole.AppsRaw[app]; raw != nil {
				loaded.AppsRaw[app] = raw
			}
		}
	}
	parent, err := caddy.ProvisionContext(&loaded)
	if err != nil {
		return caddy.Context{}, nil, err
	}
	ctx, cancel := caddy.NewContext(parent)
	return ctx, cancel, nil
}

// proxyOf is the proxy that a transport names; an empty URL for none.
func proxyOf(transport json.RawMessage) *url.URL {
	var given struct {
		Proxy struct{ URL string } `json:"network_proxy"`
	}
	if json.Unmarshal(transport, &given) == nil {
		if u, err := url.Parse(given.Proxy.URL); err == nil {
			return u
		}
	}
	return new(url.URL)
}

// unusedProxy is the variable of the environment that names a proxy for the upstream,
// where the transport says nothing of any.
func unusedProxy(transport json.RawMessage, base *url.URL) string {
	var given struct {
		Proxy json.RawMessage `json:"network_proxy"`
	}
	if json.Unmarshal(transport, &given) == nil && given.Proxy != nil {
		return ""
	}
	if proxy, err := httpproxy.FromEnvironment().ProxyFunc()(base); err != nil || proxy == nil {
		return ""
	}
	upper := strings.ToUpper(base.Scheme) + "_PROXY"
	if os.Getenv(upper) != "" {
		return upper
	}
	return strings.ToLower(upper)
}
