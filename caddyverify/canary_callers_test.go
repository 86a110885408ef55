package caddyverify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestCanaryOfCallers: what callers do to each other and to accounts puts no secret, number or code anywhere.
func TestCanaryOfCallers(t *testing.T) {
	const hash = "$2a$04$Zkzs1FLR6SSk0EMfrN6kFu9XHaD4jX3JBFqLKwUIvHs12IKw71Kii" // of "password", cheaply
	shopAPI, shop := newProvider(t, "shopkey1")
	_, backup := newProvider(t, "backupk1")
	site := freeAddress(t)
	option, logged := logFile(t)
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + strings.Replace(option, "{\n", "{\nlevel DEBUG\n", 1) + "verify {\n" +
		"account shop {\nupstream " + shop.URL + "\ncredentials shopkey1 " + testSecret + "\nfailover backup\n}\n" +
		"account backup {\nupstream " + backup.URL + "\ncredentials backupk1 " + testSecret + "\n}\n" +
		"callers {\ncaller shop {http.auth.user.id} shop {\nlimit 20/s\n}\ncaller login {http.auth.user.id} login {\nconcurrency 5\n}\n}\n}\n}\n" +
		"http://" + site + " {\nmetrics /metrics\nroute /verify/* {\nbasic_auth {\nshop " + hash + "\nlogin " + hash + "\nstranger " + hash + "\n}\nverify {\naccount shop\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	var answers strings.Builder
	call := func(user, path, form string) reply {
		t.Helper()
		r := request(t, http.MethodPost, "http://"+site+"/verify/"+path, "application/x-www-form-urlencoded", form)
		r.SetBasicAuth(user, "password")
		got := do(t, r)
		answers.WriteString(got.body)
		return got
	}
	started := call("shop", "json", "number="+canaryNumber+"&brand=Acme")
	id := started.field("request_id")
	if started.field("status") != "0" {
		t.Fatal(started.body)
	}
	for _, user := range []string{"login", "stranger"} {
		call(user, "json", "number="+canaryNumber+"&brand=Acme")
		call(user, "check/xml", "request_id="+id+"&code="+canaryCode)
		call(user, "control/json", "request_id="+id+"&cmd=cancel")
		call(user, "search/json", "request_ids="+id+"&request_ids="+canaryNumber)
	}
	fault, err := sandbox.ParseFault("request", "status", "9")
	if err != nil {
		t.Fatal(err)
	}
	if err := shopAPI.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(canaryNumber, canaryNumber[len(canaryNumber)-1:], "7", 1)
	for range 2 { // refused, and then with the other account
		call("shop", "json", "number="+other+"&brand=Acme")
	}
	if !strings.Contains(logged(), `"caller":"login"`) {
		t.Error("the log tells of no caller")
	}
	metrics := get(t, "http://"+site+"/metrics").body
	for where, text := range map[string]string{"the log": logged(), "the metrics": metrics} {
		for _, canary := range []string{testSecret, canaryNumber, canaryCode, other} {
			expectAbsent(t, where, text, canary)
		}
	}
	expectAbsent(t, "an answer", answers.String(), testSecret)
}
