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

// TestFailover has the first of two accounts refused. New verifications start with the second, and each is checked,
// searched for and cancelled where it was started, in any mixture.
func TestFailover(t *testing.T) {
	shopAPI, shop := newProvider(t, "shopkey1")
	backupAPI, backup := newProvider(t, "backupk1")
	site := freeAddress(t)
	load := func() {
		t.Helper()
		config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nverify {\n" +
			"account shop {\nupstream " + shop.URL + "\ncredentials shopkey1 " + testSecret + "\nlimit off\nfailover backup\n}\n" +
			"account backup {\nupstream " + backup.URL + "\ncredentials backupk1 " + testSecret + "\nlimit off\n}\n}\n}\n" +
			"http://" + site + " {\nmetrics /metrics\nverify {\naccount shop\n}\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	load()
	t.Cleanup(func() { _ = caddy.Stop() })
	call := func(path, form string) reply { t.Helper(); return postForm(t, "http://"+site+"/verify/"+path, form) }
	number := 447712900200
	start := func(more string) (id, form string) {
		t.Helper()
		number++
		form = fmt.Sprintf("number=%d&brand=Acme", number) + more
		answer := call("json", form)
		if answer.field("status") != "0" {
			t.Fatal(answer.body)
		}
		return answer.field("request_id"), form
	}
	at := func(api *sandbox.Sandbox, id string) bool {
		_, ok := api.Verification(id)
		return ok
	}

	first, _ := start("")
	if !at(shopAPI, first) {
		t.Fatal("the first account takes requests, and another was used")
	}
	fault, err := sandbox.ParseFault("request", "status", "9")
	if err != nil {
		t.Fatal(err)
	}
	if err := shopAPI.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	if answer := call("json", "number=447712900999&brand=Acme"); answer.field("status") != "9" {
		t.Fatalf("the request that finds out is answered with %s", answer.body)
	}
	if len(backupAPI.Verifications()) != 0 {
		t.Fatal("a request was sent on both")
	}
	second, form := start("")
	third, _ := start("")
	if !at(backupAPI, second) || !at(backupAPI, third) {
		t.Fatal("new verifications do not start with the second account")
	}
	if answer := call("json", form); answer.field("status") != "10" || answer.field("request_id") != second {
		t.Errorf("its repetition is answered with %s", answer.body)
	}
	list := call("search/json", "request_ids="+first+"&request_ids="+second).body
	if !strings.Contains(list, first) || !strings.Contains(list, second) || strings.Index(list, first) > strings.Index(list, second) {
		t.Errorf("a list over both accounts: %s", list)
	}
	if list := call("search/xml", "request_ids="+second+"&request_ids="+first).body; strings.Index(list, first) < strings.Index(list, second) || !strings.Contains(list, "<verification_requests>") {
		t.Errorf("a list over both accounts: %s", list)
	}
	for _, id := range []string{first, second} {
		if answer := call("check/json", "request_id="+id+"&code="+testCode); answer.field("status") != "0" {
			t.Errorf("a check is answered with %s", answer.body)
		}
		if answer := call("search/json", "request_id="+id); !strings.Contains(answer.body, `"status":"SUCCESS"`) {
			t.Errorf("a search is answered with %s", answer.body)
		}
	}
	if metrics := get(t, "http://"+site+"/metrics").body; !strings.Contains(metrics, `verify_failovers_total{account="key1@`+host(shop)+`",to="upk1@`+host(backup)+`"} 2`) {
		t.Error("the requests that went to the second account are not counted")
	}

	// A gateway that has seen nothing start asks each.
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections() // the server has closed them
	load()
	if answer := call("search/json", "request_id="+third); answer.field("status") != "IN PROGRESS" {
		t.Errorf("a search for what it has not seen is answered with %s", answer.body)
	}
	if answer := call("check/json", "request_id="+third+"&code="+testCode); answer.field("status") != "0" {
		t.Errorf("a check of what it has not seen is answered with %s", answer.body)
	}
	if answer := call("search/json", "request_id=00000000000000000000000000000000"); answer.field("status") != "101" {
		t.Errorf("a search for what nobody has is answered with %s", answer.body)
	}
}

func host(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
