package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

func get(query string) *http.Request {
	return &http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: query}, Header: http.Header{}, Body: http.NoBody}
}

func post(query, contentType, body string) *http.Request {
	r := get(query)
	r.Method = http.MethodPost
	r.Header.Set("Content-Type", contentType)
	r.Body = io.NopCloser(strings.NewReader(body))
	r.ContentLength = int64(len(body))
	return r
}

// unsized is r as it comes in chunks or over HTTP/3: nobody said how long the body is.
func unsized(r *http.Request) *http.Request {
	r.ContentLength = -1
	return r
}

func with(r *http.Request, header, value string) *http.Request {
	r.Header.Add(header, value)
	return r
}

// isCall makes sure that r is the call whose form is want.
func isCall(t *testing.T, o Operation, r *http.Request, want string) {
	t.Helper()
	call, _, err := Parse(o, XML, r, false)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if call.Operation != o || call.Format != XML {
		t.Errorf("taken for %s in %s", call.Operation, call.Format)
	}
	if got := string(call.AppendForm(nil)); got != want {
		t.Errorf("the call is %s, want %s", got, want)
	}
}

// isRefused makes sure that r is refused for cause. A name is looked for in the
// text that the client reads.
func isRefused(t *testing.T, o Operation, r *http.Request, cause Cause, name string) {
	t.Helper()
	isRefusedBy(t, o, r, false, cause, name)
}

func isRefusedBy(t *testing.T, o Operation, r *http.Request, strict bool, cause Cause, name string) {
	t.Helper()
	call, _, err := Parse(o, JSON, r, strict)
	if err == nil {
		t.Fatalf("taken for the call %s", string(call.AppendForm(nil)))
	}
	var fault *Fault
	if !errors.As(err, &fault) {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	if call != nil {
		t.Errorf("there is a call beside the fault: %v", call)
	}
	if fault.Cause != cause || !strings.Contains(fault.Error(), name) || fault.MayHaveSent {
		t.Errorf("refused: %v, want %s about %q", fault, cause, name)
	}
}

// whole has every parameter that each operation takes.
var whole = []struct {
	name string
	o    Operation
	form string // canonical
	json string
}{
	{
		"request", Request,
		"number=447700900000&brand=Acme+Inc&country=GB&sender_id=ACME&code_length=6&lg=en-gb&require_type=mobile" +
			"&pin_expiry=240&next_event_wait=120&workflow_id=4&pin_code=AKFG-3424",
		`{"pin_code":"AKFG-3424","workflow_id":4,"next_event_wait":120,"pin_expiry":240,"require_type":"mobile","lg":"en-gb",` +
			`"code_length":6,"sender_id":"ACME","country":"GB","brand":"Acme Inc","number":"447700900000"}`,
	},
	{
		"check", Check,
		"request_id=" + idA + "&code=0123456789&ip_address=192.0.2.1&ip=2001%3Adb8%3A%3A1",
		`{"ip":"2001:db8::1","ip_address":"192.0.2.1","code":"0123456789","request_id":"` + idA + `"}`,
	},
	{"search for one", Search, "request_id=" + idA, `{"request_id":"` + idA + `"}`},
	{
		"search for several", Search,
		"request_ids=" + idB + "&request_ids=" + idA,
		`{"request_ids":["` + idB + `","` + idA + `"]}`,
	},
	{
		"control", Control,
		"request_id=" + idA + "&cmd=trigger_next_event",
		`{"cmd":"trigger_next_event","request_id":"` + idA + `"}`,
	},
	{
		"psd2", PSD2,
		"number=447700900000&payee=Acme+Inc&amount=48.05&country=GB&code_length=6&lg=en-gb&pin_expiry=240&next_event_wait=120&workflow_id=4",
		`{"workflow_id":4,"next_event_wait":120,"pin_expiry":240,"lg":"en-gb","code_length":6,"country":"GB","amount":48.05,"payee":"Acme Inc","number":"447700900000"}`,
	},
}

// credentials are what SDKs send along, in all the ways that they do.
var credentials = url.Values{
	"api_key": {"dummy"}, "api_secret": {"dumm&y="}, "sig": {"0a1b"}, "timestamp": {"1700000000"},
}

func TestParseWholeCalls(t *testing.T) {
	for _, test := range whole {
		credentialsJSON := `{"api_key":"dummy","api_secret":"dumm\u0026y","sig":null,"timestamp":1700000000,`
		for name, r := range map[string]*http.Request{
			"GET":                     get(test.form),
			"GET with credentials":    get(credentials.Encode() + "&" + test.form),
			"GET ending in &":         get(test.form + "&"),
			"GET with Basic":          with(get(test.form), "Authorization", "Basic ZHVtbXk6ZHVtbXk="),
			"GET with a Content-Type": with(get(test.form), "Content-Type", formType),
			"GET over HTTP/3":         unsized(get(test.form)),
			"form":                    post("", formType, test.form),
			"form in chunks":          unsized(post("", formType, test.form)),
			"form with credentials":   post("", formType, test.form+"&"+credentials.Encode()),
			"form with a charset":     post("", formType+"; charset=UTF-8", test.form),
			"form with Basic":         with(post("", formType, test.form), "Authorization", "Basic ZHVtbXk6ZHVtbXk="),
			"form ending in &":        post("", formType, test.form+"&"),
			"form, key in the query":  post(credentials.Encode(), formType, test.form),
			"credentials twice":       post(credentials.Encode(), formType, test.form+"&"+credentials.Encode()+"&"+credentials.Encode()),
			"JSON":                    post("", jsonType, test.json),
			"JSON in chunks":          unsized(post("", jsonType, test.json)),
			"JSON with a charset":     post("", jsonType+";charset=utf-8", test.json),
			"JSON with white space":   post("", jsonType, " \r\n"+strings.ReplaceAll(test.json, ",", " ,\n\t")+"\n"),
			"JSON with credentials":   post("", jsonType, credentialsJSON+test.json[1:]),
			"JSON with Basic":         with(post("", jsonType, test.json), "Authorization", "Basic ZHVtbXk6ZHVtbXk="),
			"JSON, key in the query":  post(credentials.Encode(), jsonType, test.json),
			"POST with a query":       post(test.form, "", ""),
			"POST without type":       withoutType(post(test.form, "", "")),
			"POST over HTTP/3":        unsized(withoutType(post(test.form, "", ""))),
			"Content-Length of 0":     with(post(test.form, "", ""), "Content-Length", "0"),
			"POST with empty JSON":    post(test.form, jsonType, "{}"),
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) { isCall(t, test.o, r, test.form) })
		}
	}
}

