package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

const testUUID = "390f7296-aeff-45ba-8931-84a13f3f76d7"

func TestIsV2(t *testing.T) {
	for path, want := range map[string]bool{
		"/v2/verify": true, "/v2/verify/": true, "/v2/verify/x/y": true, "/V2/Verify": true, "//v2//verify/x": true, `/v2\verify`: true,
		"/x/../v2/verify": true, "/v2/verify/../verify/x": true,
		"/v2/verify2": false, "/v2": false, "/verify/json": false, "/v3/verify": false, "/api/v2/verify": false, "": false,
	} {
		if got := IsV2(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestParsePathV2(t *testing.T) {
	undashed := strings.ReplaceAll(testUUID, "-", "")
	for _, test := range []struct {
		method, path string
		want         PathV2
		allow        string
		cause        Cause
	}{
		{"POST", "/v2/verify", PathV2{Request, "", "", "/v2/verify", ""}, "", ""},
		{"POST", "/v2/verify/", PathV2{Request, "", "", "/v2/verify", ""}, "", ""},
		{"POST", "//v2///verify", PathV2{Request, "", "", "/v2/verify", ""}, "", ""},
		{"POST", "/v2/verify/" + testUUID, PathV2{Check, undashed, "", "/v2/verify/{request_id}", ""}, "", ""},
		{"POST", "/v2/verify/" + strings.ToUpper(undashed), PathV2{Check, undashed, "", "/v2/verify/{request_id}", ""}, "", ""},
		{"DELETE", "/v2/verify/" + testUUID, PathV2{Control, undashed, "cancel", "/v2/verify/{request_id}", ""}, "", ""},
		{"POST", "/v2/verify/" + testUUID + "/next_workflow", PathV2{Control, undashed, "trigger_next_event", "/v2/verify/{request_id}/next_workflow", ""}, "", ""},
		{"GET", "/v2/verify", PathV2{Request, "", "", "/v2/verify", ""}, "POST", MethodNotAllowed},
		{"PATCH", "/v2/verify/" + testUUID, PathV2{Check, undashed, "", "/v2/verify/{request_id}", ""}, "POST, DELETE", MethodNotAllowed},
		{"POST", "/v2/verify/" + testUUID + "/next_workflow/", PathV2{}, "", MisspelledPath},
		{"POST", "/v2/verify/" + testUUID + "/next-workflow", PathV2{}, "", MisspelledPath},
		{"POST", "/v2/verify/" + testUUID + "/nextWorkflow", PathV2{}, "", MisspelledPath},
		{"POST", "/v2/verify/../verify", PathV2{}, "", MisspelledPath},
		{"POST", "/V2/verify", PathV2{}, "", MisspelledPath},
		{"POST", "/v2/verify/" + testUUID[1:], PathV2{}, "", UnknownPath},
		{"POST", "/v2/verify/" + strings.Replace(testUUID, "-", "", 1), PathV2{}, "", UnknownPath},
		{"POST", "/v2/verify/" + strings.Replace(testUUID, "3", "g", 1), PathV2{}, "", UnknownPath},
		{"POST", "/v2/verify/" + testUUID + "/x", PathV2{}, "", UnknownPath},
		{"GET", "/v2/verify/templates", PathV2{}, "", TemplatesOff},
		{"POST", "/v2/verify/network-unblock", PathV2{}, "", NetworkUnblockOff},
		{"GET", "/v2/verify/" + testUUID + "/silent-auth/redirect", PathV2{}, "", SilentAuthRedirect},
	} {
		p, found, fault := ParsePathV2(test.method, test.path, false)
		if p != test.want || found != (test.want.Route != "") || (fault != nil) != (test.cause != "") {
			t.Errorf("%s %s: %+v %v %v", test.method, test.path, p, found, fault)
		} else if fault != nil && (fault.Cause != test.cause || fault.Allow != test.allow) {
			t.Errorf("%s %s: %v %s", test.method, test.path, fault, fault.Allow)
		}
	}
}

func TestParseV2(t *testing.T) {
	start := PathV2{Operation: Request}
	check := PathV2{Operation: Check, RequestID: "id"}
	for _, test := range []struct {
		name, body string
		path       PathV2
		sent       string // "" for a fault
		params     []Param
		ignored    string
		cause      Cause
		about      string
	}{
		{
			name: "all members", path: start,
			body: `{"template_id":"t","fraud_check":false,"client_ref":"r","code":"A1b2","code_length":4,"channel_timeout":60,"locale":"en-us","workflow":[
				{"coverage_check":true,"redirect_url":"https://x","mode":"standard","reuse_code":true,"app_hash":"h","content_id":"c","entity_id":"e","from":"F","to":"+44 (7700) 900-000","channel":"sms"}],"brand":"B"}`,
			sent: `{"brand":"B","workflow":[{"channel":"sms","to":"447700900000","from":"F","entity_id":"e","content_id":"c","app_hash":"h","reuse_code":true,` +
				`"mode":"standard","redirect_url":"https://x","coverage_check":true}],"locale":"en-us","channel_timeout":60,"code_length":4,"code":"A1b2","client_ref":"r","fraud_check":false,"template_id":"t"}`,
			params: []Param{{"number", "447700900000"}, {"brand", "B"}, {"pin_code", "A1b2"}},
		},
		{
			name: "numbers and texts for each other, and what has no value", path: start,
			body: "\ufeff" + `{"brand":7,"workflow":[{"channel":"voice","to":447700900000,"from":""}],"channel_timeout":"060","locale":null}`,
			sent: `{"brand":"7","workflow":[{"channel":"voice","to":"447700900000"}],"channel_timeout":60}`,

			params: []Param{{"number", "447700900000"}, {"brand", "7"}},
		},
		{
			name: "an e-mail address and what is unknown", path: start,
			body: `{"brand":"é\u00e9\"","Brand":"C","447700900000":1,"workflow":[{"channel":"email","to":"a@b.c","x":{"to":"1"}}]}`,
			sent: `{"brand":"éé\"","workflow":[{"channel":"email","to":"a@b.c"}]}`, ignored: "Brand other x",
			params: []Param{{"brand", "éé\""}},
		},
		{name: "a code", path: check, body: `{"code":1234,"request_id":"x"}`, sent: `{"code":"1234"}`, ignored: "request_id", params: []Param{{"request_id", "id"}, {"code", "1234"}}},
		{name: "a token", path: check, body: `{"token":"t"}`, sent: `{"token":"t"}`, params: []Param{{"request_id", "id"}}},
		{name: "a fraction for a number", path: start, body: `{"brand":"B","channel_timeout":1.5,"workflow":[]}`, cause: InvalidParameter, about: "channel_timeout"},
		{name: "a text for a yes or no", path: start, body: `{"brand":"B","fraud_check":"no","workflow":[]}`, cause: InvalidParameter, about: "fraud_check"},
		{name: "a control character", path: start, body: `{"brand":"B\u0000","workflow":[]}`, cause: InvalidParameter, about: "brand"},
		{name: "nine messages", path: start, body: `{"brand":"B","workflow":[` + strings.Repeat(`{"channel":"sms","to":"447700900000"},`, 8) + `{"channel":"sms","to":"447700900000"}]}`, cause: InvalidParameter, about: "workflow"},
		{name: "an object for the workflow", path: start, body: `{"brand":"B","workflow":{"channel":"sms"}}`, cause: InvalidParameter, about: "workflow"},
		{name: "half a surrogate pair", path: start, body: `{"brand":"\ud83d","workflow":[]}`, cause: Undecodable, about: "the body is not valid JSON"},
		{name: "a name twice, written otherwise", path: check, body: `{"code":"1","\u0063ode":"2"}`, cause: RepeatedParameter, about: "code"},
		{name: "a name twice in what is unknown", path: check, body: `{"code":"1","x":{"y":1,"y":2}}`, cause: RepeatedParameter, about: "y"},
		{name: "too many", path: check, body: `{"code":"1"` + manyMembers(129) + `}`, cause: TooManyParameters},
		{name: "nothing", path: check, body: "", cause: Undecodable, about: "the body is not valid JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
			r.Header.Set("Content-Type", "application/json")
			call, ignored, err := ParseV2(test.path, r, false)
			fault := new(Fault)
			if errors.As(err, &fault) || test.cause != "" {
				if fault.Cause != test.cause || fault.Name != test.about {
					t.Fatalf("%v, want %s about %s", err, test.cause, test.about)
				}
				return
			}
			if call.Raw.Body != test.sent || !reflect.DeepEqual(call.Params, test.params) || strings.Join(ignored, " ") != test.ignored || call.Format != V2 {
				t.Errorf("%s %v, ignored %v", call.Raw.Body, call.Params, ignored)
			}
			// What is written is read as the same.
			r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(call.Raw.Body))
			r.Header.Set("Content-Type", "application/json")
			again, _, err := ParseV2(test.path, r, true)
			if err != nil || !reflect.DeepEqual(again, call) {
				t.Errorf("it is read again as %+v, %v", again, err)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"x` + strings.Repeat("y", i) + `":1`)
	}
	return b.String()
}

func FuzzParseV2(f *testing.F) {
	f.Add(`{"brand":"B","workflow":[{"channel":"sms","to":"447700900000"}]}`)
	f.Add(`{"brand":"B","workflow":[{"channel":"email","to":"a@b.c","from":"x@y.z"},{"channel":"voice","to":"+44 7700 900000"}],"channel_timeout":15}`)
	f.Fuzz(func(t *testing.T, body string) {
		read := func(body string, strict bool) (*Call, error) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			call, _, err := ParseV2(PathV2{Operation: Request}, r, strict)
			return call, err
		}
		call, err := read(body, false)
		if err != nil {
			return
		}
		if again, err := read(call.Raw.Body, true); err != nil || !reflect.DeepEqual(again, call) {
			t.Errorf("%s is read as %+v, and then %+v: %v", body, call, again, err)
		}
		// The guard sees all whom a reader of what is sent can see.
		var sent struct {
			Workflow []struct{ Channel, To string }
		}
		if err := json.Unmarshal([]byte(call.Raw.Body), &sent); err != nil || len(sent.Workflow) != len(call.Raw.Workflow) {
			t.Fatalf("%s is no start of %d messages: %v", call.Raw.Body, len(call.Raw.Workflow), err)
		}
		numbers, _ := call.Raw.Numbers()
		for i, m := range sent.Workflow {
			number := strings.Trim(m.To, "0123456789") == ""
			if m.To != call.Raw.Workflow[i].To || number == (m.Channel == "email" && strings.Contains(m.To, "@")) || number && !strings.Contains(strings.Join(numbers, " "), m.To) {
				t.Errorf("%s: the guard does not see %s", call.Raw.Body, m.To)
			}
		}
	})
}

// TestLifetimeV2: a verification of version 2 lives as long as its messages do.
func TestLifetimeV2(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"brand":"B","workflow":[{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900001"},{"channel":"sms","to":"447700900000"}]}`))
	call, _, err := ParseV2(PathV2{Operation: Request}, r, false)
	if err != nil {
		t.Fatal(err)
	}
	numbers, messages := call.Raw.Numbers()
	if call.Lifetime() != 9*time.Minute || call.Messages() != 3 || strings.Join(numbers, " ") != "447700900000 447700900001" || messages["447700900000"] != 2 {
		t.Errorf("%s, %d messages, %v %v", call.Lifetime(), call.Messages(), numbers, messages)
	}
}

func TestSayV2(t *testing.T) {
	for _, test := range []struct {
		fault *Fault
		code  int
		want  string
	}{
		{Refuse(InvalidParameter, "to"), 422, `"title":"Unprocessable Entity","invalid_parameters":[{"name":"to","reason":"Invalid value for param: to"}],"detail":"Invalid value for param: to; nothing was sent (caddy-verify: invalid_parameter)"}`},
		{&Fault{Cause: ConnectionLost, MayHaveSent: true}, 502, `"detail":"The connection to the Verify API was lost; the call may have been sent (caddy-verify: connection_lost)"}`},
		{&Fault{Cause: LimitReached}, 429, `"title":"Too Many Requests"`},
		{&Fault{Cause: GuardRefused, As: NumberBlocked}, 403, `"detail":"Gateway guard;`},
		{&Fault{Cause: GuardRefused, As: Concurrent, RequestID: strings.ReplaceAll(testUUID, "-", "")}, 409, `"request_id":"` + testUUID + `"`},
		{&Fault{Cause: GuardRefused, As: Throttled}, 429, `"detail":"Gateway guard;`},
		{&Fault{Cause: ClientLeft}, 499, `"title":"Client Closed Request"`},
	} {
		for _, useHTTP := range []bool{false, true} {
			a := Say(test.fault, Request, V2, useHTTP)
			if a.Code != test.code || a.ContentType != ProblemJSON || !strings.Contains(string(a.Body), test.want) || !json.Valid(a.Body) || a.Status != test.fault.Status() {
				t.Errorf("%v: %d %s", test.fault, a.Code, a.Body)
			}
		}
	}
	a := Answer{Code: 409, Body: []byte(`{"request_id":"` + testUUID + `"}`), Reading: Reading{Verification: Verification{Status: Concurrent, RequestID: "x"}}}
	if a = a.WithoutRequestID(Request, V2); a.Code != 409 || a.Status != Concurrent || a.RequestID != "" || !json.Valid(a.Body) || strings.Contains(string(a.Body), "request_id") {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}
