package ledger

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A search is answered while the check that it tells of is under way still.
func TestSearchOvertakesCheck(t *testing.T) {
	const asks = time.Second
	tests := []struct {
		name     string
		seen     wire.Status // by the search
		answer   Observation // of the check
		want     wire.Outcome
		attempts int
		took     time.Duration
	}{
		{name: "right code", seen: wire.Succeeded, answer: check("a", "0"), want: wire.OutcomeSuccess, attempts: 1, took: asks},
		{name: "third wrong one", seen: wire.Failed, answer: check("a", "17"), want: wire.OutcomeFailed, attempts: 1},
		{name: "another check's", seen: wire.Failed, answer: check("a", "16"), want: wire.OutcomeFailed, attempts: 1},
		{name: "too late", seen: wire.Expired, answer: check("a", "6"), want: wire.OutcomeExpired},
		{name: "no answer", seen: wire.Succeeded, answer: check("a", "").faulty(), want: wire.OutcomeSuccess},
		{name: "nothing seen", seen: wire.InProgress, answer: check("a", "16"), attempts: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Settings{})
				var events Events
				step := l.Step(nil, func(_ context.Context, e Events) { events.add(e) })
				l.Observe(request("a"))
				step(func(context.Context, *wire.Call) wire.Answer {
					time.Sleep(asks)
					if e := l.Observe(finds("a", tt.seen)); len(e.Finished) > 0 {
						t.Errorf("ended by the search: %+v", e.Finished)
					}
					return *tt.answer.Answer
				})(t.Context(), tt.answer.Call)
				if tt.want == "" {
					wantStats(t, l, 1, 0, 1)
					return
				}
				wantStats(t, l, 0, 0, 1)
				if len(events.Finished) != 1 || len(events.Ends) != 1 {
					t.Fatalf("%+v", events)
				}
				if f := events.Finished[0]; f.Outcome != tt.want || f.Attempts != tt.attempts || f.TimeToSuccess != tt.took {
					t.Errorf("ended as %+v, want %s at attempt %d after %s", f, tt.want, tt.attempts, tt.took)
				}
			})
		})
	}
}

// What makes room while a check of it is under way ends as the search has told.
func TestEvictedWhileChecked(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		l := New(Settings{MaxEntries: 1})
		if adopted {
			l.Share(func(id string) string { return id })
			l.Adopt(Beginning{RequestID: "a", Timing: request("a").Call.Timing()}, 0, false)
		} else {
			l.Observe(request("a"))
		}
		var events Events
		c := check("a", "16")
		l.Step(nil, func(_ context.Context, e Events) { events.add(e) })(func(context.Context, *wire.Call) wire.Answer {
			l.Observe(finds("a", wire.Failed))
			events.add(l.Observe(request("b")))
			return *c.Answer
		})(t.Context(), c.Call)
		if got := events.outcomes(); !adopted && (len(got) != 1 || got[0] != wire.OutcomeFailed) {
			t.Errorf("ended as %v", got)
		}
		if adopted && len(events.Ends) != 0 {
			t.Errorf("ended another gateway's: %+v", events.Ends)
		}
	}
}
