package caddyverify

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// canarySigned is the account's signature secret.
const canarySigned = "CanarySignatureSecretOfTheAccount3f9e"

// canaryRelay is the secret by which webhooks are passed on.
const canaryRelay = "CanaryRelaySecretOfTheCheckout7b21"

// TestCanaryOfV2 runs Caddyfile.example with an account at version 2 and everything logged, has calls and webhooks take every path, failures
// too, and looks in all that comes out for the private key, what it signs, the secrets, numbers and codes.
func TestCanaryOfV2(t *testing.T) {
	c := &canaryV2{t: t, folder: t.TempDir(), site: freeAddress(t), hooks: freeAddress(t), back: freeAddress(t)}
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, c.folder)
	}
	private, _ := applicationKey()
	other, _ := newApplicationKey()
	c.file("private_key", private)
	c.file("signature_secret", canarySigned+"\n")
	c.file("relay_secret", canaryRelay+"\n")
	c.relay = newRelay(t)
	c.file("store_key", canarySealed+"\n")
	c.file("vonage_api_secret", canarySecret+"\n")
	c.provider = newProviderV2(t, "http://"+c.hooks+"/webhooks/verify", canarySigned, func(s *sandbox.Config) {
		s.API, s.APISecret = sandbox.V1+" "+sandbox.V2, canarySecret
	})
	exported := collect(t)
	stderr := watchStderr(t)
	caddyfile := c.caddyfile()
	config, err := adaptCaddyfile(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })

	begin := func(number string) string {
		t.Helper()
		got := c.post("json", "number="+number+"&brand=Acme&pin_code="+canaryCode)
		if got.field("status") != "0" {
			t.Fatal(got.body)
		}
		return got.field("request_id")
	}
	// One that version 1 has under way, and one that is begun, told of and checked.
	old := do(t, request(t, http.MethodPost, c.provider.URL+"/verify/json", "application/x-www-form-urlencoded",
		"api_key="+testKey+"&api_secret="+canarySecret+"&number="+canaryNumber+"&brand=Acme&pin_code="+canaryCode)).field("request_id")
	for _, call := range [][2]string{
		{"search/json", "request_id=" + old},
		{"control/json", "request_id=" + old + "&cmd=trigger_next_event"},
		{"check/json", "request_id=" + old + "&code=" + canaryCode},
		{"search/xml", "request_id=" + old},
	} {
		if got := c.post(call[0], call[1]); !strings.Contains(got.body, "0") || strings.Contains(got.body, "caddy-verify") {
			t.Errorf("%s of one that version 1 has started: %s", call[0], got.body)
		}
	}
	checked := begin(canaryNumber)
	if got := c.post("check/json", "request_id="+checked+"&code="+canaryCode); got.field("status") != "0" {
		t.Errorf("the right code is answered %s", got.body)
	}
	begun := c.startV2("447911654328")
	if got := c.checkV2(begun.field("request_id")); begun.StatusCode != http.StatusAccepted || got.StatusCode != http.StatusOK {
		t.Errorf("as a client of version 2: %s, %s", begun.body, got.body)
	}
	told := begin("447911654322")
	c.tellAll(told)
	c.expectSearch(told, "SUCCESS")
	for _, fault := range []string{"double", "late 1ms", "unsigned", "forge", "lose"} {
		c.provider.fail(t, "webhook "+fault)
		id := begin(canaryNumber)
		for range 3 {
			c.post("check/json", "request_id="+id+"&code="+canaryPayee[:4])
		}
		c.post("check/json", "request_id="+id+"&code="+canaryCode)
	}
	c.provider.fail(t)
	c.everyWay()
	for _, fault := range []string{
		"close", "reset_after", "garbage", "html", "truncate", "big", "bomb", "deep", "dtd", "duplicate_status", "conflict",
		"redirect http://127.0.0.1/" + canaryNumber, "echo", "no_content_type", "surplus", "http 502", "http 429", "http 404",
		"status 1", "status 2", "status 3", "status 5", "status 6", "status 10", "status 15", "status 16", "status 20",
	} {
		c.provider.fail(t, "* "+fault)
		c.everyWay()
	}
	c.provider.fail(t, "* hang")
	c.post("json", "number="+canaryNumber+"&brand=Acme")
	// A token that is said to have expired is followed by another.
	before := len(c.provider.seen())
	for range 2 {
		c.provider.fail(t, "* jwt_expired")
		c.post("json", "number=447911654323&brand=Acme")
	}
	c.provider.fail(t)
	if n := len(c.provider.seen()); n != before+1 {
		t.Errorf("%d tokens have followed those that were said to have expired, want 1", n-before)
	}
	secrets := "number=" + canaryNumber + "&code=" + canaryCode + "&api_secret=" + canaryClient
	for _, target := range []string{"/verify/json?" + secrets, "/verify/check/json?" + secrets, "/verify/" + canaryNumber, "/boom?" + secrets, "/elsewhere?" + secrets, "/rewritten?" + secrets, "/v2/verify?" + secrets} {
		c.ask(request(t, http.MethodGet, "http://"+c.site+target, "", ""))
	}
	// Damaged keys, in a file that is read again and in a configuration that is loaded.
	var damaged strings.Builder
	for name, content := range map[string]string{
		"no end": private[:len(private)-200], "escaped": strings.ReplaceAll(private, "\n", `\n`), "no key": canarySigned,
		"other letters": strings.Replace(private, private[100:140], strings.Repeat("A", 40), 1), "no line breaks": strings.ReplaceAll(private, "\n", " "),
	} {
		c.file("private_key", content)
		if err := loadConfig(config); err == nil {
			t.Errorf("a private key is taken that is damaged: %s", name)
		} else {
			fmt.Fprintln(&damaged, err)
		}
	}
	c.await("the key of before stays in use")
	c.file("private_key", private)
	c.file("signature_secret", canarySigned[:4]+"\n")
	if err := loadConfig(config); err == nil {
		t.Error("a signature secret of four characters is taken")
	} else {
		fmt.Fprintln(&damaged, err)
	}
	c.file("signature_secret", canarySigned+"\n")
	if err := loadConfig(bytes.Replace(config, []byte(`"drain":"v1"`), []byte(`"drain":""`), 1)); err != nil {
		t.Fatal(err)
	}
	c.everyWay()
	id := begin("447911654324")
	c.tellAll(id)
	c.provider.fail(t, "* echo")
	c.everyWay()
	c.provider.fail(t)
	log.Print(secrets, canarySecret, canarySigned, c.provider.seen()) // as any library may
	// The same account by HTTP Basic.
	basic := config
	for _, setting := range []string{`"application":"` + testApplication + `",`, `"private_key":"{file.` + c.folder + `/private_key}",`} {
		if !bytes.Contains(basic, []byte(setting)) {
			t.Fatalf("the configuration has no %s", setting)
		}
		basic = bytes.ReplaceAll(basic, []byte(setting), nil)
	}
	if err := loadConfig(basic); err != nil {
		t.Fatal(err)
	}
	before = len(c.provider.seen())
	for _, fault := range []string{"* delay 1ms", "* echo", "* surplus"} {
		c.provider.fail(t, fault)
		c.everyWay()
	}
	c.provider.fail(t)
	if n := len(c.provider.seen()); n != before {
		t.Error("calls are signed that have to be by HTTP Basic")
	}
	if err := loadConfig(config); err != nil {
		t.Fatal(err)
	}
	// A key that the provider does not know: what it signs is refused.
	c.file("private_key", other)
	c.await(`"secret replaced"`)
	c.post("json", "number="+canaryNumber+"&brand=Acme")
	for _, fault := range []string{"http 401", "status 4", "status 8", "status 9"} {
		c.provider.fail(t, "* "+fault)
		c.everyWay()
	}

	shown, page := adminAnswers(t, c.back, c.provider.Verifications()), livePage(t, c.site, "refuses the account")
	scraped, health := get(t, "http://"+c.site+"/metrics").body, get(t, "http://"+c.site+"/health/ready").body
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	examined := c.examine(caddyfile, "* echo") + c.examine(caddyfile, "* http 401")
	recorded, err := os.ReadFile(filepath.Join(c.folder, "starts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	autosave, _ := filepath.Glob(filepath.Join(c.folder, "caddy", "*.json"))
	for _, file := range autosave {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(content)
	}
	logged, spans, pushed := c.log(), exported("/v1/traces"), exported("/v1/metrics")
	outputs := map[string]string{
		"answers": c.answers.String(), "headers": c.headers.String(), "answers to webhooks": c.told.String(), "errors": damaged.String(), "logs": logged,
		"admin API": shown, "live page": page, "scrape": scraped, "health": health, "spans": spans, "exported metrics": pushed,
		"standard error": stderr(), "doctor": examined, "record of starts": string(recorded),
	}
	c.expectAll(outputs)
	relayed := c.relay.seen()
	if len(relayed) < 4 {
		t.Errorf("only %d webhooks were passed on", len(relayed))
	}
	tokens := append(append(c.provider.seen(), c.tokens...), relayed...)
	for _, hook := range c.provider.Webhooks() {
		if hook.HTTPStatus == 0 && hook.Fault != "lose" && !hook.Again { // a second time it may be too late
			t.Errorf("a webhook of the provider's was not answered: %+v", hook)
		}
	}
	if len(c.provider.seen()) < 4 {
		t.Errorf("only %d tokens were seen", len(c.provider.seen()))
	}
	hidden := []string{canarySecret, canarySigned, canaryRelay, canarySealed, canaryNext, base64.RawStdEncoding.EncodeToString([]byte(testKey + ":" + canarySecret))}
	hidden = append(append(hidden, formsOfKey(t, private)...), formsOfKey(t, other)...)
	hidden = append(append(hidden, aligned([]byte(canarySigned))...), aligned([]byte(canaryRelay))...)
	for _, token := range tokens {
		for _, form := range formsOfToken(token) {
			if len(form) > 30 { // others are no tokens
				hidden = append(hidden, form)
			}
		}
	}
	for where, text := range outputs {
		for _, secret := range hidden {
			expectAbsent(t, where, text, secret)
		}
		if where != "answers" {
			for _, canary := range []string{canaryClient, canaryNumber, canaryCode, canaryPayee, canaryAmount} {
				expectAbsent(t, where, text, canary)
			}
		}
	}
}
