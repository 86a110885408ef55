package caddyverify

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// placed matches an error that says where in the configuration it is.
var placed = regexp.MustCompile(`at Caddyfile:\d+$|upstream https://api\.nexmo\.com: .*\{\w+\.`)

// TestConfigErrors gives configurations that must be refused, each with a word
// that the error must have. None of them may show a value: VALUE-x stands for
// what somebody could have put in the wrong place.
func TestConfigErrors(t *testing.T) {
	t.Setenv("VERIFY_TEST_SECRET", "VALUE-of-the-secret")
	t.Setenv("VERIFY_TEST_EMPTY", "")
	const credentials = "credentials key {env.VERIFY_TEST_SECRET}\n"
	short := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(short, []byte("VALU\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, block, want string }{
		{"no credentials", "", "credentials"},
		{"one credential", "credentials VALUE-x", "credentials takes two arguments"},
		{"three credentials", "credentials a b VALUE-x", "credentials takes two arguments"},
		{"credentials twice", credentials + "credentials key VALUE-x", "credentials is given more than once"},
		{"an empty secret", `credentials key ""`, "api_secret is empty"},
		{"an empty key", `credentials "" VALUE-secret`, "api_key is empty"},
		{"a variable without a value", "credentials key {env.VERIFY_TEST_EMPTY}", "{env.VERIFY_TEST_EMPTY}"},
		{"an unset variable", "credentials key {env.VERIFY_TEST_UNSET}", "{env.VERIFY_TEST_UNSET}"},
		{"a missing file", "credentials key {file./nonexistent/secret}", "{file./nonexistent/secret}"},
		{"an unknown placeholder", "credentials key {http.request.host}", "{http.request.host}"},
		{"a literal with braces", "credentials key VALUE{x}VALUE", "api_secret"},
		{"a short secret", "credentials key {file." + short + "}", "shorter"},
		{"a secret on a line of its own", credentials + "VALUE-x", "a line begins with what is no subdirective"},
		{"an unknown subdirective", credentials + "retries 3", `unrecognized subdirective "retries"; there are: account, errors, strict`},
		{"a repeated one", credentials + "auth basic\nauth body", "auth is given more than once"},
		{"a URL of another scheme", credentials + "upstream ftp://VALUE-x", "upstream"},
		{"a placeholder for a URL", credentials + "upstream {env.VERIFY_TEST_SECRET}", "upstream: placeholders are read in credentials alone"},
		{"a variable of Caddyfiles that is not set", credentials + "upstream {$VERIFY_TEST_UNSET}", "{$NAME} stands for nothing"},
		{"credentials of such", "credentials {$VERIFY_TEST_UNSET} {$VERIFY_TEST_UNSET}", "{$NAME} stands for nothing"},
		{"an empty one in quotes", `credentials key "{$VERIFY_TEST_UNSET}"`, "{$NAME} stands for nothing"},
		{"countries of such", credentials + "countries {$VERIFY_TEST_UNSET}", "{$NAME} stands for nothing"},
		{"a placeholder for a duration", credentials + "timeout {env.VERIFY_TEST_SECRET}", "timeout: placeholders are read in credentials alone"},
		{"a short timeout", credentials + "timeout 99ms", "timeout: it is 99ms, and must be at least 100ms"},
		{"a long timeout", credentials + "timeout 301s", "timeout: it is 5m1s, and must be at most 5m0s"},
		{"a long time open", credentials + "breaker {\nopen_for 61s\n}", "open_for: it is 1m1s, and must be at most 1m0s"},
		{"a long window", credentials + "breaker {\nwindow 61m\n}", "window: it is 1h1m0s"},
		{"a long lifetime", credentials + "cache {\nfinal 31d\n}", "final: it is 744h0m0s"},
		{"in_progress is a word", credentials + "cache {\nin_progress VALUE-x\n}", "in_progress takes <duration>|off|auto; a duration is above 0, such as 2s"},
		{"a long in_progress", credentials + "cache {\nin_progress 61m\n}", "in_progress: it is 1h1m0s, and must be at most 1h0m0s"},
		{"a long settling", credentials + "cache {\nsettling 25h\n}", "settling: it is 25h0m0s, and must be at most 24h0m0s"},
		{"a long not_found", credentials + "cache {\nnot_found 61m\n}", "not_found: it is 1h1m0s, and must be at most 1h0m0s"},
		{"a long stale_if_error", credentials + "cache {\nstale_if_error 8d\n}", "stale_if_error: it is 192h0m0s, and must be at most 168h0m0s"},
		{"a short time open", credentials + "breaker {\nopen_for 99ms\n}", "open_for: it is 99ms, and must be at least 100ms"},
		{"a short lifetime", credentials + "cache {\nin_progress 1us\n}", "in_progress: it is 1µs"},
		{"no URL", credentials + "upstream VALUE-x", "upstream"},
		{"half a URL", credentials + "upstream http://%VALUE-x", "upstream"},
		{"http elsewhere", credentials + "upstream http://VALUE-x.example.com", "insecure_upstream"},
		{"a URL with a password", credentials + "upstream https://VALUE-u:VALUE-p@example.com", "user name"},
		{"a URL with a query", credentials + "upstream https://example.com?key=VALUE-x", "query"},
		{"two URLs", credentials + "upstream https://example.com VALUE-x", "upstream takes one argument"},
		{"a flag with an argument", credentials + "insecure_upstream VALUE-x", "insecure_upstream takes no argument"},
		{"a bad auth", credentials + "auth VALUE-x", "auth: it must be one of"},
		{"a bad method", credentials + "method VALUE-x", "method: it must be one of"},
		{"no method", credentials + "method", "method takes one argument"},
		{"a bad errors", credentials + "errors VALUE-x", "errors: it must be one of"},
		{"a bad duration", credentials + "timeout VALUE-x", "timeout"},
		{"a negative duration", credentials + "timeout -1s", "timeout"},
		{"no duration", credentials + "timeout", "timeout takes one argument"},
		{"a cache argument", credentials + "cache VALUE-x", "cache takes a block"},
		{"a cache subdirective", credentials + "cache {\nttl 1s\n}", `unrecognized subdirective of cache "ttl"; there are: in_progress, settling, final, not_found, stale_if_error, max_entries, max_bytes`},
		{"a bad lifetime", credentials + "cache {\nfinal VALUE-x\n}", "final"},
		{"a lifetime of nothing", credentials + "cache {\nfinal 0s\n}", "final"},
		{"a repeated lifetime", credentials + "cache {\nfinal 1h\nfinal 2h\n}", "final is given more than once"},
		{"a bad number", credentials + "cache {\nmax_entries 1.5\n}", "max_entries"},
		{"a bad size", credentials + "cache {\nmax_bytes VALUE-x\n}", "max_bytes"},
		{"a breaker argument", credentials + "breaker VALUE-x", "breaker takes a block"},
		{"a breaker subdirective", credentials + "breaker {\nretries 1\n}", `unrecognized subdirective of breaker "retries"; there are: window, open_for`},
		{"a bad window", credentials + "breaker {\nwindow VALUE-x\n}", "window"},
		{"a short window", credentials + "breaker {\nwindow 29s\n}", "breaker: window must be at least three times the timeout of 10s"},
		{"a bad limit", credentials + "limit VALUE-x", "limit"},
		{"a limit without a unit", credentials + "limit 28", "limit"},
		{"half a call", credentials + "limit 0.5/s", "limit"},
		{"no limit worth the name", credentials + "limit 100000/s", "limit must be at most"},
		{"a bad limit of searches", credentials + "limit 28/s VALUE-x", "Caddyfile:4"},
		{"no limit of searches", credentials + "limit 28/s off", "only the first may be off"},
		{"a limit of searches without a unit", credentials + "limit 28/s 5", "write whole numbers per second such as 28/s 5/s"},
		{"a high limit of searches", credentials + "limit 28/s 29/s", "limit of searches must be at most that of all calls, 28 a second, not 29"},
		{"no limit of searches worth the name", credentials + "limit off 10001/s", "limit of searches must be at most 10000 a second"},
		{"no limit at all", credentials + "limit", "limit takes one or two arguments: limit <n>/s|off [<n>/s]"},
		{"three limits", credentials + "limit 28/s 5/s 5/s", "limit takes one or two arguments"},
		{"a placeholder for a limit of searches", credentials + "limit 28/s {env.VALUE}", "placeholders are read in credentials alone"},
		{"no countries", credentials + "countries", "countries takes two-letter codes"},
		{"countries with commas", credentials + "countries GB,DE", "blanks between them"},
		{"a bad country", credentials + "countries GB UKX", "countries"},
		{"a guard argument", credentials + "guard VALUE-x", "guard takes a block in braces"},
		{"an empty guard", credentials + "guard {\n}", "guard: it has no rule; write for example: recommended monitor"},
		{"a guard subdirective", credentials + "guard {\ndaily 50 EUR/day\n}", `unrecognized subdirective of guard "daily"; there are: recommended, price, trusted`},
		{"a budget of nothing", credentials + "guard {\nbudget enforce\n}", "budget: it names none; write for example: budget 50 EUR/day 1000 EUR/month"},
		{"a budget in words", credentials + "guard {\nbudget VALUE EUR/day\n}", "budget: value 1 is not an amount above 0 with at most six decimals, a currency in capitals, and day or month; write for example: budget 50 EUR/day 1000 EUR/month, at Caddyfile:5"},
		{"a budget of 0", credentials + "guard {\nbudget 0.000000 EUR/day\n}", "budget: value 1 is not"},
		{"a budget with seven decimals", credentials + "guard {\nbudget 1.0000001 EUR/day\n}", "budget: value 1 is not"},
		{"a budget with an exponent", credentials + "guard {\nbudget 1e3 EUR/day\n}", "budget: value 1 is not"},
		{"a budget below 0", credentials + "guard {\nbudget -1 EUR/day\n}", "budget: value 1 is not"},
		{"a budget without a period", credentials + "guard {\nbudget 1 EUR/day 2 EUR\n}", "budget: value 2 is not"},
		{"a budget in small letters", credentials + "guard {\nbudget 1 eur/day\n}", "budget: value 1 is not"},
		{"half a budget", credentials + "guard {\nbudget 1 EUR/day 2\n}", "budget: value 2 is not"},
		{"two budgets for a day", credentials + "guard {\nbudget 1 EUR/day 2 EUR/month 1 EUR/day\n}", "budget: there are two for a day"},
		{"a budget without a price", credentials + "guard {\nbudget 50 EUR/day\n}", "guard: budget: the account has no price to reckon with; write into the guard of the account what one message to any country may cost at most, for example: price 0.15 EUR"},
		{"a price of some countries", credentials + "guard {\nbudget 50 EUR/day\nprice 0.05 EUR GB\n}", "budget: the account has no price to reckon with"},
		{"a price in other money", credentials + "guard {\nbudget 50 EUR/day\nprice 0.05 USD\n}", "budget: it is in EUR, and the prices of the account are in USD; write both in the currency that the provider bills in"},
		{"budgets in two currencies", credentials + "guard {\nbudget 50 EUR/day 50 USD/month\nprice 0.05 EUR\n}", "budget: it is in USD, and the prices of the account are in EUR"},
		{"a price without a currency", credentials + "guard {\nprice 0.15\n}", "price takes an amount, a currency and countries, if it is not of all: price 0.15 EUR"},
		{"a price that is none", credentials + "guard {\nprice VALUE EUR\n}", "guard: price: it is not an amount above 0"},
		{"a price of 0", credentials + "guard {\nprice 0 EUR\n}", "guard: price: it is not an amount above 0"},
		{"a price of no country", credentials + "guard {\nprice 0.15 EUR GB VALUE\n}", "price: value 2 is not the two-letter code of a country"},
		{"two prices", credentials + "guard {\nprice 0.15 EUR\nprice 0.20 EUR\n}", "price: there are two without a country"},
		{"two prices of a country", credentials + "guard {\nprice 0.15 EUR GB\nprice 0.20 EUR DE gb\n}", "price: GB has two; leave one out"},
		{"prices in two currencies", credentials + "guard {\nprice 0.15 EUR\nprice 0.20 USD GB\n}", "price: there are prices in EUR and USD, and an account is billed in one currency"},
		{"a repeated rule", credentials + "guard {\ncool_down monitor\ncool_down off\n}", "cool_down is given more than once"},
		{"a bad mode of all", credentials + "guard {\nrecommended VALUE-x\n}", "guard: recommended: the mode must be off, monitor or enforce, at Caddyfile:5"},
		{"two modes of all", credentials + "guard {\nrecommended monitor VALUE-x\n}", "recommended takes one argument"},
		{"countries that are none", credentials + "guard {\ncountries GB VALUE-x\n}", "guard: countries: value 2 is not the two-letter code of a country with a calling code; write for example: countries GB DE"},
		{"countries that may be called, without one", credentials + "guard {\ncountries enforce\n}", "countries: it names none; write for example: countries GB DE"},
		{"a prefix that is none", credentials + "guard {\ndeny_prefix 4470 VALUE-x\n}", "deny_prefix: value 2 is not 1 to 20 digits"},
		{"a prefix without a calling code", credentials + "guard {\ndeny_prefix 07700\n}", "deny_prefix: value 1 is not 1 to 20 digits with the calling code first"},
		{"a long prefix", credentials + "guard {\ndeny_prefix 123456789012345678901\n}", "deny_prefix: value 1 is not 1 to 20 digits"},
		{"a type that is none", credentials + "guard {\nnumber_types monitor VALUE-x\n}", "number_types: value 1 is none of the types that cost more; write for example: number_types premium shared uan"},
		{"a rule without values that has some", credentials + "guard {\nper_prefix enforce VALUE-x\n}", "per_prefix: it takes nothing but a mode"},
		{"a window that is none", credentials + "guard {\nper_number 3/10m VALUE-x\n}", "per_number: value 2 is not how many within how long, 1 to 32 within 1s to 31d; write for example: per_number 3/10m 6/24h"},
		{"a window of none", credentials + "guard {\nper_number 0/10m\n}", "per_number: value 1 is not"},
		{"a window of many", credentials + "guard {\nper_number 33/10m\n}", "per_number: value 1 is not"},
		{"a short window of the guard", credentials + "guard {\nper_number 3/999ms\n}", "per_number: value 1 is not"},
		{"a long window of the guard", credentials + "guard {\nper_number 3/745h\n}", "per_number: value 1 is not"},
		{"an address without windows", credentials + "guard {\nper_address\n}", "per_address: it names none; write for example: per_address 10/1h"},
		{"a placeholder for a window", credentials + "guard {\nper_address {env.VALUE}\n}", "placeholders are not read here"},
		{"nobody is trusted", credentials + "guard {\ntrusted {$VERIFY_TEST_UNSET}\n}", "{$NAME} stands for nothing"},
		{"a trusted number with a plus sign", credentials + "guard {\ntrusted 4479 +VALUE-x\n}", "trusted: value 2 is not 1 to 20 digits with the calling code first, without a plus sign"},
		{"a trusted file without a key", credentials + "guard {\ntrusted_file /VALUE-x\n}", "trusted_file takes two arguments"},
		{"a key in clear", credentials + "guard {\ntrusted_file /a VALUE-x\n}", "trusted_file: its key must be a placeholder"},
		{"a trusted file by a placeholder", credentials + "guard {\ntrusted_file {env.VALUE} {env.VERIFY_TEST_SECRET}\n}", "trusted_file: its path is missing, or a placeholder"},
		{"settle with an argument", credentials + "settle VALUE-x", "settle takes no argument"},
		{"another transport", credentials + "transport fastcgi", "transport"},
		{"no host", credentials + "upstream https://:99", "upstream"},
		{"no port", credentials + "upstream https://example.com:99999", "upstream"},
		{"the API's own path", credentials + "upstream https://api.nexmo.com/verify/", "/verify"},
		{"the path of version 2", credentials + "api v2\nupstream https://api.nexmo.com/v2/", "upstream: the URL ends in /v2, which the paths of version 2 begin with; leave it out"},
		{"credentials of version 2 in a query", credentials + "api v2\nauth query", "auth: calls of version 2 have the credentials in the Authorization header alone; leave it out, or add `drain v1`"},
		{"version 2 by GET", credentials + "api v2\nmethod get", "method: calls of version 2 have methods of their own; leave it out, or add `drain v1`"},
		{"h2c", credentials + "transport http {\nversions h2c\n}", "h2c"},
		{"the PROXY protocol", credentials + "transport http {\nproxy_protocol v1\n}", "proxy_protocol"},
		{"a small cache", credentials + "cache {\nmax_bytes 1048575\n}", "max_bytes"},
		{"a block for one", credentials + "timeout 10s {\n}", "timeout takes no block"},
		{"HTTP/3", credentials + "transport http {\nversions 3\n}", "versions: 3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := load(":0 {\nverify {\n" + test.block + "\n}\n}\n")
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "VALU") {
				t.Errorf("the error is: %v", err)
			}
			if !placed.MatchString(err.Error()) {
				t.Errorf("the error does not say where: %v", err)
			}
		})
	}
	if err := load(":0 {\nverify {\n" + credentials + "}\n}\n"); err != nil {
		t.Errorf("what all of them have in common is refused: %v", err)
	}
	for _, atBounds := range []string{
		"timeout 5m\nbreaker {\nwindow 1h\nopen_for 1m\n}\ncache {\nin_progress 1h\nsettling 24h\nfinal 30d\nnot_found 1h\nstale_if_error 7d\nmax_bytes 1MiB\n}\n",
		"timeout 100ms\nbreaker {\nopen_for 100ms\n}\n",
	} {
		if err := load(":0 {\nverify {\n" + credentials + atBounds + "}\n}\n"); err != nil {
			t.Errorf("at the bounds: %v", err)
		}
	}
	if err := load(":0 {\nverify VALUE-x {\n" + credentials + "}\n}\n"); err == nil || !strings.Contains(err.Error(), "matcher") {
		t.Errorf("an argument that is no matcher: %v", err)
	}
}

