package sandbox

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// inTurn asks one thing after another of a fresh sandbox, at the times given,
// and compares the answers whole. ID in a query stands for the verification
// started first. The time of a bubble begins at 2000-01-01 00:00:00 UTC.
func inTurn(t *testing.T, cfg Config, turns []turn) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, cfg)
		id, begun := "", time.Now()
		for _, turn := range turns {
			time.Sleep(turn.at - time.Since(begun))
			body := ask(t, s, turn.operation, strings.ReplaceAll(turn.query, "ID", id))
			if all := s.Verifications(); id == "" && len(all) > 0 {
				id = all[0].RequestID
			}
			if got := strings.TrimSpace(plain(body)); got != turn.want {
				t.Errorf("at %v %s?%s\n got %s\nwant %s", turn.at, turn.operation, turn.query, got, turn.want)
			}
		}
	})
}

type turn struct {
	at               time.Duration
	operation, query string
	want             string
}

const requestOK = `{"request_id":"ID","status":"0"}`

func TestSuccess(t *testing.T) {
	details := func(estimate string) string {
		return `{"request_id":"ID","account_id":"abcdef01","number":"447700900000","sender_id":"ACME",` +
			`"date_submitted":"2000-01-01 00:00:00","date_finalized":"2000-01-01 00:02:30","checks":[` +
			`{"date_received":"2000-01-01 00:00:10","code":"1111","status":"INVALID","ip_address":""},` +
			`{"date_received":"2000-01-01 00:02:30","code":"4321","status":"VALID","ip_address":"8.8.4.4"}],` +
			`"first_event_date":"2000-01-01 00:00:00","last_event_date":"2000-01-01 00:02:05",` +
			`"price":"0.05000000","currency":"EUR","status":"SUCCESS","estimated_price_messages_sent":"` + estimate + `",` +
			`"events":[{"id":"EVENT","type":"sms"},{"id":"EVENT","type":"tts"}]}`
	}
	inTurn(t, Config{}, []turn{
		{0, "json", "number=447700900000&brand=A&sender_id=ACME", requestOK},
		{5 * time.Second, "search/json", "request_id=ID", `{"request_id":"ID","account_id":"abcdef01","number":"447700900000","sender_id":"ACME",` +
			`"date_submitted":"2000-01-01 00:00:00","date_finalized":"","checks":[],` +
			`"first_event_date":"2000-01-01 00:00:00","last_event_date":"2000-01-01 00:00:00",` +
			`"price":"0","currency":"EUR","status":"IN PROGRESS","estimated_price_messages_sent":"0.00000",` +
			`"events":[{"id":"EVENT","type":"sms"}]}`},
		{10 * time.Second, "check/json", "request_id=ID&code=1111&ip_address=nowhere", `{"request_id":"ID","status":"16","error_text":"The code provided does not match the expected value"}`},
		{
			150 * time.Second, "check/json", "request_id=ID&code=4321&ip_address=8.8.4.4",
			`{"request_id":"ID","status":"0","event_id":"EVENT","price":"0.05000000","currency":"EUR","estimated_price_messages_sent":"0.04675"}`,
		},
		{169 * time.Second, "search/json", "request_id=ID", details("0.04675")},
		{170 * time.Second, "search/json", "request_id=ID", details("0.09350")},
		{
			time.Hour, "check/json", "request_id=ID&code=4321",
			`{"status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Request 'ID' was not found or it has been verified already."}`,
		},
	})
}

