package caddyverify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

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
