package caddyverify

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
)

// richCaddyfile has all kinds of settings of an account, in a site with these handlers.
func richCaddyfile(t *testing.T, account, site string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{"hidden": "", "record": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "{\nadmin off\npersist_config off\nlog default {\noutput discard\n}\nverify {\naccount shop {\n" + account + `
		upstream http://127.0.0.1:1
		timeout 5s
		limit 20/s 10/s
		countries GB DE
		settle
		exclusive
		failover login
		transport http {
			keepalive 30s
			versions 1.1
		}
		cache {
			in_progress auto
			final 1h
			max_entries 1000
		}
		breaker {
			window 30s
			open_for 1s
		}
		guard {
			recommended monitor
			countries enforce GB DE
			per_number 3/10m
			per_prefix off
			budget 50 EUR/day
			price 0.15 EUR
			price 0.05 EUR GB
			trusted 447700900000
			trusted_file ` + folder + `/hidden {env.VERIFY_TEST_LONG}
			record ` + folder + `/record
		}
	}
	account login {
		credentials key2 {env.VERIFY_TEST_SECRET}
	}
	callers {
		caller checkout {http.auth.user.id} checkout {
			account shop
			weight 2
			limit 5/s
			concurrency 3
			reads all
			guard {
				cool_down enforce
			}
		}
		unknown refuse
		isolate on
	}
}
}
http://127.0.0.1:0 {
	` + site + `
	verify {
		account shop
		errors http
		strict
		browsers allow
	}
}
http://127.0.0.2:0 {
	verify {
		upstream http://127.0.0.1:2
		credentials key3 {env.VERIFY_TEST_SECRET}
		transport http
		cache off
	}
}
`
}

// mutation is a node of a configuration in JSON.
type mutation struct {
	path string // as it is from the module on
	set  func(value any)
	old  any
}

// nodes are all those below a module's settings.
func nodes(path string, value any) (all []mutation) {
	add := func(path string, child any, set func(any)) {
		all = append(append(all, mutation{path, set, child}), nodes(path, child)...)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name != "handler" {
				add(strings.TrimPrefix(path+"."+name, "."), v[name], func(to any) { v[name] = to })
			}
		}
	case []any:
		for i := range v {
			add(fmt.Sprintf("%s[%d]", path, i), v[i], func(to any) { v[i] = to })
		}
	}
	return all
}

// ours are the nodes of all modules of this plugin.
func ours(config map[string]any) (all []mutation) {
	apps, _ := config["apps"].(map[string]any)
	for _, n := range nodes("", apps["http"]) {
		if module, ok := n.old.(map[string]any); ok && strings.HasPrefix(fmt.Sprint(module["handler"]), "verify") {
			all = append(all, nodes("", module)...)
		}
	}
	return append(all, nodes("", apps["verify"])...)
}

// TestMisfits replaces each node of a configuration by what does not belong there: neither Caddy
// nor the doctor panics, and null is refused by its name.
func TestMisfits(t *testing.T) {
	private, _ := applicationKey()
	t.Setenv("VERIFY_TEST_PRIVATE_KEY", private)
	t.Setenv("VERIFY_TEST_SECRET", testSecret)
	t.Setenv("VERIFY_TEST_LONG", strings.Repeat("a1", 32))
	for name, written := range map[string]string{
		"v1": richCaddyfile(t, "auth basic\nmethod auto\ncredentials key {env.VERIFY_TEST_SECRET}\nnext_credentials key {env.VERIFY_TEST_SECRET}", ""),
		"v2": richCaddyfile(t, "api v2 {\ndrain v1\ntemplates checkout\n}\ncredentials key {env.VERIFY_TEST_SECRET}\napplication "+testApplication+
			"\nprivate_key {env.VERIFY_TEST_PRIVATE_KEY}\nsignature_secret "+testSignatureSecret,
			"verify_webhook /hooks {\naccount shop\nrelay checkout https://a.internal {env.VERIFY_TEST_LONG}\n}"),
	} {
		t.Run(name, func(t *testing.T) {
			written = strings.ReplaceAll(written, "http://127.0.0.2:0", "http://"+freeAddress(t))
			text, err := adaptCaddyfile(strings.ReplaceAll(written, "http://127.0.0.1:0", "http://"+freeAddress(t)))
			if err != nil {
				t.Fatal(err)
			}
			if err := bringIn(text, true); err != nil {
				t.Fatalf("as it is: %v", err)
			}
			var config map[string]any
			if err := json.Unmarshal(text, &config); err != nil {
				t.Fatal(err)
			}
			all := ours(config)
			if len(all) < 70 {
				t.Fatalf("there are %d nodes", len(all))
			}
			for _, n := range all {
				for _, value := range []any{nil, 0, "", []any{}, map[string]any{}, true, "x", []any{nil}} {
					n.set(value)
					changed, _ := json.Marshal(config)
					err := bringIn(changed, strings.Contains(n.path, "transport"))
					n.set(n.old)
					theirs := strings.Contains(n.path, "transport.")
					switch {
					case err != nil && strings.HasPrefix(err.Error(), "panic"):
						t.Errorf("%s: %v: %v", n.path, value, err)
					case value == nil && !theirs && (err == nil || !strings.Contains(err.Error(), n.path+": it is null")):
						t.Errorf("%s: null gives: %v", n.path, err)
					}
				}
			}
		})
	}
}

