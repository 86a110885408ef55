package sandbox

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseFault(t *testing.T) {
	for _, test := range []struct {
		line string
		want Fault
		err  string // in the error; "" for none
	}{
		{"request delay 1.5s", Fault{"request", "delay", "1.5s", 0}, ""},
		{"* status 5 10%", Fault{"*", "status", "5", 10}, ""},
		{"check http 502 0.5%", Fault{"check", "http", "502", 0.5}, ""},
		{"search close 0%", Fault{"search", "close", "", -1}, ""},
		{"control big 100%", Fault{"control", "big", "", 100}, ""},
		{" *  big   1024 ", Fault{"*", "big", "1024", 0}, ""},
		{"* redirect", Fault{"*", "redirect", "", 0}, ""},
		{"* redirect http://localhost:1/x", Fault{"*", "redirect", "http://localhost:1/x", 0}, ""},
		{"", Fault{}, "<operation|*>"},
		{"close", Fault{}, "<operation|*>"},
		{"* big 1 2", Fault{}, "<operation|*>"},
		{"psd3 close", Fault{}, `operation "psd3"`},
		{"* explode", Fault{}, "reset_after"},
		{"* delay", Fault{}, "duration"},
		{"* delay 5", Fault{}, "duration"},
		{"* drip -1s", Fault{}, "duration"},
		{"* status", Fault{}, "1 to 999"},
		{"* status 0", Fault{}, "1 to 999"},
		{"* http 200", Fault{}, "400 to 599"},
		{"* big -1", Fault{}, "1 to 1073741824"},
		{"* close 5", Fault{}, "no value"},
		{"* redirect elsewhere", Fault{}, "URL"},
		{"* close 101%", Fault{}, "share"},
		{"* close -1%", Fault{}, "share"},
		{"* close NaN%", Fault{}, "share"},
	} {
		t.Run(test.line, func(t *testing.T) {
			got, err := ParseFault(test.line)
			if byFields, _ := ParseFault(strings.Fields(test.line)...); byFields != got {
				t.Errorf("as fields it is %+v", byFields)
			}
			switch {
			case test.err == "" && err != nil:
				t.Fatal(err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Fatalf("error %v does not have %q", err, test.err)
			case got != test.want:
				t.Fatalf("%+v, want %+v", got, test.want)
			case err == nil:
				if again, err := ParseFault(got.String()); again != got || err != nil {
					t.Errorf("%q reads as %+v, %v", got.String(), again, err)
				}
			}
		})
	}
}

func TestSetFaults(t *testing.T) {
	s := newSandbox(t, Config{Faults: []Fault{{Kind: "status", Value: "9"}}})
	if got := search(t, s, unknownID)["status"]; got != "9" {
		t.Errorf("status %s with the fault", got)
	}
	if err := s.SetFaults(Fault{Kind: "close"}, Fault{Kind: "close", Share: 101}); err == nil {
		t.Error("a share of 101% is taken")
	}
	if got := search(t, s, unknownID)["status"]; got != "9" {
		t.Errorf("status %s after a failed SetFaults", got)
	}
	if err := s.SetFaults(); err != nil {
		t.Fatal(err)
	}
	if got := search(t, s, unknownID)["status"]; got != "101" {
		t.Errorf("status %s without faults", got)
	}
}

// statuses makes n searches and lists their statuses; 101 is the right one.
func statuses(t *testing.T, s *Sandbox, n int) string {
	var got []string
	for range n {
		got = append(got, search(t, s, unknownID)["status"])
	}
	return strings.Join(got, " ")
}

func TestShares(t *testing.T) {
	for _, test := range []struct {
		faults []Fault
		want   string
	}{
		{[]Fault{{Kind: "status", Value: "5", Share: 25}}, "101 101 101 5 101 101 101 5"},
		{[]Fault{{Kind: "status", Value: "5", Share: 50}}, "101 5 101 5 101 5 101 5"},
		{[]Fault{{Kind: "status", Value: "5", Share: 100}}, "5 5 5 5 5 5 5 5"},
		{[]Fault{{Kind: "status", Value: "5", Share: -1}}, "101 101 101 101 101 101 101 101"},
		{[]Fault{{Operation: "check", Kind: "status", Value: "5"}}, "101 101 101 101 101 101 101 101"},
		{[]Fault{{Kind: "status", Value: "5", Share: 50}, {Operation: "search", Kind: "status", Value: "8"}}, "8 5 8 5 8 5 8 5"},
		{[]Fault{{Kind: "status", Value: "5", Share: 50}, {Kind: "status", Value: "8", Share: 50}}, "101 5 8 5 101 5 8 5"},
	} {
		t.Run(fmt.Sprint(test.faults), func(t *testing.T) {
			if got := statuses(t, newSandbox(t, Config{Faults: test.faults}), 8); got != test.want {
				t.Errorf("statuses %s, want %s", got, test.want)
			}
		})
	}

	s := newSandbox(t, Config{Faults: []Fault{{Kind: "status", Value: "5", Share: 33.3}}})
	if n := strings.Count(statuses(t, s, 1000)+" ", "5 "); n != 333 {
		t.Errorf("33.3%% of 1000 calls is %d", n)
	}
	s.Reset()
	if got := statuses(t, s, 4); got != "101 101 101 5" {
		t.Errorf("after Reset %s", got)
	}
}

func TestStatusFault(t *testing.T) {
	const id = "cc121958d8fb4368aa3bb762bb9a0f74"
	for _, test := range []struct{ operation, status, want string }{
		{"request", "10", `{"request_id":"ID","status":"10","error_text":"Concurrent verifications to the same number are not allowed"}`},
		{"request", "8", `{"status":"8","error_text":"The api_key you supplied is for an account that has been barred from submitting messages."}`},
		{"check", "16", `{"request_id":"ID","status":"16","error_text":"The code provided does not match the expected value"}`},
		{"check", "6", `{"status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Request 'ID' was not found or it has been verified already."}`},
		{"search", "6", `{"request_id":"","status":"6","error_text":"The Vonage platform was unable to process this message for the following reason: Wrong parameters."}`},
		{"search", "101", `{"status":"101","error_text":"No response found"}`},
		{"control", "19", `{"status":"19","error_text":"No more events are left to execute for the request ['ID']"}`},
		{"control", "6", `{"status":"6","error_text":"The requestId 'ID' does not exist or its no longer active."}`},
		{"search", "77", `{"status":"77","error_text":"Status 77 has no documented text"}`},
	} {
		t.Run(test.operation+" "+test.status, func(t *testing.T) {
			s := newSandbox(t, Config{Faults: []Fault{{Operation: test.operation, Kind: "status", Value: test.status}}})
			path := strings.TrimPrefix(test.operation+"/json", "request/")
			if got := plain(ask(t, s, path, "number=447700900000&brand=A&code=1234&cmd=cancel&request_id="+id)); got != test.want {
				t.Errorf("answer %s, want %s", got, test.want)
			}
			if s.Accepted() != 0 {
				t.Error("work was done")
			}
			if c := s.Calls()[0]; c.Status != test.status || c.Fault != "status" {
				t.Errorf("recorded %+v", c)
			}
		})
	}
}

func TestDelayAndDrip(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults []Fault
		status string
		took   time.Duration
		fault  string
	}{
		{"delay", []Fault{{Kind: "delay", Value: "2s"}}, "0", 2 * time.Second, "delay"},
		{"two delays", []Fault{{Kind: "delay", Value: "2s"}, {Kind: "delay", Value: "1s"}}, "0", 3 * time.Second, "delay"},
		{"delay and status", []Fault{{Kind: "delay", Value: "2s"}, {Kind: "status", Value: "5"}}, "5", 2 * time.Second, "delay+status"},
		{"status and delay", []Fault{{Kind: "status", Value: "5"}, {Kind: "delay", Value: "2s"}}, "5", 0, "status"},
		{"drip", []Fault{{Kind: "drip", Value: "1s"}}, "0", time.Duration(len(`{"request_id":"`+unknownID+`","status":"0"}`)) * time.Second, "drip"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandbox(t, Config{Faults: test.faults})
				begun := time.Now()
				if got := statusOf(t, ask(t, s, "json", "number=447700900000&brand=A")); got != test.status {
					t.Errorf("status %s, want %s", got, test.status)
				}
				if took := time.Since(begun); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if c := s.Calls()[0]; c.Fault != test.fault || c.Status != test.status {
					t.Errorf("recorded %+v", c)
				}
				if all := s.Verifications(); len(all) > 0 && !all[0].Submitted.Equal(begun) {
					t.Errorf("the work was done at %v, not at once", all[0].Submitted)
				}
			})
		})
	}
}

func TestDelayEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{Faults: []Fault{{Kind: "delay", Value: "1h"}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		func() {
			defer func() { _ = recover() }() // net/http does the same
			serve(s, httptest.NewRequestWithContext(ctx, "GET", "/verify/json", nil))
		}()
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// What can be read of the spoilt answers is what the faults say.
func TestSpoiltBodies(t *testing.T) {
	body := func(t *testing.T, kind, value, path string) string {
		s := newSandbox(t, Config{})
		id := begin(t, s)
		if err := s.SetFaults(Fault{Kind: kind, Value: value}); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(ask(t, s, path, "code=4321&request_id="+id), id, "ID")
	}
	for _, test := range []struct{ kind, path, start, end string }{
		{"duplicate_status", "check/json", `{"status":"5","request_id":"ID","status":"0",`, `}`},
		{"duplicate_status", "check/xml", declaration + `<verify_response><status>5</status><request_id>ID</request_id><status>0</status>`, "</verify_response>"},
		{"duplicate_status", "search/json", `{"status":"0","request_id":"ID","account_id":`, `}`},
		{"dtd", "check/json", `{"status":"5","request_id":"ID","status":"0",`, `}`},
		{"dtd", "check/xml", declaration + `<!DOCTYPE verify_response [<!ENTITY e0 "ha"><!ENTITY e1 "&e0;&e0;`, "</verify_response>"},
		{"deep", "search/json", `{"levels":[{"levels":[{"levels":`, `}`},
		{"deep", "search/xml", declaration + `<verify_request><levels><level><levels><level>`, "</verify_request>"},
		{"big", "check/json", `{"padding":"   `, `"estimated_price_messages_sent":"0.00000"}`},
		{"big", "check/xml", declaration + `<verify_response><padding>   `, "</verify_response>"},
	} {
		t.Run(test.kind+" "+test.path, func(t *testing.T) {
			got := body(t, test.kind, "", test.path)
			if !strings.HasPrefix(got, test.start) || !strings.HasSuffix(got, test.end) {
				t.Errorf("answer %.200q", got)
			}
		})
	}
	t.Run("dtd uses its entity", func(t *testing.T) {
		if got := body(t, "dtd", "", "check/xml"); !strings.Contains(got, "<entity>&e9;</entity>") {
			t.Errorf("answer %.2000q", got)
		}
	})
	t.Run("sizes", func(t *testing.T) {
		if n := len(body(t, "big", "", "check/json")); n < 2<<20 || n > 2<<20+1000 {
			t.Errorf("big is %d bytes", n)
		}
		if n := len(body(t, "big", "5000", "check/json")); n < 5000 || n > 6000 {
			t.Errorf("big of 5000 is %d bytes", n)
		}
		if n := strings.Count(body(t, "deep", "", "check/json"), "["); n != deepPairs+1 {
			t.Errorf("deep has %d lists", n)
		}
	})
	t.Run("readable", func(t *testing.T) {
		if got := body(t, "big", "", "check/json"); !json.Valid([]byte(got)) {
			t.Error("big is no JSON")
		}
		var v any
		if got := body(t, "deep", "", "check/json"); json.Unmarshal([]byte(got), &v) == nil {
			t.Error("deep is not too deep for encoding/json")
		}
		if got := body(t, "big", "", "check/xml"); xml.Unmarshal([]byte(got), new(struct{})) != nil {
			t.Error("big is no XML")
		}
	})
	t.Run("first of many", func(t *testing.T) {
		s := newSandbox(t, Config{})
		a, b := begin(t, s), begin(t, s, "number=447700900001")
		if err := s.SetFaults(Fault{Kind: "duplicate_status"}); err != nil {
			t.Fatal(err)
		}
		got := ask(t, s, "search/json", "request_ids="+a+"&request_ids="+b)
		if !strings.HasPrefix(got, `{"verification_requests":[{"status":"0","request_id":"`+a) {
			t.Errorf("answer %s", got)
		}
	})
}
