package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// said is what a client of each cause reads under either kind of `errors`.
var said = []struct {
	cause  Cause
	status Status
	verify int // HTTP status code
	http   int // the same under `errors http`
	proxy  string
	text   string // a part of the sentence
}{
	{MethodNotAllowed, "3", 405, 405, "http_request_error", "Method NAME is not allowed, use GET or POST"},
	{UnknownPath, "3", 404, 404, "http_request_denied", "No such call"},
	{MisspelledPath, "3", 404, 404, "http_request_denied", "No such call: its path is NAME"},
	{NetworkUnblockOff, "3", 404, 404, "http_request_denied", "guard against fraud"},
	{TemplatesOff, "3", 404, 404, "http_request_denied", "messages of all applications"},
	{TemplatesDenied, "3", 403, 403, "http_request_denied", "that the gateway's operator has named"},
	{SilentAuthRedirect, "3", 404, 404, "http_request_denied", "for the handset"},
	{BrowserRefused, "3", 403, 403, "http_request_denied", "browsers"},
	{CallerUnknown, "3", 403, 403, "http_request_denied", "who calls"},
	{BodyTooLarge, "3", 413, 413, "http_request_error", "16 KiB"},
	{QueryTooLong, "3", 414, 414, "http_request_error", "8 KiB"},
	{TooManyParameters, "3", 413, 413, "http_request_error", "64 parameters"},
	{UnknownMediaType, "3", 415, 415, "http_request_error", "application/x-www-form-urlencoded or application/json"},
	{Undecodable, "3", 400, 400, "http_request_error", "cannot be decoded: NAME"},

	{MissingParameter, "2", 200, 400, "http_request_error", "missing the mandatory parameter: NAME"},
	{InvalidParameter, "3", 200, 400, "http_request_error", "Invalid value for param: NAME"},
	{UnknownParameter, "3", 200, 400, "http_request_error", "Unknown param: NAME"},
	{RepeatedParameter, "3", 200, 400, "http_request_error", "More than one value for param: NAME"},
	{TooManyRequestIDs, "18", 200, 400, "http_request_error", "Too many request_ids provided"},
	{SearchWithoutID, "6", 200, 400, "http_request_error", "The Nexmo platform was unable to process this message for the following reason: neither request_id nor request_idsNAME"},
	{ControlOfNothing, "2", 200, 400, "http_request_error", "Missing mandatory parameter: request_id and cmdNAME"},
	{PSD2Unsupported, "3", 200, 400, "http_request_denied", "no PSD2 (dynamic linking)"},

	{ConnectFailed, "5", 200, 502, "destination_unavailable", "cannot be reached"},
	{TLSFailed, "5", 200, 502, "tls_protocol_error", "No trusted connection"},
	{UpstreamTimeout, "5", 200, 504, "http_response_timeout", "did not answer in time"},
	{ConnectionLost, "5", 200, 502, "connection_terminated", "connection to the Verify API was lost"},
	{UpstreamError, "5", 200, 502, "http_protocol_error", "HTTP error"},
	{UpstreamThrottled, "1", 200, 429, "connection_limit_reached", "too fast"},
	{UpstreamUnauthorized, "4", 200, 502, "http_protocol_error", "refused the gateway's credentials"},
	{AnswerTooLarge, "5", 200, 502, "http_response_body_size", "too large"},
	{AnswerUnreadable, "5", 200, 502, "http_protocol_error", "cannot be read"},
	{AnswerWithSecret, "5", 200, 502, "http_protocol_error", "withheld"},
	{ClientLeft, "5", 499, 499, "connection_terminated", "client left"},
	{GatewayLost, "5", 200, 504, "http_response_timeout", "Another gateway"},

	{BreakerOpen, "5", 200, 503, "destination_unavailable", "in trouble"},
	{LimitReached, "1", 200, 429, "connection_limit_reached", "limit of calls a second"},
	{CallerLimitReached, "1", 200, 429, "connection_limit_reached", "caller's own limit"},
	{CallerBusy, "1", 200, 429, "connection_limit_reached", "as many calls under way"},
	{AccountThrottled, "1", 200, 429, "connection_limit_reached", "has throttled the account"},
	{TooManyUnderWay, "1", 200, 429, "connection_limit_reached", "under way"},
	{AccountBadCredentials, "4", 200, 502, "http_request_denied", "refuses the gateway's credentials"},
	{AccountIsBarred, "8", 200, 502, "http_request_denied", "barred"},
	{AccountNoCredit, "9", 200, 502, "http_request_denied", "no credit"},
	{GuardRefused, "7", 200, 403, "http_request_denied", "Gateway guard"},
	{IdempotencyKeyReused, "3", 200, 422, "http_request_error", "another call"},

	{StoreAway, "5", 200, 503, "destination_unavailable", "the store does not answer"},
	{InvariantBroken, "5", 200, 500, "proxy_internal_error", "a fault of its own"},
}

