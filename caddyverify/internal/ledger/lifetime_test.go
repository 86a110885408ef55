package ledger

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestLifetime(t *testing.T) {
	tests := []struct {
		workflow, pin, wait string
		want                int // seconds
		label               string
	}{
		{"", "", "", 605, "default"},
		{"1", "", "", 605, "1"},
		{"2", "", "", 605, "2"},
		{"3", "", "", 300, "3"},
		{"4", "", "", 300, "4"},
		{"5", "", "", 300, "5"},
		{"6", "", "", 300, "6"},
		{"7", "", "", 300, "7"},
		{"8", "", "", 605, "other"},
		{"01", "", "", 605, "other"},
		{"default", "", "", 605, "other"},
		{"1", "", "900", 2700, "1"},
		{"4", "", "900", 1800, "4"},
		{"6", "3600", "", 3600, "6"},
		{"6", "60", "", 300, "6"}, // it may end earlier
		{"1", "3600", "", 3905, "1"},
		{"1", "360", "120", 600, "1"},
		{"1", "3600", "900", 5400, "1"},
		{"", "60", "60", 180, "default"},
		{"", "9999999", "-5", 60 + 60 + 3600, "default"},
		{"", "soon", "99999999999999999999", 605, "default"},
	}
	for _, tt := range tests {
		call := &wire.Call{Params: []wire.Param{{Name: "pin_expiry", Value: tt.pin}, {Name: "next_event_wait", Value: tt.wait}, {Name: "workflow_id", Value: tt.workflow}}}
		if got := lifetime(call); got != time.Duration(tt.want)*time.Second {
			t.Errorf("lifetime of workflow %q, pin_expiry %q, next_event_wait %q = %v, want %ds", tt.workflow, tt.pin, tt.wait, got, tt.want)
		}
		if got := workflowOf(call); got != tt.label {
			t.Errorf("workflowOf(%q) = %q, want %q", tt.workflow, got, tt.label)
		}
	}
}
