package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newV2 is a sandbox of v2 alone.
func newV2(t *testing.T, cfg Config) *Sandbox {
	t.Helper()
	cfg.API = V2
	return newSandbox(t, cfg)
}

// askV2 calls v2 with HTTP Basic.
func askV2(s *Sandbox, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(testKey, testSecret)
	return serve(s, r)
}

// beginV2 starts a verification by SMS, or by another body, and returns its request_id.
func beginV2(t *testing.T, s *Sandbox, body ...string) string {
	t.Helper()
	if len(body) == 0 {
		body = []string{`{"brand":"Acme","workflow":[{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"}]}`}
	}
	w := askV2(s, "POST", "/v2/verify", body[0])
	id := fields(t, w.Body.String())["request_id"]
	if w.Code != http.StatusAccepted || !uuidPattern.MatchString(id) {
		t.Fatalf("no verification: %d %s", w.Code, w.Body)
	}
	return id
}

// oneStep is the body of a start by SMS, with more members before its workflow.
func oneStep(number, more string) string {
	return `{` + more + `"brand":"Acme","workflow":[{"channel":"sms","to":"` + number + `"}]}`
}

// wantProblem compares an answer with a problem, whichever its spelling.
func wantProblem(t *testing.T, what string, w *httptest.ResponseRecorder, code int, title, detail string) map[string]string {
	t.Helper()
	if w.Code != code || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: got %d %s %s, want a problem %d", what, w.Code, w.Header().Get("Content-Type"), w.Body, code)
		return nil
	}
	got := fields(t, w.Body.String())
	if got["title"] != title || got["detail"] != detail || !uuidPattern.MatchString(got["instance"]) {
		t.Errorf("%s: got %s, want %q, %q and an instance", what, w.Body, title, detail)
	}
	return got
}

const (
	gone    = "An incorrect code has been provided too many times. Workflow terminated."
	noMatch = "The code you provided does not match the expected value."
)

func notFoundDetail(id string) string {
	return "Request " + id + " was not found or it has been verified already."
}

// What a client is answered on the way of a verification that succeeds.
func TestV2Success(t *testing.T) {
	s := newV2(t, Config{})
	for _, path := range []string{"/v2/verify", "/v2/verify/"} {
		w := askV2(s, "POST", path, oneStep("447700900000", ""))
		if got := uuidPattern.ReplaceAllString(w.Body.String(), "ID"); w.Code != 202 || got != `{"request_id":"ID"}`+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%s: got %d %s %v", path, w.Code, got, w.Header())
		}
		id := fields(t, w.Body.String())["request_id"]
		w = askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`)
		if w.Code != 200 || w.Body.String() != `{"request_id":"`+id+`","status":"completed"}`+"\n" {
			t.Fatalf("check: got %d %s", w.Code, w.Body)
		}
		again := askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`)
		wantProblem(t, "a second check", again, 404, "Not Found", notFoundDetail(id))
		if v := lookUp(t, s, id); v.Status != success || v.API != V2 || v.Number != "447700900000" || v.Brand != "Acme" {
			t.Errorf("it is %+v", v)
		}
	}
	calls := s.Calls()
	for i, want := range []Call{
		{Operation: "request", HTTPStatus: 202, Status: "0", Code: "4321"},
		{Operation: "check", HTTPStatus: 200, Status: "0"},
		{Operation: "check", HTTPStatus: 404, Status: "request-not-found"},
	} {
		got := calls[i]
		if got.API != V2 || got.Format != "json" || got.Operation != want.Operation || got.HTTPStatus != want.HTTPStatus || got.Status != want.Status || got.Code != want.Code || got.RequestID == "" {
			t.Errorf("call %d is recorded as %+v", i, got)
		}
	}
}

