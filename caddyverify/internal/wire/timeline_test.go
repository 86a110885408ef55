package wire

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name string
		f    Format
		raw  string
		want Timeline
		ok   bool
	}{
		{"one message", JSON, `{"date_submitted":"2026-01-02 23:59:00","date_finalized":"","first_event_date":"2026-01-02 23:59:00","last_event_date":"2026-01-02 23:59:00","events":[{"type":"sms","id":"a"}]}`, Timeline{1, 0, 0}, true},
		{"two, over midnight", JSON, `{"date_submitted":"2026-01-02 23:59:00","last_event_date":"2026-01-03 00:01:05","events":[{},{}]}`, Timeline{2, 125 * s, 0}, true},
		{"ended", JSON, `{"date_submitted":"2026-01-02 10:00:00","date_finalized":"2026-01-02 10:10:05","last_event_date":"2026-01-02 10:05:05","events":[{},{},{}]}`, Timeline{3, 305 * s, 605 * s}, true},
		{"how many is not told", JSON, `{"date_submitted":"2026-01-02 10:00:00","last_event_date":"2026-01-02 10:02:05"}`, Timeline{0, 125 * s, 0}, true},
		{"XML", XML, `<verify_request><date_submitted>2026-01-02 10:00:00</date_submitted><date_finalized /><last_event_date>2026-01-02 10:02:05</last_event_date><events><event><type>sms</type></event><event/></events></verify_request>`, Timeline{2, 125 * s, 0}, true},
		{"no dates", JSON, `{"events":[{}]}`, Timeline{}, false},
		{"an empty one", JSON, `{"date_submitted":"2026-01-02 10:00:00","last_event_date":""}`, Timeline{}, false},
		{"before the beginning", JSON, `{"date_submitted":"2026-01-02 10:00:00","last_event_date":"2026-01-02 09:59:59"}`, Timeline{}, false},
		{"of another kind", JSON, `{"date_submitted":1,"last_event_date":2}`, Timeline{}, false},
		{"other words for a time", JSON, `{"date_submitted":"2026-01-02T10:00:00Z","last_event_date":"2026-01-02T10:00:00Z"}`, Timeline{}, false},
		{"no JSON", JSON, `<verify_request/>`, Timeline{}, false},
	}
	for _, tt := range tests {
		v := Verification{Raw: []byte(tt.raw)}
		if got, ok := v.Timeline(tt.f); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
