package sandbox

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Faults that v1 has spoil v2's answers too, also those without a body.
func TestV2FaultsOverTheNetwork(t *testing.T) {
	type answered struct {
		code  int
		media string
		body  string // in it
		err   error
	}
	const problemJSON = "application/problem+json"
	for _, test := range []struct {
		fault string
		done  bool // the work is
		start answered
		next  answered
		wrong answered // a check
	}{
		{"* delay 1ms", true, answered{code: 202, body: `"request_id"`}, answered{code: 200}, answered{code: 400, media: problemJSON}},
		{"* garbage", false, answered{code: 200, body: "neither"}, answered{code: 200, body: "neither"}, answered{code: 200, body: "neither"}},
		{"* html", false, answered{code: 200, media: "text/html; charset=utf-8", body: "<html>"}, answered{code: 200, body: "<html>"}, answered{code: 200, body: "<html>"}},
		{"* http 502", false, answered{code: 502, body: "Bad Gateway"}, answered{code: 502}, answered{code: 502}},
		{"* http 401", false, answered{code: 401, media: problemJSON}, answered{code: 401}, answered{code: 401}},
		{"* redirect", false, answered{code: 302}, answered{code: 302}, answered{code: 302}},
		{"* close", false, answered{err: io.EOF}, answered{err: io.EOF}, answered{err: io.EOF}},
		{"* reset_after", true, answered{err: syscall.ECONNRESET}, answered{err: syscall.ECONNRESET}, answered{err: syscall.ECONNRESET}},
		{"* truncate", true, answered{code: 202, err: io.ErrUnexpectedEOF}, answered{code: 200, err: io.ErrUnexpectedEOF}, answered{code: 400, media: problemJSON, err: io.ErrUnexpectedEOF}},
		{"* drip 1ns", true, answered{code: 202, body: `"request_id"`}, answered{code: 200, body: "{}"}, answered{code: 400, media: problemJSON, body: noMatch}},
		{"* big 3000", true, answered{code: 202, body: strings.Repeat(" ", 3000)}, answered{code: 200, body: strings.Repeat(" ", 3000)}, answered{code: 400, body: strings.Repeat(" ", 3000)}},
		{"* deep", true, answered{code: 202, body: `[{"levels":[{`}, answered{code: 200, body: `[{"levels":[{`}, answered{code: 400, body: `[{"levels":[{`}},
		{"* dtd", true, answered{code: 202, body: `{"request_id":"failed","request_id":"`}, answered{code: 200, body: `{"status":"failed"}`}, answered{code: 400, body: `{"title":"failed","title":"Invalid Code"`}},
		{"* duplicate_status", true, answered{code: 202, body: `{"request_id":"failed","request_id":"`}, answered{code: 200}, answered{code: 400}},
		{"* echo", true, answered{code: 202, body: `"api_secret":"` + testSecret}, answered{code: 200, body: testSecret}, answered{code: 400, body: testSecret}},
		{"* no_content_type", true, answered{code: 202, media: "none", body: `"request_id"`}, answered{code: 200, media: "none"}, answered{code: 400, media: "none"}},
		{"* surplus", true, answered{code: 202, body: `"request_id"`}, answered{code: 200, body: "{}"}, answered{code: 400, media: problemJSON, body: noMatch}},
		{"* status 5", false, answered{code: 500, media: problemJSON}, answered{code: 500}, answered{code: 500}},
		{"* jwt_expired", false, answered{code: 401, media: problemJSON, body: "The JWT provided has expired."}, answered{code: 401}, answered{code: 401}},
		{"* conflict", true, answered{code: 202, body: `"request_id"`}, answered{code: 409, media: problemJSON, body: "Please try again later."}, answered{code: 400}},
		{"webhook lose", true, answered{code: 202, body: `"request_id"`}, answered{code: 200}, answered{code: 400, media: problemJSON, body: noMatch}},
	} {
		fault, err := ParseFault(test.fault)
		if err != nil {
			t.Fatal(err)
		}
		s := newV2(t, Config{})
		server := httptest.NewServer(s)
		ask := func(path, body string, want answered) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(testKey, testSecret)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			var got answered
			if got.err = err; err == nil {
				var text []byte
				text, got.err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				got.code, got.body = resp.StatusCode, string(text)
				if got.media = resp.Header.Get("Content-Type"); got.media == "" {
					got.media = "none"
				}
			}
			if got.code != want.code || want.media != "" && got.media != want.media || !strings.Contains(got.body, want.body) || !errors.Is(got.err, want.err) {
				t.Errorf("%s: %s: got %d %s %.200s %v, want %+v", test.fault, path, got.code, got.media, got.body, got.err, want)
			}
			calls := s.Calls()
			if last := calls[len(calls)-1]; last.HTTPStatus != got.code && (want.err == nil || last.HTTPStatus != 0) {
				t.Errorf("%s: %s is recorded with %d, answered with %d", test.fault, path, last.HTTPStatus, got.code)
			}
		}
		id := beginV2(t, s)
		if err := s.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		ask("/v2/verify", oneStep("447700900001", ""), test.start)
		if done := s.Accepted() == 2; done != test.done {
			t.Errorf("%s: work done: %t", test.fault, done)
		}
		ask("/v2/verify/"+id+"/next_workflow", "", test.next)
		if done := len(lookUp(t, s, id).Events) == 2; done != test.done && fault.Kind != "conflict" {
			t.Errorf("%s: work done: %t", test.fault, done)
		}
		ask("/v2/verify/"+id, `{"code":"0000"}`, test.wrong)
		server.Close()
	}
}

