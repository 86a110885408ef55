package v2

import (
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestTranslateRequest(t *testing.T) {
	const (
		smsStep   = `{"channel":"sms","to":"447700900000","from":"VERIFY","reuse_code":true}`
		voiceStep = `{"channel":"voice","to":"447700900000","reuse_code":true}`
	)
	for _, test := range []struct {
		name   string
		params []string
		body   string
	}{
		{"no workflow", nil, `{"brand":"Acme","workflow":[` + smsStep + `,` + voiceStep + `,` + voiceStep + `],"channel_timeout":180}`},
		{"workflow 1", []string{"workflow_id", "1"}, `{"brand":"Acme","workflow":[` + smsStep + `,` + voiceStep + `,` + voiceStep + `],"channel_timeout":180}`},
		{"workflow 2", []string{"workflow_id", "2"}, `{"brand":"Acme","workflow":[` + smsStep + `,` + smsStep + `,` + voiceStep + `],"channel_timeout":180}`},
		{"workflow 3", []string{"workflow_id", "3"}, `{"brand":"Acme","workflow":[` + voiceStep + `,` + voiceStep + `],"channel_timeout":150}`},
		{"workflow 4", []string{"workflow_id", "4"}, `{"brand":"Acme","workflow":[` + smsStep + `,` + smsStep + `],"channel_timeout":150}`},
		{"workflow 5", []string{"workflow_id", "5"}, `{"brand":"Acme","workflow":[` + smsStep + `,` + voiceStep + `],"channel_timeout":150}`},
		{"workflow 6", []string{"workflow_id", "6"}, `{"brand":"Acme","workflow":[{"channel":"sms","to":"447700900000","from":"VERIFY"}],"channel_timeout":300}`},
		{"workflow 7", []string{"workflow_id", "7"}, `{"brand":"Acme","workflow":[{"channel":"voice","to":"447700900000"}],"channel_timeout":300}`},
		{
			"everything",
			[]string{"workflow_id", "6", "lg", "de-DE", "code_length", "6", "sender_id", "Shop", "next_event_wait", "60", "pin_expiry", "120", "require_type", "All"},
			`{"brand":"Acme","workflow":[{"channel":"sms","to":"447700900000","from":"Shop"}],"locale":"de-de","channel_timeout":60,"code_length":6}`,
		},
		{
			"a code of the application's own",
			[]string{"workflow_id", "7", "pin_code", "aB34", "code_length", "4"},
			`{"brand":"Acme","workflow":[{"channel":"voice","to":"447700900000"}],"channel_timeout":300,"code":"aB34"}`,
		},
		{
			"a code of the application's own, for longer than pin_expiry",
			[]string{"workflow_id", "3", "pin_code", "AB34", "next_event_wait", "600"},
			`{"brand":"Acme","workflow":[` + voiceStep + `,` + voiceStep + `],"channel_timeout":600,"code":"AB34"}`,
		},
		{
			"a wait as long as the default pin_expiry",
			[]string{"workflow_id", "3", "next_event_wait", "300"},
			`{"brand":"Acme","workflow":[{"channel":"voice","to":"447700900000"},{"channel":"voice","to":"447700900000"}],"channel_timeout":300}`,
		},
		{
			"a pin_expiry of two waits",
			[]string{"workflow_id", "3", "next_event_wait", "300", "pin_expiry", "600"},
			`{"brand":"Acme","workflow":[` + voiceStep + `,` + voiceStep + `],"channel_timeout":300}`,
		},
		{
			"a pin_expiry below the wait",
			[]string{"workflow_id", "3", "pin_expiry", "60"},
			`{"brand":"Acme","workflow":[{"channel":"voice","to":"447700900000"},{"channel":"voice","to":"447700900000"}],"channel_timeout":150}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := saying(said{202, `{"request_id":"` + id + `"}`})
			if answer := send(t, newClient(t, p), requestCall(test.params...)); answer.Status != wire.Success {
				t.Fatalf("got %s", answer.Body)
			}
			want := sent{"POST", "https://api.example.com/v2/verify", "Basic YWJjZDEyMzQ6Q2FuYS9yeStTM2NyZXRCeA==", "application/json", test.body}
			if len(p.sent) != 1 || p.sent[0] != want {
				t.Errorf("sent %+v\nwant %+v", p.sent, want)
			}
		})
	}
}

func TestTranslateNumbers(t *testing.T) {
	for _, test := range []struct{ number, country, to, wrong string }{
		{"447700900000", "", "447700900000", ""},
		{"+44 7700 900-000", "", "447700900000", ""},
		{"00447700900000", "", "447700900000", ""},
		{"07700900000", "GB", "447700900000", ""},
		{"7700900000", "gb", "447700900000", ""},
		{"+447700900000", "DE", "447700900000", ""},
		{"0151 23456789", "DE", "4915123456789", ""},
		{"07700900000", "", "", "number"},
		{"07700900000", "ZZ", "", "country"},
		{"07700900000", "GBR", "", "country"},
		{"447700900000", "ZZ", "447700900000", ""}, // v1 need not look at it
		{"4477009000001234", "", "", "number"},
		{"()-", "", "", "number"},
	} {
		call := &wire.Call{Operation: wire.Request, Params: params("number", test.number, "brand", "Acme")}
		if test.country != "" {
			call.Params = append(call.Params, wire.Param{Name: "country", Value: test.country})
		}
		made, fault := translate(call)
		switch {
		case test.wrong != "":
			if fault == nil || fault.Cause != wire.InvalidParameter || fault.Name != test.wrong {
				t.Errorf("%q in %q: the fault is %v", test.number, test.country, fault)
			}
		case fault != nil:
			t.Errorf("%q in %q: %v", test.number, test.country, fault)
		case made.to != test.to:
			t.Errorf("%q in %q is %q, want %q", test.number, test.country, made.to, test.to)
		}
	}
}

// What v2 has no room for is refused with v1's status 3 and v1's name, before anything is sent.
func TestRefusedUnsent(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"workflow_id", "8"},
		{"workflow_id", "0"},
		{"workflow_id", "SMS"},
		{"next_event_wait", "59"},
		{"next_event_wait", "901"},
		{"pin_expiry", "59"},
		{"pin_expiry", "3601"},
		{"pin_expiry", "x"},
		{"code_length", "3"},
		{"code_length", "5"},
		{"code_length", "7"},
		{"pin_code", "AKFG-3424"},
		{"pin_code", "123"},
		{"pin_code", "12345678901"},
		{"brand", "Acme: Shop"},
		{"brand", "A/B"},
		{"brand", `A\B`},
		{"brand", "{A}"},
		{"brand", "A$AP"},
	} {
		p := saying(said{202, `{"request_id":"` + id + `"}`})
		call := &wire.Call{Operation: wire.Request, Params: params("number", number, test.name, test.value)}
		if test.name != "brand" {
			call.Params = append(call.Params, wire.Param{Name: "brand", Value: "Acme"})
		}
		answer := send(t, newClient(t, p), call)
		want := "Invalid value for param: " + test.name + "; nothing was sent (caddy-verify: invalid_parameter)"
		if answer.Status != wire.Invalid || errorText(t, answer) != want || len(p.sent) > 0 {
			t.Errorf("%s=%s got %s, with %d requests", test.name, test.value, answer.Body, len(p.sent))
		}
	}
}

// A code that can be none is told from a wrong one, whatever it is for.
func TestNoCode(t *testing.T) {
	for _, test := range []struct {
		about, code string
		sent        int
		status      wire.Status
	}{
		{v1ID, "123", 0, wire.Invalid},
		{v1ID, "12345678901", 0, wire.Invalid},
		{"unknown", "123", 0, wire.Invalid},
		{"unknown", "1234", 0, wire.NotFoundOrFinished},
		{v1ID, "1234", 1, wire.WrongCode},
	} {
		p := saying(said{400, `{"title":"Invalid Code"}`})
		answer := send(t, newClient(t, p), &wire.Call{Operation: wire.Check, Params: params("request_id", test.about, "code", test.code)})
		if answer.Status != test.status || len(p.sent) != test.sent {
			t.Errorf("%s of %s got %s, with %d requests", test.code, test.about, answer.Body, len(p.sent))
		}
	}
}

// A search tells the sender that v1 would tell.
func TestSenderIsTold(t *testing.T) {
	for _, test := range []struct {
		params []string
		want   string
	}{
		{nil, "verify"},
		{[]string{"sender_id", "Shop"}, "Shop"},
		{[]string{"sender_id", "Shop", "workflow_id", "7"}, "Shop"}, // which no message has
		{[]string{"workflow_id", "7"}, "verify"},
	} {
		made, fault := translate(requestCall(test.params...))
		if fault != nil || made.start().Sender != test.want {
			t.Errorf("%v: %v, %v", test.params, made, fault)
		}
	}
}

func TestPSD2(t *testing.T) {
	p := saying(said{202, `{"request_id":"` + id + `"}`})
	answer := send(t, newClient(t, p), &wire.Call{Operation: wire.PSD2, Params: params("number", number, "payee", "Acme", "amount", "48.00")})
	if answer.Status != wire.Invalid || answer.Fault.Cause != wire.PSD2Unsupported || len(p.sent) > 0 {
		t.Errorf("got %s, with %d requests", answer.Body, len(p.sent))
	}
}

func TestClientRef(t *testing.T) {
	p := saying(said{202, `{"request_id":"` + id + `"}`})
	c := newClient(t, p)
	c.Ref = func(call *wire.Call) string { return "ref" + call.Caller }
	call := requestCall("workflow_id", "7")
	call.Caller = "shop"
	send(t, c, call)
	want := `{"brand":"Acme","workflow":[{"channel":"voice","to":"447700900000"}],"channel_timeout":300,"client_ref":"refshop"}`
	if p.sent[0].body != want {
		t.Errorf("sent %s", p.sent[0].body)
	}
}

func BenchmarkTranslate(b *testing.B) {
	call := requestCall("lg", "de-de", "sender_id", "Shop")
	for b.Loop() {
		made, fault := translate(call)
		if fault != nil || made.body() == "" {
			b.Fatal(fault)
		}
	}
}
