package caddyverify

import (
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// resets has what a sandbox gives up be a connection that was reset after the call had been sent.
type resets struct{ api *sandbox.Sandbox }

func (n resets) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	defer func() {
		if given := recover(); given != nil {
			if given != http.ErrAbortHandler { //nolint:errorlint // it is that one
				panic(given)
			}
			response, err = nil, syscall.ECONNRESET
		}
	}()
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// lostCheck makes the same calls of gateways at version 1 and 2.
type lostCheck struct {
	*twins
	t   *testing.T
	ids [2]string
}

func newLostCheck(t *testing.T, webhooks bool, form string) *lostCheck {
	t.Helper()
	l := &lostCheck{twins: newTwins(t, webhooks, false), t: t}
	for i, d := range l.sides {
		d.network.RoundTripper = resets{d.api}
		_, l.ids[i] = outcomeOf(t, wire.Request, d.call(wire.Request, form))
	}
	return l
}

// check enters a code, whose answer is lost or not.
func (l *lostCheck) check(code string, lost bool, want wire.Status) {
	l.t.Helper()
	line := ""
	if lost {
		line = "check reset_after"
	}
	l.fail(line)
	for i, d := range l.sides {
		w := d.call(wire.Check, "request_id="+l.ids[i]+"&code="+code)
		if got, _ := outcomeOf(l.t, wire.Check, w); got != want || lost != strings.Contains(w.Body.String(), "may have been sent") {
			l.t.Errorf("at version %d the check is answered %s, want %s", i+1, w.Body, want)
		}
	}
	l.fail("")
	time.Sleep(time.Second)
}

// searches wants searches to say what is in want: first at version 1, and then at version 2.
func (l *lostCheck) searches(when string, want ...wire.Status) {
	l.t.Helper()
	for i, d := range l.sides {
		w := d.call(wire.Search, "request_id="+l.ids[i])
		if got, _ := outcomeOf(l.t, wire.Search, w); got != want[i] {
			l.t.Errorf("%s, at version %d a search says %s, want %s", when, i+1, w.Body, want[i])
		}
	}
}

// TestLostCheck has the answer to a check be lost, by which version 2 is left to webhooks: its 404 to the next
// check does not say whether the code was right.
func TestLostCheck(t *testing.T) {
	applicationKey() // once, and outside of fake time
	const wrong = "9999"
	for _, test := range []struct {
		name string
		do   func(l *lostCheck)
		// what searches say then, and when the time of all is over: at version 1, at 2, and at 2 with webhooks
		then, end [3]wire.Status
	}{
		{"the right code", func(l *lostCheck) {
			l.check(testCode, true, "5")
		}, [3]wire.Status{wire.Succeeded, wire.InProgress, wire.Succeeded}, [3]wire.Status{wire.Succeeded, wire.NoResponse, wire.Succeeded}},
		{"the right code, and again", func(l *lostCheck) {
			l.check(testCode, true, "5")
			l.check(testCode, false, "6")
		}, [3]wire.Status{wire.Succeeded, wire.NoResponse, wire.Succeeded}, [3]wire.Status{wire.Succeeded, wire.NoResponse, wire.Succeeded}},
		{"a wrong code", func(l *lostCheck) {
			l.check(wrong, true, "5")
		}, [3]wire.Status{wire.InProgress, wire.InProgress, wire.InProgress}, [3]wire.Status{wire.Expired, wire.NoResponse, wire.Expired}},
		{"a wrong code, and again", func(l *lostCheck) {
			l.check(wrong, true, "5")
			l.check(wrong, false, "16")
		}, [3]wire.Status{wire.InProgress, wire.InProgress, wire.InProgress}, [3]wire.Status{wire.Expired, wire.Expired, wire.Expired}},
		{"a wrong code, and then the right one", func(l *lostCheck) {
			l.check(wrong, true, "5")
			l.check(testCode, false, "0")
		}, [3]wire.Status{wire.Succeeded, wire.Succeeded, wire.Succeeded}, [3]wire.Status{wire.Succeeded, wire.Succeeded, wire.Succeeded}},
		{"the last wrong code", func(l *lostCheck) {
			l.check(wrong, false, "16")
			l.check(wrong, false, "16")
			l.check(wrong, true, "5")
			l.check(testCode, false, "6")
		}, [3]wire.Status{wire.Failed, wire.NoResponse, wire.Failed}, [3]wire.Status{wire.Failed, wire.NoResponse, wire.Failed}},
	} {
		for side, name := range map[int]string{1: "", 2: ", with webhooks"} {
			t.Run(test.name+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLostCheck(t, side == 2, "number=447700900000&brand=Acme&workflow_id=6")
					defer l.close(t)
					test.do(l)
					l.searches("then", test.then[0], test.then[side])
					time.Sleep(10 * time.Minute)
					l.searches("at the end", test.end[0], test.end[side])
					known, ok := status.VerificationOf(l.sides[1].gateway.Account, l.ids[1])
					want := map[wire.Status]string{wire.Succeeded: "success", wire.Failed: "failed", wire.Expired: "expired", wire.NoResponse: "unknown"}[test.end[side]]
					if !ok || known.State != want {
						t.Errorf("at the end it is known that %s %s, want %s", known.State, known.Summary, want)
					}
				})
			})
		}
	}
}