func TestV2WrongCodes(t *testing.T) {
	s := newV2(t, Config{})
	id := beginV2(t, s)
	for i, body := range []string{`{"code":"0000"}`, `{"code":"1111"}`} {
		wantProblem(t, "wrong code "+body, askV2(s, "POST", "/v2/verify/"+id, body), 400, "Invalid Code", noMatch)
		if got := lookUp(t, s, id).Status; got != inProgress {
			t.Fatalf("after %d wrong codes it is %s", i+1, got)
		}
	}
	for _, body := range []string{`{"code":"123"}`, `{"code":"12345678901"}`, `{"code":"1-34"}`, `{"code":1234}`, `{}`} {
		wantProblem(t, "no code: "+body, askV2(s, "POST", "/v2/verify/"+id, body), 422, "Invalid params", "The value of one or more parameters is invalid.")
	}
	wantProblem(t, "no JSON", askV2(s, "POST", "/v2/verify/"+id, `{`), 400, "Bad Request", "Invalid JSON")
	wantProblem(t, "the third", askV2(s, "POST", "/v2/verify/"+id, `{"code":"2222"}`), 410, "Invalid Code", gone)
	wantProblem(t, "after it", askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`), 404, "Not Found", notFoundDetail(id))
	if got := lookUp(t, s, id).Status; got != failed {
		t.Errorf("it is %s", got)
	}
}

// Each step has its own code, and its own three tries, unless it uses that of the step before.
func TestV2Steps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{API: V2, APIKey: testKey, APISecret: testSecret, Limit: -1})
		if err != nil {
			t.Fatal(err)
		}
		id := beginV2(t, s, `{"brand":"Acme","channel_timeout":20,"code_length":10,"workflow":[
			{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"},{"channel":"sms","to":"447700900000","reuse_code":true}]}`)
		first := lookUp(t, s, id)
		if len(first.Code) != 10 {
			t.Errorf("the code is %q", first.Code)
		}
		wrong := func(code int) {
			t.Helper()
			if w := askV2(s, "POST", "/v2/verify/"+id, `{"code":"000000"}`); w.Code != code {
				t.Errorf("a wrong code: %d %s", w.Code, w.Body)
			}
		}
		wrong(400)
		wrong(400)
		time.Sleep(20*time.Second - 1)
		if got := lookUp(t, s, id); got.Code != first.Code || len(got.Events) != 1 {
			t.Errorf("just before the second step it is %+v", got)
		}
		time.Sleep(time.Nanosecond)
		second := lookUp(t, s, id)
		if second.Code == first.Code || strings.Join(second.Events, " ") != "sms voice" {
			t.Errorf("with the second step it is %+v", second)
		}
		if w := askV2(s, "POST", "/v2/verify/"+id, `{"code":"`+first.Code+`"}`); w.Code != 400 {
			t.Errorf("the code of the first step: %d %s", w.Code, w.Body)
		}
		wrong(400)
		w := askV2(s, "POST", "/v2/verify/"+id+"/next_workflow", "")
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("next_workflow: %d %q", w.Code, w.Body)
		}
		if third := lookUp(t, s, id); third.Code != second.Code || len(third.Events) != 3 {
			t.Errorf("with the third step it is %+v", third)
		}
		w = askV2(s, "POST", "/v2/verify/"+id+"/next_workflow", "")
		wantProblem(t, "no step left", w, 409, "Conflict", "There are no more events left to trigger.")
		wrong(410) // the third for that code
	})
}

func TestV2Expires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newV2(t, Config{})
		id := beginV2(t, s)
		time.Sleep(2*180*time.Second - 1)
		if got := lookUp(t, s, id).Status; got != inProgress {
			t.Errorf("just before its end it is %s", got)
		}
		time.Sleep(time.Nanosecond)
		if got := lookUp(t, s, id).Status; got != expired {
			t.Errorf("at its end it is %s", got)
		}
		last := beginV2(t, s, oneStep(testNumber, `"channel_timeout":15,`))
		time.Sleep(15*time.Second - 1)
		if w := askV2(s, "POST", "/v2/verify/"+last, `{"code":"4321"}`); w.Code != 200 {
			t.Errorf("the right code just before the end: %d %s", w.Code, w.Body)
		}
		wantProblem(t, "a check", askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`), 404, "Not Found", notFoundDetail(id))
	})
}

func TestV2Cancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newV2(t, Config{})
		id := beginV2(t, s)
		cancel := func() *httptest.ResponseRecorder { return askV2(s, "DELETE", "/v2/verify/"+id, "") }
		time.Sleep(30*time.Second - 1)
		wantProblem(t, "too early", cancel(), 404, "Not Found", notFoundDetail(id))
		time.Sleep(time.Nanosecond)
		if w := cancel(); w.Code != 204 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" {
			t.Fatalf("got %d %q", w.Code, w.Body)
		}
		wantProblem(t, "again", cancel(), 404, "Not Found", notFoundDetail(id))
		const busy = "Concurrent verifications to the same number are not allowed."
		time.Sleep(12*time.Second - 1)
		wantProblem(t, "a start", askV2(s, "POST", "/v2/verify", oneStep("447700900000", "")), 409, "Conflict", busy)
		time.Sleep(time.Nanosecond)
		id = beginV2(t, s)
		time.Sleep(180 * time.Second)
		wantProblem(t, "too late", cancel(), 404, "Not Found", notFoundDetail(id))
		if got := lookUp(t, s, id).Status; got != inProgress {
			t.Errorf("it is %s", got)
		}
	})
}

// Of three conflicts one does not say with what.
func TestV2Concurrent(t *testing.T) {
	s := newV2(t, Config{})
	id := beginV2(t, s)
	for i, want := range []string{id, id, "", id} {
		w := askV2(s, "POST", "/v2/verify", oneStep("447700900000", ""))
		got := wantProblem(t, "a second start", w, 409, "Conflict", "Concurrent verifications to the same number are not allowed.")
		if got["request_id"] != want {
			t.Errorf("conflict %d: request_id %q, want %q", i, got["request_id"], want)
		}
	}
	if got := s.Accepted(); got != 1 {
		t.Errorf("%d verifications", got)
	}
}

// v1 and v2 at one host know nothing of each other's verifications.
func TestBothAPIs(t *testing.T) {
	s := newSandbox(t, Config{API: "v1 v2"})
	id := beginV2(t, s)
	old := begin(t, s)
	undashed := strings.ReplaceAll(id, "-", "")
	if got := ask(t, s, "search/json", "request_id="+undashed); statusOf(t, got) != "101" {
		t.Errorf("v1 knows v2's: %s", got)
	}
	for _, of := range []string{old, undashed} {
		wantProblem(t, "v1's", askV2(s, "POST", "/v2/verify/"+of, `{"code":"4321"}`), 404, "Not Found", notFoundDetail(of))
	}
	if got := ask(t, s, "check/json", "code=4321&request_id="+old); statusOf(t, got) != "0" {
		t.Errorf("v1's check: %s", got)
	}
	if w := askV2(s, "POST", "/v2/verify/"+id, `{"code":"4321"}`); w.Code != 200 {
		t.Errorf("v2's check: %s", w.Body)
	}
	var report callsReport
	if err := json.Unmarshal(serve(s, httptest.NewRequest("GET", CallsPath, nil)).Body.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if v := report.LatestVerifications; len(v) != 2 || v[0].API != V2 || v[0].RequestID != id || v[0].Code != "4321" || v[1].API != V1 {
		t.Errorf("it tells %+v", v)
	}
	if c := report.Latest; c[0].API != V2 || c[1].API != V1 || report.Received["request"] != 2 {
		t.Errorf("it tells %+v", c)
	}
}

// Only what is asked for is there.
func TestOneAPI(t *testing.T) {
	for _, test := range []struct {
		api, path string
		there     bool
	}{
		{"v1", "/verify/json", true},
		{"v1", "/v2/verify", false},
		{"v2", "/verify/json", false},
		{"v2", "/v2/verify", true},
		{"v2", "/v2/verify2", false},
		{"v2 v1", "/verify/json", true},
		{"v1 v2", "/v2/verify/", true},
	} {
		s := newSandbox(t, Config{API: test.api})
		if w := askV2(s, "POST", test.path, `{}`); (w.Code != 404) != test.there {
			t.Errorf("%s %s: %d %s", test.api, test.path, w.Code, w.Body)
		}
	}
}

func TestV2Paths(t *testing.T) {
	s := newV2(t, Config{})
	const id = "c11236f4-00bf-4b89-84ba-88b25df97315"
	for _, test := range []struct {
		method, path string
		code         int
		body         string // how it begins
	}{
		{"GET", "/v2/verify", 404, "404 page not found"},
		{"PATCH", "/v2/verify", 404, "404 page not found"},
		{"GET", "/v2/verify/" + id, 404, "404 page not found"},
		{"GET", "/v2/verify/" + id + "/silent-auth/redirect", 404, "404 page not found"},
		{"POST", "/v2/verify/" + id + "/next-workflow", 404, "404 page not found"},
		{"DELETE", "/v2/verify", 404, `{"title":"No static resource v2/verify."`},
		{"DELETE", "/v2/verify/" + id, 404, `{"title":"Not Found"`},
		{"POST", "/v2/verify/" + id + "/next_workflow", 404, `{"title":"Not Found"`},
		{"GET", "/v2/verify/templates", 200, `{"page_size":10,"page":1,"total_pages":1,"total_items":0,"_embedded":{"templates":[]}`},
		{"POST", "/v2/verify/templates", 422, `{"title":"Invalid params"`},
		{"PATCH", "/v2/verify/templates/" + id, 404, `{"title":"Not Found"`},
		{"POST", "/v2/verify/templates/" + id + "/template_fragments", 404, `{"title":"Not Found"`},
		{"DELETE", "/v2/verify/templates/" + id + "/template_fragments/" + id, 404, `{"title":"Not Found"`},
		{"PUT", "/v2/verify/templates", 404, "404 page not found"},
		{"DELETE", "/v2/verify/templates", 405, ""},
		{"PATCH", "/v2/verify/templates", 405, ""},
		{"GET", "/v2/verify/templates/" + id + "/other", 404, "404 page not found"},
		{"POST", "/v2/verify/network-unblock", 403, `{"title":"Forbidden"`},
		{"GET", "/v2/verify/network-unblock", 403, "Forbidden"},
	} {
		w := askV2(s, test.method, test.path, `{"code":"4321"}`)
		if w.Code != test.code || !strings.HasPrefix(w.Body.String(), test.body) || test.body == "" && w.Body.Len() > 0 {
			t.Errorf("%s %s: got %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
	if w := askV2(s, "POST", "/v2/verify", strings.Repeat("x", maxBody+1)); w.Code != 413 {
		t.Errorf("a big body: %d", w.Code)
	}
}
