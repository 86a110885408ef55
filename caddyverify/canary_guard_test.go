package caddyverify

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// canaryOf is a number that a rule of the guard refuses, and how it can be spelt.
type canaryOf struct {
	rule, number, status string
	address              string
	spelt                []string // as parameters of a request
}

const (
	canaryAddress = "203.0.113.177"
	canaryDenied  = "33639981654" // by deny_prefix
	canaryFromOne = "447911987612"
	canaryCostly  = "447911345678"
	canaryBlocked = "447933765432"
	canaryRange   = "44793376"
)

func canariesOfGuard() []canaryOf {
	spelt := func(number, national, country string) (all []string) {
		for _, one := range []string{number, "+" + number, "00" + number, "+" + number[:2] + " (0) " + national[:4] + " " + national[4:]} {
			all = append(all, "number="+url.QueryEscape(one))
		}
		for _, one := range []string{"0" + national, "0" + national[:4] + "-" + national[4:]} {
			all = append(all, "country="+country+"&number="+url.QueryEscape(one))
		}
		return all
	}
	return []canaryOf{
		{"per_number", canaryNumber, "10", "", spelt(canaryNumber, canaryNumber[2:], "GB")},
		{"deny_prefix", canaryDenied, "15", "", spelt(canaryDenied, canaryDenied[2:], "FR")},
		{"per_address", canaryFromOne, "1", canaryAddress, spelt(canaryFromOne, canaryFromOne[2:], "GB")},
		{"budget", canaryCostly, "9", "", spelt(canaryCostly, canaryCostly[2:], "GB")},
		{"block", canaryBlocked, "7", canaryAddress, spelt(canaryBlocked, canaryBlocked[2:], "GB")},
	}
}

