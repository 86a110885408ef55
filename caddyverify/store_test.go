package caddyverify

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/caddyverify/caddy-verify/caddyverify/redis"
)

const storeLines = "store redis {\naddress 127.0.0.1:1\nencryption_key {env.VERIFY_TEST_STORE_KEY}\n}\n"

// TestStoreErrors has each wrong way to write a store refused by a sentence that says how to write it, without a secret.
func TestStoreErrors(t *testing.T) {
	t.Setenv("VERIFY_TEST_STORE_KEY", "VALUE of a key, of 32 characters at least")
	limit := "28/s"
	load := func(option string) error {
		config, err := adaptCaddyfile("{\nadmin off\nverify {\n" + option + "\n}\n}\n:0 {\nverify {\ncredentials key VALUE-secret\nlimit " + limit + "\n}\n}\n")
		if err != nil {
			return err
		}
		var c caddy.Config
		if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
			return err
		}
		return caddy.Validate(&c)
	}
	for _, test := range []struct{ name, option, want string }{
		{"no name", "store", "store takes the name of a store"},
		{"a name too many", "store redis memcached", "store takes the name of a store"},
		{"one that there is not", "store memcached {\n}", "there is no store memcached in this Caddy"},
		{"two", storeLines + storeLines, "store is given more than once"},
		{"no block", "store redis", "store redis needs address"},
		{"an empty key", strings.ReplaceAll(storeLines, "STORE_KEY", "UNSET"), "encryption_key: {env.VERIFY_TEST_UNSET} has no value"},
		{"unknown of nobody", "on_unknown deny", "on_unknown: there is no store that could be away; add one, or leave this out, at Caddyfile:4"},
		{"unknown what", storeLines + "on_unknown refuse", `on_unknown: it must be allow or deny, not "refuse", at Caddyfile:8`},
		{"unknown without a word", storeLines + "on_unknown", "on_unknown takes one argument: on_unknown allow|deny"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := load(test.option); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "VALUE") {
				t.Errorf("the error is: %v\nwant: %s", err, test.want)
			}
		})
	}
	for _, good := range []string{storeLines, storeLines + "on_unknown allow", "on_unknown deny\n" + storeLines} {
		if err := load(good); err != nil {
			t.Errorf("%s is refused: %v", good, err)
		}
	}
	for rate, want := range map[string]string{"1000/s": "", "off 1001/s": "", "1001/s": "limit: gateways of a store can share at most 1000 calls a second, not 1001"} {
		limit = rate
		if err := load(""); err != nil {
			t.Errorf("limit %s without a store: %v", rate, err)
		}
		if err := load(storeLines); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("limit %s with a store: %v, want %q", rate, err, want)
		}
	}
}
