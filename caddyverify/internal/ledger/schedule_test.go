package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func named(name, value string) wire.Param { return wire.Param{Name: name, Value: value} }

// told has a search tell when the messages were sent and, unless that is 0, when it ended.
func (o Observation) told(end time.Duration, sent ...time.Duration) Observation {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	when := func(d time.Duration) string { return begin.Add(d).Format(time.DateTime) }
	finalized := ""
	if end > 0 {
		finalized = when(end)
	}
	events := strings.TrimSuffix(strings.Repeat(`{"type":"sms"},`, len(sent)), ",")
	raw := fmt.Sprintf(`{"date_submitted":%q,"last_event_date":%q,"date_finalized":%q,"events":[%s]}`, when(0), when(sent[len(sent)-1]), finalized, events)
	for _, v := range o.Answer.Found {
		v.Raw = []byte(raw)
	}
	return o
}

// until tells for how long a verification is known to be as it is: "-" for not at all.
func until(l *Ledger) string {
	d, ok := l.Unchanged("a", 0)
	if !ok {
		return "-"
	}
	return d.String()
}

func TestUnchanged(t *testing.T) {
	const s = time.Second
	inProgress := func(sent ...time.Duration) Observation { return finds("a", wire.InProgress).told(0, sent...) }
	var nothing []Observation
	tests := []struct {
		name string
		of   []wire.Param
		then []Observation
		want map[time.Duration]string // by the time since the start; what comes then does at the earliest
	}{
		{"the default", nil, nothing, map[time.Duration]string{
			0: "2m3s", 100 * s: "23s", 122 * s: "1s", 123 * s: "1s", 128 * s: "1s", 129 * s: "2m49s",
			298 * s: "1s", 304 * s: "1s", 309 * s: "1m54s", // the code of the first message expires
			600 * s: "3s", 608 * s: "1s", 609 * s: "-", 2000 * s: "-",
		}},
		{"workflow 4", []wire.Param{named("workflow_id", "4")}, nothing, map[time.Duration]string{0: "1m58s", 124 * s: "2m54s", 301 * s: "1s", 424 * s: "-"}},
		{"workflow 6 with a short code", []wire.Param{named("workflow_id", "6"), named("pin_expiry", "60")}, nothing, map[time.Duration]string{0: "58s", 60 * s: "1s", 64 * s: "3m54s", 300 * s: "1s", 304 * s: "-"}},
		{"a long code", []wire.Param{named("workflow_id", "6"), named("pin_expiry", "3600")}, nothing, map[time.Duration]string{304 * s: "54m54s", 3600 * s: "1s", 3604 * s: "-"}},
		{"its own waits", []wire.Param{named("next_event_wait", "60"), named("pin_expiry", "60")}, nothing, map[time.Duration]string{0: "58s", 64 * s: "54s", 124 * s: "54s", 184 * s: "-"}},
		{"a workflow that nobody knows", []wire.Param{named("workflow_id", "12")}, nothing, map[time.Duration]string{0: "-"}},
		{"a message was sent later than documented", nil, []Observation{inProgress(0, 140*s)}, map[time.Duration]string{
			145 * s: "2m33s", 309 * s: "9s", 320 * s: "1s", // 140 + 180
		}},
		{"and before", nil, []Observation{inProgress(0, 30*s)}, map[time.Duration]string{40 * s: "2m48s", 210 * s: "1s"}},
		{"more messages than documented", nil, []Observation{inProgress(0, 1*s, 2*s, 3*s)}, map[time.Duration]string{10 * s: "1m53s"}},
		{"a message of the far future", nil, []Observation{inProgress(0, time.Hour)}, map[time.Duration]string{10 * s: "1m53s", 309 * s: "1m54s"}},
		{"messages before what they are about", nil, []Observation{inProgress(-time.Hour)}, map[time.Duration]string{10 * s: "1m53s"}},
		{"of the year 1", nil, []Observation{inProgress(0, -292*365*24*time.Hour)}, map[time.Duration]string{10 * s: "1m53s"}},
		{"its end", nil, []Observation{check("a", wire.Success)}, map[time.Duration]string{10 * s: "-"}},
		{"a wrong code", nil, []Observation{check("a", wire.WrongCode)}, map[time.Duration]string{10 * s: "1m53s"}},
		{"a check that is not answered", nil, []Observation{unanswered(check("a", ""))}, map[time.Duration]string{0: "-", 29 * s: "-", 30 * s: "1m33s"}},
		{"one that was not sent", nil, []Observation{check("a", "").faulty()}, map[time.Duration]string{0: "2m3s"}},
		{"one that failed there", nil, []Observation{check("a", wire.InternalError)}, map[time.Duration]string{0: "-", 30 * s: "1m33s"}},
		{"the next message now", nil, []Observation{control("a", "trigger_next_event", wire.Success)}, map[time.Duration]string{0: "-", 30 * s: "1m33s"}},
		{"which is refused", nil, []Observation{control("a", "trigger_next_event", "19")}, map[time.Duration]string{0: "2m3s"}},
		{"another's", nil, []Observation{unanswered(check("b", ""))}, map[time.Duration]string{0: "2m3s"}},
	}
	for _, tt := range tests {
		for at, want := range tt.want {
			synctest.Test(t, func(t *testing.T) {
				l := New(Settings{})
				observe(l, request("a", tt.of...))
				earliest := slices.Min(slices.Collect(maps.Keys(tt.want)))
				time.Sleep(earliest)
				observe(l, tt.then...)
				time.Sleep(at - earliest)
				if got := until(l); got != want {
					t.Errorf("%s: after %v: %s, want %s", tt.name, at, got, want)
				}
			})
		}
	}
}

