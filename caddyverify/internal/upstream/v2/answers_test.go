package v2

import (
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// problemOf is an error as the API's document has it.
func problemOf(slug, title, detail string) string {
	return `{"title":"` + title + `","type":"https://developer.vonage.com/en/api-errors/verify-v2#` + slug + `","detail":"` + detail + `","instance":"bf0ca0bf927b3b52e3cb03217e1a1ddf"}`
}

func invalid(members string) string {
	return `{"title":"Invalid params","type":"https://developer.vonage.com/en/api-errors/verify-v2#invalid-params","detail":"The value of one or more parameters is invalid.","instance":"x","invalid_parameters":` + members + `}`
}

var (
	wrongCode    = said{400, `{"type":"https://developer.nexmo.com/api-errors#bad-request","title":"Invalid Code","detail":"The code you provided does not match the expected value.","instance":"x"}`}
	unauthorized = said{401, problemOf("unauthorized", "Unauthorized", "You did not provide correct credentials")}
	expired      = said{401, problemOf("jwt-expired", "You did not provide correct credentials.", "The JWT provided has expired.")}
	quota        = said{401, problemOf("quota-exceeded", "Quota Exceeded", "Quota Exceeded - rejected")}
	lowBalance   = said{402, problemOf("low-balance", "Low balance", "This request could not be performed due to your account balance being low.")}
	forbidden    = said{403, problemOf("forbidden", "Forbidden", "Your account has been suspended.")}
	notFound     = said{404, problemOf("not-found", "Not Found", "Request "+id+" was not found or it has been verified already.")}
	noResource   = said{404, `{"type":"about:blank","title":"No static resource v2/verify.","status":404,"detail":"No static resource v2/verify."}`}
	notFoundText = said{404, "404 page not found"}
	concurrent   = said{409, `{"title":"Conflict","detail":"Concurrent verifications to the same number are not allowed","instance":"x","request_id":"b6fc2b91-d23c-43f9-b8ea-05f9be64415c"}`}
	concurrent0  = said{409, problemOf("concurrent", "Conflict", "Concurrent verifications to the same number are not allowed.")}
	noCode       = said{409, `{"title":"Conflict","detail":"The current Verify workflow step does not support a code."}`}
	noEvents     = said{409, `{"type":"https://developer.nexmo.com/api-errors#conflict","title":"Conflict","detail":"There are no more events left to trigger.","instance":"x"}`}
	replication  = said{409, problemOf("conflict", "Conflict", "The operation cannot be performed at this time. Please try again later.")}
	gone         = said{410, `{"type":"https://developer.nexmo.com/api-errors#gone","title":"Invalid Code","detail":"An incorrect code has been provided too many times. Workflow terminated.","instance":"x"}`}
	precondition = said{412, problemOf("precondition-failed", "Silent authentication failed", "Network not supported")}
	throttled    = said{429, problemOf("throttled", "Rate Limit Hit", "Please wait, then retry your request")}
	internal     = said{500, problemOf("internal-error", "Internal error", "There was an error processing your request in the Platform.")}
)

const unable = "The Vonage platform was unable to process this message for the following reason: "

// TestAnswers has each answer of the provider to each call.
func TestAnswers(t *testing.T) {
	// It may be about what this call asks for alone, so the gateway itself finds out.
	const untold = "The Verify API refused the gateway's credentials; nothing was sent (caddy-verify: upstream_unauthorized)"
	const (
		lost    = "; the call may have been sent (caddy-verify: upstream_error)"
		failure = "The Verify API answered with an HTTP error" + lost
	)
	request, check, cancel, trigger, probe := requestCall(), checkCall(), controlCall("cancel"), controlCall("trigger_next_event"), probeCall()
	for _, test := range []struct {
		name   string
		call   *wire.Call
		said   said
		status wire.Status
		about  string // the request_id in the answer
		text   string
	}{
		{"begun", request, said{202, `{"request_id":"` + id + `"}`}, "0", v1ID, ""},
		{"begun, with a check_url", request, said{202, `{"request_id":"` + strings.ToUpper(id) + `","check_url":"https://example.com"}`}, "0", v1ID, ""},
		{"no id", request, said{202, `{"status":"0"}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"an id that is none", request, said{202, `{"request_id":"1234"}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"an id that is a number", request, said{202, `{"request_id":1234}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"a page in place of a beginning", request, said{200, "<html>hello"}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"a redirect", request, said{302, ""}, "5", "", failure},
		{"400", request, said{400, problemOf("bad-request", "Bad", "Bad")}, "3", "", "Invalid value for one or more params"},
		{"401", request, unauthorized, "4", "", untold},
		{"401 jwt-expired by Basic", request, expired, "4", "", untold},
		{"403 of what the account may not use", request, said{403, `{"title":"Forbidden","detail":"The channel whatsapp is not enabled"}`}, "4", "", untold},
		{"401 quota", request, quota, "9", "", "Partner quota exceeded"},
		{"401 that is a page", request, said{401, "<html>"}, "4", "", untold},
		{"402", request, lowBalance, "9", "", "Partner quota exceeded"},
		{"403", request, forbidden, "8", "", "The api_key you supplied is for an account that has been barred from submitting messages."},
		{"403 that is a page", request, said{403, "RBAC: access denied"}, "4", "", "The Verify API refused the gateway's credentials; nothing was sent (caddy-verify: upstream_unauthorized)"},
		{"404", request, notFound, "5", "", failure},
		{"404 in plain text", request, notFoundText, "5", "", failure},
		{"409", request, concurrent, "10", other, "Concurrent verifications to the same number are not allowed"},
		{"409 without an id", request, concurrent0, "10", "", "Concurrent verifications to the same number are not allowed"},
		{"409 as 422", request, said{422, concurrent.body}, "10", other, "Concurrent verifications to the same number are not allowed"},
		{"409 that is none", request, said{409, "conflict"}, "5", "", failure},
		{"412", request, precondition, "15", "", "The destination number is not in a supported network"},
		{"422 to", request, said{422, invalid(`[{"name":"workflow[0].to","reason":"Must be a number"}]`)}, "3", "", "Invalid value for number"},
		{"422 to, as a path", request, said{422, invalid(`[{"name":"/workflow/0/to"}]`)}, "3", "", "Invalid value for number"},
		{"422 brand, as an object", request, said{422, invalid(`{"name":"brand","reason":"Too long"}`)}, "3", "", "Invalid value for param: brand"},
		{"422 locale, by its name", request, said{422, invalid(`{"locale":"Unknown"}`)}, "3", "", "Invalid value for param: lg"},
		{"422 locale, by a number", request, said{422, invalid(`{"0":{"name":"locale","reason":"Unknown"}}`)}, "3", "", "Invalid value for param: lg"},
		{"422 from", request, said{422, invalid(`["workflow.0.from"]`)}, "3", "", "Invalid value for param: sender_id"},
		{"422 code", request, said{422, invalid(`[{"name":"code","reason":"Not for this account"}]`)}, "20", "", "This account does not support the parameter: pin_code."},
		{"422 code_length", request, said{422, invalid(`[{"name":"code_length"}]`)}, "3", "", "Invalid value for param: code_length"},
		{"422 channel_timeout", request, said{422, invalid(`[{"name":"channel_timeout","reason":"x"}]`)}, "3", "", "Invalid value for param: next_event_wait"},
		{"422 brand is required", request, said{422, invalid(`[{"name":"brand","reason":"brand is required"}]`)}, "2", "", "Your request is incomplete and missing the mandatory parameter: brand"},
		{"422 of something that v1 has not", request, said{422, invalid(`[{"name":"client_ref"},{"name":"447700900000"}]`)}, "3", "", "Invalid value for one or more params"},
		{"422 without names", request, said{422, invalid(`[]`)}, "3", "", "Invalid value for one or more params"},
		{"422 with odd names", request, said{422, invalid(`[1,null,{"name":2},[[]]]`)}, "3", "", "Invalid value for one or more params"},
		{"429", request, throttled, "1", "", "Throttled"},
		{"429 that is no problem", request, said{429, "slow down"}, "1", "", "The Verify API refused the call for coming too fast (HTTP 429); nothing was sent (caddy-verify: upstream_throttled)"},
		{"500", request, internal, "5", "", failure},
		{"a 418", request, said{418, problemOf("teapot", "Teapot", "x")}, "5", "", failure},

		{"right", check, said{200, `{"request_id":"` + id + `","status":"completed"}`}, "0", v1ID, ""},
		{"right, by a typo", check, said{200, `{"status":"complete"}`}, "0", v1ID, ""},
		{"right, without a word", check, said{200, `{"request_id":"` + id + `"}`}, "0", v1ID, ""},
		{"right, without a body", check, said{204, ""}, "0", v1ID, ""},
		{"another's", check, said{200, `{"request_id":"b6fc2b91-d23c-43f9-b8ea-05f9be64415c","status":"completed"}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"another word", check, said{200, `{"request_id":"` + id + `","status":"failed"}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"200 from nobody", check, said{200, ""}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"wrong", check, wrongCode, "16", v1ID, "The code provided does not match the expected value"},
		{"no code", check, said{400, invalid(`[{"name":"code","reason":"x"}]`)}, "3", "", "Invalid value for param: code"},
		{"an id that cannot be", check, said{422, invalid(`[{"name":"request_id","reason":"x"}]`)}, "3", "", "Invalid value for param: request_id"},
		{"too often", check, gone, "17", "", "The wrong code was provided too many times. Request terminated"},
		{"unknown or over", check, notFound, "6", "", unable + "Request '" + v1ID + "' was not found or it has been verified already."},
		{"no such path", check, noResource, "5", "", failure},
		{"no such path, in plain text", check, notFoundText, "5", "", failure},
		{"no code at this step", check, noCode, "6", "", unable + "Request '" + v1ID + "' was not found or it has been verified already."},
		{"401 to a check", check, unauthorized, "4", "", untold},
		{"402 to a check", check, lowBalance, "9", "", "Partner quota exceeded"},
		{"429 to a check", check, throttled, "1", "", "Throttled"},
		{"500 to a check", check, internal, "5", "", failure},

		{"cancelled", cancel, said{204, ""}, "0", "", ""},
		{"cancelled by HTTP 200", cancel, said{200, `{}`}, "0", "", ""},
		{"cancelled by nobody", cancel, said{200, ""}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"cancel of nothing", cancel, notFound, "6", "", "The requestId '" + v1ID + "' does not exist or its no longer active."},
		{"cancel at no path", cancel, noResource, "5", "", failure},
		{"cancelled by a page", cancel, said{200, "<html>"}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
		{"401 to a cancel", cancel, unauthorized, "4", "", untold},
		{"403 to a cancel", cancel, forbidden, "8", "", "The api_key you supplied is for an account that has been barred from submitting messages."},
		{"400 to a cancel", cancel, said{400, problemOf("bad", "Bad", "Bad")}, "3", "", "Invalid value for param: request_id"},
		{"500 to a cancel", cancel, internal, "5", "", failure},

		{"triggered", trigger, said{200, ""}, "0", "", ""},
		{"no more", trigger, noEvents, "19", "", "No more events are left to execute for the request ['" + v1ID + "']"},
		{"no more, by its slug", trigger, said{409, problemOf("no-events", "Conflict", "There are no more events left to trigger.")}, "19", "", "No more events are left to execute for the request ['" + v1ID + "']"},
		{"trigger of nothing", trigger, notFound, "6", "", "The requestId '" + v1ID + "' does not exist or its no longer active."},
		{"trigger of what failed", trigger, gone, "6", "", "The requestId '" + v1ID + "' does not exist or its no longer active."},
		{"402 to a trigger", trigger, lowBalance, "9", "", "Partner quota exceeded"},
		{"429 to a trigger", trigger, throttled, "1", "", "Throttled"},
		{"500 to a trigger", trigger, internal, "5", "", failure},

		{"a sign of life", probe, notFound, "101", "", "No response found"},
		{"a sign of life, too", probe, wrongCode, "101", "", "No response found"},
		{"a sign of life by 410", probe, gone, "101", "", "No response found"},
		{"a sign of life by 422", probe, said{422, invalid(`[]`)}, "101", "", "No response found"},
		{"a path that is gone", probe, noResource, "5", "", failure},
		{"refused", probe, unauthorized, "4", "", "Bad credentials"},
		{"barred", probe, forbidden, "8", "", "The api_key you supplied is for an account that has been barred from submitting messages."},
		{"no credit", probe, lowBalance, "9", "", "Partner quota exceeded"},
		{"too fast", probe, throttled, "1", "", "Throttled"},
		{"500 to a probe", probe, internal, "5", "", failure},
		{"taken", probe, said{200, `{"status":"completed"}`}, "5", "", "The Verify API's answer cannot be read; the call may have been sent (caddy-verify: answer_unreadable)"},
	} {
		for _, format := range wire.Formats {
			t.Run(test.name+" in "+format.String(), func(t *testing.T) {
				p := saying(test.said)
				call := *test.call
				call.Format = format
				answer := send(t, newClient(t, p), &call)
				if answer.Status != test.status || answer.RequestID != test.about {
					t.Errorf("got status %q about %q: %s", answer.Status, answer.RequestID, answer.Body)
				}
				if format == wire.JSON && errorText(t, answer) != test.text {
					t.Errorf("the text is %q, want %q", errorText(t, answer), test.text)
				}
				if len(p.sent) != 1 {
					t.Errorf("%d requests were sent", len(p.sent))
				}
			})
		}
	}
}

// What is asked of the provider, for each call but a request.
func TestTranslateCalls(t *testing.T) {
	for _, test := range []struct {
		name               string
		call               *wire.Call
		said               said
		method, path, body string
	}{
		{"check", checkCall(), said{204, ""}, "POST", "/" + id, `{"code":"1234"}`},
		{"cancel", controlCall("cancel"), said{204, ""}, "DELETE", "/" + id, ``},
		{"trigger", controlCall("trigger_next_event"), said{200, ""}, "POST", "/" + id + "/next_workflow", `{}`},
		{"probe", probeCall(), notFound, "POST", "/c11236f4-00bf-4b89-84ba-88b25df97315", `{"code":"0000"}`},
		{"check by another spelling", &wire.Call{Operation: wire.Check, Params: params("request_id", strings.ToUpper(id), "code", "12345")}, said{204, ""}, "POST", "/" + id, `{"code":"12345"}`},
	} {
		p := saying(test.said)
		c := newClient(t, p)
		send(t, c, test.call)
		for _, common := range c.by {
			if common.Header.Get("Authorization") != "" {
				t.Error("a call has written to what all have in common")
			}
		}
		if len(p.sent) != 1 || p.sent[0].method != test.method || p.sent[0].path != "https://api.example.com/v2/verify"+test.path || p.sent[0].body != test.body {
			t.Errorf("%s: sent %+v", test.name, p.sent)
		}
	}
}

// The exact shapes, which are those of v1's documents.
func TestShapes(t *testing.T) {
	for _, test := range []struct {
		call   *wire.Call
		format wire.Format
		said   said
		want   string
	}{
		{requestCall(), wire.JSON, said{202, `{"request_id":"` + id + `"}`}, `{"request_id":"` + v1ID + `","status":"0"}` + "\n"},
		{requestCall(), wire.XML, said{202, `{"request_id":"` + id + `"}`}, `<?xml version="1.0" encoding="UTF-8"?>` + "\n<verify_response><request_id>" + v1ID + "</request_id><status>0</status></verify_response>\n"},
		{checkCall(), wire.JSON, said{204, ""}, `{"request_id":"` + v1ID + `","status":"0"}` + "\n"},
		{checkCall(), wire.XML, gone, `<?xml version="1.0" encoding="UTF-8"?>` + "\n<verify_response><status>17</status><error_text>The wrong code was provided too many times. Request terminated</error_text></verify_response>\n"},
		{controlCall("cancel"), wire.JSON, said{204, ""}, `{"status":"0","command":"cancel"}` + "\n"},
		{controlCall("trigger_next_event"), wire.XML, said{200, ""}, `<?xml version="1.0" encoding="UTF-8"?>` + "\n<response><status>0</status><command>trigger_next_event</command></response>\n"},
	} {
		test.call.Format = test.format
		if answer := send(t, newClient(t, saying(test.said)), test.call); string(answer.Body) != test.want {
			t.Errorf("got %s\nwant %s", answer.Body, test.want)
		}
	}
}

// Nothing is sent for a verification that cannot be one of v2, nor for a search.
func TestUnsent(t *testing.T) {
	for _, test := range []struct {
		name   string
		call   *wire.Call
		status wire.Status
	}{
		{"check", &wire.Call{Operation: wire.Check, Params: params("request_id", "abc", "code", "1234")}, "6"},
		{"check of 32 others", &wire.Call{Operation: wire.Check, Params: params("request_id", strings.Repeat("g", 32), "code", "1234")}, "6"},
		{"control", &wire.Call{Operation: wire.Control, Params: params("request_id", "abc", "cmd", "cancel")}, "6"},
		{"control with another command", controlCall("stop"), "3"},
		{"search", &wire.Call{Operation: wire.Search, Params: params("request_id", "abc")}, "101"},
		{"search of an unknown one", &wire.Call{Operation: wire.Search, Params: params("request_ids", v1ID)}, "101"},
	} {
		p := saying(internal)
		if answer := send(t, newClient(t, p), test.call); answer.Status != test.status || len(p.sent) > 0 {
			t.Errorf("%s: got %s, with %d requests", test.name, answer.Body, len(p.sent))
		}
	}
}

// An answer that holds a secret is withheld, whatever else it says.
func TestWithheld(t *testing.T) {
	for _, said := range []said{
		{202, `{"request_id":"` + id + `","echo":"` + canary + `"}`},
		{401, `{"title":"Unauthorized","detail":"YWJjZDEyMzQ6Q2FuYS9yeStTM2NyZXRCeA=="}`},
	} {
		answer := send(t, newClient(t, saying(said)), requestCall())
		if answer.Fault == nil || answer.Fault.Cause != wire.AnswerWithSecret || answer.Fault.UpstreamCode != said.code {
			t.Errorf("HTTP %d: got %s", said.code, answer.Body)
		}
	}
}
