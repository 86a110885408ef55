package caddyverify

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
)

// What is as it should be has no warning, costs one search, and says all that was seen.
func TestDoctorFindsNothing(t *testing.T) {
	c := newClinic(t)
	found, printed := c.examine(t)
	clean(t, printed)
	var checks []string
	for _, f := range found {
		checks = append(checks, f.Check)
		if f.Level == doctor.Fail || f.Level == doctor.Warn {
			t.Errorf("%s: %s %s", f.Level, f.Check, f.Text)
		}
	}
	want := []string{"credentials", "limit", "configuration", "DNS", "connection", "TLS", "clock", "provider", "access", "timeout", "log filter", "admin", "metrics"}
	if !slices.Equal(checks, want) {
		t.Errorf("it looked at %q, want %q", checks, want)
	}
	if !strings.Contains(printed, "12 checks: 12 ok, 0 warnings, 0 failures; 1 skipped\n") {
		t.Errorf("it sums up in\n%s", printed)
	}
	if n := c.requests.Load(); n != 1 {
		t.Errorf("the provider got %d calls", n)
	}
}

// What README.md says makes a file for all to read in a folder that is its owner's.
func TestDoctorOnSecretInOwnFolder(t *testing.T) {
	c := newClinic(t)
	c.file(t, "secret", canarySecret, 0o644)
	chmod(t, c.folder, 0o700)
	chmod(t, filepath.Dir(c.folder), 0o755)
	if found, _ := c.examine(t); found[0].Level != doctor.OK {
		t.Errorf("it finds %+v", found[0])
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// Each fault is found, and nothing else.
func TestDoctorFindsFaults(t *testing.T) {
	documentation, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	literal := func(c *clinic) { c.config["{file./run/secrets/vonage_api_secret}"] = canarySecret }
	for _, test := range []struct {
		name  string
		plant func(t *testing.T, c *clinic)
		level doctor.Level
		check string
		text  string // a part of it
	}{
		{"no file of that name", func(t *testing.T, c *clinic) {
			c.config["{file./run/secrets/vonage_api_secret}"] = "{file./nowhere/secret}"
		}, doctor.Fail, "credentials", "api_secret, from {file./nowhere/secret}, has no value: there is no such file"},
		{"the secret's file is empty", func(t *testing.T, c *clinic) { c.file(t, "secret", "", 0o600) }, doctor.Fail, "credentials", "the file is empty"},
		{"the variable is not set", func(t *testing.T, c *clinic) {
			c.config["{file./run/secrets/vonage_api_secret}"] = "{env.VERIFY_TEST_UNSET}"
		}, doctor.Fail, "credentials", "the environment variable is not set"},
		{"no secret but a line of a .env", func(t *testing.T, c *clinic) { c.file(t, "secret", "SECRET="+canarySecret, 0o600) }, doctor.Fail, "credentials", "is written as NAME=value"},
		{"the secret is written out", func(t *testing.T, c *clinic) { literal(c) }, doctor.Warn, "credentials", "stands in the configuration"},
		{"everybody may read the secret", func(t *testing.T, c *clinic) {
			c.file(t, "secret", canarySecret, 0o644)
			chmod(t, filepath.Dir(c.folder), 0o755) // a test's is 0700
		}, doctor.Warn, "credentials", "(mode 0644)"},
		{"the same secret twice", func(t *testing.T, c *clinic) { c.next(t, canarySecret) }, doctor.Warn, "next_credentials", "the same api_secret"},
		{"the next secret is refused", func(t *testing.T, c *clinic) { c.next(t, canaryNext) }, doctor.Warn, "provider", "next_credentials are refused with status 4"},

		{"a wrong secret", func(t *testing.T, c *clinic) { c.file(t, "secret", canaryNext, 0o600) }, doctor.Fail, "provider", "credentials are refused with status 4"},
		{"HTTP 401", func(t *testing.T, c *clinic) { c.faults = []string{"* http 401"} }, doctor.Fail, "provider", "credentials are refused with HTTP 401"},
		{"version 1 refuses", func(t *testing.T, c *clinic) {
			c.v2("")
			c.faults = []string{"search status 4"}
		}, doctor.Fail, "provider", "at version 1, for `drain v1`, the credentials are refused with status 4: the key or the secret is wrong, or was revoked. Change: `credentials`: compare both"},
		{"version 2 refuses the credentials", func(t *testing.T, c *clinic) {
			c.api, c.config["timeout 10s"] = "v2", "timeout 10s\n\t\tapi v2"
			c.file(t, "secret", canaryNext, 0o600)
		}, doctor.Fail, "provider", "credentials are refused with HTTP 401: the key or the secret is wrong, or was revoked. Change: `credentials`: compare both"},
		{"another application's key", func(t *testing.T, c *clinic) {
			_, public := applicationKey()
			another, _ := newApplicationKey()
			c.signed(public, "{file."+c.file(t, "private", another, 0o600)+"}")
		}, doctor.Fail, "provider", "application and private_key are refused with HTTP 401: the key is not the application's, or was replaced, or there is no such application. Change: `application`: compare"},
		{"the private key was written out", func(t *testing.T, c *clinic) {
			private, public := applicationKey()
			c.signed(public, "{file."+c.file(t, "private", private, 0o600)+"}")
			saved, _ := json.Marshal(map[string]string{"private_key": private})
			c.file(t, "autosave.json", string(saved), 0o600)
		}, doctor.Warn, "autosave", "a secret or private key stands in"},
		{"the signature secret's file is empty", func(t *testing.T, c *clinic) {
			c.v2("signature_secret {file." + c.file(t, "signature", "", 0o600) + "}")
		}, doctor.Fail, "signature_secret", "the file is empty"},
		{"the signature secret is written out", func(t *testing.T, c *clinic) { c.v2("signature_secret " + canaryNext) }, doctor.Warn, "signature_secret", "stands in the configuration"},
		{"everybody may read the signature secret", func(t *testing.T, c *clinic) {
			chmod(t, filepath.Dir(c.folder), 0o755)
			c.v2("signature_secret {file." + c.file(t, "signature", canaryNext, 0o644) + "}")
		}, doctor.Warn, "signature_secret", "every user of this host may read"},
		{"the provider throttles", func(t *testing.T, c *clinic) { c.faults = []string{"* status 1"} }, doctor.Warn, "provider", "status 1"},
		{"no credit", func(t *testing.T, c *clinic) { c.faults = []string{"* status 9"} }, doctor.Fail, "provider", "without credit"},
		{"the provider is ill", func(t *testing.T, c *clinic) { c.faults = []string{"* status 5"} }, doctor.Warn, "provider", "status 5"},
		{"a web page", func(t *testing.T, c *clinic) {
			c.faults = []string{"* html"}
			c.spoil = func(h http.Header) { h.Set("Server", "BlueCoat") }
		}, doctor.Fail, "provider", "with a web page comes in the provider's place, from a firewall, a proxy or a wrong host. It calls itself \"BlueCoat\""},
		{"what answers echoes the secret", func(t *testing.T, c *clinic) {
			c.faults = []string{"* html"}
			c.spoil = func(h http.Header) { h.Set("Server", "of "+canarySecret) }
		}, doctor.Fail, "provider", "(not shown: it holds the secret)"},
		{"a redirect", func(t *testing.T, c *clinic) { c.faults = []string{"* redirect https://login.example/?secret"} }, doctor.Fail, "provider", `leads to "login.example"`},
		{"no answer of the API", func(t *testing.T, c *clinic) { c.faults = []string{"* garbage"} }, doctor.Fail, "provider", "no answer of the Verify API"},
		{"the connection is closed", func(t *testing.T, c *clinic) { c.faults = []string{"* close"} }, doctor.Fail, "connection", "ends it before there is an answer"},
		{"no answer in time", func(t *testing.T, c *clinic) {
			c.faults, c.config["timeout 10s"] = []string{"* hang"}, "timeout 2s"
		}, doctor.Fail, "connection", "gives no answer within 2s"},

		{"the certificate has ended", func(t *testing.T, c *clinic) {
			c.certificate = func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) }
		}, doctor.Fail, "TLS", "has ended on 2"},
		{"it ends soon", func(t *testing.T, c *clinic) {
			c.certificate = func(x *x509.Certificate) {
				x.NotBefore, x.NotAfter = time.Now().Add(-80*24*time.Hour), time.Now().Add(96*time.Hour)
			}
		}, doctor.Warn, "TLS", "ends in 4.0 days"},
		{"it has not begun", func(t *testing.T, c *clinic) {
			c.certificate = func(x *x509.Certificate) { x.NotBefore = time.Now().Add(time.Hour) }
		}, doctor.Fail, "TLS", "begins on 2"},
		{"it is for another name", func(t *testing.T, c *clinic) {
			c.certificate = func(x *x509.Certificate) { x.DNSNames = []string{"other.example"} }
		}, doctor.Fail, "TLS", "is for another name"},
		{"nobody knows its issuer", func(t *testing.T, c *clinic) { c.config[transportBlock] = "" }, doctor.Fail, "TLS", `issued by "Inspecting Proxy CA", whom this host does not trust`},
		{"certificates are not checked", func(t *testing.T, c *clinic) {
			c.config[transportBlock] = "transport http {\n\t\t\ttls_insecure_skip_verify\n\t\t}"
		}, doctor.Warn, "TLS", "are not checked"},
		{"no TLS there", func(t *testing.T, c *clinic) {
			c.upstream = strings.Replace(newUpstream(t).URL, "http", "https", 1)
			c.config[transportBlock] = ""
		}, doctor.Fail, "TLS", "does not speak TLS"},
		{"no such name", func(t *testing.T, c *clinic) { c.upstream, c.config[transportBlock] = "https://verify.invalid", "" }, doctor.Fail, "DNS", "the name verify.invalid has no address"},
		{"nobody listens", func(t *testing.T, c *clinic) { c.upstream, c.config[transportBlock] = "https://"+freeAddress(t), "" }, doctor.Fail, "connection", "nothing listens at 127.0.0.1:"},
		{"the proxy is gone", func(t *testing.T, c *clinic) {
			c.proxy(t, strings.Replace("http://"+freeAddress(t), "//", "//user:"+proxyPassword+"@", 1))
		}, doctor.Fail, "proxy", "the proxy 127.0.0.1:"},
		{"the proxy refuses", func(t *testing.T, c *clinic) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
			t.Cleanup(server.Close)
			c.proxy(t, server.URL)
		}, doctor.Fail, "proxy", "refuses to connect to localhost:"},
		{"the clock is off", func(t *testing.T, c *clinic) {
			c.spoil = func(h http.Header) { h.Set("Date", time.Now().Add(-2*time.Minute).UTC().Format(http.TimeFormat)) }
		}, doctor.Warn, "clock", "ahead of the provider's"},

		{"no filter on the site's logger", func(t *testing.T, c *clinic) {
			c.config["\tlog {\n\t\timport without_numbers"] = "\tlog {\n\t\tformat json"
		}, doctor.Warn, "log filter", "it has no filter"},
		{"no filter on the default logger", func(t *testing.T, c *clinic) {
			c.config["log default {"] = "admin " + c.admin + "\n\tlog default {\n\t\tformat json\n\t}\n\tlog other {\n\t\tinclude admin.api"
		}, doctor.Warn, "log filter", "it has no filter"},
		{"half a filter", func(t *testing.T, c *clinic) {
			c.config["\tlog {\n\t\timport without_numbers"] = "\tlog {\n\t\tformat filter {\n\t\trequest verify\n\t\theaders verify\n\t\turi verify\n\t\tmethod delete\n\t\tmethod_trunc verify\n\t\theader verify\n\t\t}"
		}, doctor.Warn, "log filter", "it does not filter resp_headers, in"},
		{"everything is logged", func(t *testing.T, c *clinic) {
			c.config["log default {"] = "admin " + c.admin + "\n\tlog default {\n\t\tlevel DEBUG"
		}, doctor.Warn, "log level", "DEBUG"},
		{"everybody is let in", func(t *testing.T, c *clinic) { c.config["respond @outside 403"] = "" }, doctor.Warn, "access", "everybody"},
		{"any name is taken", func(t *testing.T, c *clinic) { c.config["respond @renamed 421"] = "" }, doctor.Warn, "names", "DNS rebinding"},
		{"browsers may call", func(t *testing.T, c *clinic) { c.config["browsers refuse"] = "browsers allow" }, doctor.Warn, "browsers", "pages in browsers"},
		{"the user is what a header says", func(t *testing.T, c *clinic) {
			c.config["metrics /metrics"] = "map {http.request.header.X-App} {http.auth.user.id} {\n\t\t~^(.+)$ $1\n\t}\n\tmetrics /metrics"
		}, doctor.Warn, "callers", "{http.request.header.X-App}"},
		{"a caller is what a header says", func(t *testing.T, c *clinic) {
			c.config["log default {"] = "admin " + c.admin + "\n\tverify {\n\t\tcallers {\n\t\t\tcaller shop {http.request.header.X-App} shop\n\t\t}\n\t}\n\tlog default {"
		}, doctor.Warn, "callers", "{http.request.header.X-App}"},
		{"no limit", func(t *testing.T, c *clinic) { c.config["limit 28/s"] = "limit off" }, doctor.Warn, "limit", "it is off"},
		{"a high limit", func(t *testing.T, c *clinic) { c.config["limit 28/s"] = "limit 300/s" }, doctor.Warn, "limit", "it is 300/s"},
		{"the store is gone", func(t *testing.T, c *clinic) {
			c.config["log default {"] = "admin " + c.admin + "\n\tverify {\n\t\tstore redis {\n\t\t\taddress " + freeAddress(t) + "\n\t\t\tencryption_key {file." + c.file(t, "store", strings.Repeat(canaryNext, 3), 0o600) + "}\n\t\t}\n\t}\n\tlog default {"
		}, doctor.Warn, "store", "it is away, so each gateway would go on alone: connect: dial tcp"},
		{"the server is impatient", func(t *testing.T, c *clinic) { c.config["write 30s"] = "write 1s" }, doctor.Warn, "timeout", "after 1s, when the upstream's 10s are not over"},
		{"the admin endpoint is everybody's", func(t *testing.T, c *clinic) {
			c.config["log default {"] = "admin 0.0.0.0:" + c.admin[strings.LastIndex(c.admin, ":")+1:] + "\n\tlog default {"
		}, doctor.Warn, "admin", "it listens on 0.0.0.0:"},
		{"a secret is in the autosave file", func(t *testing.T, c *clinic) { c.file(t, "autosave.json", `{"api_secret":"`+canarySecret+`"}`, 0o600) }, doctor.Warn, "autosave", "a secret or private key stands in"},
		{"nobody sees metrics", func(t *testing.T, c *clinic) {
			c.config["\tmetrics /metrics"], c.config["log default {"] = "", "admin off\n\tlog default {"
		}, doctor.Warn, "metrics", "nothing serves them"},
		{"no Collector is named", func(t *testing.T, c *clinic) { c.config["# otlp"] = "otlp" }, doctor.Warn, "OTLP", "OTEL_EXPORTER_OTLP_ENDPOINT is not set"},
		{"the Collector is gone", func(t *testing.T, c *clinic) {
			c.config["# otlp"], c.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "otlp", "http://"+freeAddress(t)
		}, doctor.Warn, "OTLP", "cannot be reached"},

		{"no Caddyfile", func(t *testing.T, c *clinic) { c.config["browsers refuse"] = "browsers" }, doctor.Fail, "configuration", "Caddyfile:"},
		{"a word too many after the credentials", func(t *testing.T, c *clinic) {
			literal(c)
			c.config["# next_credentials {file./run/secrets/vonage_api_key} {file./run/secrets/vonage_next_secret}"] = "next_credentials k " + canaryNext + " " + canarySecret
		}, doctor.Fail, "configuration", "Caddyfile:"},
		{"no gateway", func(t *testing.T, c *clinic) {
			c.whole = "{\n\tlog default {\n\t\toutput discard\n\t}\n}\n:0 {\n\trespond 200\n}\n"
		}, doctor.Fail, "configuration", "no verify handler"},
		{"nothing that Caddy can load", func(t *testing.T, c *clinic) {
			c.config["metrics /metrics"] = "tls /nowhere.pem /nowhere.key\n\tmetrics /metrics"
		}, doctor.Fail, "configuration", "Caddy cannot load it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClinic(t)
			c.config = map[string]string{}
			test.plant(t, c)
			found, printed := c.examine(t)
			clean(t, printed)
			if !bytes.Contains(documentation, []byte("\n| `"+test.check+"` | ")) {
				t.Errorf("docs/doctor.md has no %q", test.check)
			}
			var bad []doctor.Finding
			for _, f := range found {
				if f.Level == doctor.Fail || f.Level == doctor.Warn {
					bad = append(bad, f)
				}
			}
			if len(bad) != 1 || bad[0].Level != test.level || bad[0].Check != test.check || !strings.Contains(bad[0].Text+" Change: "+bad[0].Change, test.text) || bad[0].Change == "" && !strings.Contains(bad[0].Text, "not shown") {
				t.Errorf("want %s %s: …%s…, and it found\n%s", test.level, test.check, test.text, printed[:strings.Index(printed, "{\n")])
			}
		})
	}
}