// A cancellation that is spoilt is 200, since a 204 has no body to spoil.
func TestV2SpoiltCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newV2(t, Config{Faults: []Fault{{Operation: "control", Kind: "big", Value: "10"}}})
		id := beginV2(t, s)
		time.Sleep(cancelAfter)
		w := askV2(s, "DELETE", "/v2/verify/"+id, "")
		if w.Code != 200 || w.Body.String() != `{"padding":"          "}`+"\n" || lookUp(t, s, id).Status != cancelled {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

// A status of v1 is v2's counterpart, whatever it is asked.
func TestV2StatusFaults(t *testing.T) {
	for _, test := range []struct {
		fault        string
		method, path string
		code         int
		detail       string
	}{
		{"request status 1", "POST", "/v2/verify", 429, "Please wait, then retry your request"},
		{"request status 9", "POST", "/v2/verify", 401, "Quota Exceeded - rejected"},
		{"request status 10", "POST", "/v2/verify", 409, "Concurrent verifications to the same number are not allowed."},
		{"check status 16", "POST", "/v2/verify/x", 400, noMatch},
		{"check status 17", "POST", "/v2/verify/x", 410, gone},
		{"check status 6", "POST", "/v2/verify/x", 404, notFoundDetail("x")},
		{"control status 6", "DELETE", "/v2/verify/x", 404, notFoundDetail("x")},
		{"control status 19", "POST", "/v2/verify/x/next_workflow", 409, "There are no more events left to trigger."},
		{"control status 101", "DELETE", "/v2/verify/x", 500, "There was an error processing your request in the Platform."},
		{"control conflict", "DELETE", "/v2/verify/x", 404, notFoundDetail("x")},
	} {
		fault, err := ParseFault(test.fault)
		if err != nil {
			t.Fatal(err)
		}
		s := newV2(t, Config{Faults: []Fault{fault}})
		w := askV2(s, test.method, test.path, oneStep(testNumber, ""))
		if got := fields(t, w.Body.String())["detail"]; w.Code != test.code || got != test.detail {
			t.Errorf("%s: got %d %s", test.fault, w.Code, w.Body)
		}
	}
	both := newSandbox(t, Config{API: "v1 v2", Faults: []Fault{{Kind: "jwt_expired"}}})
	begin(t, both) // v1 has no such fault
}