func TestXML(t *testing.T) {
	one := `<request_id>ID</request_id><account_id>abcdef01</account_id><number>447700900000</number><sender_id>verify</sender_id>` +
		`<date_submitted>2000-01-01 00:00:00</date_submitted><date_finalized />`
	two := `<first_event_date>2000-01-01 00:00:00</first_event_date><last_event_date>2000-01-01 00:00:00</last_event_date>` +
		`<price>0</price><currency>EUR</currency><status>IN PROGRESS</status><estimated_price_messages_sent>0.00000</estimated_price_messages_sent>` +
		`<events><event><id>EVENT</id><type>sms</type></event></events>`
	inTurn(t, Config{}, []turn{
		{0, "search/xml", "", declaration + `<verify_response><request_id /><status>6</status><error_text>The Vonage platform was unable to process this message for the following reason: Wrong parameters.</error_text></verify_response>`},
		{0, "search/xml", "request_id=" + unknownID, declaration + `<verify_response><request_id /><status>101</status><error_text>No response found</error_text></verify_response>`},
		{0, "xml", "number=447700900107&brand=A", declaration + `<verify_response><network>25503</network><status>7</status><error_text>The number you are trying to verify is blacklisted for verification</error_text></verify_response>`},
		{0, "xml", "number=447700900000&brand=A", declaration + `<verify_response><request_id>ID</request_id><status>0</status></verify_response>`},
		{0, "search/xml", "request_id=ID", declaration + `<verify_request>` + one + `<checks />` + two + `</verify_request>`},
		{0, "check/xml", "request_id=ID&code=1111", declaration + `<verify_response><request_id>ID</request_id><status>16</status><error_text>The code provided does not match the expected value</error_text></verify_response>`},
		{0, "search/xml", "request_ids=ID&request_ids=" + unknownID, declaration + `<verification_requests><verify_request>` + one +
			`<checks><check><date_received>2000-01-01 00:00:00</date_received><code>1111</code><status>INVALID</status><ip_address /></check></checks>` +
			two + `</verify_request></verification_requests>`},
		{0, "control/xml", "request_id=ID&cmd=cancel", declaration + `<response><status>19</status><error_text>Verification request [&#39;ID&#39;] can&#39;t be cancelled within the first 30 seconds.</error_text></response>`},
		{31 * time.Second, "control/xml", "request_id=ID&cmd=cancel", declaration + `<response><status>0</status><command>cancel</command></response>`},
	})
}

func TestCheckRefusals(t *testing.T) {
	gone := `{"status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Request 'ID' was not found or it has been verified already."}`
	wrong := `{"request_id":"ID","status":"16","error_text":"The code provided does not match the expected value"}`
	inTurn(t, Config{}, []turn{
		{0, "check/json", "", `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: request_id"}`},
		{0, "check/json", "request_id=" + unknownID, `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: code"}`},
		{0, "check/json", "request_id=" + unknownID + "0&code=1234", `{"status":"3","error_text":"Invalid value for param: request_id"}`},
		{0, "check/json", "request_id=a/b&code=1234", `{"status":"3","error_text":"Invalid value for param: request_id"}`},
		{0, "check/json", "request_id=" + unknownID + "&code=1234", gone},
		{0, "json", "number=447700900000&brand=A", requestOK},
		{0, "check/json", "request_id=ID&code=123", `{"status":"3","error_text":"Invalid value for param: code"}`},
		{0, "check/json", "request_id=ID&code=1", `{"status":"3","error_text":"Invalid value for param: code"}`},
		{0, "check/json", "request_id=ID&code=1111", wrong},
		{0, "check/json", "request_id=ID&code=AKFG-34240", wrong},
		{0, "check/json", "request_id=ID&code=3333", `{"status":"17","error_text":"The wrong code was provided too many times. Request terminated"}`},
		{0, "check/json", "request_id=ID&code=4321", gone},
		{0, "json", "number=447700900000&brand=A", requestOK},
	})
	s := newSandbox(t, Config{})
	id := begin(t, s)
	for range 3 {
		ask(t, s, "check/json", "code=0000&request_id="+id)
	}
	if got := search(t, s, id); got["status"] != "FAILED" || got["date_finalized"] == "" || got["price"] != "0" {
		t.Errorf("after three wrong codes: %v", got)
	}
}

func TestControl(t *testing.T) {
	const next, cancel = "request_id=ID&cmd=trigger_next_event", "request_id=ID&cmd=cancel"
	const gone = `{"status":"6","error_text":"The requestId 'ID' does not exist or its no longer active."}`
	const early = `{"status":"19","error_text":"Verification request ['ID'] can't be cancelled within the first 30 seconds."}`
	const late = `{"status":"19","error_text":"Verification request  ['ID'] can't be cancelled now. Too many attempts to re-deliver have already been made."}`
	const noMore = `{"status":"19","error_text":"No more events are left to execute for the request ['ID']"}`
	const cancelledOK = `{"status":"0","command":"cancel"}`
	const nextOK = `{"status":"0","command":"trigger_next_event"}`
	begin := turn{0, "json", "number=447700900000&brand=A", requestOK}
	for name, turns := range map[string][]turn{
		"parameters": {
			{0, "control/json", "", `{"status":"2","error_text":"Missing mandatory parameter"}`},
			{0, "control/json", "cmd=cancel", `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: request_id"}`},
			{0, "control/json", "request_id=" + unknownID, `{"status":"2","error_text":"Your request is incomplete and missing the mandatory parameter: cmd"}`},
			{0, "control/json", "request_id=" + unknownID + "&cmd=stop", `{"status":"3","error_text":"Invalid value for param: cmd"}`},
			{0, "control/json", "request_id=_&cmd=cancel", `{"status":"3","error_text":"Invalid value for param: request_id"}`},
			{0, "control/json", "request_id=" + unknownID + "&cmd=cancel", gone},
		},
		"cancel": {
			begin,
			{29999 * time.Millisecond, "control/json", cancel, early},
			{30 * time.Second, "control/json", cancel, cancelledOK},
			{30 * time.Second, "control/json", cancel, gone},
			{30 * time.Second, "control/json", next, gone},
			{30 * time.Second, "json", "number=447700900000&brand=A", requestOK},
		},
		"cancel just before the second event": {begin, {124 * time.Second, "control/json", cancel, cancelledOK}},
		"cancel after the second event":       {begin, {125 * time.Second, "control/json", cancel, late}},
		"cancel after trigger":                {begin, {time.Second, "control/json", next, nextOK}, {time.Second, "control/json", cancel, late}},
		"trigger": {
			begin,
			{0, "control/json", next, nextOK},
			{time.Second, "control/json", next, nextOK},
			{2 * time.Second, "control/json", next, noMore},
		},
		"finished": {begin, {605 * time.Second, "control/json", next, gone}},
	} {
		t.Run(name, func(t *testing.T) { inTurn(t, Config{}, turns) })
	}
}