// A certificate that is renewed every day is no reason to worry.
func TestDoctorOfShortCertificates(t *testing.T) {
	c := newClinic(t)
	c.certificate = func(x *x509.Certificate) { x.NotAfter = time.Now().Add(12 * time.Hour) }
	if found, printed := c.examine(t); slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Level == doctor.Warn }) {
		t.Errorf("it found\n%s", printed)
	}
}

// TestDoctorOfSeveral has accounts with names, and sites that share them: each is asked
// once with each of its secrets.
func TestDoctorOfSeveral(t *testing.T) {
	c := newClinic(t)
	c.serve(t)
	account := "upstream " + c.upstream + "\ncredentials {file." + c.key + "} {file." + c.secret + "}\nnext_credentials {file." + c.key + "} {file." + c.file(t, "next", canaryNext, 0o600) + "}\n" +
		"transport http {\ntls_trust_pool file " + c.ca + "\n}\n"
	c.whole = "{\nadmin off\nlog default {\noutput discard\n}\nverify {\naccount shop {\n" + account + "}\naccount support {\n" + account + "timeout 20s\nlimit off\n}\n" +
		"callers {\ncaller shop {http.auth.user.id} shop {\naccount shop\n}\n}\n}\n}\n" +
		"http://a.example:0 {\nbind 127.0.0.1\nverify {\naccount shop\n}\n}\nhttp://b.example:0 {\nbind 127.0.0.1\nmetrics /metrics\nverify {\naccount by caller\n}\n}\n" +
		"http://c.example:0 {\nbind 127.0.0.1\nverify {\n" + account + "}\n}\n"
	found, printed := c.examine(t)
	clean(t, printed)
	host := strings.TrimPrefix(c.upstream, "https://")
	var got []string
	for _, f := range found {
		if f.Check == "provider" || f.Check == "limit" || f.Check == "access" || f.Check == "configuration" {
			got = append(got, strings.TrimSpace(string(f.Level)+" "+f.Check+" "+f.Of))
		}
	}
	want := []string{
		"ok limit shop", "warn limit support", "ok limit " + host, "ok configuration",
		"ok provider shop", "warn provider shop", "ok provider support", "warn provider support", "ok provider " + host, "warn provider " + host,
		"ok access a.example", "ok access b.example", "ok access c.example",
	}
	if !slices.Equal(got, want) {
		t.Errorf("it found %q, want %q", got, want)
	}
	if n := c.requests.Load(); n != 6 {
		t.Errorf("the provider got %d calls", n)
	}
}