// TestCanaryOfGuard has the guard refuse numbers in all their spellings, by rules on them, by an operator and by a budget, and looks
// for them in all that tells of it.
func TestCanaryOfGuard(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, folder)
	}
	for name, content := range map[string]string{"vonage_api_key": testKey, "vonage_api_secret": canarySecret} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u := newUpstreamFor(t, canarySecret)
	site, admin := freeAddress(t), freeAddress(t)
	files := map[string]string{"logs": "default.log", "access log": "site.log", "record of starts": "starts.jsonl"}
	for where, name := range files {
		files[where] = filepath.Join(folder, name)
	}
	exported := collect(t)
	load := func(errors string) {
		t.Helper()
		config := shippedConfig(t, map[string]string{
			":8080 {":                               strings.TrimPrefix(site, "127.0.0.1") + " {\nbind 127.0.0.1",
			"# otlp":                                "otlp",
			"# verify_live":                         "verify_live",
			"# tracing /verify/* {":                 "tracing /verify/* {\nspan verify\n}",
			"{file./run/secrets/vonage_api_key}":    "{file." + folder + "/vonage_api_key}",
			"{file./run/secrets/vonage_api_secret}": "{file." + folder + "/vonage_api_secret}",
			"https://api.nexmo.com":                 u.URL,
			"log default {":                         "admin " + admin + "\nlog default {\nlevel DEBUG\noutput file " + files["logs"],
			"\tlog {\n":                             "\tlog {\n\t\tlevel DEBUG\n\t\toutput file " + files["access log"] + "\n",
			"errors verify":                         "errors " + errors,
			"limit 28/s": "limit off\nguard {\nper_number enforce 1/10m\ndeny_prefix enforce 33\nper_address enforce 1/1h\n" +
				"budget enforce 0.60 EUR/day\nprice 0.15 EUR\nrecord " + files["record of starts"] + "\n}",
		})
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	stderr := watchStderr(t)
	load("verify")
	t.Cleanup(func() { _ = caddy.Stop() })

	var answers, printed strings.Builder
	ask := func(r *http.Request) reply {
		r.SetBasicAuth("client", canaryClient)
		r.Header.Set("Referer", "http://app.internal/?number="+canaryNumber)
		got := do(t, r)
		fmt.Fprintln(&answers, got.Status, got.Header, got.body)
		return got
	}
	command := func(args ...string) {
		t.Helper()
		said, err := runAdmin(t, append(append([]string{"guard"}, args...), "--address", admin)...)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		printed.WriteString(said)
	}
	first := ask(request(t, http.MethodPost, "http://"+site+"/verify/json", "application/x-www-form-urlencoded",
		"number="+canaryNumber+"&brand=Acme&pin_code="+canaryCode+"&ip_address="+canaryAddress))
	if first.field("status") != "0" {
		t.Fatal(first.body)
	}
	command("block", canaryRange)
	refused := map[string]int{}
	for _, errors := range []string{"verify", "http"} {
		load(errors)
		for _, c := range canariesOfGuard() {
			for _, spelt := range c.spelt {
				refused[c.rule] += refusedEveryWay(t, "http://"+site, c, spelt, errors, ask)
			}
		}
	}
	for _, v := range u.Verifications() {
		if v.Number != canaryNumber {
			t.Errorf("a verification of %s was started", v.Number)
		}
	}
	for _, json := range [][]string{nil, {"--json"}} {
		command(append([]string{"list"}, json...)...)
		command(append([]string{"status"}, json...)...)
	}
	told := map[string]string{
		"answers": answers.String(), "admin API": adminAnswers(t, admin, u.Verifications()), "live page": livePage(t, site, "deny_prefix"),
		"scrape": get(t, "http://"+site+"/metrics").body, "health": get(t, "http://"+site+"/health/ready").body,
	}
	command("lift", canaryRange)
	told["commands"] = printed.String()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for where, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		told[where] = string(content)
	}
	told["spans"], told["exported metrics"], told["standard error"] = exported("/v1/traces"), exported("/v1/metrics"), stderr()

	for _, c := range canariesOfGuard() {
		// Else the test does not see what is told of a refusal.
		for where, want := range map[string]string{
			"answers": `details="guard_refused: ` + c.rule + `"`, "logs": `"guard":"` + c.rule, "scrape": `rule="` + c.rule + `"`,
			"spans": c.rule, "exported metrics": c.rule, "commands": c.rule, "admin API": `"rule":"` + c.rule + `"`,
		} {
			if !strings.Contains(told[where], want) {
				t.Errorf("%s is not in the %s", want, where)
			}
		}
		if want := fmt.Sprintf(`"refused":%q`, c.rule); strings.Count(told["record of starts"], want) != refused[c.rule] {
			t.Errorf("%s is %d times in the record, not %d", want, strings.Count(told["record of starts"], want), refused[c.rule])
		}
	}
	for where, text := range told {
		for _, canary := range []string{canarySecret, canaryClient, canaryCode, canaryAddress} {
			expectAbsent(t, where, text, canary)
		}
		for _, c := range canariesOfGuard() {
			national := c.number[2:] // which is a part of most spellings
			for _, spelling := range []string{national, national[:4] + " " + national[4:], national[:4] + "-" + national[4:], national[:4] + "+" + national[4:], national[:4] + "%20" + national[4:]} {
				expectAbsent(t, where, text, spelling)
			}
		}
	}
}

// refusedEveryWay asks for a number in both formats, by each operation that starts and each way to send it, and returns how many
// times.
func refusedEveryWay(t *testing.T, site string, c canaryOf, spelt, errors string, ask func(*http.Request) reply) (times int) {
	t.Helper()
	for operation, form := range map[wire.Operation]string{wire.Request: "brand=Acme", wire.PSD2: "payee=Acme&amount=1.00"} {
		for _, format := range operation.Formats() {
			for way, build := range ways {
				sent := spelt + "&" + form
				if way == "POST with JSON" {
					sent, _ = url.QueryUnescape(sent)
				}
				if c.address != "" {
					sent += "&ip_address=" + c.address
				}
				got := ask(build(t, site+wire.Path(operation, format), sent))
				if want := `details="guard_refused: ` + c.rule + `"`; !strings.Contains(got.Header.Get("Proxy-Status"), want) ||
					errors == "verify" && format == wire.JSON && got.field("status") != c.status || errors == "http" && got.StatusCode != http.StatusForbidden {
					t.Errorf("%s by %s: %s %s %s", spelt, way, got.Status, got.Header.Get("Proxy-Status"), got.body)
				}
				times++
			}
		}
	}
	return times
}
