package ledger

import (
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestWorkflowOf(t *testing.T) {
	for id, want := range map[string]string{"": "default", "1": "1", "7": "7", "8": "other", "01": "other", "default": "other"} {
		call := &wire.Call{Params: []wire.Param{{Name: "workflow_id", Value: id}}}
		if got := Workflows[workflowOf(call)]; got != want {
			t.Errorf("workflowOf(%q) = %q, want %q", id, got, want)
		}
	}
}