// TestDoctorOfRelays looks at the secrets that webhooks are passed on with, each once and by its caller.
func TestDoctorOfRelays(t *testing.T) {
	const long = canaryNext + canaryNext
	for _, test := range []struct {
		name  string
		relay func(t *testing.T, c *clinic) string // the secret as it is written
		level doctor.Level
		text  string // a part of it
	}{
		{"in its file", func(t *testing.T, c *clinic) string { return "{file." + c.file(t, "relay", long, 0o600) + "}" }, doctor.OK, "can be a secret"},
		{"an empty file", func(t *testing.T, c *clinic) string { return "{file." + c.file(t, "relay", "", 0o600) + "}" }, doctor.Fail, "the file is empty"},
		{"no file", func(*testing.T, *clinic) string { return "{file./nowhere/relay}" }, doctor.Fail, "the secret, from {file./nowhere/relay}, has no value: there is no such file"},
		{"a short one", func(t *testing.T, c *clinic) string { return "{file." + c.file(t, "relay", canaryNext, 0o600) + "}" }, doctor.Fail, "has fewer than 32 characters"},
		{"a line of a .env", func(t *testing.T, c *clinic) string {
			return "{file." + c.file(t, "relay", "RELAY_SECRET="+long, 0o600) + "}"
		}, doctor.Fail, "is written as NAME=value"},
		{"written out", func(*testing.T, *clinic) string { return long }, doctor.Warn, "stands in the configuration"},
		{"everybody may read it", func(t *testing.T, c *clinic) string {
			chmod(t, filepath.Dir(c.folder), 0o755)
			return "{file." + c.file(t, "relay", long, 0o644) + "}"
		}, doctor.Warn, "every user of this host may read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClinic(t)
			c.api = "v2"
			c.serve(t)
			hooks := "verify_webhook {\naccount shop\nrelay * https://apps.internal/hooks {file." + c.file(t, "fine", long+"0", 0o600) + "}\nrelay checkout https://checkout.internal/hooks " + test.relay(t, c) + "\n}\n"
			c.whole = "{\nadmin off\nlog default {\noutput discard\n}\nverify {\naccount shop {\napi v2\nupstream " + c.upstream + "\ncredentials {file." + c.key + "} {file." + c.secret + "}\n" +
				"signature_secret {file." + c.file(t, "signature", canaryNext, 0o600) + "}\ntransport http {\ntls_trust_pool file " + c.ca + "\n}\n}\n}\n}\n" +
				"(hooks) {\nhandle /hooks {\n" + hooks + "}\n}\nhttp://a.example:0 {\nbind 127.0.0.1\nimport hooks\nverify {\naccount shop\n}\n}\nhttp://b.example:0 {\nbind 127.0.0.1\nimport hooks\n}\n"
			found, printed := c.examine(t)
			clean(t, printed)
			of := map[string]doctor.Finding{}
			all := 0
			for _, f := range found {
				if f.Check == "relay" {
					of[f.Of], all = f, all+1
				}
			}
			got := of["checkout"]
			if all != 2 || of["*"].Level != doctor.OK || got.Level != test.level || !strings.Contains(got.Text, test.text) || (got.Change == "") != (test.level == doctor.OK) {
				t.Errorf("of %d it found %+v", all, of)
			}
			loads := slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Check == "configuration" && f.Level == doctor.OK })
			if loads != (test.level != doctor.Fail) {
				t.Errorf("that it loads is %v:\n%s", loads, printed[:strings.Index(printed, "{\n")])
			}
		})
	}
}

