package sandbox

import (
	"net/url"
	"strings"
	"testing"
)

func TestRequestParameters(t *testing.T) {
	const number = "number=447700900000"
	invalid := func(name string) string { return `{"status":"3","error_text":"Invalid value for param: ` + name + `"}` }
	const badNumber = `{"status":"3","error_text":"Invalid value for number"}`
	const ok = `{"request_id":"ID","status":"0"}`
	for _, test := range []struct {
		name, query, want string
	}{
		{"all", number + "&brand=Acme+Inc&country=GB&sender_id=ACME&code_length=6&lg=yue-cn&require_type=All&pin_expiry=240&next_event_wait=120&workflow_id=7", ok},
		{"no number", "brand=Acme", `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: number"}`},
		{"empty number", "number=&brand=Acme", `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: number"}`},
		{"no brand", number, `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: brand"}`},
		{"brand of 18", number + "&brand=" + url.QueryEscape(strings.Repeat("é", 18)), ok},
		{"brand of 19", number + "&brand=1234567890123456789", invalid("brand")},
		{"sender_id of 12", number + "&brand=A&sender_id=123456789012", invalid("sender_id")},
		{"letters", "number=4477abc&brand=A", badNumber},
		{"short number", "number=447700&brand=A", badNumber},
		{"long number", "number=4477009000001234&brand=A", badNumber},
		{"national number without country", "number=07700900000&brand=A", badNumber},
		{"spelled number", "number=" + url.QueryEscape("+44 (7700) 900-000") + "&brand=A", ok},
		{"country of 3", number + "&brand=A&country=GBR", invalid("country")},
		{"country of digits", number + "&brand=A&country=44", invalid("country")},
		{"code_length 5", number + "&brand=A&code_length=5", invalid("code_length")},
		{"code_length word", number + "&brand=A&code_length=four", invalid("code_length")},
		{"lg", number + "&brand=A&lg=xx-xx", invalid("lg")},
		{"lg in capitals", number + "&brand=A&lg=EN-GB", ok},
		{"pin_expiry 59", number + "&brand=A&pin_expiry=59", invalid("pin_expiry")},
		{"pin_expiry 3601", number + "&brand=A&pin_expiry=3601", invalid("pin_expiry")},
		{"next_event_wait 59", number + "&brand=A&next_event_wait=59", invalid("next_event_wait")},
		{"next_event_wait 901", number + "&brand=A&next_event_wait=901", invalid("next_event_wait")},
		{"workflow_id 0", number + "&brand=A&workflow_id=0", invalid("workflow_id")},
		{"workflow_id 8", number + "&brand=A&workflow_id=8", invalid("workflow_id")},
		{"first of two", number + "&brand=A&lg=xx&workflow_id=8", invalid("lg")},
		{"pin_code not enabled", number + "&brand=A&pin_code=AKFG-3424", `{"status":"20","error_text":"This account does not support the parameter: pin_code."}`},
		{"unknown parameter", number + "&brand=A&colour=red", ok},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{})
			if got := plain(ask(t, s, "json", test.query)); got != test.want {
				t.Errorf("answer %s, want %s", got, test.want)
			}
			if started := s.Accepted() == 1; started != (test.want == ok) {
				t.Errorf("verification started: %t", started)
			}
		})
	}
}

func TestLanguages(t *testing.T) {
	if len(languages) != 39 {
		t.Errorf("%d languages, want 39", len(languages))
	}
}

func TestNationalNumbers(t *testing.T) {
	for _, test := range []struct{ number, country, want string }{
		{"07700900000", "GB", "447700900000"},
		{"7700900000", "gb", "447700900000"},
		{"+447700900000", "GB", "447700900000"},
		{"447700900000", "GB", "447700900000"},
		{"2025550123", "US", "12025550123"},
		{"0151 23456789", "DE", "4915123456789"},
		{"0639980000", "FR", "33639980000"},
		{"+447700900000", "US", "447700900000"},
		{"447700900000", "ZZ", "447700900000"},
	} {
		t.Run(test.country+" "+test.number, func(t *testing.T) {
			s := newSandbox(t, Config{})
			id := begin(t, s, "number="+url.QueryEscape(test.number), "country="+test.country)
			if got := lookUp(t, s, id).Number; got != test.want {
				t.Errorf("number %s, want %s", got, test.want)
			}
		})
	}
}

