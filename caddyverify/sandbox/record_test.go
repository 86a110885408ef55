package sandbox

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestCalls(t *testing.T) {
	s := newSandbox(t, Config{Faults: []Fault{{Operation: "check", Kind: "http", Value: "503"}}})
	r := httptest.NewRequest("POST", "/verify/json?x=1", strings.NewReader("number=447700900000&brand=Acme"))
	r.Header.Set("X-Trace", "abc")
	r.SetBasicAuth(testKey, testSecret)
	id := fields(t, serve(s, r).Body.String())["request_id"]
	serve(s, httptest.NewRequest("GET", "/verify/check/xml?request_id="+id, nil))
	serve(s, httptest.NewRequest("DELETE", "/elsewhere", nil))

	calls := s.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls, want 3", len(calls))
	}
	c := calls[0]
	if c.Operation != "request" || c.Format != "json" || c.Method != "POST" || c.URI != "/verify/json?x=1" ||
		c.Header.Get("X-Trace") != "abc" || c.Params.Encode() != "brand=Acme&number=447700900000&x=1" ||
		c.HTTPStatus != 200 || c.Status != "0" || c.RequestID != id || c.Fault != "" || c.Time.IsZero() {
		t.Errorf("request: %+v", c)
	}
	if c := calls[1]; c.Operation != "check" || c.Format != "xml" || c.HTTPStatus != 503 || c.Status != "" || c.Fault != "http" || c.RequestID != id || len(c.Credentials) != 0 {
		t.Errorf("check: %+v", c)
	}
	if c := calls[2]; c.Operation != "" || c.Method != "DELETE" || c.HTTPStatus != 404 {
		t.Errorf("other path: %+v", c)
	}

	s.Reset()
	if len(s.Calls()) != 0 || s.Accepted() != 0 || len(s.Verifications()) != 0 {
		t.Error("Reset leaves something behind")
	}
	if w := serve(s, httptest.NewRequest("GET", "/verify/check/json", nil)); w.Code != 503 {
		t.Error("Reset takes the faults away")
	}
}

func TestRecordIsBounded(t *testing.T) {
	for _, test := range []struct {
		record int
		want   string // the ids searched for
	}{
		{3, "7 8 9"},
		{20, "0 1 2 3 4 5 6 7 8 9"},
		{-1, ""},
	} {
		t.Run(fmt.Sprint(test.record), func(t *testing.T) {
			s := newSandbox(t, Config{Record: test.record})
			for i := range 10 {
				search(t, s, fmt.Sprint(i))
			}
			var got []string
			for _, c := range s.Calls() {
				got = append(got, c.RequestID)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("recorded %v, want %s", got, test.want)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var log bytes.Buffer
	s := newSandbox(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	id := begin(t, s, "api_secret="+testSecret)
	search(t, s, id)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("log:\n%s", &log)
	}
	if want := "operation=request format=json http_status=200 status=0 request_id=" + id + " code=4321"; !strings.HasSuffix(lines[0], want) {
		t.Errorf("line %q, want %q at its end", lines[0], want)
	}
	if want := `operation=search format=json http_status=200 status="IN PROGRESS"`; !strings.HasSuffix(lines[1], want) {
		t.Errorf("line %q, want %q at its end", lines[1], want)
	}
	if strings.Contains(log.String(), testSecret) {
		t.Error("the log has the secret")
	}
}

func TestManyAtOnce(t *testing.T) {
	s := newSandbox(t, Config{Record: 10, Faults: []Fault{{Operation: "search", Kind: "status", Value: "5", Share: 50}}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				id := begin(t, s, fmt.Sprintf("number=4477009%05d", i*50+j+20_000))
				search(t, s, id)
				ask(t, s, "check/json", "code=4321&request_id="+id)
				s.Calls()
				s.Verifications()
			}
		})
	}
	wg.Wait()
	if s.Accepted() != 400 {
		t.Errorf("%d verifications, want 400", s.Accepted())
	}
	for _, v := range s.Verifications() {
		if v.Status != "SUCCESS" {
			t.Errorf("%+v", v)
		}
	}
}