func TestSearchSeveral(t *testing.T) {
	s := newSandbox(t, Config{})
	a, b := begin(t, s), begin(t, s, "number=447700900001")
	const none = `{"status":"101","error_text":"No response found"}`
	const invalid = `{"status":"3","error_text":"Invalid value for param: request_ids"}`
	for _, test := range []struct {
		name, query string
		want        string   // the answer
		ids         []string // or the verifications in it
	}{
		{"neither", "", `{"request_id":"","status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Wrong parameters."}`, nil},
		{"empty", "request_ids=&request_id=", `{"request_id":"","status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Wrong parameters."}`, nil},
		{"one unknown", "request_id=" + unknownID, none, nil},
		{"all unknown", "request_ids=" + unknownID + "&request_ids=x", none, nil},
		{"invalid one", "request_id=" + strings.Repeat("a", 33), `{"status":"3","error_text":"Invalid value for param: request_id"}`, nil},
		{"invalid among", "request_ids=" + a + "&request_ids=_", invalid, nil},
		{"ten", "request_ids=" + a + strings.Repeat("&request_ids=x", 9), "", []string{a}},
		{"eleven", "request_ids=" + a + strings.Repeat("&request_ids=x", 10), `{"status":"18","error_text":"Too many request_ids provided"}`, nil},
		{"order", "request_ids=" + b + "&request_ids=" + a, "", []string{b, a}},
		{"unknown among", "request_ids=" + b + "&request_ids=" + unknownID + "&request_ids=" + a, "", []string{b, a}},
		{"twice", "request_ids=" + b + "&request_ids=" + b, "", []string{b}},
		{"only one", "request_ids=" + b, "", []string{b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := ask(t, s, "search/json", test.query)
			if test.ids == nil {
				if body != test.want {
					t.Errorf("answer %s, want %s", body, test.want)
				}
				return
			}
			if !strings.HasPrefix(body, `{"verification_requests":[{"request_id":`) {
				t.Errorf("answer %s", body)
			}
			if got := idPattern.FindAllString(body, -1); strings.Join(got, " ") != strings.Join(test.ids, " ") {
				t.Errorf("verifications %v, want %v", got, test.ids)
			}
		})
	}

	for name, body := range map[string]string{
		"JSON list": `{"request_ids":["` + b + `","` + a + `"]}`,
		"JSON text": `{"request_ids":"` + b + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/verify/search/json", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.SetBasicAuth(testKey, testSecret)
			if got := serve(s, r).Body.String(); !strings.HasPrefix(got, `{"verification_requests":[{"request_id":"`+b) {
				t.Errorf("answer %s", got)
			}
		})
	}
}

// Where any credentials are accepted, the account is the one that asks.
func TestAccountID(t *testing.T) {
	s, err := New(Config{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/verify/json?brand=Acme&number="+testNumber+"&api_key=anyone&api_secret=x", nil)
	id := fields(t, serve(s, r).Body.String())["request_id"]
	for _, path := range []string{"json?request_id=" + id, "xml?request_id=" + id, "json?request_ids=" + id} {
		r = httptest.NewRequest("GET", "/verify/search/"+path, nil)
		r.SetBasicAuth("anyone", "x")
		if body := serve(s, r).Body.String(); !strings.Contains(body, `"account_id":"anyone"`) && !strings.Contains(body, "<account_id>anyone</account_id>") {
			t.Errorf("%s: %s", path, body)
		}
	}
}