func TestFaultSays(t *testing.T) {
	if len(said) != len(wordings) {
		t.Errorf("the test has %d causes, the package %d", len(said), len(wordings))
	}
	for _, test := range said {
		t.Run(string(test.cause), func(t *testing.T) {
			if _, ok := wordings[test.cause]; !ok {
				t.Fatal("the cause has no wording")
			}
			for _, maySent := range []bool{false, true} {
				fault := &Fault{Cause: test.cause, Name: "NAME", MayHaveSent: maySent}
				if fault.Status() != test.status || fault.ProxyError() != test.proxy {
					t.Errorf("status %q, proxy error %q", fault.Status(), fault.ProxyError())
				}
				text := fault.Error()
				if !strings.Contains(text, test.text) || !strings.Contains(text, "(caddy-verify: "+string(test.cause)+")") {
					t.Errorf("the text is %q", text)
				}
				if strings.Contains(text, "%!") || strings.Contains(text, "NAME") != strings.Contains(test.text, "NAME") {
					t.Errorf("the text is badly put together: %q", text)
				}
				if strings.Contains(text, "nothing was sent") == maySent || strings.Contains(text, "may have been sent") != maySent {
					t.Errorf("it may have been sent: %v, the text is %q", maySent, text)
				}
				for _, o := range Operations {
					for _, f := range Formats {
						for _, useHTTP := range []bool{false, true} {
							answer := Say(fault, o, f, useHTTP)
							code := test.verify
							if useHTTP {
								code = test.http
							}
							if answer.Code != code {
								t.Errorf("%s %s: HTTP %d with errors http %v, want %d", o, f, answer.Code, useHTTP, code)
							}
							if answer.Fault != fault || answer.Status != test.status || answer.ContentType != f.ContentType() {
								t.Errorf("%s %s: answer %+v", o, f, answer)
							}
							isSaid(t, o, f, answer.Body, test.status, text)
						}
					}
				}
			}
		})
	}
}

// isSaid reads what the gateway said by other means than the package's own, and
// then by these: a gateway may stand behind another.
func isSaid(t *testing.T, o Operation, f Format, body []byte, status Status, text string) {
	t.Helper()
	if !bytes.HasSuffix(body, []byte("\n")) || bytes.Count(body, []byte("\n")) > 2 {
		t.Errorf("%s %s: it is not one line that ends, after XML's own: %q", o, f, body)
	}
	var got struct {
		XMLName xml.Name `json:"-"`
		Status  string   `json:"status" xml:"status"`
		Text    string   `json:"error_text" xml:"error_text"`
	}
	if f == JSON {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("something follows in %q", body)
		}
	} else {
		if err := xml.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		root := "verify_response"
		if o == Control {
			root = "response"
		}
		if got.XMLName.Local != root || !bytes.HasPrefix(body, []byte(`<?xml version="1.0" encoding="UTF-8"?>`)) {
			t.Errorf("root %q in %q", got.XMLName.Local, body)
		}
	}
	if got.Status != string(status) || got.Text != text {
		t.Errorf("%s %s reads as %q, %q, want %q, %q", o, f, got.Status, got.Text, status, text)
	}
	reading, err := Read(o, f, body)
	if err != nil || reading.Status != status || len(reading.Found) != 0 || reading.List {
		t.Errorf("%s %s reads as %+v, %v", o, f, reading, err)
	}
}