// bringIn has Caddy and the doctor look at a configuration, and at its transports or not; a panic is
// an error.
func bringIn(config []byte, transports bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		return err
	}
	loading := caddy.Validate(&c)
	read, err := doctor.Read(config)
	if err != nil {
		return err
	}
	e := examination{}
	patients, _, _ := e.patients(read)
	for _, p := range patients {
		if !e.checkSettings(p) || !transports {
			continue
		}
		if _, done, err := p.loadTransport(config); err == nil {
			done()
		}
	}
	e.checkRelays(read.Webhooks)
	e.report.CheckCallers(read)
	return loading
}

// TestWrongTypes names the setting in JSON that is no such value, and not the value.
func TestWrongTypes(t *testing.T) {
	for _, test := range []struct{ account, want string }{
		{`{"timeout":"VALUE"}`, `accounts.shop.timeout: it must be a duration in quotes, such as "10s"`},
		{`{"templates":["VALUE"]}`, "accounts.shop.templates: it must be an object in braces"},
		{`{"templates":{"callers":"VALUE"}}`, "accounts.shop.templates.callers: it must be a list in brackets"},
		{`{"countries":["GB",1]}`, "accounts.shop.countries[1]: it must be text in quotes"},
		{`{"limit":1.5}`, "accounts.shop.limit: it must be a whole number"},
		{`{"settle":"VALUE"}`, "accounts.shop.settle: it must be true or false"},
		{`{"cache":{"in_progress":"VALUE"}}`, "accounts.shop.cache.in_progress: it must be a duration in quotes, such as \"10s\", or \"auto\""},
		{`{"guard":{"budget":null}}`, "accounts.shop.guard.budget: it is null; write a value, or leave it out"},
		{`{"Guard":null}`, "accounts.shop.Guard: it is null"},
		{`{"handler":"VALUE"}`, "accounts.shop.handler: there is no such setting"},
		{`{"guard":{"budgets":{}}}`, "accounts.shop.guard.budgets: there is no such setting"},
		{`"VALUE"`, "accounts.shop: it must be an object in braces"},
		{`null`, "accounts.shop: it is null"},
	} {
		err := bringIn([]byte(`{"admin":{"disabled":true},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":{"verify":{"accounts":{"shop":`+test.account+`}}}}`), false)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "VALUE") {
			t.Errorf("%s gives: %v\nwant: %s", test.account, err, test.want)
		}
	}
}

// The handlers that make no calls are read as strictly.
func TestMisfitsOfOtherHandlers(t *testing.T) {
	for text, into := range map[string]json.Unmarshaler{
		`{"faults":null}`:                          new(Sandbox),
		`{"strict":null}`:                          new(Health),
		`{"handler":"live","sandbox_faults":null}`: new(Live),
	} {
		if err := into.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "it is null; write a value, or leave it out") {
			t.Errorf("%s gives: %v", text, err)
		}
	}
	if err := new(Sandbox).UnmarshalJSON([]byte(`{"speed":"fast"}`)); err == nil || err.Error() != "speed: it must be a number" {
		t.Errorf("a speed that is text gives: %v", err)
	}
}

// TestTemplatesNameCallers: in JSON as in a Caddyfile the error names the callers that there are.
func TestTemplatesNameCallers(t *testing.T) {
	t.Setenv("VERIFY_TEST_SECRET", testSecret)
	config := `{"admin":{"disabled":true},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":{"verify":{` +
		`"accounts":{"shop":{"api":"v2","templates":{"callers":["nobody"]},"credentials":{"api_key":"key","api_secret":"{env.VERIFY_TEST_SECRET}"}}},` +
		`"callers":{"known":[{"name":"checkout","from":"{http.auth.user.id}","is":["checkout"]}]}}}}`
	if err := bringIn([]byte(config), false); err == nil || !strings.Contains(err.Error(), `write one of ["checkout"]`) {
		t.Errorf("got %v", err)
	}
}