func unanswered(o Observation) Observation {
	o = o.faulty()
	o.Answer.Fault.MayHaveSent = true
	return o
}

// TestUnchangedSince: what the provider said before a moment, and was heard after it, is not known
// for long.
func TestUnchangedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		start := request("a", named("workflow_id", "6"))
		start.Took = 2 * time.Second
		observe(l, start)
		time.Sleep(304 * time.Second) // 306 since it was sent: the provider's 300 are over between 300 and 302
		if d, ok := l.Unchanged("a", 0); ok {
			t.Errorf("it will be so for %v", d)
		}
		if d, ok := l.Unchanged("a", 2*time.Second); !ok || d != time.Second {
			t.Errorf("it will be so for %v, %v", d, ok)
		}
		if d, ok := l.Unchanged("b", 0); ok {
			t.Errorf("what nobody has seen start will be so for %v", d)
		}
	})
}

// TestLearns: the provider waits otherwise than it documents.
func TestLearns(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name    string
		of      []wire.Param
		another Observation
		want    string // of the next one
	}{
		{"between messages", nil, finds("z", wire.InProgress).told(0, 0, 60*s), "58s"},
		{"after the last", []wire.Param{named("workflow_id", "6")}, finds("z", wire.Expired).told(90*s, 0), "1m28s"},
		{"not of what was asked for", []wire.Param{named("next_event_wait", "70")}, finds("z", wire.InProgress).told(0, 0, 70*s), "2m3s"},
		{"not of two at once", nil, finds("z", wire.InProgress).told(0, 0, 10*s, 20*s), "2m3s"},
		{"not of how long a user took", nil, finds("z", wire.Succeeded).told(20*s, 0), "2m3s"},
		{"where no more than when is told", nil, untold(finds("z", wire.InProgress).told(0, 0, 124*s)), "2m2s"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			l := New(Settings{})
			observe(l, request("z", tt.of...))
			time.Sleep(124 * s)
			observe(l, tt.another, request("a", withoutWait(tt.of)...))
			if got := until(l); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("z"), control("z", "trigger_next_event", wire.Success))
		time.Sleep(60 * s)
		observe(l, finds("z", wire.InProgress).told(0, 0, 60*s), request("a"))
		if got := until(l); got != "2m3s" {
			t.Errorf("of a message that was hurried: %s", got)
		}
	})
}

func withoutWait(params []wire.Param) []wire.Param {
	if len(params) > 0 && params[0].Name == "next_event_wait" {
		return nil
	}
	return params
}

// untold has a search not tell of messages.
func untold(o Observation) Observation {
	for _, v := range o.Answer.Found {
		from := strings.Index(string(v.Raw), `,"events"`)
		v.Raw = []byte(string(v.Raw[:from]) + "}")
	}
	return o
}

// TestUnchangedElsewhere: who adopts a verification knows as much as who saw it start, also when it
// was told late; but for when nobody knows how late.
func TestUnchangedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := sharing(Settings{}), sharing(Settings{})
		begin := request("a", named("next_event_wait", "70"), named("pin_expiry", "210"))
		begin.Took = 1500 * time.Millisecond
		events := here.Observe(begin)
		told := events.Beginnings[0]
		told.Age = 4500 * time.Millisecond
		time.Sleep(told.Age + 10*time.Second)
		b, ok := DecodeBeginning("a", told.Encode())
		if !ok {
			t.Fatal("it cannot be read")
		}
		there.Adopt(b, 10*time.Second, false)
		vague := sharing(Settings{})
		b.Vague = true
		vague.Adopt(b, 10*time.Second, false)
		if got := until(vague); got != "-" {
			t.Errorf("%s where its beginning is not known", got)
		}
		for range 300 {
			if got, want := until(there), until(here); got != want {
				t.Fatalf("%s, but %s where it was seen to start", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}