func withoutType(r *http.Request) *http.Request {
	r.Header.Del("Content-Type")
	return r
}

// The table of parameters is as long as the collector's arrays at most, and whole
// has all of them.
func TestParametersAreTested(t *testing.T) {
	for _, o := range Operations {
		if most := len(collector{}.found); len(parameters[o]) > most {
			t.Errorf("%s takes %d parameters, the collector %d", o, len(parameters[o]), most)
		}
		for _, p := range parameters[o] {
			found := false
			for _, test := range whole {
				found = found || test.o == o && strings.Contains("&"+test.form, "&"+p.name+"=")
			}
			if !found {
				t.Errorf("%s: no call has %s", o, p.name)
			}
			if isCredential(p.name) {
				t.Errorf("%s: %s is dropped as a credential", o, p.name)
			}
		}
	}
}

func TestParseMixed(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Operation
		r    *http.Request
		want string
	}{
		{"query and form", Request, post("brand=Acme&lg=de-de", formType, "number=44123"), "number=44123&brand=Acme&lg=de-de"},
		{"query and JSON", Check, post("code=1234", jsonType, `{"request_id":"a"}`), "request_id=a&code=1234"},
		{"ids in both", Search, post("request_ids=a", formType, "request_ids=b"), "request_ids=a&request_ids=b"},
		{"ids in query and JSON array", Search, post("request_ids=a", jsonType, `{"request_ids":["b","c"]}`), "request_ids=a&request_ids=b&request_ids=c"},
		{"the same id in both", Search, post("request_ids=a", formType, "request_ids=a"), "request_ids=a"},
		{"duplicate ids", Search, get("request_ids=a&request_ids=b&request_ids=a"), "request_ids=a&request_ids=b"},
		{"one of request_ids", Search, get("request_ids=a"), "request_ids=a"},
		{"ten ids", Search, get(ids(10)), ids(10)},
		{"five ids, each twice", Search, get(ids(5) + "&" + ids(5)), ids(5)},
		{"ids as a JSON string", Search, post("", jsonType, `{"request_ids":"a"}`), "request_ids=a"},
		{"ids as JSON numbers", Search, post("", jsonType, `{"request_ids":[12,"b",12]}`), "request_ids=12&request_ids=b"},
		{"ids by JSON members", Search, post("", jsonType, `{"request_ids":"a","request_ids":["b"]}`), "request_ids=a&request_ids=b"},
		{"ids with empty ones", Search, post("", jsonType, `{"request_ids":["","a",null]}`), "request_ids=a"},
		{"id beside no ids", Search, post("", jsonType, `{"request_id":"a","request_ids":[]}`), "request_id=a"},
		{"id beside null ids", Search, post("", jsonType, `{"request_id":"a","request_ids":null}`), "request_id=a"},
		{"id beside empty ids", Search, get("request_id=a&request_ids="), "request_id=a"},
		{"ids beside an empty id", Search, get("request_id=&request_ids=a"), "request_ids=a"},
		{"empty values", Request, get("number=44123&brand=Acme&country=&lg=&pin_code&sender_id="), "number=44123&brand=Acme"},
		{"JSON empty values", Request, post("", jsonType, `{"number":"44123","brand":"Acme","lg":"","country":null}`), "number=44123&brand=Acme"},
		{"JSON numbers", Request, post("", jsonType, `{"number":447700900000,"brand":7,"code_length":6,"pin_expiry":0}`), "number=447700900000&brand=7&code_length=6&pin_expiry=0"},
		{"JSON escapes", Request, post("", jsonType, `{"n\u0075mber":"44123","brand":"\u0041\"\\\/\ud83d\ude00"}`), "number=44123&brand=A%22%5C%2F%F0%9F%98%80"},
		{"escaped names", Request, get("%6eumber=44123&br%61nd=Acme"), "number=44123&brand=Acme"},
		{"+ and %2B", Request, get("number=%2B44123&brand=A+B%20C%2BD"), "number=%2B44123&brand=A+B+C%2BD"},
		{"escaped delimiters", Request, get("number=44123&brand=a%26code_length%3D6%3Bb%25"), "number=44123&brand=a%26code_length%3D6%3Bb%25"},
		{"= in a value", Request, get("number=44123&brand=a=b=c"), "number=44123&brand=a%3Db%3Dc"},
		{"raw UTF-8", Request, get("number=44123&brand=Café"), "number=44123&brand=Caf%C3%A9"},
		{"many &", Request, get("&&number=44123&&&brand=Acme&&"), "number=44123&brand=Acme"},
		{"credentials of any type", Control, post("", jsonType, `{"request_id":"a","cmd":"cancel","api_key":{"x":[1]},"api_secret":["s"],"sig":1.5e3,"timestamp":true}`), "request_id=a&cmd=cancel"},
		{"credentials that cannot be values", Control, get("request_id=a&cmd=cancel&api_key=%00&api_secret=%ff&sig="), "request_id=a&cmd=cancel"},
		{"an amount as people write it", PSD2, get("number=44123&payee=Caf%E9&amount=1.048,05"), "number=44123&payee=Caf%C3%A9&amount=1.048%2C05"},
		{"an amount as a JSON number", PSD2, post("", jsonType, `{"number":"44123","payee":"Acme","amount":48.00}`), "number=44123&payee=Acme&amount=48.00"},
		{"a brand beside it", PSD2, get("number=44123&payee=Acme&amount=1&brand=Acme"), "number=44123&payee=Acme&amount=1"},
		{"code of a pin_code", Check, get("request_id=a&code=AKFG-3424X"), "request_id=a&code=AKFG-3424X"},
		{"id of 64", Check, get("request_id=" + strings.Repeat("a", 64) + "&code=1"), "request_id=" + strings.Repeat("a", 64) + "&code=1"},
		{"id with dashes", Check, get("request_id=390f7296-aeff-45ba-8931-84a13f3f76d7&code=1"), "request_id=390f7296-aeff-45ba-8931-84a13f3f76d7&code=1"},
	} {
		t.Run(test.name, func(t *testing.T) { isCall(t, test.o, test.r, test.want) })
	}
}

