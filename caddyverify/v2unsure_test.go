package caddyverify

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestV2Unsure: HTTP 500 to a start does not say that none was made. The guard counts it, and no other account
// makes it while the circuit of the first is open.
func TestV2Unsure(t *testing.T) {
	u, backup := newUpstreamV2(t, testSecret), newUpstreamV2(t, testSecret)
	u.fail(t, "request status 5")
	var site string
	load := func(guard string) {
		t.Helper()
		site = freeAddress(t)
		config, err := adaptCaddyfile("{\nadmin off\npersist_config off\nverify {\n" +
			"account shop {\napi v2\nupstream " + u.URL + "\ncredentials " + testKey + " " + testSecret + "\nfailover backup\nbreaker {\nopen_for 1m\n}\n" + guard + "}\n" +
			"account backup {\napi v2\nupstream " + backup.URL + "\ncredentials " + testKey + " " + testSecret + "\n}\n}\n}\n" +
			"http://" + site + " {\nverify {\naccount shop\n}\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	load("guard {\nper_number enforce 1/1h\n}\n")
	t.Cleanup(func() { _ = caddy.Stop() })
	start := func(channel string, n int) reply {
		t.Helper()
		return callV2(t, http.MethodPost, "http://"+site+pathV2, startV2(fmt.Sprintf("%s 4477129002%02d", channel, n)))
	}
	if got := start("sms", 0); got.StatusCode != http.StatusInternalServerError || got.body != u.lastBody() {
		t.Fatalf("%s %s", got.Status, got.body)
	}
	if got := start("voice", 0); got.StatusCode != http.StatusTooManyRequests || len(u.Calls()) != 1 {
		t.Errorf("one more to the same number: %s %s", got.Status, got.body)
	}
	load("")
	for n := range 19 { // the circuit opens with the twentieth
		start("sms", n+1)
	}
	if got := start("sms", 21); got.StatusCode != http.StatusAccepted || len(backup.Calls()) != 1 {
		t.Fatalf("the second account is not in use: %s %s", got.Status, got.body)
	}
	if got := start("sms", 1); got.StatusCode == http.StatusAccepted || len(backup.Calls()) != 1 {
		t.Errorf("what may be sent already: %s, and the second account has had %d", got.Status, len(backup.Calls()))
	}
}
