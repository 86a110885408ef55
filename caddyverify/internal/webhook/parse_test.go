package webhook

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

const requestID = "c11236f4-00bf-4b89-84ba-88b25df97315"

func at(clock string) time.Time {
	t, err := time.Parse(time.RFC3339, "2026-01-01T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       state.Event
	}{
		{"an event", `{
			"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315",
			"triggered_at": "2026-01-01T14:00:00.032Z",
			"type": "event",
			"channel": "voice",
			"status": "completed",
			"finalized_at": "2026-01-01T14:00:09.001Z",
			"client_ref": "my-personal-ref"
		}`, state.Event{
			ID: requestID, Type: "event", Channel: "voice", Status: "completed", At: at("14:00:09.001"), Since: at("14:00:00.032"),
			Sent: []state.Message{{Channel: "voice", At: at("14:00:00.032")}},
		}},
		{"silent authentication, with an action", `{
			"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315",
			"triggered_at": "2026-01-01T14:00:00.000Z",
			"type": "event",
			"channel": "silent_auth",
			"status": "action_pending",
			"action": {"type": "check", "check_url": "https://eu.api.silent.auth/phone_check/v0.1/checks/x/redirect"}
		}`, state.Event{
			ID: requestID, Type: "event", Channel: "silent_auth", Status: "action_pending", Since: at("14:00:00"),
			Sent: []state.Message{{Channel: "silent_auth", At: at("14:00:00")}},
		}},
		{"silent authentication, with a list of actions", `{
			"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315",
			"type": "event",
			"channel": "silent_auth",
			"status": "user_rejected",
			"action": [{"type": "check", "check_url": "https://eu.api.silent.auth/phone_check/v0.1/checks/x/redirect"}]
		}`, state.Event{ID: requestID, Type: "event", Channel: "silent_auth", Status: "user_rejected"}},
		{"a summary", `{
			"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315",
			"submitted_at": "2026-01-01T14:00:02.000Z",
			"status": "failed",
			"type": "summary",
			"channel_timeout": 300,
			"workflow": [
				{"channel": "sms", "initiated_at": "2026-01-01T14:00:00.000Z", "status": "expired"},
				{"channel": "voice", "initiated_at": "2026-01-01T14:02:00.000Z", "status": "user_rejected"},
				{"channel": "sms", "initiated_at": "2026-12-25T11:02:00.300Z", "status": "unused"}
			],
			"price": "0.300000125",
			"client_ref": "my-personal-ref"
		}`, state.Event{
			ID: requestID, Type: "summary", Status: "failed", Since: at("14:00:02"), Price: "0.300000125",
			Sent: []state.Message{{Channel: "sms", At: at("14:00:00")}, {Channel: "voice", At: at("14:02:00")}},
		}},
		{"a block", `{
			"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315",
			"submitted_at": "2026-01-01T14:00:00.000Z",
			"status": "blocked",
			"type": "summary",
			"workflow": [{
				"channel": "sms",
				"initiated_at": "2026-01-01T14:00:00.000Z",
				"status": "blocked",
				"reason": "Fraudulent traffic detected for your account on network [ 23415 ]."
			}],
			"finalized_at": "2026-01-01T14:00:00.000Z"
		}`, state.Event{ID: requestID, Type: "summary", Status: "blocked", At: at("14:00:00"), Since: at("14:00:00"), Network: "23415"}},
		{
			"a price that is none", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"summary","status":"completed","price":"2026-01-01T14:00:00.000Z"}`,
			state.Event{ID: requestID, Type: "summary", Status: "completed"},
		},
		{
			"a price as a number", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"summary","status":"completed","price":0.05}`,
			state.Event{ID: requestID, Type: "summary", Status: "completed", Price: "0.05"},
		},
		{"nothing but an id", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315"}`, state.Event{ID: requestID, Type: "event"}},
		{
			"a summary that does not say so", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","status":"expired","workflow":[]}`,
			state.Event{ID: requestID, Type: "summary", Status: "expired"},
		},
		{
			"words that nobody knows", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"rumour","status":"in_limbo","channel":"pigeon","sent":true}`,
			state.Event{ID: requestID, Type: "rumour", Status: "in_limbo", Channel: "pigeon"},
		},
		{
			"everything of another kind", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"event","status":{},"channel":["sms"],"triggered_at":5,"finalized_at":null,"price":{},"reason":[],"workflow":"sms"}`,
			state.Event{ID: requestID, Type: "event"},
		},
		{
			"steps of another kind", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"summary","status":"failed","workflow":[1,null,[],{"channel":5,"initiated_at":"soon","status":null}]}`,
			state.Event{ID: requestID, Type: "summary", Status: "failed", Sent: []state.Message{{Channel: "5"}}},
		},
		{
			"words that cannot be shown", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"event","status":"447700900000 is\nblocked","channel":"SMS"}`,
			state.Event{ID: requestID, Type: "event"},
		},
		{
			"a word that is too long", `{"request_id":"x","type":"event","status":"` + strings.Repeat("x", maxWord+1) + `","channel":"` + strings.Repeat("x", maxWord) + `"}`,
			state.Event{ID: "x", Type: "event", Channel: strings.Repeat("x", maxWord)},
		},
		{
			"times as others write them", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"event","finalized_at":"2026-01-01T15:00:00+01:00","triggered_at":"2026-01-01 14:00:00"}`,
			state.Event{ID: requestID, Type: "event", At: at("14:00:00"), Since: at("14:00:00"), Sent: []state.Message{{At: at("14:00:00")}}},
		},
		{
			"times that are none", `{"request_id":"c11236f4-00bf-4b89-84ba-88b25df97315","type":"event","finalized_at":"9999-12-31T23:59:59-23:00","triggered_at":"0001-01-01T00:00:00Z"}`,
			state.Event{ID: requestID, Type: "event"},
		},
		{
			"a member twice", `{"request_id":"x","type":"event","status":"failed","status":"completed"}`,
			state.Event{ID: "x", Type: "event", Status: "completed"},
		},
		{"no block after all", `{"request_id":"x","type":"event","reason":"network [ 1 ], network [ 1234567 ]"}`, state.Event{ID: "x", Type: "event"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.body))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v (%v)\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"nothing", ""},
		{"null", "null"},
		{"a list", "[]"},
		{"a text", `"x"`},
		{"no id", `{"type":"event","status":"completed"}`},
		{"an empty id", `{"request_id":""}`},
		{"an id of another kind", `{"request_id":["x"]}`},
		{"an id that cannot be one", `{"request_id":"a b"}`},
		{"an id that is too long", `{"request_id":"` + strings.Repeat("x", maxID+1) + `"}`},
		{"two bodies", `{"request_id":"x"}{"request_id":"y"}`},
		{"bytes that are no text", "{\"request_id\":\"\xff\"}"},
		{"nested too deep", `{"request_id":"x","action":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if e, err := Parse([]byte(c.body)); !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(e, state.Event{}) {
				t.Errorf("got %+v (%v)", e, err)
			}
		})
	}
}