// ids returns request_ids for n verifications.
func ids(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&request_ids=id%d", i)
	}
	return b.String()[1:]
}

func TestParseRefusesParameters(t *testing.T) {
	const good = "number=44123&brand=Acme"
	for _, test := range []struct {
		name  string
		o     Operation
		query string
		json  string
		cause Cause
		named string
	}{
		{"no parameters", Request, "", `{}`, MissingParameter, "number"},
		{"no number", Request, "brand=Acme", `{"brand":"Acme"}`, MissingParameter, "number"},
		{"no brand", Request, "number=44123", `{"number":"44123"}`, MissingParameter, "brand"},
		{"number empty", Request, "number=&brand=Acme", `{"number":"","brand":"Acme"}`, MissingParameter, "number"},
		{"credentials only", Request, credentials.Encode(), `{"api_key":"a","api_secret":"b"}`, MissingParameter, "number"},
		{"check without id", Check, "code=1234", `{"code":"1234"}`, MissingParameter, "request_id"},
		{"check without code", Check, "request_id=a", `{"request_id":"a"}`, MissingParameter, "code"},
		{"search without id", Search, "", `{}`, SearchWithoutID, "request_id"},
		{"search with empty ids", Search, "request_ids=&request_id=", `{"request_ids":[],"request_id":""}`, SearchWithoutID, "request_id"},
		{"control without parameters", Control, "", `{}`, ControlOfNothing, "Missing mandatory parameter"},
		{"control with others", Control, "cmmd=cancel", `{"cmmd":"cancel"}`, ControlOfNothing, "Missing mandatory parameter"},
		{"control with cmd alone", Control, "cmd=cancel", `{"cmd":"cancel"}`, MissingParameter, "request_id"},
		{"control without cmd", Control, "request_id=a", `{"request_id":"a"}`, MissingParameter, "cmd"},

		{"repeated", Request, good + "&number=44124", `{"number":"44123","number":"44124"}`, RepeatedParameter, "number"},
		{"repeated, one escaped", Request, good + "&%6eumber=44124", `{"number":"44123","\u006eumber":"44124"}`, RepeatedParameter, "number"},
		{"request_id repeated", Search, "request_id=a&request_id=b", `{"request_id":"a","request_id":"b"}`, RepeatedParameter, "request_id"},
		{"request_id and request_ids", Search, "request_id=a&request_ids=b", `{"request_id":"a","request_ids":["b"]}`, RepeatedParameter, "request_id or request_ids"},
		{"request_ids and request_id", Search, "request_ids=a&request_id=a", `{"request_ids":"a","request_id":"a"}`, RepeatedParameter, "request_id or request_ids"},
		{"eleven ids", Search, ids(11), `{"request_ids":["0","1","2","3","4","5","6","7","8","9","10"]}`, TooManyRequestIDs, "request_ids"},
		{"eleven, all the same", Search, strings.Repeat("&request_ids=a", 11), `{"request_ids":["a"` + strings.Repeat(`,"a"`, 10) + `]}`, TooManyRequestIDs, "request_ids"},
		{"eleven, one no id", Search, "request_ids=a/b&" + ids(10), `{"request_ids":[true,"1","2","3","4","5","6","7","8","9","10"]}`, TooManyRequestIDs, "request_ids"},
		{"eleven, none an id", Search, strings.Repeat("&request_ids=%00", 11), `{"request_ids":[{}` + strings.Repeat(`,[]`, 10) + `]}`, TooManyRequestIDs, "request_ids"},
		{"eleven beside an id", Search, "request_id=a&" + ids(11), `{"request_id":"a","request_ids":[1` + strings.Repeat(`,"a"`, 10) + `]}`, TooManyRequestIDs, "request_ids"},
		{"a hundred", Search, ids(100), `{"request_ids":[1` + strings.Repeat(`,"a"`, 99) + `]}`, TooManyRequestIDs, "request_ids"},
		{"ten, one no id", Search, "request_ids=a/b&" + ids(9), `{"request_ids":[true,"1","2","3","4","5","6","7","8","9"]}`, InvalidParameter, "request_ids"},

		{"NUL", Request, "number=44123&brand=%00", `{"brand":"\u0000"}`, InvalidParameter, "brand"},
		{"CR", Request, "number=44123&brand=a%0d", `{"brand":"a\r"}`, InvalidParameter, "brand"},
		{"LF", Request, "number=44123&brand=%0Aa", `{"brand":"\na"}`, InvalidParameter, "brand"},
		{"tab", Request, "number=44123&brand=a%09b", `{"brand":"a\tb"}`, InvalidParameter, "brand"},
		{"DEL", Request, "number=44123&brand=a%7F", `{"brand":"a\u007f"}`, InvalidParameter, "brand"},
		{"id with a slash", Check, "request_id=a/b&code=1", `{"request_id":"a/b"}`, InvalidParameter, "request_id"},
		{"id with &", Check, "request_id=a%26code=2&code=1", `{"request_id":"a&code=2"}`, InvalidParameter, "request_id"},
		{"id with a comma", Search, "request_ids=a,b", `{"request_ids":"a,b"}`, InvalidParameter, "request_ids"},
		{"id with a space", Search, "request_id=a+", `{"request_id":"a "}`, InvalidParameter, "request_id"},
		{"id of another script", Search, "request_id=é", `{"request_id":"é"}`, InvalidParameter, "request_id"},
		{"psd2 without payee", PSD2, "number=44123&amount=1", `{"number":"44123","amount":1}`, MissingParameter, "payee"},
		{"psd2 without amount", PSD2, "number=44123&payee=Acme", `{"number":"44123","payee":"Acme"}`, MissingParameter, "amount"},
		{"amount with a tag", PSD2, "number=44123&payee=Acme&amount=<b>", `{"amount":"<b>"}`, InvalidParameter, "amount"},
		{"amount with an exponent", PSD2, "number=44123&payee=Acme&amount=1e9", `{"amount":1e9}`, InvalidParameter, "amount"},
		{"two payees", PSD2, "number=44123&payee=Acme&amount=1&payee=Evil", `{"payee":"Acme","payee":"Evil"}`, RepeatedParameter, "payee"},
		{"code with a tag", Check, "request_id=a&code=<b>", `{"request_id":"a","code":"<b>"}`, InvalidParameter, "code"},
		{"code with a quote", Check, "request_id=a&code=1'", `{"request_id":"a","code":"1'"}`, InvalidParameter, "code"},
		{"code with a blank", Check, "request_id=a&code=12+34", `{"request_id":"a","code":"12 34"}`, InvalidParameter, "code"},
		{"code with dots", Check, "request_id=a&code=../1", `{"request_id":"a","code":"../1"}`, InvalidParameter, "code"},
		{"code in wide digits", Check, "request_id=a&code=１２３４", `{"request_id":"a","code":"１２３４"}`, InvalidParameter, "code"},
		{"code in Latin-1", Check, "request_id=a&code=123%E9", `{"request_id":"a","code":"123\u00e9"}`, InvalidParameter, "code"},
		{"code of half a pair", Check, "request_id=a&code=%ED%A0%80", `{"request_id":"a","code":"1\ud83d"}`, InvalidParameter, "code"},
		{"number with a letter", Request, "number=44a&brand=Acme", `{"number":"44a"}`, InvalidParameter, "number"},
		{"number with a tag", Request, "number=44<b>&brand=Acme", `{"number":"44<b>"}`, InvalidParameter, "number"},
		{"number with a slash", Request, "number=030/44&brand=Acme", `{"number":"030/44"}`, InvalidParameter, "number"},
		{"number with a quote", Request, "number='44&brand=Acme", `{"number":"'44"}`, InvalidParameter, "number"},
		{"number in Arabic digits", Request, "number=٤٤&brand=Acme", `{"number":"٤٤"}`, InvalidParameter, "number"},
		{"number with a wide blank", Request, "number=44%C2%A01&brand=Acme", `{"number":"44\u00a01"}`, InvalidParameter, "number"},
		{"pin_code with a tag", Request, good + "&pin_code=<b>", `{"pin_code":"<b>"}`, InvalidParameter, "pin_code"},
		{"country with a quote", Request, good + "&country=G'", `{"country":"G'"}`, InvalidParameter, "country"},
		{"lg in Latin-1", Request, good + "&lg=%E9", `{"lg":"\u00e9"}`, InvalidParameter, "lg"},
		{"address with a tag", Check, "request_id=a&code=1&ip_address=<b>", `{"ip_address":"<b>"}`, InvalidParameter, "ip_address"},
		{"command with a tag", Control, "request_id=a&cmd=<b>", `{"cmd":"<b>"}`, InvalidParameter, "cmd"},
		{"id of 65", Search, "request_id=" + strings.Repeat("a", 65), `{"request_id":"` + strings.Repeat("a", 65) + `"}`, InvalidParameter, "request_id"},
	} {
		t.Run(test.name+"/query", func(t *testing.T) { isRefused(t, test.o, get(test.query), test.cause, test.named) })
		t.Run(test.name+"/form", func(t *testing.T) {
			isRefused(t, test.o, post("", formType, test.query), test.cause, test.named)
		})
		t.Run(test.name+"/JSON", func(t *testing.T) {
			isRefused(t, test.o, post("", jsonType, test.json), test.cause, test.named)
		})
	}
}

