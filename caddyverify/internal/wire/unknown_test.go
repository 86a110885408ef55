package wire

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// What an operation does not have is left out, or under strict refused by its name.
func TestParseUnknownParameters(t *testing.T) {
	const request, check = "number=44123&brand=Acme", "request_id=a&code=1"
	for _, test := range []struct {
		name  string
		o     Operation
		query string // after the parameters that are meant
		json  string // the same as members
		named string // by strict
		shown string // in a log
	}{
		{"misspelt", Request, "nubmer=1", `"nubmer":"1"`, "nubmer", "nubmer"},
		{"empty", Request, "nubmer=", `"nubmer":null`, "nubmer", "nubmer"},
		{"without name", Request, "=1", `"":"1"`, "Unknown param: ;", "other"},
		{"in capitals", Request, "NUMBER=44124", `"NUMBER":"44124"`, "NUMBER", "NUMBER"},
		{"space before", Request, "+number=44124", `" number":"44124"`, " number", "other"},
		{"NUL after", Request, "number%00=44124", `"number\u0000":"44124"`, "number?", "other"},
		{"jQuery's", Request, "_=1700000000000", `"_":1700000000000`, "_", "_"},
		{"an app's own", Request, "action_type=login", `"action_type":"login"`, "action_type", "action_type"},
		{"a callback", Request, "callback=https://example.com", `"callback":"https://example.com"`, "callback", "callback"},
		{"a request's, on a check", Check, "number=44123", `"number":"44123"`, "number", "number"},
		{"a control's, on a check", Check, "cmd=cancel", `"cmd":"cancel"`, "cmd", "cmd"},
		{"a search's, on a check", Check, "request_ids=a", `"request_ids":["a"]`, "request_ids", "request_ids"},
		{"a structure", Request, "x[a]=1", `"x[a]":{"a":[1,{"b":null}]}`, "x[a]", "x[a]"},
		{"a truth", Request, "x=true", `"x":true`, "x", "x"},
		{"a fraction", Request, "x=1.5", `"x":-1.5e3`, "x", "x"},
		{"a format", Request, "%25s%25d=1", `"%s%d":"1"`, "%s%d", "other"},
		{"a value that nothing could be", Request, "x=%00%0a%ff", `"x":"\u0000\n"`, "x", "x"},
		{"a number for a name", Request, "447700900000=1", `"447700900000":"1"`, "447700900000", "other"},
		{"a number in a name", Request, "to447700=1", `"to447700":"1"`, "to447700", "other"},
		{"a long name", Request, strings.Repeat("a", 33) + "=1", `"` + strings.Repeat("a", 33) + `":"1"`, "aaa", "other"},

		{"API_KEY", Check, "API_KEY=x", `"API_KEY":"x"`, "API_KEY", "API_KEY"},
		{"apikey", Check, "apikey=x", `"apikey":"x"`, "apikey", "apikey"},
		{"apiKey", Check, "apiKey=x", `"apiKey":"x"`, "apiKey", "apiKey"},
		{"api-key", Check, "api-key=x", `"api-key":"x"`, "api-key", "api-key"},
		{"api.key", Check, "api.key=x", `"api.key":"x"`, "api.key", "api.key"},
		{"key and secret", Check, "secret=x&key=x", `"secret":"x","key":"x"`, "secret", "secret"},
		{"apiSecret", Check, "apiSecret=x", `"apiSecret":{"x":1}`, "apiSecret", "apiSecret"},
		{"api_secret[]", Check, "api_secret[]=x", `"api_secret[]":["x"]`, "api_secret[]", "api_secret[]"},
		{"api_secret with NUL", Check, "api_secret%00=x", `"api_secret\u0000":"x"`, "api_secret?", "other"},
		{"space after api_key", Check, "api_key+=x", `"api_key ":"x"`, "api_key ", "other"},
		{"api_key escaped twice", Check, "api%255fkey=x", `"api%5fkey":"x"`, "api%5fkey", "other"},
		{"api_key in wide letters", Check, "ａpi_key=x", `"ａpi_key":"x"`, "ａpi_key", "other"},
		{"signature", Check, "signature=x", `"signature":"x"`, "signature", "signature"},
	} {
		meant, object := request, `{"number":"44123","brand":"Acme",`
		if test.o == Check {
			meant, object = check, `{"request_id":"a","code":"1",`
		}
		for way, r := range map[string]func() *http.Request{
			"query":           func() *http.Request { return get(meant + "&" + test.query) },
			"form":            func() *http.Request { return post("", formType, test.query+"&"+meant) },
			"form and query":  func() *http.Request { return post(test.query, formType, meant) },
			"JSON":            func() *http.Request { return post("", jsonType, object+test.json+"}") },
			"JSON beside all": func() *http.Request { return post(meant, jsonType, "{"+test.json+"}") },
		} {
			t.Run(test.name+"/"+way, func(t *testing.T) {
				isCall(t, test.o, r(), meant)
				isRefusedBy(t, test.o, r(), true, UnknownParameter, test.named)
				_, ignored, _ := Parse(test.o, JSON, r(), false)
				if len(ignored) == 0 || ignored[0] != test.shown {
					t.Errorf("left out: %q, want %q first", ignored, test.shown)
				}
			})
		}
	}
}

func TestParseIgnored(t *testing.T) {
	for _, test := range []struct {
		name    string
		r       *http.Request
		ignored []string
	}{
		{"none", get("request_id=a&code=1"), nil},
		{"credentials", get("request_id=a&code=1&api_key=x&api_secret=x&sig=x&timestamp=1&api_key"), nil},
		{"query and body", post("_=1&request_id=a", jsonType, `{"code":1,"x":[],"x":{}}`), []string{"_", "x", "x"}},
		{"refused for another reason", get("requestId=a&code=1"), []string{"requestId"}},
		{"a value without a name", get("request_id=a&code=1&hunter"), []string{"other"}},
		{"a name after it", post("hunter", jsonType, `{"request_id":"a","code":"1","y":"2"}`), []string{"other", "y"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, ignored, _ := Parse(Check, JSON, test.r, false); !reflect.DeepEqual(ignored, test.ignored) {
				t.Errorf("left out: %q, want %q", ignored, test.ignored)
			}
		})
	}
}

// Who misspells a mandatory name is told that it was not read.
func TestParseMisspelt(t *testing.T) {
	for _, test := range []struct {
		o           Operation
		query, text string
	}{
		{Request, "Number=44123&brand=Acme", "parameter: number (one of nearly that name was left out)"},
		{Request, "number=44123&BRAND=Acme", "parameter: brand (one of nearly that name was left out)"},
		{Check, "requestId=a&code=1", "parameter: request_id (one of nearly that name was left out)"},
		{Search, "request-id=a", "request_ids (one of nearly that name was left out)"},
		{Search, "request_ids[]=a&request_ids[]=b", "request_ids (one of nearly that name was left out)"},
		{Search, "request_ids[0]=a", "request_ids (one of nearly that name was left out)"},
		{Control, "Request_Id=a", "request_id and cmd (one of nearly that name was left out)"},
		{Request, "to=44123&brand=Acme", "parameter: number; nothing was sent"},
	} {
		_, _, err := Parse(test.o, JSON, get(test.query), false)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %s", test.query, err, test.text)
		}
	}
}
