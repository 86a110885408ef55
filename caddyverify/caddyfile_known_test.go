package caddyverify

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// TestUnrecognized has a typing error in each block.
func TestUnrecognized(t *testing.T) {
	app := func(lines string) string { return "{\nverify {\n" + lines + "\n}\n}\n" }
	for name, test := range map[string]struct{ caddyfile, want string }{
		"the app":       {app("acount shop {\n}"), `unrecognized subdirective "acount"; did you mean account?`},
		"an account":    {app("account shop {\nupstrem http://localhost\n}"), `of account "upstrem"; did you mean upstream?`},
		"no setting":    {app("account shop {\nerrors http\n}"), `of account "errors"; there are: failover, upstream`},
		"api":           {app("account shop {\napi v2 {\ntemplate *\n}\n}"), `of api "template"; did you mean templates?`},
		"callers":       {app("callers {\nunknow refuse\n}"), `of callers "unknow"; did you mean unknown?`},
		"a caller":      {app("callers {\ncaller a {http.auth.user.id} a {\nwheight 2\n}\n}"), `of caller "wheight"; did you mean weight?`},
		"a handler":     {":0 {\nverify {\nstrickt\n}\n}", `unrecognized subdirective "strickt"; did you mean strict?`},
		"its cache":     {":0 {\nverify {\ncache {\nfinl 1s\n}\n}\n}", `of cache "finl"; did you mean final?`},
		"its breaker":   {":0 {\nverify {\nbreaker {\nopenfor 1s\n}\n}\n}", `of breaker "openfor"; did you mean open_for?`},
		"its guard":     {":0 {\nverify {\nguard {\nbuget enforce 50 EUR/day\n}\n}\n}", `of guard "buget"; did you mean budget?`},
		"webhooks":      {":0 {\nverify_webhook {\nrely a b c\n}\n}", `"rely"; did you mean relay?`},
		"health":        {":0 {\nverify_health {\nsrict\n}\n}", `"srict"; did you mean strict?`},
		"the sandbox":   {":0 {\nverify_sandbox {\nfaults * close\n}\n}", `"faults"; did you mean fault?`},
		"the live page": {":0 {\nverify_live {\nspeed 1\n}\n}", `"speed"; there are none`},
	} {
		if _, err := adaptCaddyfile(test.caddyfile); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is known is read: a subdirective alone is an error, or is what it sets.
func TestKnownAreRead(t *testing.T) {
	for _, name := range settingNames {
		account := Account{}
		d := caddyfile.NewTestDispenser(name)
		d.Next()
		if err := account.unmarshalSetting(d, name); err == nil && reflect.DeepEqual(account, Account{}) {
			t.Errorf("%s is not read", name)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"upstrem": "upstream", "limt": "limit", "x": "", "li": "", "auth": "auth", "retries": "", "limits": "limit"} {
		if got := nearest(name, []string{"upstream", "limit", "auth"}); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
