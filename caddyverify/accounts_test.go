package caddyverify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

func TestAppConfigErrors(t *testing.T) {
	const (
		account = "account shop {\ncredentials key VALUE-secret\n}\n"
		caller  = "caller checkout {http.auth.user.id} checkout"
	)
	callers := func(lines string) string { return "callers {\n" + lines + "\n}\n" }
	for _, test := range []struct{ name, option, site, want string }{
		{"no such account", account, "account shop2", "account: there is none named shop2; the global option verify has [shop]"},
		{"no account at all", "", "account shop", "account: there is none named shop"},
		{"a setting of the account", account, "account shop\nlimit 5/s", "limit: it belongs to the account"},
		{"credentials beside an account", account, "account shop\ncredentials key VALUE-secret", "credentials: it belongs to the account"},
		{"no name", account, "account", "account takes the name"},
		{"by something else", account, "account by country", "account takes the name"},
		{"by caller without callers", account, "account by caller", "there are no callers"},
		{"a caller without an account", account + callers(caller), "account by caller", "account: caller checkout has none that `account by caller` could choose; write `account <name>` into its block"},
		{"unknown callers without one", account + callers(caller+" {\naccount shop\n}\nunknown shared"), "account by caller", "account: `unknown shared` has no account that `account by caller` could choose; write `unknown refuse`, or the account's name in place of `by caller`"},
		{"a caller of no account", account + callers(caller+" {\naccount login\n}"), "account shop", "caller checkout: there is no account named login"},
		{"an account without a block", "account shop", "account shop", "credentials"},
		{"two accounts of a name", account + account, "account shop", "account shop is given more than once"},
		{"a setting of sites", "account shop {\ncredentials key VALUE-secret\nerrors http\n}\n", "account shop", `unrecognized subdirective of account "errors"`},
		{"a name that is none", "account shop/1 {\ncredentials key VALUE-secret\n}\n", "account shop/1", `account "shop/1": a name has`},
		{"a wrong setting of an account", "account shop {\ncredentials key VALUE-secret\ntimeout 1ms\n}\n", "account shop", "timeout: it is 1ms"},
		{"no account to fail over to", "account shop {\ncredentials key VALUE-secret\nfailover login\n}\n", "account shop", "failover: there is no account named login"},
		{"failing over to itself", "account shop {\ncredentials key VALUE-secret\nfailover shop\n}\n", "account shop", "failover: shop is tried already"},
		{"no caller", account + callers("unknown refuse"), "account shop", "there is no caller"},
		{"a caller without a value", account + callers("caller checkout {http.auth.user.id}"), "account shop", "caller takes a name"},
		{"a caller with an empty value", account + callers(caller+` ""`), "account shop", "caller checkout: one of its values is empty, and nobody is known by that; leave it out"},
		{"a key of two versions", account + "account login {\napi v2\ncredentials key VALUE-secret\n}\n", "account shop\n}\nverify {\naccount login", "api: it is v2 here and v1 in another handler of this account; write it in one of them, or the same in all; the accounts shop and login have one api_key at one upstream, and so are one account"},
		{"a placeholder of load time", account + callers("caller checkout {env.USER} checkout"), "account shop", "placeholder that has a value while a call is served"},
		{"no placeholder", account + callers("caller checkout user checkout"), "account shop", "placeholder that has a value while a call is served"},
		{"a caller that is never found", account + callers("caller all {http.auth.user.id} *\n"+caller), "account shop", "never found, since caller all comes before"},
		{"two of a name", account + callers(caller+"\ncaller checkout {http.request.host} x"), "account shop", "two of this name"},
		{"unknown what", account + callers(caller+"\nunknown allow"), "account shop", "unknown"},
		{"isolated how", account + callers(caller+"\nisolate maybe"), "account shop", "isolate"},
		{"no limit", account + callers(caller+" {\nlimit off\n}"), "account shop", "limit"},
		{"a weight beyond its end", account + callers(caller+" {\nweight 1001\n}"), "account shop", `caller "checkout": weight must be`},
		{"reads what", account + callers(caller+" {\nreads some\n}"), "account shop", "reads must be all"},
		{"a guard without a rule", account + callers(caller+" {\nguard {\n}\n}"), "account shop", "caller checkout: guard: it has no rule"},
		{"a wrong rule of a caller", account + callers(caller+" {\nguard {\nper_address VALUE\n}\n}"), "account shop", "guard: per_address: value 1 is not how many within how long"},
		{"trust by a caller", account + callers(caller+" {\nguard {\ntrusted 44\n}\n}"), "account shop", "caller checkout: guard: price, trusted, trusted_file and record are for all callers"},
		{"a price of a caller", account + callers(caller+" {\nguard {\nprice 1 EUR\n}\n}"), "account shop", "caller checkout: guard: price, trusted, trusted_file and record are for all callers"},
		{"a budget of a caller without a price", account + callers(caller+" {\nguard {\nbudget 5 EUR/day\n}\n}"), "account shop", "guard: caller checkout: budget: the account has no price to reckon with"},
		{"a guard beside an account", account, "account shop\nguard {\ncool_down\n}", "guard: it belongs to the account"},
		{"an unknown line", account + callers(caller+" {\nsince 5\n}"), "account shop", `unrecognized subdirective of caller "since"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := load("{\nverify {\n" + test.option + "}\n}\n:0 {\nverify {\n" + test.site + "\n}\n}\n")
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "VALUE") {
				t.Errorf("the error is: %v\nwant: %s", err, test.want)
			}
			if elsewhere := "upstream https://api.nexmo.com"; err != nil && strings.HasPrefix(test.site, "account") && !strings.Contains(test.site, "}") && strings.Contains(err.Error(), elsewhere) {
				t.Errorf("it is said to be about the %s: %v", elsewhere, err)
			}
		})
	}
	if err := load("{\nverify {\n" + account + callers(caller+" {\naccount shop\n}") + "}\n}\n:0 {\nverify {\naccount by caller\n}\n}\n"); err != nil {
		t.Errorf("what they have in common is refused: %v", err)
	}
}

// TestIsolation has a caller make each call about its own verification, another caller's and one that nobody has. The
// last two cannot be told apart.
func TestIsolation(t *testing.T) {
	const hash = "$2a$04$Zkzs1FLR6SSk0EMfrN6kFu9XHaD4jX3JBFqLKwUIvHs12IKw71Kii" // of "password", cheaply
	api, err := sandbox.New(sandbox.Config{APIKey: testKey, APISecret: testSecret, Code: testCode, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	site := freeAddress(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nverify {\naccount shop {\nupstream " + provider.URL + "\ncredentials " + testKey + " " + testSecret + "\nlimit off\n}\n" +
		"callers {\ncaller shop {http.auth.user.id} shop\ncaller login {http.auth.user.id} login\ncaller desk {http.auth.user.id} desk {\nreads all\n}\n}\n}\n}\n" +
		"http://" + site + " {\nbasic_auth {\nshop " + hash + "\nlogin " + hash + "\ndesk " + hash + "\nstranger " + hash + "\n}\nverify {\naccount shop\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	call := func(user, path, form string) reply {
		t.Helper()
		r := request(t, http.MethodPost, "http://"+site+path, "application/x-www-form-urlencoded", form)
		r.SetBasicAuth(user, "password")
		return do(t, r)
	}
	number := 447712900100
	start := func(user string) (id, form string) {
		t.Helper()
		number++
		form = fmt.Sprintf("number=%d&brand=Acme", number)
		answer := call(user, "/verify/json", form)
		if answer.field("status") != "0" {
			t.Fatal(answer.body)
		}
		return answer.field("request_id"), form
	}
	const unknown = "00000000000000000000000000000000"
	for _, path := range []string{"check/json", "check/xml", "search/json", "search/xml", "control/json", "control/xml"} {
		form := map[string]string{"check": "&code=wrong1", "control": "&cmd=trigger_next_event"}[strings.Split(path, "/")[0]]
		others, _ := start("login")
		own, _ := start("shop")
		answerTo := func(user, id string) string {
			answer := call(user, "/verify/"+path, "request_id="+id+form)
			head := fmt.Sprint(answer.StatusCode, answer.Header["Content-Type"], answer.Header["Cache-Status"], answer.Header["Proxy-Status"], answer.ContentLength)
			return head + " " + strings.ReplaceAll(answer.body, id, "ID")
		}
		nobodys := answerTo("shop", unknown)
		if got := answerTo("shop", others); got != nobodys {
			t.Errorf("%s: another's\n%s\nnobody's\n%s", path, got, nobodys)
		}
		if got := answerTo("shop", own); got == nobodys {
			t.Errorf("%s: its own is answered as nobody's: %s", path, got)
		}
		if state, _ := api.Verification(others); len(state.Events) != 1 || state.Status != "IN PROGRESS" {
			t.Errorf("%s: another's verification is now %+v", path, state)
		}
		got := answerTo("desk", others)
		if reads := strings.HasPrefix(path, "search"); reads != (got != answerTo("desk", unknown)) {
			t.Errorf("%s: who reads all is told %s", path, got)
		}
	}

	first, form := start("login")
	second, _ := start("shop")
	if got := call("shop", "/verify/search/json", "request_ids="+first+"&request_ids="+second).body; strings.Contains(got, first) || !strings.Contains(got, second) {
		t.Errorf("a list has %s", got)
	}
	for _, format := range []string{"json", "xml"} {
		if got := call("login", "/verify/"+format, form).body; !strings.Contains(got, first) || !strings.Contains(got, "10") {
			t.Errorf("its own verification is under way, and the caller reads %s", got)
		}
		if got := call("shop", "/verify/"+format, form); strings.Contains(got.body, first) || strings.Contains(got.body, "request_id") || !strings.Contains(got.body, "10") {
			t.Errorf("another's verification is under way, and the caller reads %s", got.body)
		}
	}
	if got := call("stranger", "/verify/search/json", "request_id="+first); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "caller_unknown") {
		t.Errorf("whom the rules do not know reads %d %s", got.StatusCode, got.body)
	}
}

// Only an account with a name has others to start with.
func TestFailoverOfASite(t *testing.T) {
	h := &Handler{Account: Account{Credentials: &Credentials{APIKey: "key", APISecret: testSecret}, Failover: []string{"backup"}}}
	if err := inForce(t, h); err == nil || !strings.Contains(err.Error(), "failover: only accounts of the global option verify have it") {
		t.Errorf("the error is: %v", err)
	}
}
