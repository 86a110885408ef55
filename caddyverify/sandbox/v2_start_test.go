package sandbox

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asked builds a body from one that is in order.
func asked(t *testing.T, change func(body, first map[string]any)) string {
	t.Helper()
	first := map[string]any{"channel": "sms", "to": testNumber}
	body := map[string]any{"brand": "Acme", "workflow": []any{first}}
	change(body, first)
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each parameter is accepted and refused as documented.
func TestV2Parameters(t *testing.T) {
	type object = map[string]any
	long := strings.Repeat("a", 41)
	in := func(name string, value any) func(object, object) {
		return func(body, _ object) { body[name] = value }
	}
	step := func(pairs ...any) func(object, object) {
		return func(_, first object) {
			for i := 0; i < len(pairs); i += 2 {
				first[pairs[i].(string)] = pairs[i+1]
			}
		}
	}
	sms := object{"channel": "sms", "to": testNumber}
	for _, test := range []struct {
		name   string
		change func(body, first object)
		want   string // the names of what is refused, "" for none
	}{
		{"as little as possible", in("unknown", "x"), ""},
		{"no brand", in("brand", ""), "brand"},
		{"brand 18", in("brand", "ääääääääääääääääää"), ""},
		{"brand 19", in("brand", "ääääääääääääääääääa"), "brand"},
		{"brand with a brace", in("brand", "A{b"), "brand"},
		{"brand with a slash", in("brand", "A/B"), "brand"},
		{"brand with a colon", in("brand", "A:B"), "brand"},
		{"brand with a dollar", in("brand", "A$"), "brand"},
		{"brand is a number", in("brand", 5), "brand"},
		{"no step", in("workflow", []any{}), "workflow"},
		{"no list", in("workflow", sms), "workflow"},
		{"three steps", in("workflow", []any{sms, sms, sms}), ""},
		{"four steps", in("workflow", []any{sms, sms, sms, sms}), "workflow"},
		{"a step that is none", in("workflow", []any{5}), "channel to"},
		{"two things wrong", func(b, f object) { b["brand"] = ""; f["to"] = "x" }, "brand to"},
		{"locale", in("locale", "de-de"), ""},
		{"locale of v1 alone", in("locale", "cy-gb"), "locale"},
		{"unknown locale", in("locale", "xx-xx"), "locale"},
		{"timeout 15", in("channel_timeout", 15), ""},
		{"timeout 900", in("channel_timeout", 900), ""},
		{"timeout 14", in("channel_timeout", 14), "channel_timeout"},
		{"timeout 901", in("channel_timeout", 901), "channel_timeout"},
		{"timeout as a text", in("channel_timeout", "60"), "channel_timeout"},
		{"timeout with a fraction", in("channel_timeout", 60.5), "channel_timeout"},
		{"code length 4", in("code_length", 4), ""},
		{"code length 10", in("code_length", 10), ""},
		{"code length 3", in("code_length", 3), "code_length"},
		{"code length 11", in("code_length", 11), "code_length"},
		{"client_ref 40", in("client_ref", long[:40]), ""},
		{"client_ref 41", in("client_ref", long), "client_ref"},
		{"client_ref with a dash", in("client_ref", "a-b"), "client_ref"},
		{"fraud_check", in("fraud_check", false), ""},
		{"fraud_check as a text", in("fraud_check", "false"), "fraud_check"},
		{"template", in("template_id", unboundID), ""},
		{"template that is no uuid", in("template_id", "1"), "template_id"},
		{"to with a plus", step("to", "+447700900000"), "to"},
		{"to with zeros", step("to", "00447700900000"), "to"},
		{"to with a space", step("to", "4477 0900000"), "to"},
		{"to missing", step("to", ""), "to"},
		{"to as a number", step("to", 447700900000), "to"},
		{"an unknown channel", step("channel", "tts"), "channel"},
		{"whatsapp_interactive is gone", step("channel", "whatsapp_interactive"), "channel"},
		{"voice", step("channel", "voice"), ""},
		{"sender", step("from", "VERIFY"), ""},
		{"sender 11", step("from", "ABCDEFGHIJK"), ""},
		{"sender 12", step("from", "ABCDEFGHIJKL"), "from"},
		{"sender number 15", step("from", "123456789012345"), ""},
		{"sender number 16", step("from", "1234567890123456"), "from"},
		{"app_hash", step("app_hash", "ABC123def45"), ""},
		{"app_hash 10", step("app_hash", "ABC123def4"), "app_hash"},
		{"India", step("entity_id", "1101456324675322134", "content_id", "1107457532145798767"), ""},
		{"India, too long", step("entity_id", "110145632467532213411"), "entity_id"},
		{"reuse_code", step("reuse_code", true), ""},
		{"reuse_code as a text", step("reuse_code", "true"), "reuse_code"},
		{"whatsapp", step("channel", "whatsapp", "from", "447700900001"), ""},
		{"whatsapp from nobody", step("channel", "whatsapp"), "from"},
		{"whatsapp mode", step("channel", "whatsapp", "from", "447700900001", "mode", "zero_tap"), ""},
		{"whatsapp unknown mode", step("channel", "whatsapp", "from", "447700900001", "mode", "x"), "mode"},
		{"rcs from nobody", step("channel", "rcs"), "from"},
		{"rcs", step("channel", "rcs", "from", "Acme"), ""},
		{"email", step("channel", "email", "to", "alice@example.com"), ""},
		{"email to a number", step("channel", "email"), "to"},
		{"email from", step("channel", "email", "to", "a@example.com", "from", "b@example.com"), ""},
		{"email from a word", step("channel", "email", "to", "a@example.com", "from", "Acme"), "from"},
		{"silent_auth", step("channel", "silent_auth", "coverage_check", false, "redirect_url", "https://acme.example/", "mode", "advanced"), ""},
		{"silent_auth, wrong", step("channel", "silent_auth", "coverage_check", "no", "redirect_url", "acme", "mode", "x"), "coverage_check mode redirect_url"},
		{"silent_auth second", in("workflow", []any{sms, object{"channel": "silent_auth", "to": testNumber}}), "channel"},
		{"code", in("code", "1234"), "code"},
	} {
		s := newV2(t, Config{})
		w := askV2(s, "POST", "/v2/verify", asked(t, test.change))
		if test.want == "" {
			if w.Code != 202 {
				t.Errorf("%s: got %d %s", test.name, w.Code, w.Body)
			}
			continue
		}
		var refusal struct {
			Title, Detail string
			Invalid       []struct{ Name, Reason string } `json:"invalid_parameters"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil || w.Code != 422 || refusal.Title != "Invalid params" || refusal.Detail != "The value of one or more parameters is invalid." {
			t.Errorf("%s: got %d %s", test.name, w.Code, w.Body)
		}
		for name := range strings.FieldsSeq(test.want) {
			var found bool
			for _, i := range refusal.Invalid {
				found = found || i.Name == name && i.Reason != ""
			}
			if !found || len(refusal.Invalid) != len(strings.Fields(test.want)) {
				t.Errorf("%s: got %s, want %s", test.name, w.Body, test.want)
			}
		}
		if s.Accepted() != 0 {
			t.Errorf("%s: it was carried out", test.name)
		}
	}
	for _, body := range []string{"", "{", "[]", "null", `"x"`, `{}{}`, "brand=Acme"} {
		wantProblem(t, body, askV2(newV2(t, Config{}), "POST", "/v2/verify", body), 400, "Bad Request", "Invalid JSON")
	}
}

const unboundID = "8f35a1a7-eb2f-4552-8fdf-fffdaee41bc9"

// An account that may choose its codes has the same for all steps.
func TestV2ChosenCode(t *testing.T) {
	s := newV2(t, Config{AllowPinCode: true})
	id := beginV2(t, s, `{"brand":"Acme","code":"aB12","workflow":[{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"}]}`)
	for range 2 {
		askV2(s, "POST", "/v2/verify/"+id, `{"code":"AB12"}`)
	}
	askV2(s, "POST", "/v2/verify/"+id+"/next_workflow", "")
	if got := lookUp(t, s, id).Code; got != "aB12" {
		t.Errorf("the second step has code %q", got)
	}
	wantProblem(t, "a third wrong code", askV2(s, "POST", "/v2/verify/"+id, `{"code":"AB12"}`), 410, "Invalid Code", gone)
	w := askV2(s, "POST", "/v2/verify", asked(t, func(b, _ map[string]any) { b["code"] = "12-4" }))
	wantProblem(t, "a dash", w, 422, "Invalid params", "The value of one or more parameters is invalid.")
}

func TestV2SilentAuth(t *testing.T) {
	s := newV2(t, Config{})
	body := `{"brand":"Acme","workflow":[{"channel":"silent_auth","to":"447700900000"},{"channel":"sms","to":"447700900000"}]}`
	w := askV2(s, "POST", "/v2/verify", body)
	id := fields(t, w.Body.String())["request_id"]
	if want := `{"request_id":"` + id + `","check_url":"https://example.com/v2/verify/` + id + `/silent-auth/redirect"}` + "\n"; w.Code != 202 || w.Body.String() != want {
		t.Fatalf("got %d %s, want %s", w.Code, w.Body, want)
	}
	if code := s.Calls()[0].Code; code != "" {
		t.Errorf("it has sent %s", code)
	}
	wantProblem(t, "a code", askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`), 409, "Conflict", "The current Verify workflow step does not support a code.")
	wantProblem(t, "a token", askV2(s, "POST", "/v2/verify/"+id, `{"token":"abc"}`), 400, "Invalid Code", noMatch)
	askV2(s, "POST", "/v2/verify/"+id+"/next_workflow", "")
	if w := askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`); w.Code != 200 {
		t.Errorf("the code of the SMS: %d %s", w.Code, w.Body)
	}
	w = askV2(s, "POST", "/v2/verify", strings.ReplaceAll(body, "447700900000", "447700900115"))
	wantProblem(t, "no network", w, 412, "Silent authentication failed", "Network not supported")
}

// silent_auth lasts a minute, whatever the others do.
func TestV2SilentAuthLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newV2(t, Config{})
		id := beginV2(t, s, `{"brand":"Acme","channel_timeout":300,"workflow":[{"channel":"silent_auth","to":"447700900000"},{"channel":"sms","to":"447700900000"}]}`)
		for _, want := range []struct {
			wait   time.Duration
			events int
			status string
		}{{time.Minute - 1, 1, inProgress}, {1, 2, inProgress}, {5*time.Minute - 1, 2, inProgress}, {1, 2, expired}} {
			time.Sleep(want.wait)
			if v := lookUp(t, s, id); len(v.Events) != want.events || v.Status != want.status {
				t.Errorf("after another %v it is %+v", want.wait, v)
			}
		}
	})
}
