package wire

import (
	"net/http"
	"testing"
)

// The end user's address comes with what starts a verification in any way that parameters do, and is no parameter of the call.
func TestParseAddress(t *testing.T) {
	const form, json = "number=44123&brand=Acme", `{"number":"44123","brand":"Acme"`
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	for _, test := range []struct {
		name    string
		r       *http.Request
		want    string
		refused Cause
	}{
		{"none", get(form), "", ""},
		{"in a query", get(form + "&ip_address=192.0.2.1"), "192.0.2.1", ""},
		{"in a form", post("", formType, form+"&ip_address=2001:db8::1"), "2001:db8::1", ""},
		{"in JSON", post("", jsonType, json+`,"ip_address":"192.0.2.1"}`), "192.0.2.1", ""},
		{"in JSON, null", post("", jsonType, json+`,"ip_address":null}`), "", ""},
		{"beside JSON", post("ip_address=192.0.2.1", jsonType, json+`}`), "192.0.2.1", ""},
		{"twice the same", post("ip_address=192.0.2.1", jsonType, json+`,"ip_address":"192.0.2.1"}`), "192.0.2.1", ""},
		{"two of them", post("ip_address=192.0.2.1", jsonType, json+`,"ip_address":"192.0.2.2"}`), "", RepeatedParameter},
		{"none such, in a form", post("", formType, form+"&ip_address=<b>"), "", InvalidParameter},
		{"none such, in JSON", post("", jsonType, json+`,"ip_address":"<b>"}`), "", InvalidParameter},
		{"an array in JSON", post("", jsonType, json+`,"ip_address":["192.0.2.1"]}`), "", InvalidParameter},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.refused != "" {
				isRefusedBy(t, Request, test.r, true, test.refused, "ip_address")
				return
			}
			call, ignored, err := Parse(Request, JSON, test.r, true)
			if err != nil || len(ignored) > 0 {
				t.Fatalf("ignored %v, refused: %v", ignored, err)
			}
			if call.Address != test.want || string(call.AppendForm(nil)) != form {
				t.Errorf("the address is %q of the call %s, want %q of %s", call.Address, call.AppendForm(nil), test.want, form)
			}
		})
	}
}
