package caddyverify

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// journey is a gateway at version 2 with its webhooks, and the provider that sends them.
type journey struct {
	t           *testing.T
	provider    *providerV2
	site, hooks string
	option      string // of the log
	logged      func() string
	callers     string // of the configuration
	relays      string
	started     int // verifications
}

func newJourney(t *testing.T) *journey {
	t.Helper()
	j := &journey{t: t, site: freeAddress(t), hooks: freeAddress(t)}
	j.provider = newProviderV2(t, "http://"+j.hooks+"/webhooks/verify", canarySigned)
	private, _ := applicationKey()
	t.Setenv("VERIFY_TEST_PRIVATE_KEY", private)
	t.Setenv("VERIFY_TEST_SIGNATURE_SECRET", canarySigned)
	j.option, j.logged = logFile(t)
	j.load()
	t.Cleanup(func() { _ = caddy.Stop() })
	return j
}

// load begins anew where the gateway has stopped.
func (j *journey) load() {
	j.t.Helper()
	config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + strings.Replace(j.option, "{\n", "{\nlevel DEBUG\n", 1) +
		"verify {\naccount shop {\napi v2\nupstream " + j.provider.URL + "\napplication " + testApplication +
		"\nprivate_key {env.VERIFY_TEST_PRIVATE_KEY}\nsignature_secret {env.VERIFY_TEST_SIGNATURE_SECRET}\nlimit off\n" +
		"cache {\nin_progress 1m\n}\n}\n" + j.callers + "}\n}\n" + // so that only webhooks change what is told
		"http://" + j.site + " {\nmetrics /metrics\nverify {\naccount shop\n}\n}\n" +
		"http://" + j.hooks + " {\nverify_webhook /webhooks/verify {\naccount shop\n" + j.relays + "}\n}\n")
	if err != nil {
		j.t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		j.t.Fatal(err)
	}
}

// call makes one of an application.
func (j *journey) call(path, form string) reply {
	j.t.Helper()
	return postForm(j.t, "http://"+j.site+"/verify/"+path, form)
}

// start begins a verification, by one SMS, and has it searched for. Without a number it is of one of its own.
func (j *journey) start(number int) (id string) {
	j.t.Helper()
	j.started++
	got := j.call("json", fmt.Sprintf("number=%d&brand=Acme+%d&workflow_id=6", cmp.Or(number, 447700900200+j.started), j.started))
	if got.field("status") != "0" {
		j.t.Fatal(got.body)
	}
	id = got.field("request_id")
	j.expect(id, "IN PROGRESS")
	return id
}

// expect wants a search to say a status.
func (j *journey) expect(id, status string) reply {
	j.t.Helper()
	got := j.call("search/json", "request_id="+id)
	if got.field("status") != status {
		j.t.Errorf("a search says %s, want %s", got.body, status)
	}
	return got
}

// elsewhere has somebody else enter a code, so that the gateway knows of it by webhooks alone.
func (j *journey) elsewhere(id, code string, want int) {
	j.t.Helper()
	r := request(j.t, http.MethodPost, j.provider.URL+"/v2/verify/"+dashed(id), "application/json", `{"code":"`+code+`"}`)
	r.SetBasicAuth(testKey, testSecret)
	if got := do(j.t, r); got.StatusCode != want {
		j.t.Fatalf("the provider answers %d %s", got.StatusCode, got.body)
	}
}

// delivered waits until so many webhooks of a verification have been delivered, or lost.
func (j *journey) delivered(id string, n int) (all []sandbox.Webhook) {
	j.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		all = all[:0]
		for _, hook := range j.provider.Webhooks() {
			if hook.RequestID == dashed(id) {
				all = append(all, hook)
			}
		}
		switch {
		case len(all) >= n:
			return all
		case time.Now().After(deadline):
			j.t.Fatalf("there were %d webhooks, want %d: %+v", len(all), n, all)
		}
	}
}

// sped has the provider's clock go faster.
func (j *journey) sped(factor float64) {
	j.t.Helper()
	if err := j.provider.Change(func(s *sandbox.Settings) error { s.Speed = factor; return nil }); err != nil {
		j.t.Fatal(err)
	}
}