var hostileNames = []struct{ name, value string }{
	{"nothing", ""},
	{"quotes", `a"b'c\"`},
	{"JSON", `","status":"0","x":"`},
	{"XML", `</error_text><status>0</status><error_text>`},
	{"CDATA", `]]><![CDATA[`},
	{"entities", `&amp;&lt;&#0;&x;`},
	{"format verbs", `%s%d%!%n%999999999d%[1]s%*d`},
	{"escapes", `\u0000\n\x00`},
	{"control characters", "a\x00b\x01\r\n\t\x1b[31m\x7f"},
	{"C1 control characters", "a\u0085b\u009b31m"},
	{"line separators", "a\u2028b\u2029c"},
	{"direction", "a\u202eb\u2066c\u200fd"},
	{"invisible", "a\u200bb\ufeffc\u00add"},
	{"not for XML", "a\ufffeb\uffffc"},
	{"invalid UTF-8", "a\xffb\xc0\xafc\xed\xa0\x80d\xe9"},
	{"replacement character", "a\ufffdb"},
	{"10 kB", strings.Repeat("x", 10<<10)},
	{"10 kB of invalid UTF-8", strings.Repeat("\xff", 10<<10)},
	{"10 kB of wide characters", strings.Repeat("\U0001f600", 10<<10/4)},
	{"other scripts", "номер番号"},
}

func TestFaultNames(t *testing.T) {
	for _, test := range hostileNames {
		t.Run(test.name, func(t *testing.T) {
			for _, cause := range []Cause{MethodNotAllowed, Undecodable, MissingParameter, InvalidParameter, UnknownParameter, RepeatedParameter} {
				fault := Refuse(cause, test.value)
				text := fault.Error()
				if !utf8.ValidString(text) || len(text) > 600 {
					t.Errorf("%d bytes: %q", len(text), text)
				}
				for _, r := range text {
					if !unicode.IsPrint(r) {
						t.Errorf("%q is in %q", r, text)
					}
				}
				for _, o := range Operations {
					for _, f := range Formats {
						isSaid(t, o, f, Say(fault, o, f, false).Body, fault.Status(), text)
					}
				}
			}
		})
	}
}

// A name is put into the text as it is: it is no format, and nothing of it is lost
// but what cannot be read.
func TestFaultNameAsItIs(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"plain", "nubmer", "nubmer"},
		{"format verb", "%s", "%s"},
		{"format verbs", "%d %v %!", "%d %v %!"},
		{"markup", `<a href="x">&amp;`, `<a href="x">&amp;`},
		{"other scripts", "номер", "номер"},
		{"control characters", "a\r\nb\x00c", "a??b?c"},
		{"terminal", "\u009b31m", "?31m"},
		{"direction", "a\u202eb", "a?b"},
		{"invalid UTF-8", "a\xffb", "a?b"},
		{"64 characters", strings.Repeat("é", 64), strings.Repeat("é", 64)},
		{"65 characters", strings.Repeat("é", 65), strings.Repeat("é", 64) + "…"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := "Unknown param: " + test.want + "; nothing was sent (caddy-verify: unknown_parameter)"
			if got := Refuse(UnknownParameter, test.value).Error(); got != want {
				t.Errorf("the text is %q, want %q", got, want)
			}
		})
	}
}

// The error behind a fault is there for errors.Is and nowhere else.
func TestFaultHidesItsError(t *testing.T) {
	behind := fmt.Errorf("dial tcp: api_secret=s3cret: %w", io.ErrUnexpectedEOF)
	fault := &Fault{Cause: ConnectFailed, Err: behind}
	if !errors.Is(fault, io.ErrUnexpectedEOF) {
		t.Error("errors.Is does not find the error behind the fault")
	}
	for _, f := range Formats {
		if body := Say(fault, Request, f, true).Body; bytes.Contains(body, []byte("s3cret")) || strings.Contains(fault.Error(), "s3cret") {
			t.Errorf("the error behind is shown: %s", body)
		}
	}
}