// Two values of one parameter are refused wherever they stand; the same value twice
// is one, and an empty one is none.
func TestParseRepeatedInBoth(t *testing.T) {
	for _, test := range whole {
		for _, p := range parameters[test.o] {
			if p.many || test.name == "search for several" {
				continue
			}
			other := p.name + "=1"
			t.Run(test.name+"/form/"+other, func(t *testing.T) {
				isRefused(t, test.o, post(other, formType, test.form), RepeatedParameter, p.name)
			})
			t.Run(test.name+"/JSON/"+other, func(t *testing.T) {
				isRefused(t, test.o, post(other, jsonType, test.json), RepeatedParameter, p.name)
			})
			for _, query := range []string{p.name + "=", p.name, test.form} {
				t.Run(test.name+"/form/"+query, func(t *testing.T) { isCall(t, test.o, post(query, formType, test.form), test.form) })
				t.Run(test.name+"/JSON/"+query, func(t *testing.T) { isCall(t, test.o, post(query, jsonType, test.json), test.form) })
			}
		}
	}
}

func TestParseRefusesJSON(t *testing.T) {
	const rest = `,"brand":"Acme"}`
	for _, test := range []struct {
		name, body string
		cause      Cause
		named      string
	}{
		{"true", `{"number":true` + rest, InvalidParameter, "number"},
		{"false", `{"number":false` + rest, InvalidParameter, "number"},
		{"object", `{"number":{"x":"44123"}` + rest, InvalidParameter, "number"},
		{"array", `{"number":["44123"]` + rest, InvalidParameter, "number"},
		{"fraction", `{"number":44123.0` + rest, InvalidParameter, "number"},
		{"exponent", `{"number":1e3` + rest, InvalidParameter, "number"},
		{"large exponent", `{"number":1E+999999999` + rest, InvalidParameter, "number"},
		{"negative", `{"number":-1` + rest, InvalidParameter, "number"},
		{"padded", `{"number":044123` + rest, Undecodable, "not valid JSON"},
		{"NaN", `{"number":NaN` + rest, Undecodable, "not valid JSON"},
		{"array in request_ids", `{"request_ids":[["a"]]}`, InvalidParameter, "request_ids"},
		{"object in request_ids", `{"request_ids":[{"a":"b"}]}`, InvalidParameter, "request_ids"},
		{"true in request_ids", `{"request_ids":["a",true]}`, InvalidParameter, "request_ids"},
		{"fraction in request_ids", `{"request_ids":[1.5]}`, InvalidParameter, "request_ids"},
		{"request_ids object", `{"request_ids":{"0":"a"}}`, InvalidParameter, "request_ids"},
		{"request_ids true", `{"request_ids":true}`, InvalidParameter, "request_ids"},
		{"list", `[{"number":"44123","brand":"Acme"}]`, Undecodable, "not a JSON object"},
		{"string", `"number=44123&brand=Acme"`, Undecodable, "not a JSON object"},
		{"form", `number=44123&brand=Acme`, Undecodable, "not a JSON object"},
		{"cut in a name", `{"numb`, Undecodable, "not valid JSON"},
		{"cut after a name", `{"number"`, Undecodable, "not valid JSON"},
		{"cut in a value", `{"number":"44`, Undecodable, "not valid JSON"},
		{"cut after a value", `{"number":"44123"`, Undecodable, "not valid JSON"},
		{"two objects", `{"number":"44123"` + rest + `{}`, Undecodable, "not valid JSON"},
		{"trailing text", `{"number":"44123"` + rest + `x`, Undecodable, "not valid JSON"},
		{"trailing comma", `{"number":"44123","brand":"Acme",}`, Undecodable, "not valid JSON"},
		{"name without quotes", `{number:"44123"` + rest, Undecodable, "not valid JSON"},
		{"number for a name", `{1:"44123"` + rest, Undecodable, "not valid JSON"},
		{"half a surrogate pair", `{"number":"\ud83d"` + rest, InvalidParameter, "number"},
		{"raw control character", "{\"number\":\"44\n\"" + rest, Undecodable, "not valid JSON"},
		{"15000 levels", `{"number":` + strings.Repeat("[", 15000), Undecodable, "not valid JSON"},
		{"7500 levels closed", `{"number":` + strings.Repeat("[", 7500) + strings.Repeat("]", 7500) + rest, InvalidParameter, "number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Request
			if strings.Contains(test.body, "request_ids") {
				o = Search
			}
			isRefused(t, o, post("", jsonType, test.body), test.cause, test.named)
		})
	}
}