// TestLostCheckOfWhatEnds: a verification may end by itself after a check whose answer was lost, and is then as
// unknown to version 2 as one that this has completed. So nobody is let in by a code that nobody has seen to be
// right.
func TestLostCheckOfWhatEnds(t *testing.T) {
	applicationKey() // once, and outside of fake time
	for webhooks, want := range map[bool]wire.Status{false: wire.NoResponse, true: wire.Failed} {
		synctest.Test(t, func(t *testing.T) {
			l := newLostCheck(t, webhooks, "number=447700900107&brand=Acme")
			defer l.close(t)
			expect := func(o wire.Operation, form string, want wire.Status) {
				t.Helper()
				if w := l.sides[1].call(o, "request_id="+l.ids[1]+form); statusOf(w) != string(want) {
					t.Errorf("%v is answered %s, want %s", o, w.Body, want)
				}
			}
			l.fail("check reset_after")
			expect(wire.Check, "&code=9999", "5")
			l.fail("")
			time.Sleep(6 * time.Second) // the provider blocks it after five
			expect(wire.Check, "&code="+testCode, "6")
			expect(wire.Search, "", want)
			time.Sleep(time.Hour)
			expect(wire.Search, "", want)
		})
	}
}

// TestLostCancel: the next one finds nothing, and is told so as with version 1.
func TestLostCancel(t *testing.T) {
	applicationKey() // once, and outside of fake time
	synctest.Test(t, func(t *testing.T) {
		l := newLostCheck(t, false, "number=447700900000&brand=Acme")
		defer l.close(t)
		time.Sleep(time.Minute)
		cancel := func(want string) {
			t.Helper()
			for i, d := range l.sides {
				if w := d.call(wire.Control, "cmd=cancel&request_id="+l.ids[i]); statusOf(w) != want {
					t.Errorf("at version %d the cancel is answered %s, want %s", i+1, w.Body, want)
				}
			}
		}
		l.fail("control reset_after")
		cancel("5")
		l.fail("")
		l.searches("without an answer", wire.Cancelled, wire.InProgress)
		cancel("6")
		l.searches("after the second", wire.Cancelled, wire.NoResponse)
	})
}

// TestLostCheckIsTold: over a connection that is really reset, and by a webhook that is really sent.
func TestLostCheckIsTold(t *testing.T) {
	j := newJourney(t)
	id := j.start(0)
	if err := j.provider.SetFaults(sandbox.Fault{Operation: "check", Kind: "reset_after"}); err != nil {
		t.Fatal(err)
	}
	if got := j.call("check/json", "request_id="+id+"&code="+testCode); got.field("status") != "5" || !strings.Contains(got.body, "may have been sent (caddy-verify: connection_lost)") {
		t.Fatalf("the check is answered %s", got.body)
	}
	if err := j.provider.SetFaults(); err != nil {
		t.Fatal(err)
	}
	if got := j.call("check/json", "request_id="+id+"&code="+testCode); got.field("status") != "6" {
		t.Errorf("the next check is answered %s", got.body)
	}
	j.delivered(id, 2)
	j.expect(id, "SUCCESS")
}
