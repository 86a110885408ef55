package caddyverify

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// TestGuardSettings reads guards as they are written, each for what is refused then.
func TestGuardSettings(t *testing.T) {
	window := func(most int, within time.Duration) guard.Window { return guard.Window{Most: most, Within: within} }
	tests := []struct {
		name, block string
		want        guard.RuleSet
	}{
		{"all that is recommended", "recommended", guard.Recommended(guard.Monitor)},
		{"that, enforced", "recommended enforce", guard.Recommended(guard.Enforce)},
		{"none of it", "recommended off", guard.Recommended(guard.Off)},
		{"without a mode", "countries de GB de\ndeny_prefix 4470 882\nnumber_types\ncool_down\nper_number\nper_address 10/1h\nper_prefix\nconversion", guard.RuleSet{
			Countries:   guard.Countries{Mode: guard.Monitor, Allowed: []string{"DE", "GB"}},
			DenyPrefix:  guard.DenyPrefix{Mode: guard.Monitor, Denied: []string{"4470", "882"}},
			NumberTypes: guard.NumberTypes{Mode: guard.Monitor, Denied: guard.Types()},
			CoolDown:    guard.Monitor,
			PerNumber:   guard.Recommended(guard.Monitor).PerNumber,
			PerAddress:  guard.Velocity{Mode: guard.Monitor, Windows: []guard.Window{window(10, time.Hour)}},
			PerPrefix:   guard.PerPrefix{Mode: guard.Monitor},
			Conversion:  guard.Monitor,
		}},
		{"budgets", "budget 1000.5 EUR/month 50 EUR/day\nprice 0.15 EUR", guard.RuleSet{Budgets: []guard.Budget{
			{Mode: guard.Monitor, Period: guard.Day, Cap: guard.Money{Micro: 50_000_000, Currency: "EUR"}},
			{Mode: guard.Monitor, Period: guard.Month, Cap: guard.Money{Micro: 1_000_500_000, Currency: "EUR"}},
		}}},
		{"a budget, enforced, to the millionth", "price 0.15 USD\nbudget enforce 999999999.000001 USD/day", guard.RuleSet{Budgets: []guard.Budget{
			{Mode: guard.Enforce, Period: guard.Day, Cap: guard.Money{Micro: 999_999_999_000_001, Currency: "USD"}},
		}}},
		{"no budget, whatever is written", "budget off", guard.RuleSet{}},
		{"in modes of their own", "countries enforce GB\ndeny_prefix off\nnumber_types enforce uan\nper_number enforce 20/31d 1/1s\nper_address off\nper_prefix enforce\nconversion off", guard.RuleSet{
			Countries:   guard.Countries{Mode: guard.Enforce, Allowed: []string{"GB"}},
			DenyPrefix:  guard.DenyPrefix{Mode: guard.Off},
			NumberTypes: guard.NumberTypes{Mode: guard.Enforce, Denied: []string{"uan"}},
			PerNumber:   guard.Velocity{Mode: guard.Enforce, Windows: []guard.Window{window(1, time.Second), window(20, 31*24*time.Hour)}},
			PerAddress:  guard.Velocity{Mode: guard.Off},
			PerPrefix:   guard.PerPrefix{Mode: guard.Enforce},
			Conversion:  guard.Off,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := guardOf(t, tt.block).Account; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("it is %+v\nwant %+v", got, tt.want)
			}
		})
	}
	mixed := guard.Recommended(guard.Enforce)
	mixed.PerNumber = guard.Velocity{Mode: guard.Monitor, Windows: []guard.Window{window(32, time.Minute)}}
	for _, block := range []string{"recommended enforce\nper_number 32/1m", "per_number 32/1m\nrecommended enforce"} {
		if got := guardOf(t, block).Account; !reflect.DeepEqual(got, mixed) {
			t.Errorf("a rule of its own does not take the place of the recommended one: %+v", got)
		}
	}
	if none := guardOf(t, ""); !reflect.DeepEqual(none, guard.Settings{}) {
		t.Errorf("without a guard it is %+v", none)
	}
}

// TestGuardPrices reads prices, exactly.
func TestGuardPrices(t *testing.T) {
	got := guardOf(t, "budget 5 EUR/day\nprice 0.000001 EUR\nprice 0.05 EUR GB de\nprice 1000000 EUR FR").Prices
	want := guard.Prices{Any: guard.Money{Micro: 1, Currency: "EUR"}, Of: map[string]int64{"GB": 50_000, "DE": 50_000, "FR": 1_000_000_000_000}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("they are %+v\nwant %+v", got, want)
	}
}

// guardOf is what is refused with a guard of some lines.
func guardOf(t *testing.T, lines string) guard.Settings {
	t.Helper()
	if lines != "" {
		lines = "guard {\n" + lines + "\n}\n"
	}
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("verify {\ncredentials key {env.SECRET}\n" + lines + "}")); err != nil {
		t.Fatal(err)
	}
	s, err := new(accountSettings).with(&h.Account)
	if err != nil {
		t.Fatal(err)
	}
	return s.core.Guard
}

// TestGuardOfCallers has callers with rules of their own, on an account with a guard and on one without.
func TestGuardOfCallers(t *testing.T) {
	a := new(App)
	if err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser(`verify {
		account shop {
			credentials key {env.SECRET}
			guard {
				recommended
				trusted 447700900000 4479
			}
		}
		account login {
			credentials key2 {env.SECRET}
		}
		callers {
			caller checkout {http.auth.user.id} checkout {
				guard {
					recommended off
					countries enforce GB
				}
			}
			caller support {http.auth.user.id} support
		}
	}`)); err != nil {
		t.Fatal(err)
	}
	checkout := guard.Recommended(guard.Off)
	checkout.Countries = guard.Countries{Mode: guard.Enforce, Allowed: []string{"GB"}}
	callers := map[string]guard.RuleSet{"checkout": checkout}
	for name, want := range map[string]guard.Settings{
		"shop":  {Account: guard.Recommended(guard.Monitor), Callers: callers, Trusted: guard.Trusted{Prefixes: []string{"447700900000", "4479"}}},
		"login": {Callers: callers},
	} {
		s, err := (accountSettings{callers: a.Callers}).with(a.Accounts[name])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s.core.Guard, want) {
			t.Errorf("%s refuses %+v\nwant %+v", name, s.core.Guard, want)
		}
	}
}

