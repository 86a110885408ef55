package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCallsReport(t *testing.T) {
	const secret = "a-secret-of-the-sandbox"
	s, err := New(Config{APIKey: "key", APISecret: secret, Code: "1234", Record: 2})
	if err != nil {
		t.Fatal(err)
	}
	serve := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, target, nil)
		r.SetBasicAuth("key", secret)
		s.ServeHTTP(w, r)
		return w
	}
	for _, target := range []string{
		"/verify/json?number=447700900000&brand=Acme",
		"/verify/check/xml?request_id=a&code=4321",
		"/verify/search/json?request_id=a",
		"/verify/search/json?request_id=b",
	} {
		serve(http.MethodGet, target)
	}
	w := serve(http.MethodGet, CallsPath)
	var report callsReport
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	for operation, want := range map[string]int{"request": 1, "check": 1, "search": 2, "control": 0} {
		if got := report.Received[operation]; got != want {
			t.Errorf("received %d calls of %s, want %d", got, operation, want)
		}
	}
	if report.Verifications != 1 || len(report.Latest) != 2 {
		t.Errorf("%d verifications, %d latest calls; want 1 and the 2 that are kept", report.Verifications, len(report.Latest))
	}
	if last := report.Latest[1]; last.Operation != "search" || last.RequestID != "b" || last.APIKey != "key" || last.Status != "101" {
		t.Errorf("the latest call is %+v", last)
	}
	if len(report.LatestVerifications) != 1 || report.LatestVerifications[0].Code != "1234" || report.LatestVerifications[0].Status != "IN PROGRESS" {
		t.Errorf("the latest verifications are %+v, want one with its code", report.LatestVerifications)
	}
	for _, private := range []string{secret, "447700900000", "4321"} {
		if strings.Contains(w.Body.String(), private) {
			t.Errorf("it tells %s: %s", private, w.Body)
		}
	}
	if w := serve(http.MethodPost, CallsPath); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet {
		t.Errorf("POST: got %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// A developer who does not know the code finds it, and learns what a refused account
// does to the gateway.
func TestCallsTellCodes(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, s, "pin_expiry=120", "next_event_wait=60")
	id := s.Verifications()[0].RequestID
	for _, number := range []string{forcedNumber("8"), forcedNumber("5")} {
		ask(t, s, "json", "brand=A&number="+number)
	}
	ask(t, s, "control/json", "cmd=trigger_next_event&request_id="+id)
	var report callsReport
	if err := json.Unmarshal(serve(s, httptest.NewRequest(http.MethodGet, CallsPath, nil)).Body.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	v := s.Verifications()[0]
	told := report.LatestVerifications[0]
	if told.RequestID != id || told.Code != v.Code || len(told.Code) != 4 || strings.Join(told.Events, " ") != "sms tts" {
		t.Errorf("it tells %+v of %+v", told, v)
	}
	for i, want := range []reportedCall{
		{Operation: "request", Status: "0", Code: v.Code},
		{Operation: "request", Status: "8", Note: gatewayHolds["8"]},
		{Operation: "request", Status: "5"},
		{Operation: "control", Status: "0", Code: v.Code},
	} {
		got := report.Latest[i]
		if got.Operation != want.Operation || got.Status != want.Status || got.Code != want.Code || got.Note != want.Note {
			t.Errorf("call %d is %+v, want %+v", i, got, want)
		}
	}
	if !strings.Contains(report.Latest[1].Note, "30 s") {
		t.Error("it does not say for how long")
	}
}

func TestAnyCredentials(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"/verify/search/json?request_id=a&api_key=k&api_secret=any": "101",
		"/verify/search/json?request_id=a":                          "2",
		"/verify/search/json?request_id=a&api_key=k":                "2",
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if !strings.Contains(w.Body.String(), `"status":"`+want+`"`) {
			t.Errorf("%s: got %s, want status %s", target, w.Body, want)
		}
	}
	for _, half := range []Config{{APIKey: "key"}, {APISecret: "secret"}} {
		if _, err := New(half); err == nil {
			t.Errorf("%+v was accepted", half)
		}
	}
}