// TestDoctorTellsOnce: what is wrong with one setting, as it is written in JSON, is one finding.
func TestDoctorTellsOnce(t *testing.T) {
	const credentials = `"credentials":{"api_key":"` + testKey + `","api_secret":"` + testSecret + `"},`
	for account, want := range map[string]string{
		credentials + `"signature_secret":"0123456789abcdef"`:              "signature_secret: only webhooks of version 2",
		credentials + `"private_key":"{file./nowhere}"`:                    "private_key: only calls of version 2",
		credentials + `"api":"v2","signature_secret":"short"`:              "it is shorter than 16 characters",
		credentials + `"api":"v2","signature_secret":"{file./nowhere}"`:    "there is no such file",
		`"credentials":{"api_key":"` + testKey + `","api_secret":"a b c"}`: "api_secret has white space",
		credentials + `"timeout":-1`:                                       "timeout: it is -1ns",
	} {
		c, err := doctor.Read([]byte(`{"apps":{"verify":{"accounts":{"shop":{` + account + `}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		e := examination{}
		patients, _, _ := e.patients(c)
		for _, p := range patients {
			e.checkSettings(p)
		}
		var printed strings.Builder
		if err := e.report.WriteText(&printed); err != nil {
			t.Fatal(err)
		}
		if e.report.Count(doctor.Fail) != 1 || !strings.Contains(printed.String(), want) {
			t.Errorf("%s: it found\n%s", account, printed.String())
		}
	}
}

// TestDoctorCommand has the status of the command, and what it reads by default.
func TestDoctorCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	run := func(args ...string) (string, error) {
		cmd := doctorCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := run(); err == nil || !strings.HasPrefix(out, "FAIL  configuration  there is no --config, and no Caddyfile in this folder. Change: ") || strings.Count(out, "\n") != 2 {
		t.Errorf("without a Caddyfile: %v\n%s", err, out)
	}
	u := newUpstream(t)
	t.Setenv("VERIFY_TEST_SECRET", testSecret)
	content := "{\nadmin " + freeAddress(t) + "\nlog default {\noutput file log\n}\n}\nhttp://localhost:0 {\nverify {\nupstream " + u.URL + "\ncredentials " + testKey + " {env.VERIFY_TEST_SECRET}\n}\n}\n"
	if err := os.WriteFile("Caddyfile", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err != nil || !strings.Contains(out, "\nwarn  access") || !strings.Contains(out, "2 warnings, 0 failures; 1 skipped\n") {
		t.Errorf("with warnings: %v\n%s", err, out)
	}
	if _, err := os.Stat("log"); err == nil {
		t.Error("the log of the configuration was begun")
	}
	config, err := adaptCaddyfile(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("x.json", config, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run("--config", "x.json", "--json")
	if !json.Valid([]byte(out)) || err != nil {
		t.Errorf("JSON: %v\n%s", err, out)
	}
	if out, err := run("--config", "x.json", "extra"); err == nil {
		t.Errorf("an argument too many is taken: %s", out)
	}
}

// A proxy of the environment that would be used, if only the transport said so.
func TestUnusedProxy(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("https_proxy", "http://user:"+proxyPassword+"@proxy.internal:3128")
	t.Setenv("NO_PROXY", ".internal")
	for _, test := range []struct{ transport, upstream, want string }{
		{`{}`, "https://api.nexmo.com", "https_proxy"},
		{``, "https://api.nexmo.com", "https_proxy"},
		{`{"network_proxy":{"from":"none"}}`, "https://api.nexmo.com", ""},
		{`{}`, "https://verify.internal", ""},
		{`{}`, "http://api.nexmo.com", ""},
		{`{}`, "https://localhost", ""},
	} {
		base, err := upstreamURL(test.upstream, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := unusedProxy([]byte(test.transport), base); got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.transport, test.upstream, got, test.want)
		}
	}
}

// TestDoctorReadsAsCaddyDoes: names by which parts of a configuration are addressed are no settings.
func TestDoctorReadsAsCaddyDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "caddy.json")
	put(t, path, `{"apps":{"verify":{"@id":"all","accounts":{"shop":{"@id":"shop","guard":{}}}}}}`)
	e := examination{config: path}
	config, err := e.load()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(App).UnmarshalJSON([]byte(strings.TrimSuffix(strings.TrimPrefix(string(config), `{"apps":{"verify":`), "}}"))); err != nil {
		t.Errorf("%s: %v", config, err)
	}
}

// TestDoctorHidesWhatIsWritten: an error of the parser shows the word that it is at.
func TestDoctorHidesWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Caddyfile")
	for _, line := range []string{
		"credentials key SECRET", "next_credentials key SECRET", "password SECRET", "encryption_key SECRET", "private_key SECRET",
		"signature_secret SECRET", "relay * https://a.internal SECRET", `webhook https://a.internal "SECRET"`,
	} {
		put(t, path, "http:// {\n"+line+"\n")
		if said := withoutCredentials(errors.New("unexpected token 'SECRET'"), path); strings.Contains(said, "SECRET") || !strings.Contains(said, "unexpected") {
			t.Errorf("%s: %s", line, said)
		}
	}
}