// Proxy errors are those of RFC 9209, section 2.3.
func TestProxyErrorsAreRegistered(t *testing.T) {
	registered := " dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited" +
		" destination_ip_unroutable connection_refused connection_terminated connection_timeout connection_read_timeout" +
		" connection_write_timeout connection_limit_reached tls_protocol_error tls_certificate_error tls_alert_received" +
		" http_request_error http_request_denied http_response_incomplete http_response_header_section_size" +
		" http_response_header_size http_response_body_size http_response_trailer_section_size http_response_trailer_size" +
		" http_response_transfer_coding http_response_content_coding http_response_timeout http_upgrade_failed" +
		" http_protocol_error proxy_internal_response proxy_internal_error proxy_configuration_error proxy_loop_detected "
	for cause, wording := range wordings {
		if !strings.Contains(registered, " "+wording.proxyError+" ") {
			t.Errorf("%s: %q is not in the registry", cause, wording.proxyError)
		}
		if http.StatusText(wording.code) == "" && wording.code != 499 {
			t.Errorf("%s: HTTP has no %d", cause, wording.code)
		}
	}
}

// What a client did wrong is no trouble of the operator's, nor is that it left.
func TestFaultTrouble(t *testing.T) {
	trouble := map[Cause]bool{
		ConnectFailed: true, TLSFailed: true, UpstreamTimeout: true, ConnectionLost: true, UpstreamError: true,
		UpstreamThrottled: true, UpstreamUnauthorized: true, AnswerTooLarge: true, AnswerUnreadable: true, AnswerWithSecret: true,
		BreakerOpen: true, LimitReached: true, CallerLimitReached: true, CallerBusy: true, AccountThrottled: true, TooManyUnderWay: true,
		AccountBadCredentials: true, AccountIsBarred: true, AccountNoCredit: true,
		GatewayLost: true, StoreAway: true, InvariantBroken: true,
	}
	for _, test := range said {
		if got := (&Fault{Cause: test.cause}).Trouble(); got != trouble[test.cause] {
			t.Errorf("%s: Trouble is %v", test.cause, got)
		}
	}
}

// TestGuardSays: a rule of the guard has a status of its own, and of the rule the client reads nothing.
func TestGuardSays(t *testing.T) {
	fault := &Fault{Cause: GuardRefused, Reason: ReasonCoolDown, As: Concurrent, RequestID: "abc", Finding: "cool_down", Refused: true}
	for f, want := range map[Format]string{
		JSON: `{"request_id":"abc","status":"10","error_text":"Gateway guard; nothing was sent (caddy-verify: guard_refused)"}` + "\n",
		XML:  xmlProlog + `<verify_response><request_id>abc</request_id><status>10</status><error_text>Gateway guard; nothing was sent (caddy-verify: guard_refused)</error_text></verify_response>` + "\n",
	} {
		a := Say(fault, Request, f, false)
		if string(a.Body) != want {
			t.Errorf("it says %s, want %s", a.Body, want)
		}
		reading, err := Read(Request, f, a.Body)
		if err != nil || reading.Status != Concurrent || reading.RequestID != "abc" || a.Status != Concurrent || a.RequestID != "abc" {
			t.Errorf("it is read as %+v, %v", reading, err)
		}
	}
}

// What is written of another API's answers reads like the API's own.
func TestWrittenAnswers(t *testing.T) {
	for _, o := range []Operation{Request, Check, Control} {
		for _, f := range Formats {
			call := &Call{Operation: o, Format: f, Params: []Param{{"cmd", "cancel"}}}
			for name, answer := range map[string]Answer{
				"done":    Done(call, "abc"),
				"refused": Refusal(o, f, WrongCode, "a<b", "no & no"),
			} {
				reading, err := Read(o, f, answer.Body)
				if err != nil || reading.Status != answer.Status || reading.RequestID != answer.RequestID || answer.Fault != nil {
					t.Errorf("%s, %s in %s: %v, %s", name, o, f, err, answer.Body)
				}
			}
		}
	}
}
