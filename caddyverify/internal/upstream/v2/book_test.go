package v2

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

var begun202 = said{202, `{"request_id":"` + id + `"}`}

// What the provider says of a verification is known to who searches for it.
func TestBookIsTold(t *testing.T) {
	right := said{200, `{"request_id":"` + id + `","status":"completed"}`}
	for _, test := range []struct {
		name   string
		call   *wire.Call
		said   said
		status wire.Status
	}{
		{"a right code", checkCall(), right, wire.Succeeded},
		{"a wrong code", checkCall(), wrongCode, wire.InProgress},
		{"a code too often", checkCall(), gone, wire.Failed},
		{"a check of what is gone", checkCall(), notFound, wire.InProgress},
		{"a check that fails", checkCall(), internal, wire.InProgress},
		{"a page for a right code", checkCall(), said{200, "<html>"}, wire.InProgress},
		{"a cancel", controlCall("cancel"), said{204, ""}, wire.Cancelled},
		{"a cancel too early", controlCall("cancel"), notFound, wire.InProgress},
		{"the next event", controlCall("trigger_next_event"), said{200, ""}, wire.InProgress},
		{"a cancel of what has failed", controlCall("cancel"), gone, wire.Failed},
		{"the next event of what has failed", controlCall("trigger_next_event"), gone, wire.Failed},
		{"the next event by a page", controlCall("trigger_next_event"), said{410, "<html>"}, wire.InProgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := saying(test.said)
			c := newClient(t, p)
			begin(t, p, c, requestCall())
			send(t, c, test.call)
			if status := statusOf(t, c); status != test.status {
				t.Errorf("the verification is %q", status)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := saying(wrongCode)
		c := newClient(t, p)
		begin(t, p, c, requestCall("workflow_id", "5", "sender_id", "Shop"))
		send(t, c, checkCall())
		answer := send(t, c, &wire.Call{Operation: wire.Search, Params: params("request_id", v1ID)})
		for _, part := range []string{
			`"request_id":"` + v1ID + `"`, `"account_id":"abcd1234"`, `"number":"447700900000"`, `"sender_id":"Shop"`,
			`"status":"IN PROGRESS"`, `"events":[{"type":"sms"}]`, `"status":"INVALID"`,
		} {
			if !strings.Contains(string(answer.Body), part) {
				t.Errorf("no %s in %s", part, answer.Body)
			}
		}
		p.answers = []said{{200, ""}}
		send(t, c, controlCall("trigger_next_event"))
		answer = send(t, c, &wire.Call{Operation: wire.Search, Params: params("request_ids", v1ID, "request_ids", other)})
		if !answer.List || len(answer.Found) != 1 || !strings.Contains(string(answer.Body), `"events":[{"type":"sms"},{"type":"tts"}]`) {
			t.Errorf("got %s", answer.Body)
		}
		time.Sleep(156 * time.Second) // of the second step, the last one
		if status := statusOf(t, c); status != wire.Expired {
			t.Errorf("after two steps it is %s", status)
		}
		if len(p.sent) != 2 {
			t.Errorf("%d requests were sent", len(p.sent))
		}
	})
}

// v2 says of a cancel that comes at the wrong time only that there is nothing to cancel.
func TestCancelAtTheWrongTime(t *testing.T) {
	const (
		early = "Verification request ['" + v1ID + "'] can't be cancelled within the first 30 seconds."
		late  = "Verification request  ['" + v1ID + "'] can't be cancelled now. Too many attempts to re-deliver have already been made."
		none  = "The requestId '" + v1ID + "' does not exist or its no longer active."
	)
	for _, test := range []struct {
		name   string
		after  time.Duration
		said   said
		status wire.Status
		text   string
	}{
		{"at once", 0, notFound, "19", early},
		{"too early", 29 * time.Second, notFound, "19", early},
		{"too late", 200 * time.Second, notFound, "19", late},
		{"when it is over", 10 * time.Minute, notFound, "6", none},
		{"without the API's word", 0, notFoundText, "5", "The Verify API answered with an HTTP error; the call may have been sent (caddy-verify: upstream_error)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := saying(test.said)
				c := newClient(t, p)
				begin(t, p, c, requestCall())
				time.Sleep(test.after)
				answer := send(t, c, controlCall("cancel"))
				if answer.Status != test.status || errorText(t, answer) != test.text || len(p.sent) != 1 {
					t.Errorf("got %s, with %d requests", answer.Body, len(p.sent))
				}
			})
		})
	}
}

