package ledger

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// part is what a list says about one verification.
func part(id string, status wire.Status) wire.Verification {
	return wire.Verification{RequestID: id, Status: status}
}

func TestOutcome(t *testing.T) {
	tests := []struct {
		name      string
		seen      []Observation // after the request of "a"
		want      []wire.Outcome
		untracked []wire.Outcome
		attempts  int
	}{
		{name: "nothing"},
		{name: "right code", seen: []Observation{check("a", "0")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 1},
		{name: "right code again", seen: []Observation{check("a", "0"), check("a", "0"), check("a", "6")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 1},
		{name: "wrong code", seen: []Observation{check("a", "16")}},
		{name: "at the third try", seen: []Observation{check("a", "16"), check("a", "16"), check("a", "0")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 3},
		{name: "too many", seen: []Observation{check("a", "16"), check("a", "16"), check("a", "17")}, want: []wire.Outcome{wire.OutcomeFailed}, attempts: 3},
		{name: "replayed tries", seen: []Observation{check("a", "16"), check("a", "16").remembered(), check("a", "0")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 2},
		{name: "other statuses are no tries", seen: []Observation{check("a", "1"), check("a", "3"), check("a", "5"), check("a", "6"), check("a", "0")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 1},
		{name: "tries after the end", seen: []Observation{finds("a", wire.Failed), check("a", "16")}, want: []wire.Outcome{wire.OutcomeFailed}},
		{name: "cancelled", seen: []Observation{control("a", "cancel", "0"), control("a", "cancel", "0")}, want: []wire.Outcome{wire.OutcomeCancelled}},
		{name: "cannot be cancelled", seen: []Observation{control("a", "cancel", "19")}},
		{name: "next event", seen: []Observation{control("a", "trigger_next_event", "0")}},
		{name: "search says success", seen: []Observation{finds("a", wire.Succeeded)}, want: []wire.Outcome{wire.OutcomeSuccess}},
		{name: "search says failed", seen: []Observation{finds("a", wire.Failed)}, want: []wire.Outcome{wire.OutcomeFailed}},
		{name: "search says expired", seen: []Observation{finds("a", wire.Expired)}, want: []wire.Outcome{wire.OutcomeExpired}},
		{name: "search says cancelled", seen: []Observation{finds("a", wire.Cancelled)}, want: []wire.Outcome{wire.OutcomeCancelled}},
		{name: "search says in progress", seen: []Observation{finds("a", wire.InProgress)}},
		{name: "an unknown word", seen: []Observation{finds("a", "SUCCESSFUL")}},
		{name: "the first end counts", seen: []Observation{check("a", "0"), finds("a", wire.Expired), control("a", "cancel", "0"), check("a", "17")}, want: []wire.Outcome{wire.OutcomeSuccess}, attempts: 1},
		{name: "from a list", seen: []Observation{lists([]string{"b", "a"}, part("a", wire.Expired), part("b", wire.InProgress))}, want: []wire.Outcome{wire.OutcomeExpired}},
		{name: "from memory", seen: []Observation{check("a", "0").remembered(), finds("a", wire.Expired).remembered(), control("a", "cancel", "0").remembered()}},
		{name: "the gateway's own words", seen: []Observation{check("a", "0").faulty(), finds("a", wire.Expired).faulty()}},
		{name: "without its id", seen: []Observation{{Call: wire.SearchFor(wire.JSON, []string{"a"}, false), Answer: finds("", wire.Expired).Answer}}, want: []wire.Outcome{wire.OutcomeExpired}},
		{name: "part of a list without its id", seen: []Observation{lists([]string{"a"}, part("", wire.Expired))}},
		{name: "one that was not asked for", seen: []Observation{
			{Call: wire.SearchFor(wire.JSON, []string{"b"}, false), Answer: finds("a", wire.Expired).Answer},
			lists([]string{"b"}, part("a", wire.Expired)),
		}},
		{name: "not found while under way", seen: []Observation{refuses("101", "a"), refuses("101", "a", "b"), lists([]string{"a"})}},
		{name: "untracked", seen: []Observation{check("x", "0"), check("x", "0"), finds("y", wire.Expired), control("z", "cancel", "0"), finds("z", wire.Cancelled)}, untracked: []wire.Outcome{wire.OutcomeSuccess, wire.OutcomeExpired, wire.OutcomeCancelled}},
		{name: "untracked that have not ended", seen: []Observation{check("x", "16"), finds("y", wire.InProgress), control("z", "trigger_next_event", "0")}},
		{name: "an untracked one with too long a name", seen: []Observation{check(strings.Repeat("x", 65), "0")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New(Settings{})
			if got := observe(l, request("a")).Started; !slices.Equal(got, []Start{{Country: "GB", Workflow: "default"}}) {
				t.Errorf("Started = %+v", got)
			}
			events := observe(l, tt.seen...)
			if got := events.outcomes(); !slices.Equal(got, tt.want) {
				t.Errorf("outcomes = %v, want %v", got, tt.want)
			}
			if !slices.Equal(events.Untracked, tt.untracked) {
				t.Errorf("untracked = %v, want %v", events.Untracked, tt.untracked)
			}
			if len(events.Started) != 0 {
				t.Errorf("started %v", events.Started)
			}
			if len(tt.want) == 1 && len(events.Finished) == 1 && events.Finished[0].Attempts != tt.attempts {
				t.Errorf("%d attempts, want %d", events.Finished[0].Attempts, tt.attempts)
			}
			wantStats(t, l, 1-len(tt.want), 0, 1+len(tt.untracked))
		})
	}
}

func TestStarted(t *testing.T) {
	tests := []struct {
		name string
		seen []Observation
		want int
	}{
		{"one", []Observation{request("a")}, 1},
		{"two", []Observation{request("a"), request("b")}, 2},
		{"the same again", []Observation{request("a"), request("a")}, 1},
		{"the same after its end", []Observation{request("a"), check("a", "0"), request("a")}, 1},
		{"replayed", []Observation{request("a"), request("a").remembered()}, 1},
		{"from memory only", []Observation{request("a").remembered()}, 0},
		{"refused", []Observation{numbered(wire.Request, "3", "a"), numbered(wire.Request, "7", "a")}, 0},
		{"one is under way", []Observation{numbered(wire.Request, wire.Concurrent, "a")}, 0},
		{"without an id", []Observation{request("")}, 0},
		{"with too long an id", []Observation{request(strings.Repeat("x", 65))}, 0},
		{"seen to end before", []Observation{check("a", "0"), request("a")}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New(Settings{})
			if got := len(observe(l, tt.seen...).Started); got != tt.want {
				t.Errorf("%d started, want %d", got, tt.want)
			}
		})
	}
}

func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a", wire.Param{Name: "workflow_id", Value: "6"}), request("b"))
		time.Sleep(17 * time.Second)
		got := observe(l, check("a", "16"), check("a", "0"), finds("b", wire.Succeeded)).Finished
		want := []Finish{
			{wire.OutcomeSuccess, "GB", "6", "", 17 * time.Second, 2},
			{wire.OutcomeSuccess, "GB", "default", "", 0, 0}, // nobody knows when
		}
		if !slices.Equal(got, want) {
			t.Errorf("Finished = %+v, want %+v", got, want)
		}
	})
}

func TestOrigin(t *testing.T) {
	l := New(Settings{})
	o := request("a")
	o.Link = Link{Span: [8]byte{1}}
	observe(l, o, request("b"), request("a"), check("untracked", "0"))
	observe(l, check("a", "0"))
	for _, want := range []struct {
		id, country string
		link        Link
		ok          bool
	}{
		{"a", "GB", o.Link, true},
		{"b", "GB", Link{}, true},
		{"c", "", Link{}, false},
		{"untracked", "", Link{}, false},
	} {
		if country, link, ok := l.Origin(want.id); country != want.country || link != want.link || ok != want.ok {
			t.Errorf("Origin(%q) = %q, %v, %v, want %+v", want.id, country, link, ok, want)
		}
	}
}