// TestBudgetOfBoundCaller wants a price of the account that a caller comes to, and of no other.
func TestBudgetOfBoundCaller(t *testing.T) {
	bound := &Callers{Known: []*Caller{{Name: "checkout", Account: "shop", Guard: &Guard{Budget: &GuardRule{Values: []string{"5 EUR/day"}}}}}}
	if _, err := new(Guard).settings(bound, []string{"shop"}); err == nil {
		t.Error("its account has no price")
	}
	if _, err := (&Guard{Prices: []GuardPrice{{Amount: "1", Currency: "EUR"}}}).settings(bound, []string{"shop"}); err != nil {
		t.Error(err)
	}
	if s, err := new(Guard).settings(bound, []string{"login"}); err != nil || len(s.Callers["checkout"].Budgets) != 1 {
		t.Errorf("another account: %v, %+v", err, s.Callers)
	}
}

const trustedKey = "a key that is for the tests of trusted numbers alone"

// trustedFile is one with a key in the environment.
func trustedFile(t *testing.T, content string) *TrustedFile {
	t.Helper()
	t.Setenv("VERIFY_TEST_TRUSTED_KEY", strings.ReplaceAll(trustedKey, " ", "-"))
	path := filepath.Join(t.TempDir(), "trusted")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return &TrustedFile{Path: path, Key: "{env.VERIFY_TEST_TRUSTED_KEY}"}
}

// TestTrustedFile has the numbers of a file trusted as they were hidden.
func TestTrustedFile(t *testing.T) {
	key := []byte(strings.ReplaceAll(trustedKey, " ", "-"))
	hide := func(number string) string {
		hidden := guard.HideNumber(key, number)
		return hex.EncodeToString(hidden[:])
	}
	one, two := hide("447700900000"), hide("447700900001")
	file := trustedFile(t, one+" *stdin\n\n"+strings.ToUpper(two)+"\r\n")
	got := guardOf(t, "trusted_file "+file.Path+" "+file.Key).Trusted
	want := guard.Trusted{Hidden: [][32]byte{guard.HideNumber(key, "447700900000"), guard.HideNumber(key, "447700900001")}, Key: key}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it has %x\nwant %x", got, want)
	}

	t.Setenv("VERIFY_TEST_SHORT_KEY", "VALUE-of-31-characters-23456789")
	for name, test := range map[string]struct {
		file TrustedFile
		want string
	}{
		"no file":           {TrustedFile{file.Path + "-VALUE", file.Key}, "there is no such file"},
		"no key":            {TrustedFile{file.Path, "{env.VERIFY_TEST_UNSET}"}, "key, from {env.VERIFY_TEST_UNSET}, has no value: the environment variable is not set"},
		"a short key":       {TrustedFile{file.Path, "{env.VERIFY_TEST_SHORT_KEY}"}, "key, from {env.VERIFY_TEST_SHORT_KEY}, is shorter than 32 characters"},
		"a number in clear": {*trustedFile(t, one+"\n447700900000VALUE\n"), "line 2 begins with no HMAC-SHA256"},
		"half an HMAC":      {*trustedFile(t, one[:62]+"\n"), "line 1 begins with no HMAC-SHA256"},
	} {
		h := &Handler{Account: Account{Guard: &Guard{TrustedFile: &test.file}}}
		h.Credentials = &Credentials{APIKey: "trusted-file", APISecret: testSecret}
		err := inForce(t, h)
		if err == nil || !strings.Contains(err.Error(), "guard: trusted_file: "+test.want) || strings.Contains(err.Error(), "VALUE") || strings.Contains(err.Error(), "4477") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
}

// TestGuardDocumented loads the guards that docs/guard.md and Caddyfile.example show.
func TestGuardDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/guard.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```caddyfile\n")[1:]
	if len(blocks) != 4 {
		t.Fatalf("docs/guard.md shows %d configurations", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if strings.HasPrefix(block, "{") {
			block += "\n:0 {\nverify {\naccount shop\n}\n}\n"
		} else {
			block = ":0 {\n" + block + "}\n"
		}
		if _, err := adaptCaddyfile(block); err != nil {
			t.Errorf("%v\n%s", err, block)
		}
	}

	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(example), "# guard {\n")
	lines, _, found := strings.Cut(lines, "# }\n")
	if !found {
		t.Fatal("Caddyfile.example shows no guard")
	}
	want := guard.Recommended(guard.Monitor)
	want.Countries = guard.Countries{Mode: guard.Monitor, Allowed: []string{"DE", "FR", "GB"}}
	want.Budgets = []guard.Budget{
		{Mode: guard.Monitor, Period: guard.Day, Cap: guard.Money{Micro: 50_000_000, Currency: "EUR"}},
		{Mode: guard.Monitor, Period: guard.Month, Cap: guard.Money{Micro: 1_000_000_000, Currency: "EUR"}},
	}
	if got := guardOf(t, strings.ReplaceAll(lines, "\t\t# ", "")); !reflect.DeepEqual(got.Account, want) || len(got.Trusted.Prefixes) != 1 {
		t.Errorf("Caddyfile.example shows %+v", got)
	}
}