// The second message can come early, and it is what keeps a verification from being cancelled.
func TestCancelAfterTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := saying(said{200, ""}, notFound)
		c := newClient(t, p)
		begin(t, p, c, requestCall())
		time.Sleep(time.Second)
		send(t, c, controlCall("trigger_next_event"))
		if text := errorText(t, send(t, c, controlCall("cancel"))); !strings.HasSuffix(text, "Too many attempts to re-deliver have already been made.") {
			t.Error(text)
		}
	})
}

// A number that is being verified has status 10 with the verification, by the provider's word or by
// what is known.
func TestConcurrent(t *testing.T) {
	same := said{409, strings.Replace(concurrent.body, "b6fc2b91-d23c-43f9-b8ea-05f9be64415c", id, 1)}
	for _, test := range []struct {
		name    string
		before  []*wire.Call // after a first request
		answers []said       // to them, and to another request
		about   string
	}{
		{"the provider names it", nil, []said{concurrent}, other},
		{"it is known", nil, []said{concurrent0}, v1ID},
		{"it is known to have ended", []*wire.Call{checkCall()}, []said{{204, ""}, concurrent0}, ""},
		{"the provider names one that has ended", []*wire.Call{checkCall()}, []said{{204, ""}, same}, ""},
		{"it was cancelled, and another runs", []*wire.Call{controlCall("cancel")}, []said{{204, ""}, concurrent}, other},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := saying(test.answers...)
			c := newClient(t, p)
			begin(t, p, c, requestCall())
			for _, call := range test.before {
				send(t, c, call)
			}
			answer := send(t, c, requestCall())
			if answer.Status != wire.Concurrent || answer.RequestID != test.about || len(p.sent) != len(test.before)+1 {
				t.Errorf("got %s, with %d requests", answer.Body, len(p.sent))
			}
		})
	}
}

// The provider knows better whether a verification is over by time.
func TestConcurrentPastItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := saying(said{409, `{"title":"Conflict","request_id":"` + id + `"}`})
		c := newClient(t, p)
		begin(t, p, c, requestCall())
		time.Sleep(time.Hour)
		if answer := send(t, c, requestCall()); answer.Status != wire.Concurrent || answer.RequestID != v1ID {
			t.Errorf("got %s", answer.Body)
		}
	})
}

// After a cancel the provider goes on for some seconds as if the verification were running.
func TestRequestAfterCancel(t *testing.T) {
	same := said{409, strings.Replace(concurrent.body, "b6fc2b91-d23c-43f9-b8ea-05f9be64415c", id, 1)}
	for _, test := range []struct {
		name    string
		after   time.Duration // since the cancel
		timeout time.Duration
		answers []said
		status  wire.Status
		sends   int
		took    time.Duration
	}{
		{"at once, with time", 0, 30 * time.Second, []said{same, begun202}, "0", 2, 13 * time.Second},
		{"at once, without an id", 0, 30 * time.Second, []said{concurrent0, begun202}, "0", 2, 13 * time.Second},
		{"later", 10 * time.Second, 10 * time.Second, []said{same, begun202}, "0", 2, 3 * time.Second},
		{"with too little time", 0, 10 * time.Second, []said{same, begun202}, "10", 1, 0},
		{"in vain", 0, 30 * time.Second, []said{same}, "10", 2, 13 * time.Second},
		{"begun at once", 0, 30 * time.Second, []said{begun202}, "0", 1, 0},
		{"refused at once", 0, 30 * time.Second, []said{throttled}, "1", 1, 0},
		{"without time", 0, 3 * time.Second, []said{same, begun202}, "10", 1, 0},
		{"long after", 13 * time.Second, 30 * time.Second, []said{same, begun202}, "10", 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := saying(said{204, ""})
				c := newClient(t, p)
				begin(t, p, c, requestCall())
				send(t, c, controlCall("cancel"))
				p.answers, p.sent = test.answers, nil
				time.Sleep(test.after)
				ctx, leave := context.WithTimeout(t.Context(), test.timeout)
				defer leave()
				sent := time.Now()
				answer := readable(t, requestCall(), c.RoundTrip(ctx, requestCall()))
				if answer.Status != test.status || len(p.sent) != test.sends || time.Since(sent) != test.took {
					t.Errorf("got %s after %v, with %d requests", answer.Body, time.Since(sent), len(p.sent))
				}
				if answer.Status == wire.Concurrent && answer.RequestID != "" {
					t.Error("a verification that was cancelled is named")
				}
			})
		})
	}
}