func TestParseRefusesEncodings(t *testing.T) {
	const good = "number=44123&brand=Acme"
	for _, test := range []struct{ name, query, named string }{
		{"; between", "number=44123;brand=Acme", "%3B"},
		{"; in a credential", good + "&api_key=a;b", "%3B"},
		{"; in a name", good + "&a;b=c", "%3B"},
		{"; alone", good + "&;", "%3B"},
		{"% at the end", good + "&lg=%", "hexadecimal"},
		{"% with one digit", good + "&lg=%4", "hexadecimal"},
		{"% without digits", good + "&lg=%zz", "hexadecimal"},
		{"%u", good + "&lg=%u0041", "hexadecimal"},
		{"% in a name", good + "&%zz=1", "hexadecimal"},
		{"% in a credential", good + "&api_secret=100%", "hexadecimal"},
	} {
		t.Run(test.name+"/query", func(t *testing.T) { isRefused(t, Request, get(test.query), Undecodable, test.named) })
		t.Run(test.name+"/form", func(t *testing.T) {
			isRefused(t, Request, post("", formType, test.query), Undecodable, test.named)
		})
	}
}

func TestParseMethods(t *testing.T) {
	for _, method := range []string{"", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "post", "QUERY", "GET "} {
		t.Run(method, func(t *testing.T) {
			r := post("request_id=a&cmd=cancel", formType, "")
			r.Method = method
			isRefused(t, Control, r, MethodNotAllowed, "Method "+method+" is not allowed")
		})
	}
}