func TestParseIsBounded(t *testing.T) {
	step := `{"channel":"sms","initiated_at":"2026-01-01T14:00:00.000Z","status":"failed"}`
	e, err := Parse([]byte(`{"request_id":"x","type":"summary","workflow":[` + strings.Repeat(step+",", 500) + step + `]}`))
	if err != nil || len(e.Sent) != maxStep {
		t.Errorf("%d messages (%v)", len(e.Sent), err)
	}
}

// FuzzReceive has anybody send anything: nothing panics, what is not signed is not taken, and what is
// taken the Book can keep.
func FuzzReceive(f *testing.F) {
	f.Add(event, "")
	f.Add(event, "Bearer "+sign(header("none"), said{"iat": 1}, ""))
	f.Add(`{"request_id":"x","workflow":[{"reason":"network [ 23415 ]"}]}`, "Bearer ..")
	f.Add(`{"request_id":5,"price":1e9,"finalized_at":"9999-12-31T23:59:59Z"}`, "Bearer e30.e30.e30")
	v := verifier(f)
	f.Fuzz(func(t *testing.T, body, authorization string) {
		if _, err := v.Receive(post(body, authorization)); err == nil {
			t.Error("it was taken")
		}
		d, err := v.Receive(signed(body))
		checkWords(t, err)
		if err != nil {
			return
		}
		b := state.New(state.Settings{})
		b.Began(context.Background(), d.Event.ID, state.Start{Channels: []string{"sms"}})
		if known, _ := b.Told(context.Background(), d.Event.ID, d.Event); !known {
			t.Error("the Book does not know what has begun")
		}
		if verification, ok, _ := b.Find(context.Background(), d.Event.ID); !ok || verification.Status() == "" {
			t.Error("the Book does not find it")
		}
	})
}
