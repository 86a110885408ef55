package caddyverify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

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