func TestSandboxConfigErrors(t *testing.T) {
	for block, want := range map[string]string{
		"credentials key k=secret1":             "NAME=value",
		"credentials key":                       "credentials",
		"code 12":                               "code \"12\" cannot be a code",
		"speed fast":                            "speed",
		"speed -1":                              "speed",
		"limit 30":                              "limit",
		"limit 0/s":                             "limit",
		"fault search":                          "fault",
		"fault search explode":                  "explode",
		"fault nothing close":                   "nothing",
		"fault * delay soon":                    "soon",
		"code 1234\ncode 5678":                  "code is given more than once",
		"price 1":                               `unrecognized subdirective "price"; there are: api, application, webhook`,
		"fault * close 200%":                    "share",
		"credentials key {env.NO_}":             "{env.NO_}",
		"api":                                   "write v1, v2, or v1 v2",
		"api v3":                                `api "v3" is unknown`,
		"api v2\napplication a":                 "takes two arguments: application <id> <public_key>",
		"api v2\napplication a b":               "public key of application is not PEM",
		"api v2\napplication a {file./no/such}": "public_key, from {file./no/such}, has no value",
		"api v2\nwebhook http://x":              "takes two arguments: webhook <url> <signature_secret>",
		"api v2\nwebhook http://x \"\"":         "the signature secret of webhook is empty",
		"api v2\nwebhook x secret":              "URL of webhook cannot be used",
		"api v2\nwebhook http://x {env.NO_}":    "signature_secret, from {env.NO_}, has no value",
		"webhook http://x secret":               "write api v2, or leave out webhook",
		"api v2\nfault webhook delay 1s":        "webhooks have faults of their own",
		"api v2\nwebhook http://x s\nfault * unsigned": "webhooks have faults of their own",
	} {
		if err := load(":0 {\nverify_sandbox {\n" + block + "\n}\n}\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is: %v", block, err)
		}
	}
}

// load does what caddy validate does with a Caddyfile.
func load(input string) error {
	config, err := adaptCaddyfile(input)
	if err != nil {
		return err
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// A configuration that cannot be loaded must be cleaned up without a panic.
func TestCleanupOfHalfAHandler(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	s := &Sandbox{Code: "?"}
	if err := s.Provision(ctx); err == nil {
		t.Error("a sandbox with a bad code was made")
	}
	if err := s.Cleanup(); err != nil {
		t.Error(err)
	}
}
