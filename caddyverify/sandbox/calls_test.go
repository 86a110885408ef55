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
	for _, private := range []string{secret, "447700900000", "4321"} {
		if strings.Contains(w.Body.String(), private) {
			t.Errorf("it tells %s: %s", private, w.Body)
		}
	}
	if w := serve(http.MethodPost, CallsPath); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet {
		t.Errorf("POST: got %d, Allow %q", w.Code, w.Header().Get("Allow"))
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