// A GET may have a body, as the API's may.
func TestParseBodyOfGet(t *testing.T) {
	as := func(r *http.Request) *http.Request { r.Method = http.MethodGet; return r }
	for _, test := range whole {
		for name, r := range map[string]*http.Request{
			"form":                as(post("", formType, test.form)),
			"form in chunks":      as(unsized(post("", formType, test.form))),
			"JSON":                as(post("", jsonType, test.json)),
			"JSON in chunks":      as(unsized(post("", jsonType, test.json))),
			"JSON beside a query": as(post(test.form, jsonType, test.json)),
			"empty JSON":          as(post(test.form, jsonType, "{}")),
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) { isCall(t, test.o, r, test.form) })
		}
	}
	t.Run("of another type", func(t *testing.T) {
		isRefused(t, Control, as(post("request_id=a&cmd=cancel", "", "x")), UnknownMediaType, "")
	})
	t.Run("that does not come", func(t *testing.T) {
		r := get("request_id=a&cmd=cancel")
		r.ContentLength, r.Body = -1, io.NopCloser(broken{})
		isRefused(t, Control, r, Undecodable, "did not arrive whole")
	})
	t.Run("without a Body", func(t *testing.T) {
		r := get("request_id=a&cmd=cancel")
		r.Body = nil
		isCall(t, Control, r, "request_id=a&cmd=cancel")
		isCall(t, Control, unsized(r), "request_id=a&cmd=cancel")
	})
}

