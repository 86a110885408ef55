package wire

import (
	"testing"
	"time"
)

func TestLifetime(t *testing.T) {
	tests := []struct {
		workflow, pin, wait string
		want                int // seconds
	}{
		{"", "", "", 605},
		{"1", "", "", 605},
		{"2", "", "", 605},
		{"3", "", "", 300},
		{"4", "", "", 300},
		{"5", "", "", 300},
		{"6", "", "", 300},
		{"7", "", "", 300},
		{"8", "", "", 605},
		{"01", "", "", 605},
		{"default", "", "", 605},
		{"1", "", "900", 2700},
		{"4", "", "900", 1800},
		{"6", "3600", "", 3600},
		{"6", "60", "", 300}, // it may end earlier
		{"1", "3600", "", 3905},
		{"1", "360", "120", 600},
		{"1", "3600", "900", 5400},
		{"", "60", "60", 180},
		{"", "9999999", "-5", 60 + 60 + 3600},
		{"", "soon", "99999999999999999999", 605},
	}
	for _, tt := range tests {
		call := &Call{Params: []Param{{Name: "pin_expiry", Value: tt.pin}, {Name: "next_event_wait", Value: tt.wait}, {Name: "workflow_id", Value: tt.workflow}}}
		if got := call.Lifetime(); got != time.Duration(tt.want)*time.Second {
			t.Errorf("Lifetime of workflow %q, pin_expiry %q, next_event_wait %q = %v, want %ds", tt.workflow, tt.pin, tt.wait, got, tt.want)
		}
	}
}
