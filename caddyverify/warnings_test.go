package caddyverify

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// logTo is a global option that logs to a new file, and how to read that.
func logFile(t *testing.T) (option string, read func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	return "log default {\noutput file " + file + "\n}\n", func() string {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

func TestWarnOfWriteTimeout(t *testing.T) {
	for _, test := range []struct {
		servers, timeout string
		warned           bool
	}{
		{"", "5m", false},
		{"servers {\ntimeouts {\nwrite 10s\n}\n}", "9s", false},
		{"servers {\ntimeouts {\nwrite 10s\n}\n}", "10s", true},
		{"servers {\ntimeouts {\nwrite 10s\n}\n}", "11s", true},
		{"servers {\ntimeouts {\nwrite 5s\n}\n}", "", true},
		{"servers :99 {\ntimeouts {\nwrite 5s\n}\n}", "", false},
	} {
		option, logged := logFile(t)
		timeout := ""
		if test.timeout != "" {
			timeout = "timeout " + test.timeout + "\n"
		}
		if err := load("{\n" + option + test.servers + "\n}\n:0 {\nverify {\ncredentials abcd1234 S3cretSecret\n" + timeout + "}\n}\n"); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(logged(), "timeout is not below the write timeout of the server"); warned != test.warned {
			t.Errorf("%s with timeout %q warns: %v", test.servers, test.timeout, warned)
		}
	}
}

// TestWarnOfCurrency: webhooks tell prices in EUR, so budgets in another currency are never settled by them.
func TestWarnOfCurrency(t *testing.T) {
	private, _ := applicationKey()
	t.Setenv("VERIFY_TEST_PRIVATE_KEY", private)
	t.Setenv("VERIFY_TEST_SECRET", strings.Repeat("a1", 32))
	const signed = "api v2\napplication " + testApplication + "\nprivate_key {env.VERIFY_TEST_PRIVATE_KEY}\n"
	for _, test := range []struct {
		settings string
		warned   bool
	}{
		{signed + "signature_secret {env.VERIFY_TEST_SECRET}\nguard {\nprice 0.15 USD\n}\n", true},
		{signed + "signature_secret {env.VERIFY_TEST_SECRET}\nguard {\nprice 0.15 EUR\n}\n", false},
		{signed + "signature_secret {env.VERIFY_TEST_SECRET}\n", false},
		{signed + "guard {\nprice 0.15 USD\n}\n", false}, // no webhooks
		{"credentials abcd1234 {env.VERIFY_TEST_SECRET}\nguard {\nprice 0.15 USD\n}\n", false},
	} {
		option, logged := logFile(t)
		if err := load("{\n" + option + "verify {\naccount shop {\n" + test.settings + "}\n}\n}\n:0 {\nverify {\naccount shop\n}\n}\n"); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(logged(), "the guard's prices are in USD, and webhooks tell prices in EUR"); warned != test.warned {
			t.Errorf("%s warns: %v", test.settings, warned)
		}
	}
}

// TestWarnOfSecretsInClear: each secret that stands in the configuration is warned of, by its setting.
func TestWarnOfSecretsInClear(t *testing.T) {
	private, _ := applicationKey()
	t.Setenv("VERIFY_TEST_PRIVATE_KEY", private)
	t.Setenv("VERIFY_TEST_SECRET", strings.Repeat("a1", 32))
	t.Setenv("VERIFY_TEST_RELAY", strings.Repeat("c3", 32))
	const placeholder = "{env.VERIFY_TEST_SECRET}"
	secrets := map[string]string{ // by the words of the warning
		"the api_secret":        "a-secret-of-tests",
		"the private_key":       "`{$VERIFY_TEST_PRIVATE_KEY}`",
		"the signature_secret":  testSignatureSecret,
		"the secret of relay *": strings.Repeat("b2", 32),
		"":                      "",
	}
	for clear := range secrets {
		written := func(name string) string {
			switch name {
			case clear:
				return secrets[name]
			case "the private_key":
				return "{env.VERIFY_TEST_PRIVATE_KEY}"
			case "the secret of relay *":
				return "{env.VERIFY_TEST_RELAY}"
			}
			return placeholder
		}
		option, logged := logFile(t)
		if err := load("{\n" + option + "verify {\naccount shop {\napi v2\napplication " + testApplication + "\ncredentials " + testKey + " " + written("the api_secret") +
			"\nprivate_key " + written("the private_key") + "\nsignature_secret " + written("the signature_secret") + "\n}\n}\n}\n" +
			":0 {\nverify_webhook /hooks {\naccount shop\nrelay * https://a.internal " + written("the secret of relay *") + "\n}\n}\n"); err != nil {
			t.Fatal(err)
		}
		for name, secret := range secrets {
			if warned := strings.Contains(logged(), name+" stands in the configuration"); name != "" && warned != (name == clear) {
				t.Errorf("with %q in clear, of %q is warned: %v", clear, name, warned)
			}
			if secret != "" && strings.Contains(logged(), secret) {
				t.Errorf("the log has the secret of %q", name)
			}
		}
	}
}

// TestWarnOfRefusedSecret reloads what the upstream has refused, unchanged and changed.
func TestWarnOfRefusedSecret(t *testing.T) {
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	u := newUpstream(t)
	site := freeAddress(t)
	secret := filepath.Join(t.TempDir(), "secret")
	option, logged := logFile(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + option + "}\n" +
		"http://" + site + " {\nverify {\nupstream " + u.URL + "\ncredentials " + testKey + " {file." + secret + "}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	for _, step := range []struct {
		secret, status string
		warnings       int
	}{
		{"not-the-secret", "4", 0},
		{"not-the-secret", "4", 1},
		{testSecret, "101", 1},
		{testSecret, "101", 1},
	} {
		if err := os.WriteFile(secret, []byte(step.secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
		if got := getReloaded(t, "http://"+site+"/verify/search/json?request_id=a"); got.field("status") != step.status {
			t.Errorf("%s: %s", step.secret, got.body)
		}
		if n := strings.Count(logged(), "that the Verify API has just refused"); n != step.warnings {
			t.Errorf("%s: %d warnings, want %d", step.secret, n, step.warnings)
		}
		if strings.Contains(logged(), step.secret) {
			t.Error("the log has the secret")
		}
	}
}

// getReloaded asks again where the configuration before takes the connection and closes it.
func getReloaded(t *testing.T, url string) reply {
	t.Helper()
	for {
		response, err := http.Get(url)
		if err == nil {
			response.Body.Close()
			return get(t, url)
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