// broken is a body whose sender is gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestParseLimits(t *testing.T) {
	const start = "number=44123&brand="
	pad := func(n int) string { return start + strings.Repeat("a", n-len(start)) }
	many := func(n int) string {
		return start + "Acme" + strings.Repeat("&api_key=x", n-2)
	}
	manyJSON := func(n int) string {
		return `{"number":"44123","brand":"Acme"` + strings.Repeat(`,"api_key":1`, n-2) + "}"
	}
	padJSON := func(n int) string {
		body := `{"number":"44123","brand":"Acme"}`
		return body + strings.Repeat(" ", n-len(body))
	}

	t.Run("query of 8 KiB", func(t *testing.T) { isCall(t, Request, get(pad(8<<10)), pad(8<<10)) })
	t.Run("query over 8 KiB", func(t *testing.T) { isRefused(t, Request, get(pad(8<<10+1)), QueryTooLong, "8 KiB") })
	t.Run("query of & over 8 KiB", func(t *testing.T) {
		isRefused(t, Request, get(strings.Repeat("&", 8<<10+1)), QueryTooLong, "8 KiB")
	})
	t.Run("query over 8 KiB in a POST", func(t *testing.T) {
		isRefused(t, Request, post(strings.Repeat("&", 8<<10+1), formType, pad(100)), QueryTooLong, "8 KiB")
	})
	t.Run("form of 16 KiB", func(t *testing.T) {
		isCall(t, Request, post("", formType, pad(16<<10)), pad(16<<10))
		isCall(t, Request, unsized(post("", formType, pad(16<<10))), pad(16<<10))
	})
	t.Run("form over 16 KiB", func(t *testing.T) {
		isRefused(t, Request, post("", formType, pad(16<<10+1)), BodyTooLarge, "16 KiB")
		isRefused(t, Request, unsized(post("", formType, pad(16<<10+1))), BodyTooLarge, "16 KiB")
	})
	t.Run("JSON of 16 KiB", func(t *testing.T) {
		isCall(t, Request, post("", jsonType, padJSON(16<<10)), "number=44123&brand=Acme")
		isCall(t, Request, unsized(post("", jsonType, padJSON(16<<10))), "number=44123&brand=Acme")
	})
	t.Run("JSON over 16 KiB", func(t *testing.T) {
		isRefused(t, Request, post("", jsonType, padJSON(16<<10+1)), BodyTooLarge, "16 KiB")
		isRefused(t, Request, unsized(post("", jsonType, padJSON(16<<10+1))), BodyTooLarge, "16 KiB")
	})
	t.Run("endless body", func(t *testing.T) {
		r := unsized(post("", formType, ""))
		source := &endless{}
		r.Body = io.NopCloser(source)
		isRefused(t, Request, r, BodyTooLarge, "16 KiB")
		if source.given > 64<<10 {
			t.Errorf("%d bytes were read", source.given)
		}
	})
	t.Run("body cut off", func(t *testing.T) {
		for _, contentType := range []string{formType, jsonType} {
			r := post("", contentType, "")
			r.ContentLength = 100
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("number=44123&brand=Ac"), broken{}))
			isRefused(t, Request, r, Undecodable, "did not arrive whole")
		}
	})
	t.Run("body longer than declared", func(t *testing.T) {
		// A handler before this one may have put another body in its place.
		const form = "number=44123&brand=Acme"
		for declared := range int64(len(form)) {
			r := post("", formType, "")
			r.ContentLength, r.Body = declared+1, io.NopCloser(iotest.OneByteReader(strings.NewReader(form)))
			isCall(t, Request, r, form)
		}
	})
	t.Run("limit of the server", func(t *testing.T) {
		r := post("", formType, pad(200))
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 100)
		isRefused(t, Request, r, BodyTooLarge, "")
	})
	t.Run("64 parameters", func(t *testing.T) {
		isCall(t, Request, get(many(64)), "number=44123&brand=Acme")
		isCall(t, Request, post("", formType, many(64)), "number=44123&brand=Acme")
		isCall(t, Request, post("", jsonType, manyJSON(64)), "number=44123&brand=Acme")
	})
	t.Run("65 parameters", func(t *testing.T) {
		isRefused(t, Request, get(many(65)), TooManyParameters, "64")
		isRefused(t, Request, post("", formType, many(65)), TooManyParameters, "64")
		isRefused(t, Request, post("", jsonType, manyJSON(65)), TooManyParameters, "64")
		isRefused(t, Search, get(strings.Repeat("x=a&", 65)), TooManyParameters, "64")
	})
	t.Run("65 parameters in query and body", func(t *testing.T) {
		credentials := strings.Repeat("api_key=x&", 32)
		isCall(t, Request, post(credentials, formType, many(32)), "number=44123&brand=Acme")
		isRefused(t, Request, post(credentials, formType, many(33)), TooManyParameters, "64")
		isRefused(t, Request, post(credentials, jsonType, manyJSON(33)), TooManyParameters, "64")
	})
}

// endless is a body that never ends.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	e.given += len(p)
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestCall(t *testing.T) {
	for _, test := range []struct {
		name      string
		o         Operation
		query     string
		requestID string
		ids       []string
		list      bool
	}{
		{"request", Request, "number=44123&brand=Acme", "", nil, false},
		{"check", Check, "request_id=a&code=1", "a", nil, false},
		{"control", Control, "request_id=a&cmd=cancel", "a", nil, false},
		{"search for one", Search, "request_id=a", "", []string{"a"}, false},
		{"search for one of several", Search, "request_ids=a", "", []string{"a"}, true},
		{"search for several", Search, "request_ids=b&request_ids=a&request_ids=b", "", []string{"b", "a"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			call, _, err := Parse(test.o, JSON, get(test.query), false)
			if err != nil {
				t.Fatal(err)
			}
			if got := call.RequestID(); got != test.requestID {
				t.Errorf("RequestID is %q", got)
			}
			ids, list := call.IDs()
			if !reflect.DeepEqual(ids, test.ids) || list != test.list {
				t.Errorf("IDs are %q, list %v", ids, list)
			}
			for _, p := range call.Params {
				if p.Name != "request_ids" && call.Get(p.Name) != p.Value {
					t.Errorf("%s is %q, want %q", p.Name, call.Get(p.Name), p.Value)
				}
			}
			if got := call.Get("api_key"); got != "" {
				t.Errorf("api_key is %q", got)
			}
			if test.o == Search {
				if same := SearchFor(JSON, ids, list); !reflect.DeepEqual(same, call) {
					t.Errorf("SearchFor says %v, Parse %v", same, call)
				}
			}
		})
	}
}

// Whatever way a call comes in, the same call comes out.
func TestParseOneCall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := rapid.SampledFrom(Operations[:]).Draw(t, "operation")
		f := rapid.SampledFrom(Formats[:]).Draw(t, "format")
		pairs := drawPairs(t, o)
		want := &Call{Operation: o, Format: f, Params: make([]Param, 0, len(pairs))}
		for _, pair := range pairs {
			if pair.Value != "" {
				want.Params = append(want.Params, pair)
			}
		}

		for _, name := range []string{"api_key", "api_secret", "sig", "timestamp"} {
			for range rapid.IntRange(0, 2).Draw(t, name+"s") {
				pairs = append(pairs, Param{name, rapid.String().Draw(t, name)})
			}
		}
		pairs = shuffle(t, pairs)
		cut := rapid.IntRange(0, len(pairs)).Draw(t, "cut")
		ways := map[string]*http.Request{
			"GET":            get(asForm(t, pairs)),
			"form":           post("", formType, asForm(t, pairs)),
			"JSON":           post("", jsonType, asJSON(t, pairs)),
			"query and form": post(asForm(t, pairs[:cut]), formType, asForm(t, pairs[cut:])),
			"query and JSON": post(asForm(t, pairs[:cut]), jsonType, asJSON(t, pairs[cut:])),
		}
		for way, r := range ways {
			call, _, err := Parse(o, f, r, true)
			if err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			if !reflect.DeepEqual(call, want) {
				t.Errorf("%s: the call is %v, want %v", way, call, want)
			}
			if string(call.AppendForm(nil)) != string(want.AppendForm(nil)) {
				t.Errorf("%s: the form is %s, want %s", way, string(call.AppendForm(nil)), string(want.AppendForm(nil)))
			}
		}
	})
}