func TestCodes(t *testing.T) {
	random := func(t *testing.T, query string) string {
		s, err := New(Config{APIKey: testKey, APISecret: testSecret})
		if err != nil {
			t.Fatal(err)
		}
		return lookUp(t, s, begin(t, s, query)).Code
	}
	if code := random(t, ""); len(code) != 4 || !all(code, isDigit) {
		t.Errorf("PIN %q, want 4 digits", code)
	}
	if code := random(t, "code_length=6"); len(code) != 6 || !all(code, isDigit) {
		t.Errorf("PIN %q, want 6 digits", code)
	}

	s := newSandbox(t, Config{Code: "998877", AllowPinCode: true})
	if code := lookUp(t, s, begin(t, s)).Code; code != "998877" {
		t.Errorf("code %q, want the configured one", code)
	}
	id := begin(t, s, "pin_code=AKFG-3424", "number=447700900001")
	if code := lookUp(t, s, id).Code; code != "AKFG-3424" {
		t.Errorf("code %q, want the pin_code", code)
	}
	if got := statusOf(t, ask(t, s, "check/json", "code=AKFG-3424&request_id="+id)); got != "0" {
		t.Errorf("check of a pin_code: status %s", got)
	}
	if got := statusOf(t, ask(t, s, "json", "brand=A&number=447700900002&pin_code=1%2034")); got != "3" {
		t.Errorf("request with an impossible pin_code: status %s", got)
	}
}

func TestForcedStatuses(t *testing.T) {
	for number, want := range map[string]string{
		"447700900101": `{"status":"1","error_text":"Throttled"}`,
		"447700900102": `{"status":"2","error_text":"Missing api_key"}`,
		"447700900103": `{"status":"3","error_text":"Invalid value for number"}`,
		"447700900104": `{"status":"4","error_text":"Invalid credentials were provided"}`,
		"447700900105": `{"status":"5","error_text":"Internal Error"}`,
		"447700900106": `{"status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: The request could not be routed."}`,
		"447700900107": `{"network":"25503","status":"7","error_text":"The number you are trying to verify is blacklisted for verification"}`,
		"447700900108": `{"status":"8","error_text":"The api_key you supplied is for an account that has been barred from submitting messages."}`,
		"447700900109": `{"status":"9","error_text":"Partner quota exceeded"}`,
		"447700900110": `{"request_id":"ID","status":"10","error_text":"Concurrent verifications to the same number are not allowed"}`,
		"447700900115": `{"status":"15","error_text":"The destination number is not in a supported network"}`,
		"447700900120": `{"status":"20","error_text":"This account does not support the parameter: pin_code."}`,
		"447700900129": `{"status":"29","error_text":"Your Vonage account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."}`,
		"447700900100": `{"request_id":"ID","status":"0"}`,
		"447700900111": `{"request_id":"ID","status":"0"}`,
		"447700900000": `{"request_id":"ID","status":"0"}`,
	} {
		t.Run(number, func(t *testing.T) {
			s := newSandbox(t, Config{})
			if got := plain(ask(t, s, "json", "brand=A&number="+number)); got != want {
				t.Errorf("answer %s, want %s", got, want)
			}
		})
	}
}

func TestOneVerificationPerNumber(t *testing.T) {
	s := newSandbox(t, Config{})
	id := begin(t, s)
	got := fields(t, ask(t, s, "json", "brand=B&number=%2B447700900000"))
	if got["status"] != "10" || got["request_id"] != id {
		t.Errorf("answer %v, want status 10 with request_id %s", got, id)
	}
	begin(t, s, "number=447700900001")
	if s.Accepted() != 2 {
		t.Errorf("%d verifications, want 2", s.Accepted())
	}
	ask(t, s, "check/json", "code=4321&request_id="+id)
	begin(t, s)
}
