package sandbox

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPSD2Parameters(t *testing.T) {
	const meant = "number=447700900000&payee=Acme&amount=48.00"
	invalid := func(name string) string { return `{"status":"3","error_text":"Invalid value for param: ` + name + `"}` }
	missing := func(name string) string {
		return `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: ` + name + `"}`
	}
	for _, test := range []struct {
		name, query, want string
	}{
		{"all", meant + "&country=GB&code_length=6&lg=mt-mt&pin_expiry=240&next_event_wait=120&workflow_id=7", requestOK},
		{"no number", "payee=Acme&amount=1", missing("number")},
		{"no payee", "number=447700900000&amount=1", missing("payee")},
		{"no amount", "number=447700900000&payee=Acme", missing("amount")},
		{"a brand in place of the payee", "number=447700900000&brand=Acme&amount=1", missing("payee")},
		{"payee of 19", "number=447700900000&payee=1234567890123456789&amount=1", invalid("payee")},
		{"an amount in words", "number=447700900000&payee=Acme&amount=ten", invalid("amount")},
		{"a negative amount", "number=447700900000&payee=Acme&amount=-1", invalid("amount")},
		{"a language of requests alone", meant + "&lg=ja-jp", invalid("lg")},
		{"parameters of requests alone", meant + "&brand=Other&sender_id=123456789012&pin_code=1", requestOK},
		{"a blacklisted number", "number=447700900107&payee=Acme&amount=1", `{"network":"25503","status":"7","error_text":"The number you are trying to verify is blacklisted for verification"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{})
			if got := plain(ask(t, s, "psd2/json", test.query)); got != test.want {
				t.Errorf("answer %s, want %s", got, test.want)
			}
			if started := s.Accepted() == 1; started != (test.want == requestOK) {
				t.Errorf("verification started: %t", started)
			}
		})
	}
	if len(languagesPSD2) != 21 {
		t.Errorf("%d languages, want 21", len(languagesPSD2))
	}
}

// The verification of a payment is one like any other afterwards, and in the way of
// any other for its number.
func TestPSD2(t *testing.T) {
	inTurn(t, Config{}, []turn{
		{0, "psd2/json", "number=447700900000&payee=Acme&amount=48.00", requestOK},
		{0, "psd2/json", "number=447700900000&payee=Other&amount=1", `{"request_id":"ID","status":"10","error_text":"Concurrent verifications to the same number are not allowed"}`},
		{0, "json", "number=447700900000&brand=Acme", `{"request_id":"ID","status":"10","error_text":"Concurrent verifications to the same number are not allowed"}`},
		{40 * time.Second, "control/json", "request_id=ID&cmd=cancel", `{"status":"0","command":"cancel"}`},
	})
	s := newSandbox(t, Config{})
	ask(t, s, "psd2/json", "number=447700900000&payee=Acme&amount=48.00")
	if v := s.Verifications()[0]; v.Payee != "Acme" || v.Amount != "48.00" || v.Brand != "" {
		t.Errorf("the verification is %+v", v)
	}
}

// As the API does, the sandbox reads the body of a GET.
func TestBodyOfGet(t *testing.T) {
	s := newSandbox(t, Config{})
	r := httptest.NewRequest("GET", "/verify/json", strings.NewReader(`{"number":"447700900000","brand":"Acme"}`))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(testKey, testSecret)
	if got := plain(serve(s, r).Body.String()); got != requestOK {
		t.Errorf("answer %s", got)
	}
}
