package sandbox

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// post changes the settings and returns what it is told.
func post(s *Sandbox, target, contentType, body string) (code int, answer string) {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := serve(s, r)
	var line strings.Builder
	for text := range strings.Lines(w.Body.String()) {
		line.WriteString(strings.TrimSpace(text))
	}
	return w.Code, line.String()
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

func TestFaultsOverHTTP(t *testing.T) {
	const was = `{"faults": ["* close 50%"],"code": "4321","limit": "off","speed": 1}`
	for _, test := range []struct{ name, contentType, target, body, want string }{
		{
			"JSON", jsonType, FaultsPath, `{"faults":["search delay 2s","check http 503 10%"],"code":"98-76","limit":"0.5/s","speed":60}`,
			`{"faults": ["search delay 2s","check http 503 10%"],"code": "98-76","limit": "0.5/s","speed": 60}`,
		},
		{"JSON as curl sends it", formType, FaultsPath, ` {"code":""}`, `{"faults": ["* close 50%"],"code": "","limit": "off","speed": 1}`},
		{"no faults", jsonType, FaultsPath, `{"faults":[]}`, `{"faults": [],"code": "4321","limit": "off","speed": 1}`},
		{"null stays", jsonType, FaultsPath, `{"faults":null,"limit":"30/s"}`, `{"faults": ["* close 50%"],"code": "4321","limit": "30/s","speed": 1}`},
		{
			"form", formType, FaultsPath, "fault=search+delay+2s&fault=*+html+10%25&code=7777&limit=3/s&speed=2",
			`{"faults": ["search delay 2s","* html 10%"],"code": "7777","limit": "3/s","speed": 2}`,
		},
		{"form as curl -d sends it", formType, FaultsPath, "fault=search delay 2s", `{"faults": ["search delay 2s"],"code": "4321","limit": "off","speed": 1}`},
		{"form without faults", formType, FaultsPath, "fault=", `{"faults": [],"code": "4321","limit": "off","speed": 1}`},
		{"query", "", FaultsPath + "?limit=5/s", "", `{"faults": ["* close 50%"],"code": "4321","limit": "5/s","speed": 1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{Faults: []Fault{{Kind: "close", Share: 50}}})
			if code, got := post(s, test.target, test.contentType, test.body); code != http.StatusOK || got != test.want {
				t.Errorf("%d %s, want %s", code, got, test.want)
			}
			w := serve(s, httptest.NewRequest(http.MethodGet, FaultsPath, nil))
			if got := strings.Join(strings.Fields(w.Body.String()), ""); got != strings.Join(strings.Fields(test.want), "") {
				t.Errorf("GET tells %s, want %s", got, test.want)
			}
		})
	}
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", "nothing is asked for"},
		{"an empty object", "{}", "nothing is asked for"},
		{"half an object", `{"code":`, "JSON"},
		{"two objects", `{"code":"1111"} {"code":"2222"}`, "more than one"},
		{"another field", `{"delay":"2s"}`, `unknown field \"delay\"`},
		{"another field of a form", "delay=2s&code=1111", `unknown field \"delay\"`},
		{"a form with a bare percent sign", "code=1111&fault=* close 50%", "--data-urlencode"},
		{"a fault that is no list", `{"code":"1111","faults":"search hang"}`, `faults: write a list of texts such as [\"search delay`},
		{"a kind that there is not", `{"code":"1111","faults":["search explode"]}`, `fault kind \"explode\": use one of big, bomb`},
		{"a fault without its value", "code=1111&fault=search delay", `delay needs a duration above 0 such as 500ms, not \"\"`},
		{"a second fault", "code=1111&fault=* hang&fault=search", "write <operation|*> <kind> [<value>] [<share>%]"},
		{"a code", "fault=&code=12", `code \"12\" cannot be a code`},
		{"a code that is a number", `{"faults":[],"code":1234}`, `code: write a text`},
		{"a limit", "code=1111&limit=30", `limit: write a number per second such as \"30/s\"`},
		{"a limit of none", "code=1111&limit=0/s", "limit: write"},
		{"a limit out of range", "code=1111&limit=1000000/s", "limit 1e+06 is out of range"},
		{"a speed", "code=1111&speed=fast", "speed: write a number above 0"},
		{"no speed", `{"code":"1111","speed":0}`, "speed: write a number above 0"},
		{"a speed out of range", `{"code":"1111","speed":1e9}`, "speed 1e+09 is out of range"},
		{"too much", strings.Repeat("x", maxBody+1), "longer than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, Config{Faults: []Fault{{Kind: "close", Share: 50}}})
			code, got := post(s, FaultsPath, formType, test.body)
			if code != http.StatusBadRequest || !strings.Contains(got, test.want) || !strings.HasSuffix(got, `; nothing was changed"}`) || !json.Valid([]byte(got)) {
				t.Errorf("%d %s, want %s", code, got, test.want)
			}
			w := serve(s, httptest.NewRequest(http.MethodGet, FaultsPath, nil))
			if got := strings.Join(strings.Fields(w.Body.String()), ""); got != strings.Join(strings.Fields(was), "") {
				t.Errorf("afterwards it is %s", got)
			}
		})
	}
	if w := serve(newSandbox(t, Config{}), httptest.NewRequest(http.MethodDelete, FaultsPath, nil)); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("DELETE: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// What is changed holds for the next call, and the verifications stay.
func TestChangeWhileRunning(t *testing.T) {
	s := newSandbox(t, Config{})
	id := begin(t, s)
	post(s, FaultsPath, formType, "fault=search status 5&code=7777")
	if got := search(t, s, id)["status"]; got != "5" {
		t.Errorf("status %s with the fault on", got)
	}
	other := begin(t, s, "number=447700900001")
	if got := ask(t, s, "check/json", "code=7777&request_id="+other); statusOf(t, got) != "0" {
		t.Errorf("the new code: %s", got)
	}
	post(s, FaultsPath, formType, "fault=&limit=1/s")
	if got := ask(t, s, "check/json", "code=4321&request_id="+id); statusOf(t, got) != "0" {
		t.Errorf("the code of before the change: %s", got)
	}
	if got := search(t, s, id)["status"]; got != "1" {
		t.Errorf("status %s, a second call within a second", got)
	}
	if calls := s.Calls(); len(calls) != 6 {
		t.Errorf("%d calls recorded: those of settings are none", len(calls))
	}
}

// Sandboxes of one account share what it has, and nothing of how they behave.
func TestWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSandbox(t, Config{Limit: 2})
		id := begin(t, a)
		b, err := a.With(Config{APIKey: testKey, APISecret: testSecret, Code: "7777", Limit: 3, Speed: 60, Faults: []Fault{{Operation: "check", Kind: "html"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.With(Config{Speed: -1}); err == nil {
			t.Error("settings that cannot be used were accepted")
		}
		if got := a.Settings(); got.Code != "4321" || got.Limit != 2 || got.Speed != 1 || len(got.Faults) != 0 {
			t.Errorf("the first has become %+v", got)
		}
		if got := search(t, b, id)["status"]; got != "IN PROGRESS" {
			t.Errorf("status %s", got)
		}
		if got := search(t, a, id)["status"]; got != "1" {
			t.Errorf("status %s: a third call in a second, of 2", got)
		}
		if got := search(t, b, id)["status"]; got != "IN PROGRESS" {
			t.Errorf("status %s: a third call in a second, of 3", got)
		}
		if got := search(t, b, id)["status"]; got != "1" {
			t.Errorf("status %s: a fourth call in a second, of 3", got)
		}
		if got := ask(t, b, "check/json", "code=4321&request_id="+id); !strings.Contains(got, "<html>") {
			t.Errorf("the second's fault is not on: %s", got)
		}
		time.Sleep(11 * time.Second) // 660 at the speed of the second
		if got := lookUp(t, a, id); got.Status != "EXPIRED" || len(got.Events) != 3 {
			t.Errorf("it is %+v", got)
		}
		if a.Accepted() != 1 || len(b.Calls()) != 6 {
			t.Errorf("%d verifications, %d calls", a.Accepted(), len(b.Calls()))
		}
	})
}

// A change of speed moves no time that was.
func TestSpeedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		begun := time.Now().UTC()
		for i, test := range []struct {
			speed float64
			real  time.Duration
			want  time.Duration // since the beginning
		}{
			{1, 10 * time.Second, 10 * time.Second},
			{60, 2 * time.Second, 130 * time.Second},
			{0.5, 4 * time.Second, 132 * time.Second},
			{1, time.Second, 133 * time.Second},
		} {
			if err := s.Change(func(settings *Settings) error { settings.Speed = test.speed; return nil }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(test.real)
			if got := s.clock.now().Sub(begun); got != test.want {
				t.Errorf("%d: %s have passed, want %s", i, got, test.want)
			}
		}
	})
}

// A change and a call may come at the same time; the race detector tells.
func TestChangeWhileCalled(t *testing.T) {
	s := newSandbox(t, Config{Logger: slog.New(slog.DiscardHandler)})
	var running sync.WaitGroup
	for range 1000 {
		// What a call reads at its end is before nothing that it has in common with a change.
		running.Go(func() { serve(s, httptest.NewRequest("GET", "/verify/search/json?request_id=a", nil)) })
		running.Go(func() {
			if err := s.SetFaults(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}