// drawPairs draws the parameters of a good call, in canonical order.
func drawPairs(t *rapid.T, o Operation) []Param {
	anID := rapid.StringMatching(`[0-9A-Za-z_-]{1,64}`)
	value := map[kind]*rapid.Generator[string]{
		kindWord:    rapid.StringMatching(`[0-9A-Za-z_. -]{1,20}`),
		kindText:    rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r >= ' ' && r != 0x7f }), 1, 20, -1),
		kindID:      anID,
		kindNumber:  rapid.StringMatching(`[0-9+ ().-]{1,20}`),
		kindCode:    rapid.StringMatching(`[0-9A-Za-z-]{1,20}`),
		kindAmount:  rapid.StringMatching(`[0-9., +-]{1,10}`),
		kindAddress: rapid.StringMatching(`[0-9A-Za-z.:%/,\[\] -]{1,40}`),
	}
	if o == Search {
		if rapid.Bool().Draw(t, "one") {
			return []Param{{"request_id", anID.Draw(t, "request_id")}}
		}
		var pairs []Param
		for _, id := range rapid.SliceOfNDistinct(anID, 1, MaxIDs, rapid.ID[string]).Draw(t, "request_ids") {
			pairs = append(pairs, Param{"request_ids", id})
		}
		return pairs
	}
	var pairs []Param
	for _, p := range parameters[o] {
		switch {
		case p.mandatory:
			pairs = append(pairs, Param{p.name, value[p.kind].Draw(t, p.name)})
		case rapid.Bool().Draw(t, "has "+p.name):
			pairs = append(pairs, Param{p.name, rapid.OneOf(value[p.kind], rapid.Just("")).Draw(t, p.name)})
		}
	}
	return pairs
}

// shuffle changes the order of all but request_ids, whose order is the client's.
func shuffle(t *rapid.T, pairs []Param) []Param {
	var ids, mixed []Param
	for _, p := range rapid.Permutation(pairs).Draw(t, "order") {
		if p.Name == "request_ids" {
			p = Param{Name: p.Name} // filled in below
		}
		mixed = append(mixed, p)
	}
	for _, p := range pairs {
		if p.Name == "request_ids" {
			ids = append(ids, p)
		}
	}
	for i := range mixed {
		if mixed[i].Name == "request_ids" {
			mixed[i], ids = ids[0], ids[1:]
		}
	}
	return mixed
}

// asForm writes pairs as a form with more or less escaped than needs be.
func asForm(t *rapid.T, pairs []Param) string {
	var b strings.Builder
	for _, p := range pairs {
		b.WriteString(escape(t, p.Name) + "=" + escape(t, p.Value) + "&")
	}
	form := b.String()
	if rapid.Bool().Draw(t, "trailing &") {
		return form
	}
	return strings.TrimSuffix(form, "&")
}

func escape(t *rapid.T, s string) string {
	switch rapid.IntRange(0, 2).Draw(t, "escaping") {
	case 0:
		return url.QueryEscape(s)
	case 1:
		return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// asJSON writes pairs as a JSON object: whole numbers at times bare, request_ids
// at times as an array.
func asJSON(t *rapid.T, pairs []Param) string {
	var members []string
	for i := 0; i < len(pairs); i++ {
		p := pairs[i]
		value := jsonString(t, p.Value)
		digits := strings.Trim(p.Value, "0123456789") == ""
		switch {
		case p.Value == "" && rapid.Bool().Draw(t, "null"):
			value = "null"
		case p.Value != "" && digits && (p.Value == "0" || p.Value[0] != '0'):
			value = p.Value
		case p.Name == "request_ids" && rapid.Bool().Draw(t, "array"):
			elements := []string{value}
			for i+1 < len(pairs) && pairs[i+1].Name == p.Name {
				i++
				elements = append(elements, jsonString(t, pairs[i].Value))
			}
			value = "[" + strings.Join(elements, ",") + "]"
		}
		members = append(members, jsonString(t, p.Name)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// jsonString quotes s, at times with every character escaped.
func jsonString(t *rapid.T, s string) string {
	all := rapid.Bool().Draw(t, "all escaped")
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r > 0xffff && all:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case all, r < ' ', r == '"', r == '\\':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func BenchmarkParse(b *testing.B) {
	r := get("api_key=dummy&api_secret=dummy&request_id=" + idA)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(Search, JSON, r, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseForm(b *testing.B) {
	body := strings.NewReader("")
	r := post("", formType, "")
	const form = "number=447700900000&brand=Acme+Inc&code_length=6&lg=en-gb"
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(form))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(form)
		if _, _, err := Parse(Request, JSON, r, false); err != nil {
			b.Fatal(err)
		}
	}
}
