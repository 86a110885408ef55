package v2

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// renewing has another Authorization whenever it is asked.
type renewing struct{}

func (renewing) Authorize(h http.Header) error { h.Set("Authorization", "Bearer one"); return nil }
func (renewing) Renew(string) bool             { return true }

// TestAgain: before each request of a call but the first it is asked whether there may be one.
func TestAgain(t *testing.T) {
	trigger, begun := controlCall("trigger_next_event"), said{202, `{"request_id":"` + id + `"}`}
	for _, test := range []struct {
		name         string
		call         *wire.Call
		answers      []said
		may          []bool // the last one again and again
		status       wire.Status
		sends, asked int
		took         time.Duration
	}{
		{"a trigger that is too soon", trigger, []said{replication, replication, {200, ""}}, []bool{true}, "0", 3, 2, 1500 * time.Millisecond},
		{"a trigger whose turn does not come at once", trigger, []said{replication, {200, ""}}, []bool{false, true}, "0", 2, 2, 1500 * time.Millisecond},
		{"a trigger whose turn does not come", trigger, []said{replication, {200, ""}}, []bool{false}, "5", 1, 4, 7500 * time.Millisecond},
		{"a trigger that is not repeated", trigger, []said{{200, ""}}, []bool{false}, "0", 1, 0, 0},
		{"a request after a cancel", requestCall(), []said{concurrent0, begun}, []bool{true}, "0", 2, 1, afterCancel},
		{"a request after a cancel, whose turn does not come", requestCall(), []said{concurrent0, begun}, []bool{false}, "10", 1, 1, afterCancel},
		{"a token that has expired", checkCall(), []said{expired, {200, `{"request_id":"` + id + `","status":"completed"}`}}, []bool{true}, "0", 2, 1, 0},
		{"a token that has expired, and no turn", checkCall(), []said{expired, {200, ""}}, []bool{false}, "1", 1, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := saying(test.answers...)
				c := newClient(t, p)
				c.Auth, c.Next = renewing{}, renewing{}
				if test.call.Operation == wire.Request { // one of the number was cancelled just now
					c.Book.Began(t.Context(), other, state.Start{Number: number})
					c.Book.Ended(t.Context(), other, wire.Cancelled)
				}
				asked := 0
				c.Again = func(_ context.Context, call *wire.Call) (wire.Answer, bool) {
					if call != test.call {
						t.Error("it is asked about another call")
					}
					asked++
					if test.may[min(asked, len(test.may))-1] {
						return wire.Answer{}, true
					}
					return (&wire.Fault{Cause: wire.LimitReached, Refused: true}).Answer(), false
				}
				ctx, leave := context.WithTimeout(t.Context(), time.Minute)
				defer leave()
				begun := time.Now()
				answer := readable(t, test.call, c.RoundTrip(ctx, test.call))
				if answer.Status != test.status || len(p.sent) != test.sends || asked != test.asked || time.Since(begun) != test.took {
					t.Errorf("got %s after %v, with %d requests, asked %d times", answer.Body, time.Since(begun), len(p.sent), asked)
				}
			})
		})
	}
}
