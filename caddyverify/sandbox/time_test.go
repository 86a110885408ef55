package sandbox

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkflows(t *testing.T) {
	for _, test := range []struct {
		query  string
		events string // kind and second of each, then the end
	}{
		{"", "sms 0, tts 125, tts 305, end 605"},
		{"workflow_id=2", "sms 0, sms 125, tts 305, end 605"},
		{"workflow_id=3", "tts 0, tts 120, end 300"},
		{"workflow_id=4", "sms 0, sms 120, end 300"},
		{"workflow_id=5", "sms 0, tts 120, end 300"},
		{"workflow_id=6", "sms 0, end 300"},
		{"workflow_id=7&pin_expiry=60", "tts 0, end 60"},
		{"workflow_id=6&next_event_wait=900", "sms 0, end 900"},
		{"next_event_wait=900", "sms 0, tts 900, tts 1800, end 2700"},
		{"pin_expiry=3600", "sms 0, tts 125, tts 305, end 3600"},
		{"pin_expiry=60", "sms 0, tts 125, tts 305, end 605"},
		{"pin_expiry=360&next_event_wait=120", "sms 0, tts 120, tts 240, end 360"},
		{"pin_expiry=200&next_event_wait=120", "sms 0, tts 120, tts 240, end 360"},
	} {
		t.Run(test.query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandbox(t, Config{})
				id := begin(t, s, test.query)
				begun := time.Now()
				var got []string
				for sent := 0; ; time.Sleep(time.Second) {
					v := lookUp(t, s, id)
					for ; sent < len(v.Events); sent++ {
						got = append(got, fmt.Sprintf("%s %.0f", v.Events[sent], time.Since(begun).Seconds()))
					}
					if v.Status != "IN PROGRESS" {
						got = append(got, fmt.Sprintf("end %.0f", time.Since(begun).Seconds()))
						if v.Status != "EXPIRED" || !v.Finalized.Equal(time.Now()) {
							t.Errorf("%s at %v", v.Status, v.Finalized)
						}
						break
					}
				}
				if text := strings.Join(got, ", "); text != test.events {
					t.Errorf("got  %s\nwant %s", text, test.events)
				}
			})
		})
	}
}

// A look after hours finds what a look each second would have found.
func TestCatchingUp(t *testing.T) {
	inTurn(t, Config{}, []turn{
		{0, "json", "number=447700900000&brand=A", requestOK},
		{5 * time.Hour, "search/json", "request_id=ID", `{"request_id":"ID","account_id":"abcdef01","number":"447700900000","sender_id":"verify",` +
			`"date_submitted":"2000-01-01 00:00:00","date_finalized":"2000-01-01 00:10:05","checks":[],` +
			`"first_event_date":"2000-01-01 00:00:00","last_event_date":"2000-01-01 00:05:05",` +
			`"price":"0","currency":"EUR","status":"EXPIRED","estimated_price_messages_sent":"0.14025",` +
			`"events":[{"id":"EVENT","type":"sms"},{"id":"EVENT","type":"tts"},{"id":"EVENT","type":"tts"}]}`},
		{5 * time.Hour, "json", "number=447700900000&brand=A", requestOK},
	})
}

func TestPINs(t *testing.T) {
	for _, test := range []struct {
		query string
		want  string // a letter for the PIN of each message
	}{
		{"pin_expiry=360&next_event_wait=120", "AAA"},
		{"pin_expiry=240&next_event_wait=120", "AAB"},
		{"pin_expiry=120&next_event_wait=120", "ABC"},
		{"pin_expiry=400&next_event_wait=120", "ABC"},
		{"pin_expiry=300", "AAB"},
	} {
		t.Run(test.query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{APIKey: testKey, APISecret: testSecret})
				if err != nil {
					t.Fatal(err)
				}
				id := begin(t, s, test.query)
				var pins []string
				for v := lookUp(t, s, id); v.Status == "IN PROGRESS"; v = lookUp(t, s, id) {
					for len(pins) < len(v.Events) {
						pins = append(pins, v.Code)
					}
					time.Sleep(time.Second)
				}
				for i, letter := range test.want {
					first := strings.IndexRune(test.want, letter)
					if pins[i] != pins[first] {
						t.Errorf("PINs %v: %d and %d differ", pins, first, i)
					}
					if first == i && i > 0 && pins[i] == pins[i-1] {
						t.Errorf("PINs %v: %d and %d are the same", pins, i-1, i)
					}
				}
			})
		})
	}
}

func TestNewPINGivesNewAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		id := begin(t, s, "pin_expiry=120&next_event_wait=120")
		wrong := func() string { return statusOf(t, ask(t, s, "check/json", "code=0000&request_id="+id)) }
		got := wrong() + " " + wrong()
		time.Sleep(2 * time.Minute)
		got += " " + wrong() + " " + wrong() + " " + wrong()
		if want := "16 16 16 16 17"; got != want {
			t.Errorf("statuses %s, want %s", got, want)
		}
	})
}

func TestLapsedPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		id := begin(t, s, "pin_expiry=60")
		time.Sleep(time.Minute)
		if got := statusOf(t, ask(t, s, "check/json", "code=4321&request_id="+id)); got != "16" {
			t.Errorf("status %s for a lapsed PIN, want 16", got)
		}
		time.Sleep(65 * time.Second) // the second message brings a new one
		if got := statusOf(t, ask(t, s, "check/json", "code=4321&request_id="+id)); got != "0" {
			t.Errorf("status %s for a new PIN, want 0", got)
		}
	})
}

// After a trigger the waits count from the message that it sent.
func TestTriggerMovesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		id := begin(t, s)
		time.Sleep(10 * time.Second)
		ask(t, s, "control/json", "cmd=trigger_next_event&request_id="+id)
		time.Sleep(179 * time.Second)
		if v := lookUp(t, s, id); len(v.Events) != 2 {
			t.Errorf("events %v after 189 s", v.Events)
		}
		time.Sleep(time.Second)
		if v := lookUp(t, s, id); len(v.Events) != 3 {
			t.Errorf("events %v after 190 s", v.Events)
		}
	})
}

func TestEstimateByNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		for number, want := range map[string]string{"447700900000": "0.04675", "12025550123": "0.00790", "4915123456789": "0.08030", "33639980000": "0.06800"} {
			id := begin(t, s, "number="+number)
			ask(t, s, "check/json", "code=4321&request_id="+id)
			if got := search(t, s, id)["estimated_price_messages_sent"]; got != "0.00000" {
				t.Errorf("%s: %s at once", number, got)
			}
			time.Sleep(20 * time.Second)
			if got := search(t, s, id)["estimated_price_messages_sent"]; got != want {
				t.Errorf("%s: %s after 20 s, want %s", number, got, want)
			}
		}
	})
}

func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{Speed: 60})
		id := begin(t, s)
		time.Sleep(time.Second / 2)
		if got := fields(t, ask(t, s, "control/json", "cmd=cancel&request_id="+id)); got["status"] != "0" {
			t.Errorf("cancel after half a minute of the sandbox's: %v", got)
		}
		if got := search(t, s, id); got["date_submitted"] != "2000-01-01 00:00:00" || got["date_finalized"] != "2000-01-01 00:00:30" {
			t.Errorf("from %s to %s", got["date_submitted"], got["date_finalized"])
		}
	})
}

func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Config{})
		old := begin(t, s)
		ask(t, s, "check/json", "code=4321&request_id="+old)
		time.Sleep(24*time.Hour - 1)
		if got := search(t, s, old)["status"]; got != "SUCCESS" {
			t.Errorf("status %s within a day", got)
		}
		time.Sleep(time.Nanosecond)
		if got := search(t, s, old)["status"]; got != "101" {
			t.Errorf("status %s after a day", got)
		}
		if _, ok := s.Verification(old); ok || len(s.Verifications()) != 0 {
			t.Error("it can still be looked up")
		}
		begin(t, s)
		if n := len(s.verifications.byID); n != 1 {
			t.Errorf("%d verifications held, want 1", n)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	store := newVerifications()
	now := time.Now()
	for i := range maxVerifications + 10 {
		v := &verification{id: fmt.Sprint(i), state: inProgress, next: now.Add(time.Hour)}
		v.number = v.id
		store.add(v, now)
	}
	if len(store.byID) != maxVerifications || len(store.byNumber) != maxVerifications || len(store.order) != maxVerifications {
		t.Errorf("%d, %d, %d held", len(store.byID), len(store.byNumber), len(store.order))
	}
	if store.running(recipient{number: "9"}, now) != nil || store.running(recipient{number: "10"}, now) == nil {
		t.Error("it is not the oldest that were dropped")
	}
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		limit  float64 // 0 is the default
		n      int     // allowed within window
		window time.Duration
	}{
		{0, 30, time.Second},
		{3, 3, time.Second},
		{0.5, 1, 2 * time.Second},
	} {
		t.Run(fmt.Sprint(test.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{APIKey: testKey, APISecret: testSecret, Limit: test.limit})
				if err != nil {
					t.Fatal(err)
				}
				allowed := func() bool { return search(t, s, unknownID)["status"] == "101" }
				if !allowed() {
					t.Fatal("the first call was throttled")
				}
				time.Sleep(test.window / 2)
				for i := range test.n + 5 {
					if got, want := allowed(), i < test.n-1; got != want {
						t.Errorf("call %d: allowed %t", i+2, got)
					}
				}
				time.Sleep(test.window/2 - 1)
				if allowed() {
					t.Error("allowed before the first call was a window old")
				}
				time.Sleep(time.Nanosecond)
				if !allowed() || allowed() {
					t.Error("after a window exactly one more should be allowed")
				}
			})
		})
	}

	s := newSandbox(t, Config{Limit: 1})
	ask(t, s, "search/json", "")
	const want = `{"status":"1","error_text":"Throttled"}`
	for _, operation := range []string{"json", "check/json", "search/json", "control/json"} {
		if got := ask(t, s, operation, "number=447700900000&brand=A"); got != want {
			t.Errorf("%s: %s, want %s", operation, got, want)
		}
	}
	s = newSandbox(t, Config{Limit: math.Inf(-1)})
	for range 1000 {
		if got := search(t, s, unknownID)["status"]; got != "101" {
			t.Fatalf("status %s without a limit", got)
		}
	}
}