// TestCancelWhileStoreIsAway: of what another gateway may have started it is not said that there is no such.
func TestCancelWhileStoreIsAway(t *testing.T) {
	p := saying(notFound)
	c := newClient(t, p)
	c.Book.Share(silent{})
	if answer := c.RoundTrip(t.Context(), controlCall("cancel")); answer.Fault == nil || answer.Fault.Cause != wire.StoreAway || !answer.InDoubt() {
		t.Errorf("got %+v", answer)
	}
	// A client of version 2 reads what the provider has said.
	own := controlCall("cancel")
	own.Format, own.Raw = wire.V2, &wire.Raw{}
	if answer := c.RoundTrip(t.Context(), own); answer.Fault != nil || answer.Code != http.StatusNotFound || string(answer.Body) != notFound.body {
		t.Errorf("a client of version 2 gets %+v", answer)
	}
}

// silent is a store that is away.
type silent struct{ store.Logs }

func (silent) Read(context.Context, store.Name, store.Position, int) ([]store.Entry, error) {
	return nil, errors.New("away")
}

func (silent) Tell(context.Context, store.Name, [][]byte, int, time.Duration) error {
	return errors.New("away")
}

// The wait is the same for what another gateway has cancelled, if the provider names it.
func TestRequestAfterCancelElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := new(store.Memory)
		there := newClient(t, saying(said{202, `{"request_id":"` + id + `"}`}, said{204, ""}))
		there.Book.Share(memory.Open("account", "there"))
		send(t, there, requestCall())
		send(t, there, controlCall("cancel"))
		p := saying(said{409, strings.Replace(concurrent.body, "b6fc2b91-d23c-43f9-b8ea-05f9be64415c", id, 1)}, begun202)
		c := newClient(t, p)
		c.Book.Share(memory.Open("account", "here"))
		ctx, leave := context.WithTimeout(t.Context(), time.Minute)
		defer leave()
		if answer := readable(t, requestCall(), c.RoundTrip(ctx, requestCall())); answer.Status != wire.Success || len(p.sent) != 2 {
			t.Errorf("got %s, with %d requests", answer.Body, len(p.sent))
		}
	})
}

// What the provider cannot do yet is asked for again within the time of the call.
func TestTriggerTooSoon(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration
		answers []said
		status  wire.Status
		sends   int
		took    time.Duration
	}{
		{"once", 10 * time.Second, []said{replication, {200, ""}}, "0", 2, 500 * time.Millisecond},
		{"twice", 10 * time.Second, []said{replication, replication, noEvents}, "19", 3, 1500 * time.Millisecond},
		{"always", time.Minute, []said{replication}, "5", 5, 7500 * time.Millisecond},
		{"with some time", 2 * time.Second, []said{replication}, "5", 2, 500 * time.Millisecond},
		{"without time", time.Second, []said{replication}, "5", 1, 0},
		{"not after a failure", 10 * time.Second, []said{internal, {200, ""}}, "5", 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := saying(test.answers...)
				ctx, leave := context.WithTimeout(t.Context(), test.timeout)
				defer leave()
				sent, call := time.Now(), controlCall("trigger_next_event")
				answer := readable(t, call, newClient(t, p).RoundTrip(ctx, call))
				if answer.Status != test.status || len(p.sent) != test.sends || time.Since(sent) != test.took {
					t.Errorf("got %s after %v, with %d requests", answer.Body, time.Since(sent), len(p.sent))
				}
			})
		})
	}
}

// The step answers without the next one what needs no provider, as RoundTrip would, and nothing
// else.
func TestStep(t *testing.T) {
	for _, test := range []struct {
		name   string
		call   *wire.Call
		passes bool
	}{
		{"request", requestCall(), true},
		{"request with a bad workflow_id", requestCall("workflow_id", "9"), false},
		{"check", checkCall(), true},
		{"check of nothing", &wire.Call{Operation: wire.Check, Params: params("request_id", "x", "code", "1234")}, false},
		{"control", controlCall("cancel"), true},
		{"control with another command", controlCall("stop"), false},
		{"search", &wire.Call{Operation: wire.Search, Params: params("request_id", v1ID)}, false},
		{"probe", probeCall(), true},
		{"psd2", &wire.Call{Operation: wire.PSD2}, false},
	} {
		c, passed := newClient(t, saying(internal)), false
		answer := c.Step(func(context.Context, *wire.Call) wire.Answer {
			passed = true
			return wire.Answer{}
		})(t.Context(), test.call)
		if passed != test.passes {
			t.Errorf("%s: passed on: %v", test.name, passed)
		}
		if alone := c.RoundTrip(t.Context(), test.call); !passed && alone.Status != answer.Status {
			t.Errorf("%s: status %s, and %s without the step", test.name, answer.Status, alone.Status)
		}
	}
}