// endings are how a verification ends without the gateway, and what searches say of it once webhooks have told.
var endings = []struct {
	name   string
	number int // 0 for any
	end    func(j *journey, id string)
	want   string
}{
	{"completed", 0, func(j *journey, id string) { j.elsewhere(id, testCode, 200) }, "SUCCESS"},
	{"failed", 0, func(j *journey, id string) {
		j.elsewhere(id, "0000", 400)
		j.elsewhere(id, "0000", 400)
		j.elsewhere(id, "0000", 410)
	}, "FAILED"},
	{"expired", 0, func(j *journey, _ string) { j.sped(5000) }, "EXPIRED"}, // the gateway's own clock is far from it
	{"blocked", 447700900107, func(j *journey, _ string) { j.sped(100) }, "FAILED"},
}

// TestWebhookJourney follows verifications from the request of an application over the provider's webhooks to the search.
func TestWebhookJourney(t *testing.T) {
	j := newJourney(t)
	for _, fault := range []struct {
		name     string
		told     bool
		statuses string // that are answered to the webhooks of an event and the end
	}{
		{"", true, "204 204"},
		{"double", true, "204 204"},
		{"late 50ms", true, "204 204"},
		{"unsigned", true, "503 503 204 204"},
		{"forge", false, "401 401"},
		{"lose", false, "0 0"},
	} {
		for _, ending := range endings {
			t.Run(strings.TrimSpace(ending.name+" "+fault.name), func(t *testing.T) {
				j.t = t
				j.sped(1)
				j.provider.fail(t)
				if fault.name != "" {
					j.provider.fail(t, "webhook "+fault.name)
				}
				id := j.start(ending.number)
				ending.end(j, id)
				j.sped(5000) // for what is delivered again
				hooks := j.delivered(id, len(strings.Fields(fault.statuses)))
				statuses := make([]string, len(hooks))
				for i, hook := range hooks {
					statuses[i] = fmt.Sprint(hook.HTTPStatus)
				}
				if got := strings.Join(statuses, " "); got != fault.statuses {
					t.Errorf("webhooks are answered %s, want %s", got, fault.statuses)
				}
				if want := ending.want; fault.told {
					found := j.expect(id, want)
					if !strings.Contains(found.body, `"date_finalized":"`) {
						t.Errorf("it does not say when: %s", found.body)
					}
				} else {
					j.expect(id, "IN PROGRESS")
				}
			})
		}
	}
}

// TestWebhooksOutOfOrder: an event that comes after the end, and one of an older state, change nothing.
func TestWebhooksOutOfOrder(t *testing.T) {
	j := newJourney(t)
	id := j.start(0)
	url := "http://" + j.hooks + "/webhooks/verify"
	for _, body := range []string{summary(id, "completed"), strings.Replace(summary(id, "failed"), `"summary"`, `"event"`, 1), summary(id, "expired"), summary(id, "completed")} {
		if got := do(t, hook(t, url, signature(canarySigned, body, nil), body)); got.StatusCode != http.StatusNoContent {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		j.expect(id, "SUCCESS")
	}
	// By a search nobody learns of a verification that is not the gateway's.
	strange := "0123456789abcdef0123456789abcdef"
	body := summary(strange, "completed")
	if got := do(t, hook(t, url, signature(canarySigned, body, nil), body)); got.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	j.expect(strange, "101")
}

// TestRestartWithoutStore: what is known of verifications is lost with the process, and a search says so.
func TestRestartWithoutStore(t *testing.T) {
	j := newJourney(t)
	id := j.start(0)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections() // they have ended
	j.load()
	j.expect(id, "101")
	body := summary(id, "completed")
	if got := do(t, hook(t, "http://"+j.hooks+"/webhooks/verify", signature(canarySigned, body, nil), body)); got.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	j.expect(id, "101")
	if metrics := get(t, "http://"+j.site+"/metrics").body; !regexp.MustCompile(`(?m)^verify_v2_unknown_total\{[^}]*reason="begun_elsewhere"[^}]*\} [1-9]`).MatchString(metrics) {
		t.Error("the metrics do not tell of it")
	}
	// The provider knows it, and takes the code.
	if got := j.call("check/json", "request_id="+id+"&code="+testCode); got.field("status") != "0" {
		t.Errorf("the right code is answered %s", got.body)
	}
}
