package caddyverify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/stdlog"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// caddyTransport gives Caddy's transport what it takes for granted.
type caddyTransport struct{ *reverseproxy.HTTPTransport }

// RoundTrip implements http.RoundTripper.
func (t caddyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ownStandardLog()
	ctx := r.Context()
	if ctx.Value(caddy.ReplacerCtxKey) == nil { // a call of the gateway's own
		ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	}
	// The transport notes in the request's variables that it used a proxy. They are a
	// plain map, and the call may outlive the request.
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, nil)
	return t.HTTPTransport.RoundTrip(r.WithContext(ctx))
}

// ownStandardLog has what libraries print by themselves logged without what came over
// the network. Who sets the output of package log last has it: Caddy does with some
// configurations, and other plugins may at any time. So it is taken when a configuration
// is loaded and again before each call to the upstream.
func ownStandardLog() {
	stdlog.Own(func(line stdlog.Line) {
		caddy.Log().Named("stdlib").Log(line.Level, line.Words,
			zap.String("printed_by", line.PrintedBy), zap.Int("bytes", line.Bytes))
	})
}

// maxHeader is how long the header of an answer may be by default, in bytes. Real ones
// are under 2 KiB; Go's own default is 10 MiB.
const maxHeader = 16 << 10

// withoutSurprises sets what Caddy's transport would else take from elsewhere: a proxy
// from the environment of the process, which need not be meant for calls with an
// account's credentials, and a limit of 10 MiB for headers that nobody reads. What is
// no transport is returned as it is, for Caddy to say so.
func withoutSurprises(transport json.RawMessage) json.RawMessage {
	var settings map[string]json.RawMessage
	var given struct {
		Proxy  json.RawMessage `json:"network_proxy"`
		Old    string          `json:"forward_proxy_url"`
		Header int64           `json:"max_response_header_size"`
	}
	if json.Unmarshal(transport, &settings) != nil || json.Unmarshal(transport, &given) != nil {
		return transport
	}
	if cmp.Or(string(given.Proxy), "null") == "null" && given.Old == "" {
		settings["network_proxy"] = json.RawMessage(`{"from":"none"}`)
	}
	if given.Header == 0 {
		settings["max_response_header_size"], _ = json.Marshal(maxHeader)
	}
	whole, err := json.Marshal(settings)
	if err != nil {
		return transport
	}
	return whole
}

// checkTransport refuses what would send a call twice, or tell of clients.
func checkTransport(transport *reverseproxy.HTTPTransport) error {
	for _, version := range []string{"3", "h2c"} {
		if slices.Contains(transport.Versions, version) {
			return fmt.Errorf("versions: %s is not supported, since its client may send a call twice; use 1.1 or 2", version)
		}
	}
	if transport.ProxyProtocol != "" {
		return errors.New("proxy_protocol is not supported: the upstream is not told of clients")
	}
	return nil
}

// transport loads the module for connections to the upstream.
func (h *Handler) transport(ctx caddy.Context) (http.RoundTripper, error) {
	if h.TransportRaw == nil {
		h.TransportRaw = caddyconfig.JSONModuleObject(reverseproxy.HTTPTransport{
			KeepAlive: &reverseproxy.KeepAlive{IdleConnTimeout: caddy.Duration(defaultIdleTimeout)},
			Versions:  []string{"1.1"},
		}, "protocol", "http", nil)
	}
	var err error
	if h.TransportRaw, err = readProxy(withoutSurprises(h.TransportRaw)); err != nil {
		return nil, err
	}
	written := texts(h.TransportRaw)
	module, err := ctx.LoadModule(h, "TransportRaw")
	if err != nil {
		return nil, withoutPasswords(err, written)
	}
	transport, ok := module.(*reverseproxy.HTTPTransport)
	if !ok {
		return nil, errors.New("only the http transport speaks to the Verify API")
	}
	transport.Transport.OnProxyConnectResponse = upstream.ProxyAnswered
	if err := checkTransport(transport); err != nil {
		return nil, err
	}
	if h.roundTripper != nil {
		return h.roundTripper, nil
	}
	return caddyTransport{transport}, nil
}

// readProxy puts the values of its placeholders into the URL of a transport's proxy,
// and checks it. Caddy does both with each call, and prints the URL with the password
// in it, in an error or at debug level. Errors here show no more than placeholders.
func readProxy(transport json.RawMessage) (json.RawMessage, error) {
	var settings map[string]json.RawMessage
	var given struct {
		Proxy struct{ From, URL string } `json:"network_proxy"`
		Old   string                     `json:"forward_proxy_url"`
	}
	if json.Unmarshal(transport, &settings) != nil || json.Unmarshal(transport, &given) != nil {
		return transport, nil // Caddy says what it is
	}
	written := cmp.Or(given.Old, given.Proxy.URL)
	if given.Old == "" && given.Proxy.From != "url" {
		return transport, nil
	}
	resolved, err := caddy.NewReplacer().ReplaceOrErr(written, true, true)
	if err != nil {
		for _, one := range source.FindAllString(written, -1) {
			if caddy.NewReplacer().ReplaceAll(one, "") == "" {
				return nil, fmt.Errorf("network_proxy: %s %s", one, noValue(one))
			}
		}
		return nil, errors.New("network_proxy: only {env.NAME} and {file./path} are read in the URL")
	}
	proxy, err := url.Parse(resolved)
	if err != nil || proxy.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, proxy.Scheme) {
		return nil, errors.New("network_proxy: not a URL such as http://proxy.internal:3128; in a user name or password write %40 for @, %3A for : and %2F for /")
	}
	delete(settings, "forward_proxy_url")
	if settings["network_proxy"], err = json.Marshal(map[string]string{"from": "url", "url": resolved}); err != nil {
		return nil, err
	}
	return json.Marshal(settings)
}

// withoutPasswords takes what may be a URL with a password out of an error that Caddy
// has made of what was written.
func withoutPasswords(err error, written []string) error {
	text := err.Error()
	for _, word := range written {
		at := strings.LastIndex(word, "@")
		if at < 0 {
			continue
		}
		user := word[:at]
		if i := strings.Index(user, "//"); i >= 0 {
			user = user[i+2:]
		}
		for _, part := range []string{word, user} {
			if part == "" {
				continue
			}
			quoted := strconv.Quote(part)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], redacted)
			text = strings.ReplaceAll(text, part, redacted)
		}
	}
	return errors.New(text)
}

// words are the arguments in a block of a Caddyfile.
func words(block caddyfile.Segment) []string {
	var all []string
	for _, token := range block {
		all = append(all, token.Text)
	}
	return all
}

// texts are the strings in JSON.
func texts(data []byte) []string {
	var all []string
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if err != nil {
			return all
		}
		if text, ok := token.(string); ok {
			all = append(all, text)
		}
	}
}
